//! The state of the registration at Inngest, as the outside sees it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `registration` in the status.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistrationStatus {
    pub state: RegistrationState,
    /// The reason why the registration is off.
    pub reason: Option<String>,
    /// The same reason for machines.
    pub off: Option<OffKind>,
    /// Tells whether the functions are in dev mode, where no signature is asked for.
    pub dev: Option<bool>,
    pub apps: Vec<AppStatus>,
    /// The generation whose functions these are.
    pub generation: Option<u64>,
    /// Tells whether Inngest itself says that it holds the functions.
    pub verified: bool,
    /// The time of the last registration that was not refused.
    pub last_ok: Option<Timestamp>,
    /// The number of attempts in a row that failed.
    pub failed_attempts: u32,
    /// The reason why the last attempt failed.
    pub error: Option<String>,
    pub error_kind: Option<FailureKind>,
    /// The differences between Inngest's copy and the code.
    pub drift: Vec<Difference>,
    /// The host that Inngest calls in place of this one, while it is left there.
    pub holder: Option<HolderStatus>,
    /// The host at the same address that has newer code, and registers in place of this one.
    pub newer: Option<NewerHostStatus>,
}

/// The state of the registration; `registration/mod.rs` has the diagram.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationState {
    #[default]
    Off,
    Unregistered,
    Registering,
    Registered,
    Drifted,
    /// A word that only another version knows.
    #[serde(other)]
    Unknown,
}

/// The reason why there is nothing to register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffKind {
    SwitchedOff,
    /// A connection of the host registers the functions.
    Connected,
    NoGeneration,
    NotCurrent,
    NoFunctions,
    NoOrigin,
    NoKey,
    /// A word that only another version knows.
    #[serde(other)]
    Unknown,
}

/// The kinds of failed attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Nobody listens at Inngest's address.
    Unreachable,
    /// Inngest took the connection and said nothing.
    Silent,
    /// Inngest does not accept the key.
    Unauthorized,
    /// The project's own code did not get so far.
    NoIsolate,
    /// Inngest said no, or something that nobody understands.
    #[serde(other)]
    Refused,
}

/// An app that is registered, and the place where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppStatus {
    pub id: String,
    /// The URL at which Inngest is to call the app.
    pub url: String,
    /// The Inngest that is told.
    pub inngest: String,
}

/// Another host of the app that is registered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HolderStatus {
    /// The URLs at which Inngest calls the host: one for each app.
    pub urls: Vec<String>,
    /// The outcome of the last look; `null` before the first one.
    pub answers: Option<bool>,
    /// The time of the first look that the host left unanswered since it answered one.
    pub silent_since: Option<Timestamp>,
    /// The number of looks in a row that found nobody there. Looks at a host that was never reached from
    /// here do not count.
    pub silences: u32,
    /// The reason why the host did not answer.
    pub error: Option<String>,
}

/// A host at the same address that has newer code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewerHostStatus {
    /// The random id of the host.
    pub host: String,
    /// The time of the push of its release, or else of the load.
    pub code_time: Timestamp,
}

/// A difference between Inngest's copy and the code.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Difference {
    pub app: String,
    /// `None`: it is about the app.
    pub function: Option<String>,
    pub kind: DifferenceKind,
    /// The value that Inngest should hold.
    pub expected: Value,
    /// The value that Inngest holds.
    pub held: Value,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// Inngest knows no such app or function.
    Missing,
    /// Inngest has a function that the code has not.
    Extra,
    /// Inngest would call somewhere else.
    Url,
    Triggers,
    Retries,
    Concurrency,
    /// Inngest itself reports that something is wrong with the app.
    #[default]
    #[serde(other)]
    Error,
}

impl RegistrationState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Unregistered => "unregistered",
            Self::Registering => "registering",
            Self::Registered => "registered",
            Self::Drifted => "drifted",
            Self::Unknown => "unknown",
        }
    }
}

impl FailureKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
            Self::Unauthorized => "unauthorized",
            Self::Refused => "refused",
            Self::NoIsolate => "no_isolate",
        }
    }
}

impl DifferenceKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Url => "url",
            Self::Triggers => "triggers",
            Self::Retries => "retries",
            Self::Concurrency => "concurrency",
            Self::Error => "error",
        }
    }
}
