//! The terms of a canary: `[canary]` in `baton.toml`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Share;

/// The terms of a canary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CanaryOptions {
    pub share: Share,
    /// The number of the canary's runs that must have ended before it can pass.
    pub least: u32,
    /// The time after which there is a verdict in any case.
    pub within: Duration,
    pub on_time: OnTime,
    pub on_fail: OnFail,
    /// The probability of a wrong "fail", over all functions, signals and looks together.
    pub alpha: f64,
}

impl Default for CanaryOptions {
    fn default() -> Self {
        Self {
            share: Share::DEFAULT,
            least: 20,
            within: Duration::from_mins(30),
            on_time: OnTime::Promote,
            on_fail: OnFail::Move,
            alpha: 0.01,
        }
    }
}

/// The end of a canary of which nothing bad was seen, and not enough good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OnTime {
    Promote,
    /// The canary goes on until a person decides.
    Hold,
}

/// The end of the runs of a canary that is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OnFail {
    /// The runs go on with the old code.
    Move,
    /// The runs end where they began.
    Finish,
}

/// The reloads that are canaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanaryUse {
    /// None can be: the host is a person's own.
    Never,
    /// Those for which somebody asks.
    OnRequest,
    /// All, unless somebody asks for none.
    Always,
}
