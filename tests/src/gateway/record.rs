//! The record of everything that came and went, for tests to look at.

use std::time::{Duration, Instant};

use connect_wire::Kind;
use connect_wire::message::WorkerConnectRequestData;

use super::leases::Nack;

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// The worker.
    Worker,
    /// The gateway.
    Gateway,
}

/// A connection's phase. It goes forward alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The gateway has greeted, or is about to.
    Greeted,
    /// The worker has presented itself.
    Presented,
    /// The functions are registered, and the worker was told so.
    Connected,
    /// The connection takes requests.
    Ready,
    /// The connection takes no new requests.
    Draining,
    /// The connection is closed.
    Gone,
}

/// The end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The party that closed it; `None` where the connection was cut.
    pub by: Option<Party>,
    /// The code of the close frame; 1006 where there was none.
    pub code: u16,
    /// The reason of the close frame.
    pub reason: String,
}

impl Ending {
    /// Tells whether the worker closed as it has to when it closes on purpose.
    #[must_use]
    pub fn is_intended(&self) -> bool {
        (self.by, self.code, self.reason.as_str()) == (Some(Party::Worker), 1000, "WORKER_SHUTDOWN")
    }
}

/// A connection as it is now, or as it was when it ended.
#[derive(Clone, Debug)]
pub struct ConnectionReport {
    /// Its id.
    pub id: String,
    /// The gateway that it is at.
    pub gateway: String,
    /// Its phase.
    pub phase: Phase,
    /// The worker's presentation, once it has come.
    pub presented: Option<WorkerConnectRequestData>,
    /// The time at which the socket opened.
    pub opened: Instant,
    /// The times of the worker's heartbeats.
    pub heartbeats: Vec<Instant>,
    /// The end.
    pub ending: Option<Ending>,
    /// The time of the end.
    pub ended: Option<Instant>,
}

impl ConnectionReport {
    /// The name of the worker; empty before it has presented itself.
    #[must_use]
    pub fn instance(&self) -> &str {
        self.presented.as_ref().map_or("", |data| data.instance_id.as_str())
    }

    /// Tells whether the connection is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase != Phase::Gone
    }

    /// The longest time without a heartbeat, from the first heartbeat to now or to the end.
    #[must_use]
    pub fn longest_silence(&self) -> Duration {
        let until = self.ended.unwrap_or_else(Instant::now);
        let next = self.heartbeats.iter().skip(1).copied().chain([until]);
        let silences = self.heartbeats.iter().zip(next);
        silences
            .map(|(from, to)| to.saturating_duration_since(*from))
            .max()
            .unwrap_or_default()
    }
}

/// A frame that came or went.
#[derive(Clone, Debug)]
pub struct FrameReport {
    /// The time at which it came or went.
    pub at: Instant,
    /// The connection.
    pub connection: String,
    /// The party that sent it.
    pub sender: Party,
    /// Its kind.
    pub kind: Kind,
    /// The request that it is about.
    pub request: Option<String>,
    /// Tells that it was lost, as a test had asked for.
    pub lost: bool,
}

/// An extension that a worker asked for.
#[derive(Clone, Debug)]
pub struct Extension {
    /// The request.
    pub request: String,
    /// The connection.
    pub connection: String,
    /// The time since the lease was given or extended last.
    pub since: Duration,
    /// The time that was left of the lease; zero if none was.
    pub left: Duration,
    /// The refusal, if it was one.
    pub nack: Option<Nack>,
}

/// A registration of an app's functions.
#[derive(Clone, Debug)]
pub struct Sync {
    /// The connection.
    pub connection: String,
    /// The app.
    pub app: String,
    /// The ids of its functions.
    pub functions: Vec<String>,
    /// Tells whether it was refused.
    pub refused: bool,
}

pub use super::leases::Nack as LeaseNack;
