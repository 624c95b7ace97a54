//! How the registration stands, as the outside sees it.

use jiff::Timestamp;
use serde::Serialize;

use super::drift::Difference;
use super::inngest::FailureKind;
use super::subject::{Off, Subject};

/// `registration` in the status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// `off`, `unregistered`, `registering`, `registered` or `drifted`.
    pub state: &'static str,
    /// Why it is off.
    pub reason: Option<String>,
    /// The same for machines: `switched_off`, `no_origin`, `no_key`, …
    pub off: Option<&'static str>,
    /// Whether the functions are in dev mode, where no signature is asked for.
    pub dev: Option<bool>,
    pub apps: Vec<ShownApp>,
    /// The generation whose functions these are.
    pub generation: Option<u64>,
    /// Inngest itself says that it holds them.
    pub verified: bool,
    /// When it was told last and did not refuse.
    pub last_ok: Option<Timestamp>,
    /// Attempts in a row that failed.
    pub failed_attempts: u32,
    /// Why the last one failed.
    pub error: Option<String>,
    pub error_kind: Option<FailureKind>,
    /// What Inngest holds otherwise.
    pub drift: Vec<Difference>,
    /// The host that Inngest calls in place of this one, while it is left there.
    pub holder: Option<ShownHolder>,
}

/// Another host of the app that is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownHolder {
    /// The URLs at which Inngest calls it: one for each app.
    pub urls: Vec<String>,
    /// The outcome of the last look; `null` before the first one.
    pub answers: Option<bool>,
    /// The time of the first look that it left unanswered since it answered one.
    pub silent_since: Option<Timestamp>,
    /// The number of looks in a row that found nobody there. Looks at a host that was never reached from
    /// here do not count.
    pub silences: u32,
    /// The reason why it did not answer.
    pub error: Option<String>,
}

/// What is registered, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownApp {
    pub id: String,
    /// Where Inngest is to call it.
    pub url: String,
    /// The Inngest that is told.
    pub inngest: String,
}

impl Shown {
    /// What is to be told, before anything was.
    pub(super) fn of(subject: &Result<Subject, Off>) -> Self {
        let apps = subject.iter().flat_map(|subject| &subject.apps).map(|app| ShownApp {
            id: app.id.clone(),
            url: app.url.clone(),
            inngest: app.api.clone(),
        });
        let off = subject.as_ref().err();
        Self {
            state: if off.is_some() { "off" } else { "unregistered" },
            reason: off.map(ToString::to_string),
            off: off.map(Off::word),
            dev: subject.as_ref().ok().map(|subject| subject.dev),
            apps: apps.collect(),
            ..Self::default()
        }
    }
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            state: "off",
            reason: Some(Off::NoGeneration.to_string()),
            off: Some(Off::NoGeneration.word()),
            dev: None,
            apps: Vec::new(),
            generation: None,
            verified: false,
            last_ok: None,
            failed_attempts: 0,
            error: None,
            error_kind: None,
            drift: Vec::new(),
            holder: None,
        }
    }
}
