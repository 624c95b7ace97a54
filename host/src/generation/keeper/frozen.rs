//! How far handing over to another host is, and where a host stands meanwhile.

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::generation::state::GenerationId;

/// Where a host stands that changes nothing any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Frozen {
    /// The generation that serves; its code is kept on the disk if anything can be.
    pub current: Option<GenerationId>,
    /// The newest number that was given.
    pub newest: Option<GenerationId>,
    /// What serves is not what is on the disk, which cannot be served.
    pub last_good: bool,
}

/// How far it is.
#[derive(Debug, Default)]
pub(super) enum Handover {
    /// Loads are begun.
    #[default]
    No,
    /// To be answered once nothing is loaded.
    Freezing(oneshot::Sender<Frozen>),
    Frozen,
    Over,
}

impl Handover {
    /// Whether a load may begin.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::No)
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    /// A second one takes the place of the first, whose asker has given up.
    pub(super) fn freeze(&mut self, answer: oneshot::Sender<Frozen>) {
        if !matches!(self, Self::Over) {
            *self = Self::Freezing(answer);
        }
    }
}
