//! The status that a host gives of itself: the body of `GET /-/status` and its parts.
//!
//! The server serialises it; commands, the dashboard, `baton doctor` and the project's other hosts read it. A host
//! and the reader of its status may be of two versions: a field that is missing reads as its default, a field that is
//! not known is skipped, and so is an unknown word.

mod command_answers;
mod connect_status;
mod readiness;
mod registration;
mod registration_words;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use js_runtime_api::{EnvironmentDigest, LoadError, Manifest, Warning};
use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::WatchMode;
use crate::generation::{CanarySummary, ExpectedCalls, GenerationId, IsolateId, PublicState, Reason};
use crate::release::ReleaseName;

pub use command_answers::{DrainStatus, RouteAnswer};
pub use connect_status::{ConnectionCounts, ConnectionState, ConnectionStatus, PresentedApp};
pub use readiness::{Readiness, UnreadyReason};
pub use registration::{
    AppStatus, Difference, DifferenceKind, FailureKind, HolderStatus, NewerHostStatus, OffKind, RegistrationState,
    RegistrationStatus,
};
pub use registration_words::RegistrationWords;

/// The status of a host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    pub current: Option<GenerationId>,
    pub uptime_s: u64,
    pub version: String,
    pub pid: u32,
    /// The use of the host.
    #[serde(deserialize_with = "known")]
    pub mode: Option<HostMode>,
    /// The address at which the host listens.
    pub address: Option<SocketAddr>,
    /// The supervisor, under `baton start`.
    pub supervisor: Option<SupervisorLine>,
    /// The hosts under `baton start`: this one, and those that load or finish their calls beside it.
    pub hosts: Vec<HostStatus>,
    pub functions: Vec<FunctionStatus>,
    pub generations: Vec<GenerationStatus>,
    /// The canary that is on, or was on last.
    #[serde(deserialize_with = "known")]
    pub canary: Option<CanarySummary>,
    /// The changes on the disk that lead to a reload.
    #[serde(deserialize_with = "known")]
    pub watch: Option<WatchMode>,
    /// Inngest's knowledge of the functions.
    pub registration: Arc<RegistrationStatus>,
    /// The connection to Inngest; `null` where calls come over HTTP.
    pub connection: Option<Arc<ConnectionStatus>>,
    /// The warnings about the code that serves.
    pub warnings: Vec<Warning>,
    pub source: SourceStatus,
    /// The releases, of a host that was started from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseStatus>,
    /// The cost of isolates that V8 could not end, until the host ends.
    pub lost: LossStatus,
}

/// The releases of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReleaseStatus {
    pub reference: String,
    /// The time at which the tag was last seen.
    pub seen_at: Option<Timestamp>,
    /// The reason why the tag cannot be seen, or why its release cannot be pulled.
    pub error: Option<String>,
    /// The releases that are unpacked on this machine, the newest first.
    pub unpacked: Vec<ReleaseName>,
}

/// The use of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostMode {
    /// `baton dev`: a host for the person at its machine.
    Dev,
    /// `baton start`: a host in production.
    Start,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FunctionStatus {
    pub id: String,
    pub app: String,
    pub name: String,
    pub triggers: Vec<Value>,
    /// `null`: the function says nothing and Inngest's default applies.
    pub retries: Option<u32>,
    /// `null` for Inngest's default.
    #[serde(deserialize_with = "known")]
    pub retries_from: Option<RetriesFrom>,
    /// The rest of the SDK's function configuration.
    pub config: BTreeMap<String, Value>,
}

/// The place that says how often a function is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetriesFrom {
    #[serde(rename = "code")]
    Code,
    #[serde(rename = "baton.toml")]
    BatonToml,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerationStatus {
    pub id: GenerationId,
    pub state: PublicState,
    #[serde(deserialize_with = "known")]
    pub reason: Option<Reason>,
    /// The earlier generation whose code this is.
    pub restored_from: Option<GenerationId>,
    pub hash: Option<String>,
    pub git: Option<String>,
    /// The release that the code is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseName>,
    /// The variables that the environment file gave the generation; never their values.
    pub environment: Option<EnvironmentDigest>,
    /// The stage of the load, while it takes longer than a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_stage: Option<String>,
    pub loaded_at: Option<Timestamp>,
    pub in_flight: Vec<CallStatus>,
    /// The number of calls in flight that no isolate has begun.
    pub queued: usize,
    /// The calls to come that keep the generation although no call runs in it.
    pub expected: ExpectedCalls,
    pub isolates: Vec<IsolateStatus>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IsolateStatus {
    pub id: IsolateId,
    pub calls: usize,
    pub heap_mb: f64,
    pub buffers_mb: f64,
    /// Tells whether the isolate is nearly out of memory: it finishes its calls and is replaced.
    pub condemned: bool,
    /// Tells whether a debugger has stopped the isolate.
    pub paused: bool,
    /// The time that user code has held the isolate's thread; 0 while it does not hold it.
    pub blocked_ms: u64,
    /// Tells whether user code finishes work beside calls before its generation goes.
    pub finishing: bool,
    /// The event or signal that user code hears then: `baton:draining`, `SIGTERM`.
    pub finishes_for: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallStatus {
    pub function: Option<String>,
    pub run: Option<String>,
    pub step: Option<String>,
    pub attempt: Option<u32>,
    /// The method and the path of a request that is no call of Inngest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    pub since_ms: u64,
    /// The generation of a call of another host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationId>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceStatus {
    /// Tells whether files on the disk differ from those that the newest generation read that gets runs.
    pub newer_than_loaded: bool,
    pub changed: Vec<String>,
    pub last_rejected: Option<RejectedStatus>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RejectedStatus {
    pub generation: GenerationId,
    pub error: LoadError,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LossStatus {
    pub threads: u64,
    pub memory_mb: u64,
}

/// A host of the project: the one that gives the status, or one beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostStatus {
    #[serde(flatten)]
    pub line: HostLine,
    /// The calls that the host is answering, each with its generation. The calls of the host that gives the status
    /// are listed with the generations.
    pub in_flight: Vec<CallStatus>,
}

/// A host, as its supervisor tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLine {
    pub pid: u32,
    pub version: String,
    /// `starting`, `loading`, `accepting`, `draining`.
    pub state: String,
}

/// The supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorLine {
    pub pid: u32,
    pub version: String,
}

impl FunctionStatus {
    /// The functions of a generation.
    #[must_use]
    pub fn all(manifest: &Manifest) -> Vec<Self> {
        let status = |(app, function): (&js_runtime_api::App, &js_runtime_api::Function)| Self {
            id: function.id.clone(),
            app: app.id.clone(),
            name: function.name.clone(),
            triggers: function.triggers.clone(),
            retries: function.retries,
            retries_from: function.retries.map(|_| match function.retries_defaulted {
                true => RetriesFrom::BatonToml,
                false => RetriesFrom::Code,
            }),
            config: function.config.clone(),
        };
        manifest.functions().map(status).collect()
    }
}

/// Reads a word that this version does not know as none.
fn known<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(T::deserialize(Value::deserialize(deserializer)?).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Status;

    #[test]
    fn a_host_of_another_version_is_read_as_far_as_it_is_known() {
        let said = json!({"current": 3, "pid": 7, "coming": {"x": 1}, "watch": "by_the_moon",
            "generations": [{"id": 3, "state": "pondering", "reason": "whim", "more": []}],
            "registration": {"state": "elsewhere"}, "hosts": [{"pid": 7, "version": "9", "state": "new"}]});
        let status: Status = serde_json::from_value(said).unwrap();
        assert_eq!((status.current.unwrap().0, status.pid), (3, 7));
        assert_eq!((status.generations[0].reason, status.watch), (None, None));
        assert_eq!(status.registration.words(), None);
    }

    #[test]
    fn what_is_said_is_read_as_it_was_meant() {
        let said = json!({"current": 2, "address": "127.0.0.1:8700", "watch": "git-ref",
            "functions": [{"id": "a-b", "app": "a", "retries": 3, "retries_from": "baton.toml"}],
            "generations": [{"id": 1, "state": "draining", "reason": "last_good", "hash": "00",
                "in_flight": [{"function": "a-b", "since_ms": 5}], "isolates": [{"id": 0, "heap_mb": 1.5}]}],
            "source": {"last_rejected": {"generation": 2, "error": {"kind": "syntax", "message": "no", "line": 2}}}});
        let status: Status = serde_json::from_value(said).unwrap();
        let again: Status = serde_json::from_value(serde_json::to_value(&status).unwrap()).unwrap();
        assert_eq!(status, again);
    }
}
