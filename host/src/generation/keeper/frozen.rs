//! The progress of handing over to another host, and the state of a host meanwhile.

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::generation::state::GenerationId;

/// The state of a host that changes nothing any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FrozenHost {
    /// The generation that serves; its code is kept on the disk if anything can be.
    pub current: Option<GenerationId>,
    /// The newest number that was given.
    pub newest: Option<GenerationId>,
    /// Tells whether the last good code serves, since the code on the disk cannot be served.
    pub last_good: bool,
}

/// The progress of handing over.
#[derive(Debug, Default)]
pub(super) enum Handover {
    /// The host does not hand over: it begins loads.
    #[default]
    No,
    /// The request for a freeze is answered once no load runs.
    Freezing(oneshot::Sender<FrozenHost>),
    Frozen,
    Over,
}

impl Handover {
    /// Tells whether a load may begin.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::No)
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    /// Notes a request for a freeze. A second request takes the place of the first, whose requester has given up.
    pub(super) fn freeze(&mut self, answer: oneshot::Sender<FrozenHost>) {
        if !matches!(self, Self::Over) {
            *self = Self::Freezing(answer);
        }
    }
}
