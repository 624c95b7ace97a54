//! Inngest Connect: this host calls Inngest, and takes the calls of its functions over that connection.
//!
//! The connection belongs to the host, for all generations: a reload that changes nothing of what Inngest is told
//! leaves it alone, and code that spins starves neither heartbeats nor leases, which are messages of one task.
//!
//! - Pure: `apps.rs` (the presentation of a generation), `server_clock.rs` (the server's clock), `requests.rs` (the
//!   requests with their leases and replies), `delivered_replies.rs` (the replies that Inngest has), `gateway_session.rs`
//!   (one session), `dial_backoff.rs` (the pauses between attempts), `state.rs` (the machine)
//! - Acting: `connection_task.rs` (the one task, which owns the machine), `gateway_socket.rs` (one WebSocket), `start.rs`
//!   (the requests over HTTP), `dispatch.rs` (the way from a request to its reply), `crash_record.rs` (the record for the
//!   host after a crash)
//!
//! **Invariant:** a request runs once for each id, however often it comes. **Invariant:** the task waits neither for user
//! code nor for a disk nor for the network.

mod apps;
mod connection_task;
mod crash_record;
mod delivered_replies;
mod dial_backoff;
mod dispatch;
mod gateway_session;
mod gateway_socket;
mod requests;
mod server_clock;
mod start;
mod state;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use js_runtime_api::{LoadError, LoadErrorKind};
use tokio::sync::{mpsc, oneshot, watch};

pub use apps::{Identity, Presentation};

use crate::calls::Executor;
use crate::config::{ConnectRule, OnStop};
use crate::generation::{Candidate, Gate, GenerationId, RunsWanted};
use crate::net::http;
use crate::status::{ConnectionState, ConnectionStatus};

/// The longest time for which the answer to a reload waits for the connection.
const SWAPPED_WITHIN: Duration = Duration::from_secs(2);

/// The settings of the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// The rule by which the host connects.
    pub rule: ConnectRule,
    pub identity: Identity,
    /// The state folder.
    pub state: PathBuf,
    /// The end of the connection when the host is told to end.
    pub on_stop: OnStop,
    /// Tells whether this host was started beside one that accepts: it presents before it accepts.
    pub beside: bool,
}

/// The connection of a host.
#[derive(Debug, Clone)]
pub struct Connection {
    settings: ConnectionSettings,
    shown: watch::Receiver<Arc<ConnectionStatus>>,
    progress: watch::Receiver<ConnectionProgress>,
    asks: mpsc::UnboundedSender<ConnectionWish>,
}

/// The progress of the connection, as others wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ConnectionProgress {
    /// The generation that was looked at last.
    generation: Option<GenerationId>,
    /// Inngest knows what is wanted.
    is_presented: bool,
    /// The session that serves presents it, or there is none that serves.
    is_swapped: bool,
    /// No request waits for its answer, and no reply for its acknowledgement.
    is_idle: bool,
    /// No session takes requests.
    is_closed: bool,
}

/// A wish to the task.
#[derive(Debug)]
enum ConnectionWish {
    /// A generation is about to become current.
    Offer {
        presentation: Arc<Presentation>,
        settled: oneshot::Sender<Result<(), connect_wire::message::SystemError>>,
    },
    /// The host leaves, and another one is not there yet.
    Leave,
}

impl Connection {
    /// Starts the task. Without the settings for it there is none, and the connection is off.
    #[must_use]
    pub fn start(executor: Executor, settings: ConnectionSettings) -> Self {
        let (shown_sender, shown) = watch::channel(Arc::default());
        let (progress_sender, progress) = watch::channel(ConnectionProgress {
            generation: None,
            is_presented: false,
            is_swapped: true,
            is_idle: true,
            is_closed: true,
        });
        let (asks, asked) = mpsc::unbounded_channel();
        if settings.rule != ConnectRule::Never {
            let tasks = executor.table.tasks().clone();
            let task = connection_task::run(executor, settings.clone(), asked, shown_sender, progress_sender);
            tasks.keep("connection to Inngest", task);
        }
        Self {
            settings,
            shown,
            progress,
            asks,
        }
    }

    /// Returns the status of the connection; `None` where calls come over HTTP.
    #[must_use]
    pub fn shown(&self) -> Option<Arc<ConnectionStatus>> {
        let shown = (self.settings.rule != ConnectRule::Never).then(|| self.shown.borrow().clone())?;
        let is_on =
            self.settings.rule == ConnectRule::Always || shown.state != ConnectionState::Off || shown.error.is_some();
        is_on.then_some(shown)
    }

    /// Waits until Inngest knows a generation that became current.
    pub async fn presented(&self, generation: GenerationId) {
        let is_known = |progress: &ConnectionProgress| progress.generation >= Some(generation) && progress.is_presented;
        self.reached(is_known).await;
    }

    /// Waits until the session that serves presents a generation that became current: a moment, unless there is none.
    pub async fn swapped(&self, generation: GenerationId) {
        let is_swapped = |progress: &ConnectionProgress| progress.generation >= Some(generation) && progress.is_swapped;
        // Whatever keeps the connection from it is told elsewhere.
        let _ = tokio::time::timeout(SWAPPED_WITHIN, self.reached(is_swapped)).await;
    }

    /// Waits until all replies are delivered.
    pub async fn delivered(&self) {
        self.reached(|progress| progress.is_idle).await;
    }

    /// Closes the connection, with the leases extended once more: work waits in Inngest's queue for the next host.
    pub async fn leave(&self) {
        if self.settings.rule != ConnectRule::Never && self.asks.send(ConnectionWish::Leave).is_ok() {
            self.reached(|progress| progress.is_closed).await;
        }
    }

    async fn reached(&self, mut wanted: impl FnMut(&ConnectionProgress) -> bool) {
        if self.settings.rule != ConnectRule::Never {
            // The task ends only with the host.
            let _ = self.progress.clone().wait_for(|progress| wanted(progress)).await;
        }
    }
}

impl Gate for Connection {
    fn admit(&self, candidate: Candidate<'_>) -> BoxFuture<'static, Result<(), LoadError>> {
        let Candidate {
            runs,
            manifest,
            sources,
            ..
        } = candidate;
        // Inngest is told of a canary's functions when the canary is promoted.
        if runs == RunsWanted::Canary || !self.settings.rule.connects(manifest) {
            return async { Ok(()) }.boxed();
        }
        http::trust(sources.certificates());
        let presentation = Presentation::of(manifest, |name| sources.variable(name), &self.settings.identity);
        let Ok(presentation) = presentation else {
            // The status says why it cannot be presented.
            return async { Ok(()) }.boxed();
        };
        let (settled, outcome) = oneshot::channel();
        let presentation = Arc::new(presentation);
        let _ = self.asks.send(ConnectionWish::Offer { presentation, settled });
        async move {
            match outcome.await {
                Ok(Err(error)) => Err(LoadError {
                    kind: LoadErrorKind::Refused,
                    message: format!("Inngest refuses the functions: {} ({})", error.message, error.code),
                    help: Some("Mend the function that it names: what serves goes on.".to_owned()),
                    ..LoadError::default()
                }),
                Ok(Ok(())) | Err(_) => Ok(()),
            }
        }
        .boxed()
    }
}
