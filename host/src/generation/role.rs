//! Whether this host is the one that executes new calls.
//!
//! ```text
//!           accepts            the successor is ready       the successor accepts
//! Waiting ──────────▶ Accepting ──────────────────▶ Stopped ──────────────────────▶ HandedOver
//!                         ▲                            │ it cannot, after all
//!                         └────────────────────────────┘
//! ```
//!
//! Of the hosts of a project at most one is [`Role::Accepting`]: whatever only the host that serves
//! may do, such as telling Inngest where it is, hangs on this. A host without a supervisor accepts
//! from its start to its end.

use tokio::sync::watch;

/// See the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// It loads, beside a host that accepts or because there was none.
    Waiting,
    /// New calls are this host's.
    #[default]
    Accepting,
    /// Nobody's: what comes meanwhile waits.
    Stopped,
    /// Another host's: what still comes here is passed on to it.
    HandedOver,
}

impl Role {
    /// Waits for one of these; `None` when the host is gone.
    pub async fn reached(role: &mut watch::Receiver<Self>, wanted: impl FnMut(&Self) -> bool) -> Option<Self> {
        role.wait_for(wanted).await.ok().map(|role| *role)
    }
}
