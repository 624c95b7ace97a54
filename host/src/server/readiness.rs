//! The reasons why a call would not be answered at once.

use crate::generation::Table;
use crate::status::UnreadyReason;

/// Returns the reason that holds now; `None` while a generation serves.
pub(super) fn not_ready(table: &Table) -> Option<UnreadyReason> {
    if table.draining().is_cancelled() {
        return Some(UnreadyReason::Draining);
    }
    if table.tasks().failed().is_some() {
        return Some(UnreadyReason::Failing);
    }
    match table.current() {
        Some(current) => current.pool.all_blocked().then_some(UnreadyReason::IsolatesBlocked),
        None if table.view().last_rejected.is_some() => Some(UnreadyReason::Rejected),
        None => Some(UnreadyReason::Loading),
    }
}
