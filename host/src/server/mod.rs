//! The HTTP side: two listeners, one router.
//!
//! # Files
//!
//! - `router.rs` (its doc is the route table), `calls.rs` (the data path), `refusal.rs` (the host's own answers on
//!   it), `held.rs` (the memory of what waits), `way_back.rs` (of answers), `admin.rs`, `auth.rs` and `session.rs`
//!   (who may), `status.rs` (makes the status), `hosts.rs` (the other hosts in it), `feed.rs` (what an open page is
//!   told), `inspect.rs` (the door for debuggers), `listen.rs` (the ways in), `accept.rs` and `room.rs` (how many
//!   connections there may be, and which one goes), `connection.rs` (one of them, and its time limits), `edge.rs` (of
//!   which host and path a request is), `request_body.rs` (its body), `forward.rs` (to the host that has taken over)

mod accept;
mod admin;
mod answer;
mod auth;
mod calls;
mod connection;
mod dashboard;
mod edge;
mod feed;
mod forward;
mod held;
mod hosts;
mod inspect;
mod listen;
mod readiness;
mod refusal;
mod request_body;
mod room;
mod router;
mod session;
mod status;
mod way_back;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use auth::Access;
pub use calls::GENERATION_HEADER;
pub use forward::Successor;
pub use held::HeldBytes;
pub use inspect::Inspector;
pub use listen::Listeners;
pub use room::Room;
pub use router::router;
pub use session::Sessions;

use crate::config::WatchMode;
use crate::generation::{Keeper, Table};
use crate::registration::Registration;
use crate::supervisor::{Ledger, Supervised};
use crate::telemetry::{Metrics, Traces};

/// What every route may use.
#[derive(Clone)]
pub struct Server {
    pub table: Arc<Table>,
    pub keeper: Keeper,
    pub metrics: Arc<Metrics>,
    /// While a collector is named.
    pub traces: Option<Arc<Traces>>,
    pub registration: Registration,
    pub access: Arc<Access>,
    /// Browsers that were let in.
    pub sessions: Arc<Sessions>,
    /// Where it listens.
    pub address: SocketAddr,
    /// The project's folder, for people.
    pub project: Arc<str>,
    /// The calls that run, also those whose callers have gone.
    pub calls: TaskTracker,
    /// Cancelled when streams of pages have had their time at the end of the host.
    pub streams_end: CancellationToken,
    /// How long a call waits while nothing can serve it.
    pub hold: Duration,
    /// The memory of calls that wait.
    pub held: Arc<HeldBytes>,
    /// A call that takes longer is logged.
    pub slow_call: Duration,
    pub watch: WatchMode,
    /// Where an app serves Inngest.
    pub serve_path: Arc<str>,
    /// What is passed on goes there, once another host has taken over.
    pub successor: Successor,
    /// The calls that run, for whoever comes after a crash.
    pub ledger: Arc<Ledger>,
    /// Under `baton start`.
    pub supervised: Option<Arc<Supervised>>,
    pub started: Instant,
}
