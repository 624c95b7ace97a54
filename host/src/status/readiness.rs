//! The body of `GET /-/ready`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::generation::GenerationId;

/// A host's readiness for calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    pub ready: bool,
    pub generation: Option<GenerationId>,
    /// The reason why the host is not ready.
    pub reason: Option<UnreadyReason>,
    /// Tells whether the code that served last serves, since the code on the disk cannot be served.
    pub last_good: bool,
    /// The random id of a host that registers at Inngest. Hosts behind one address tell each other apart by it.
    #[serde(default)]
    pub host: Option<String>,
    /// The time of the code of a host that registers: that of the release's push, or else of the load.
    #[serde(default)]
    pub code_time: Option<Timestamp>,
}

/// The reason why a call would not be answered at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnreadyReason {
    /// No generation has been loaded yet.
    Loading,
    /// The code cannot be loaded.
    Rejected,
    /// User code holds the thread of every isolate: calls wait.
    IsolatesBlocked,
    /// The host finishes its calls and ends.
    Draining,
    /// The connection to Inngest, over which calls come, is not there yet.
    Connecting,
    /// A task that the host cannot do without failed: it ends, and another takes over.
    Failing,
    /// A reason that only another version knows.
    #[serde(other)]
    Unknown,
}

impl UnreadyReason {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Rejected => "rejected",
            Self::IsolatesBlocked => "isolates_blocked",
            Self::Draining => "draining",
            Self::Connecting => "connecting",
            Self::Failing => "failing",
            Self::Unknown => "unknown",
        }
    }
}
