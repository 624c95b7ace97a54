//! The reasons why a call would not be answered at once.

use crate::generation::Table;
use crate::status::NotReady;

/// Returns the reason that holds now; `None` while a generation serves.
pub(super) fn not_ready(table: &Table) -> Option<NotReady> {
    if table.draining().is_cancelled() {
        return Some(NotReady::Draining);
    }
    if table.tasks().failed().is_some() {
        return Some(NotReady::Failing);
    }
    match table.current() {
        Some(current) => current.pool.all_blocked().then_some(NotReady::IsolatesBlocked),
        None if table.view().last_rejected.is_some() => Some(NotReady::Rejected),
        None => Some(NotReady::Loading),
    }
}
