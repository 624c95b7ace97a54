//! The state of one session: one WebSocket to a gateway, from its opening to its end.
//!
//! ```text
//! Opening ──▶ Presented ──▶ Ready ──▶ Serving ──┬──▶ Closing  (the gateway wishes)
//!  start,      WORKER_        │                 └──▶ Paused   (we wish)
//!  dial,       CONNECT        └ presented, and not yet the one that serves
//!  HELLO       sent
//! ```
//!
//! A session never goes back, and leaves the machine when it is gone.

use std::sync::Arc;
use std::time::Duration;

use connect_wire::go_duration;
use connect_wire::message::GatewayConnectionReadyData;

use super::apps::Presentation;
use super::requests::SessionId;
use super::server_clock::HostMoment;

/// The defaults of the intervals that a gateway tells.
const HEARTBEAT: Duration = Duration::from_secs(10);
const EXTENSION: Duration = Duration::from_secs(5);
/// The shortest interval that is believed.
const SHORTEST: Duration = Duration::from_millis(100);
/// The shortest pause between two messages of the status.
const SHORTEST_STATUS: Duration = Duration::from_secs(2);
/// The number of heartbeats without any frame after which a gateway is dead.
const MOST_UNANSWERED: u32 = 2;

/// A session.
#[derive(Debug)]
pub struct GatewaySession {
    pub id: SessionId,
    pub presentation: Arc<Presentation>,
    /// Tells whether the gateway waits for our word before it sends requests.
    pub manual: bool,
    pub phase: SessionPhase,
    pub connection_id: String,
    pub group: String,
    pub intervals: Intervals,
    pub since: HostMoment,
    heartbeat_at: HostMoment,
    pub heartbeat_sent: Option<HostMoment>,
    pub frame_received: Option<HostMoment>,
    unanswered: u32,
    status_at: HostMoment,
}

/// The phase of a session: see the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPhase {
    Opening,
    Presented { until: HostMoment },
    Ready,
    Serving,
    Closing,
    Paused { since: HostMoment },
}

/// The intervals that a gateway asks for.
#[derive(Debug, Clone, Copy)]
pub struct Intervals {
    pub heartbeat: Duration,
    pub extension: Duration,
    status: Option<Duration>,
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            heartbeat: HEARTBEAT,
            extension: EXTENSION,
            status: None,
        }
    }
}

impl Intervals {
    /// Reads the intervals; what cannot be read has its default.
    fn of(told: &GatewayConnectionReadyData) -> Self {
        let read = |text: &str| go_duration::parse(text).ok().filter(|interval| !interval.is_zero());
        Self {
            heartbeat: read(&told.heartbeat_interval).unwrap_or(HEARTBEAT).max(SHORTEST),
            extension: read(&told.extend_lease_interval).unwrap_or(EXTENSION).max(SHORTEST),
            status: read(&told.status_interval).map(|interval| interval.max(SHORTEST_STATUS)),
        }
    }
}

/// The regular message of a session that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Regular {
    Heartbeat,
    Status,
    /// The gateway is dead.
    Silence,
}

impl GatewaySession {
    pub fn opening(id: SessionId, presentation: Arc<Presentation>, manual: bool, now: HostMoment) -> Self {
        Self {
            id,
            presentation,
            manual,
            phase: SessionPhase::Opening,
            connection_id: String::new(),
            group: String::new(),
            intervals: Intervals::default(),
            since: now,
            heartbeat_at: now,
            heartbeat_sent: None,
            frame_received: None,
            unanswered: 0,
            status_at: now,
        }
    }

    /// Notes the gateway's word that the connection is ready.
    pub fn ready(&mut self, told: &GatewayConnectionReadyData, now: HostMoment) {
        self.intervals = Intervals::of(told);
        self.phase = SessionPhase::Ready;
        self.since = now;
        self.heartbeat_at = now + self.intervals.heartbeat;
        self.status_at = now + self.intervals.status.unwrap_or_default();
    }

    /// Tells whether the gateway has the presentation, and the session is open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !self.is_opening()
    }

    #[must_use]
    pub const fn is_opening(&self) -> bool {
        matches!(self.phase, SessionPhase::Opening | SessionPhase::Presented { .. })
    }

    /// Tells whether requests that come on it are acknowledged.
    #[must_use]
    pub const fn takes_requests(&self) -> bool {
        matches!(self.phase, SessionPhase::Ready | SessionPhase::Serving)
    }

    /// Notes a frame of the gateway: it lives.
    pub fn heard(&mut self, now: HostMoment) {
        self.unanswered = 0;
        self.frame_received = Some(now);
    }

    /// Returns the regular message that is due, and plans the next one.
    pub fn regular(&mut self, now: HostMoment) -> Option<Regular> {
        if !self.is_open() {
            return None;
        }
        if now >= self.heartbeat_at {
            if self.unanswered >= MOST_UNANSWERED {
                return Some(Regular::Silence);
            }
            self.unanswered += 1;
            self.heartbeat_at = now + self.intervals.heartbeat;
            self.heartbeat_sent = Some(now);
            return Some(Regular::Heartbeat);
        }
        let status = self.intervals.status?;
        (now >= self.status_at).then(|| {
            self.status_at = now + status;
            Regular::Status
        })
    }

    /// The moment at which something of this session is due.
    #[must_use]
    pub fn next_due(&self) -> Option<HostMoment> {
        match self.phase {
            SessionPhase::Opening => None,
            SessionPhase::Presented { until } => Some(until),
            _ => Some(match self.intervals.status {
                Some(_) => self.heartbeat_at.min(self.status_at),
                None => self.heartbeat_at,
            }),
        }
    }
}
