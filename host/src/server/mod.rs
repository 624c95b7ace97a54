//! The HTTP side: two listeners, one router.

mod admin;
mod answer;
mod auth;
mod calls;
mod listen;
mod router;
mod status;
mod way_back;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;

pub use auth::Access;
pub use calls::GENERATION_HEADER;
pub use listen::{ListenError, Listeners, Peer};
pub use router::router;

use crate::config::WatchMode;
use crate::generation::{Keeper, Table};
use crate::telemetry::Metrics;

/// What every route may use.
#[derive(Clone)]
pub struct Server {
    pub table: Arc<Table>,
    pub keeper: Keeper,
    pub metrics: Arc<Metrics>,
    pub access: Arc<Access>,
    /// The calls that run, also those whose callers have gone.
    pub calls: TaskTracker,
    /// How long a call waits while nothing can serve it.
    pub hold: Duration,
    pub watch: WatchMode,
    /// Where an app serves Inngest.
    pub serve_path: Arc<str>,
    pub started: Instant,
}
