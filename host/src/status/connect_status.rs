//! The status of the connection to Inngest (Connect).

use serde::{Deserialize, Serialize};

use super::UnreadyReason;

/// The status of the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionStatus {
    pub state: ConnectionState,
    /// The reason why there is no connection, or the last failure.
    pub error: Option<String>,
    /// The address of Inngest's API.
    pub inngest: Option<String>,
    /// The id that Inngest has given the connection over which calls come.
    pub connection_id: Option<String>,
    /// The name of Inngest's gateway at the other end of it.
    pub gateway_group: Option<String>,
    /// The name of this machine at Inngest.
    pub instance_id: Option<String>,
    /// The number of calls that this machine takes at once, where there is a limit.
    pub max_worker_concurrency: Option<i64>,
    pub environment: Option<String>,
    pub apps: Vec<PresentedApp>,
    pub functions: usize,
    /// A digest of the apps and functions that Inngest knows: as long as it stays the same, the connection stays.
    pub presentation: Option<String>,
    /// The connections that are open or being opened: more than one while one replaces another.
    pub sessions: usize,
    /// The calls that run here, and that Inngest waits for.
    pub in_flight: usize,
    /// The calls that run on although Inngest has given them up.
    pub lost_leases: usize,
    /// The answers of calls that Inngest has not confirmed yet.
    pub replies: usize,
    /// The milliseconds since this host last told Inngest that it is alive.
    pub heartbeat_sent_ms: Option<u64>,
    /// The milliseconds since anything came from Inngest.
    pub frame_received_ms: Option<u64>,
    /// The milliseconds until Inngest gives up the first of the calls, unless this host asks for more time.
    pub first_lease_ends_ms: Option<u64>,
    pub counts: ConnectionCounts,
}

/// An app that Inngest was told of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PresentedApp {
    pub id: String,
    pub version: Option<String>,
}

/// Counts since the start of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionCounts {
    /// The connections over which calls came.
    pub connections: u64,
    /// The connections that were lost while calls came over them.
    pub lost_connections: u64,
    /// The attempts to connect that failed.
    pub failed_attempts: u64,
    /// The calls that came and were begun.
    pub requests: u64,
    /// The calls that came again and were not begun again.
    pub duplicates: u64,
    /// The calls that were left to another host: their app is not served here, or this host takes no new ones.
    pub not_taken: u64,
    /// The times that Inngest gave a call more time.
    pub leases_extended: u64,
    /// The calls that Inngest gave up while they ran here.
    pub leases_lost: u64,
    /// The answers that Inngest confirmed over the connection.
    pub replies_acknowledged: u64,
    /// The answers that Inngest took over HTTP, without a connection.
    pub replies_flushed: u64,
    /// The answers that Inngest could not be given in time.
    pub replies_dropped: u64,
}

impl ConnectionCounts {
    /// Returns the counts with their names.
    #[must_use]
    pub const fn events(&self) -> [(&'static str, u64); 11] {
        [
            ("connected", self.connections),
            ("lost", self.lost_connections),
            ("failed", self.failed_attempts),
            ("request", self.requests),
            ("duplicate", self.duplicates),
            ("not_taken", self.not_taken),
            ("lease_extended", self.leases_extended),
            ("lease_lost", self.leases_lost),
            ("reply_acknowledged", self.replies_acknowledged),
            ("reply_flushed", self.replies_flushed),
            ("reply_dropped", self.replies_dropped),
        ]
    }
}

/// The state of the connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Calls come over HTTP.
    #[default]
    Off,
    Connecting,
    Active,
    Reconnecting,
    /// Inngest refuses the functions.
    Refused,
    /// This host takes no new calls, and finishes those that it has.
    Paused,
    Closed,
    /// A state that only another version knows.
    #[serde(other)]
    Unknown,
}

impl ConnectionState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Connecting => "connecting",
            Self::Active => "active",
            Self::Reconnecting => "reconnecting",
            Self::Refused => "refused",
            Self::Paused => "paused",
            Self::Closed => "closed",
            Self::Unknown => "unknown",
        }
    }
}

impl ConnectionStatus {
    /// Describes the connection in one line; `None` for a state that this version does not know.
    #[must_use]
    pub fn headline(&self) -> Option<String> {
        use ConnectionState::{Active, Closed, Connecting, Off, Paused, Reconnecting, Refused, Unknown};
        let inngest = self.inngest.as_deref().unwrap_or("Inngest");
        let error = self
            .error
            .as_deref()
            .map(|error| format!(": {error}"))
            .unwrap_or_default();
        Some(match self.state {
            Active => {
                let group = self.gateway_group.as_deref().unwrap_or("a gateway");
                format!("connected to {inngest} ({group}), {} call(s) in flight", self.in_flight)
            }
            Connecting => format!("connecting to {inngest}{error}"),
            Reconnecting => format!("connecting to {inngest} again{error}"),
            Refused => format!("{inngest} refuses the functions{error}"),
            Paused => format!("paused at {inngest}: {} call(s) are finished here", self.in_flight),
            Closed => format!("the connection to {inngest} is closed"),
            Off => format!("not connected to Inngest{error}"),
            Unknown => return None,
        })
    }

    /// Tells whether somebody has to look after the connection.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        use ConnectionState::{Connecting, Off, Reconnecting, Refused};
        self.error.is_some() && matches!(self.state, Off | Connecting | Reconnecting | Refused)
    }

    /// The reason why calls do not come, where the connection is the reason.
    #[must_use]
    pub const fn not_ready(&self) -> Option<UnreadyReason> {
        use ConnectionState::{Connecting, Off, Reconnecting, Refused};
        match self.state {
            Connecting | Reconnecting | Refused => Some(UnreadyReason::Connecting),
            // Something is wrong with the functions or the settings, so that no calls come.
            Off if self.error.is_some() => Some(UnreadyReason::Connecting),
            _ => None,
        }
    }
}
