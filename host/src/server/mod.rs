//! The HTTP side: two listeners, one router.
//!
//! # Files
//!
//! - `router.rs` (its doc is the route table), `calls.rs` (the data path), `refusal.rs` (the host's own answers on it),
//!   `held.rs` (the memory of calls that wait), `way_back.rs` (the way of answers), `admin.rs`, `auth.rs` and
//!   `browser_sessions.rs` (the rules for admins), `status.rs` (the status), `hosts.rs` (the other hosts in it), `log.rs` (the newest lines
//!   of the log),
//!   `feed.rs` (the news for an open page), `inspect.rs` (the door for debuggers), `listen.rs` (the ways in),
//!   `accept.rs` and `room.rs` (the number of connections, and the choice of the one that goes), `connection.rs` (one
//!   connection, and its time limits), `edge.rs` (the host and the path of a request), `request_body.rs` (its body),
//!   `forward.rs` (the way to the host that has taken over)

mod accept;
mod admin;
mod auth;
mod browser_sessions;
mod calls;
mod connection;
mod dashboard;
mod edge;
mod feed;
mod forward;
mod held;
mod hosts;
mod inspect;
mod json_errors;
mod listen;
mod log;
mod readiness;
mod refusal;
mod request_body;
mod room;
mod router;
mod status;
mod way_back;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use auth::Access;
pub use browser_sessions::Sessions;
pub use calls::GENERATION_HEADER;
pub use forward::Successor;
pub use held::HeldBytes;
pub use inspect::Inspector;
pub use listen::Listeners;
pub use room::Room;
pub use router::router;

use crate::config::WatchMode;
use crate::generation::{Keeper, Table};
use crate::pull::Puller;
use crate::registration::Registration;
use crate::supervisor::{Ledger, SupervisorHandle};
use crate::telemetry::{Metrics, Traces};

/// The state that every route may use.
#[derive(Clone)]
pub struct Server {
    pub table: Arc<Table>,
    pub keeper: Keeper,
    pub metrics: Arc<Metrics>,
    /// The exporter of spans, while a collector is named.
    pub traces: Option<Arc<Traces>>,
    pub registration: Registration,
    pub access: Arc<Access>,
    /// The sessions of browsers that were let in.
    pub sessions: Arc<Sessions>,
    /// The address that the host listens on.
    pub address: SocketAddr,
    /// The project's folder, for people.
    pub project: Arc<str>,
    /// The calls that run, also those whose callers have gone.
    pub calls: TaskTracker,
    /// The token that is cancelled when, at the end of the host, the streams of pages have had their time.
    pub streams_end: CancellationToken,
    /// The time that a call waits while nothing can serve it.
    pub hold: Duration,
    /// The memory of calls that wait.
    pub held: Arc<HeldBytes>,
    /// The time after which a call is slow, and is logged.
    pub slow_call: Duration,
    pub watch: WatchMode,
    /// The path at which an app serves Inngest.
    pub serve_path: Arc<str>,
    /// The host that gets the requests that are passed on, once it has taken over.
    pub successor: Successor,
    /// The record of the running calls, for the host after a crash.
    pub ledger: Arc<Ledger>,
    /// The link to the supervisor, under `baton start`.
    pub supervised: Option<Arc<SupervisorHandle>>,
    /// The puller of releases, where the host was started from one.
    pub puller: Option<Puller>,
    pub started: Instant,
}
