//! The HTTP side: two listeners, one router.

mod admin;
mod answer;
mod auth;
mod calls;
mod dashboard;
mod feed;
mod inspect;
mod listen;
mod router;
mod session;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;

pub use auth::Access;
pub use calls::GENERATION_HEADER;
pub use inspect::Inspector;
pub use listen::{ListenError, Listeners, Peer};
pub use router::router;
pub use session::Sessions;

use crate::config::WatchMode;
use crate::generation::{Keeper, Table};
use crate::telemetry::{Metrics, Traces};

/// What every route may use.
#[derive(Clone)]
pub struct Server {
    pub table: Arc<Table>,
    pub keeper: Keeper,
    pub metrics: Arc<Metrics>,
    /// While a collector is named.
    pub traces: Option<Arc<Traces>>,
    pub access: Arc<Access>,
    /// Browsers that were let in.
    pub sessions: Arc<Sessions>,
    /// Where it listens.
    pub address: SocketAddr,
    /// The project's folder, for people.
    pub project: Arc<str>,
    /// The calls that run, also those whose callers have gone.
    pub calls: TaskTracker,
    /// How long a call waits while nothing can serve it.
    pub hold: Duration,
    /// A call that takes longer is logged.
    pub slow_call: Duration,
    pub watch: WatchMode,
    pub started: Instant,
}
