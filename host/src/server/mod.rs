//! The HTTP side: two listeners, one router.
//!
//! # Files
//!
//! - `router.rs` (its doc is the route table), `calls.rs` (the data path), `refusal.rs` (the host's own answers on it),
//!   `way_back.rs` (the way of answers), `admin.rs`, `auth.rs` and
//!   `browser_sessions.rs` (the rules for admins), `status.rs` (the status), `hosts.rs` (the other hosts in it), `log.rs` (the newest lines
//!   of the log),
//!   `feed.rs` (the news for an open page), `inspect.rs` (the door for debuggers), `listen.rs` (the ways in),
//!   `accept.rs` and `room.rs` (the number of connections, and the choice of the one that goes), `connection.rs` (one
//!   connection, and its time limits), `edge.rs` (the host and the path of a request), `request_body.rs` (its body),
//!   `forward.rs` (the way to the host that has taken over)

mod accept;
mod admin;
mod auth;
mod bounce;
mod browser_sessions;
mod calls;
mod connection;
mod dashboard;
mod edge;
mod feed;
mod forward;
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
use std::time::Instant;

use tokio_util::sync::CancellationToken;

pub use auth::Access;
pub use bounce::Bounces;
pub use browser_sessions::Sessions;
pub use calls::GENERATION_HEADER;
pub use forward::Successor;
pub use inspect::Inspector;
pub use listen::Listeners;
pub use room::Room;
pub use router::router;

use crate::calls::Executor;
use crate::config::WatchMode;
use crate::connect::Connection;
use crate::generation::{Keeper, Table};
use crate::pull::Puller;
use crate::registration::Registration;
use crate::supervisor::SupervisorHandle;
use crate::telemetry::Metrics;

/// The state that every route may use.
#[derive(Clone)]
pub struct Server {
    pub table: Arc<Table>,
    /// The executor of calls.
    pub executor: Executor,
    pub keeper: Keeper,
    pub metrics: Arc<Metrics>,
    pub registration: Registration,
    pub connection: Connection,
    pub access: Arc<Access>,
    /// The sessions of browsers that were let in.
    pub sessions: Arc<Sessions>,
    /// The calls that were sent back to the address that several hosts share.
    pub bounces: Arc<Bounces>,
    /// The address that the host listens on.
    pub address: SocketAddr,
    /// The project's folder, for people.
    pub project: Arc<str>,
    /// The token that is cancelled when, at the end of the host, the streams of pages have had their time.
    pub streams_end: CancellationToken,
    pub watch: WatchMode,
    /// The path at which an app serves Inngest.
    pub serve_path: Arc<str>,
    /// The host that gets the requests that are passed on, once it has taken over.
    pub successor: Successor,
    /// The link to the supervisor, under `baton start`.
    pub supervised: Option<Arc<SupervisorHandle>>,
    /// The puller of releases, where the host was started from one.
    pub puller: Option<Puller>,
    pub started: Instant,
}
