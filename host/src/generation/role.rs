//! The role of a host: whether it is the one that executes new calls.
//!
//! ```text
//!           accepts            the successor is ready       the successor accepts
//! Waiting ──────────▶ Accepting ──────────────────▶ Stopped ──────────────────────▶ HandedOver
//!                         ▲                            │ it cannot, after all
//!                         └────────────────────────────┘
//! ```
//!
//! Of the hosts of a project at most one is [`Role::Accepting`]: that host alone does what only one host may do, such
//! as telling Inngest where it is. A host without a supervisor accepts from its start to its end.

use tokio::sync::watch;

/// The role of a host: see the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// The host loads, beside a host that accepts or because there was none.
    Waiting,
    /// New calls are this host's.
    #[default]
    Accepting,
    /// New calls are nobody's: those that come meanwhile wait.
    Stopped,
    /// New calls are another host's: those that still come here are passed on to that host.
    HandedOver,
}

impl Role {
    /// Waits until the role is a wanted one, and returns it; `None` when the host is gone.
    pub async fn reached(role: &mut watch::Receiver<Self>, wanted: impl FnMut(&Self) -> bool) -> Option<Self> {
        role.wait_for(wanted).await.ok().map(|role| *role)
    }
}
