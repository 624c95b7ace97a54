//! How the registration stands, as the outside sees it.

use jiff::Timestamp;
use serde::Serialize;

use super::drift::Difference;
use super::inngest::FailureKind;

/// `registration` in the status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// `off`, `unregistered`, `registering`, `registered` or `drifted`.
    pub state: &'static str,
    /// Why it is off.
    pub reason: Option<String>,
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

impl Default for Shown {
    fn default() -> Self {
        Self {
            state: "off",
            reason: Some(super::Off::NoGeneration.to_string()),
            apps: Vec::new(),
            generation: None,
            verified: false,
            last_ok: None,
            failed_attempts: 0,
            error: None,
            error_kind: None,
            drift: Vec::new(),
        }
    }
}
