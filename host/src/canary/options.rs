//! The terms of a canary: `[canary]` in `baton.toml`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Share, Stages};

/// The terms of a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanaryOptions {
    pub stages: Stages,
    /// The functions that must complete in the new code before it gets a run.
    pub gate: Vec<String>,
    /// The number of the canary's runs that must have ended in a stage before the canary can pass it.
    pub least: u32,
    /// The time after which there is a verdict on a stage in any case.
    pub within: Duration,
    pub on_time: OnTime,
    pub on_fail: OnFail,
    /// The probability of a wrong "fail", over all functions, signals and looks together.
    pub alpha: Alpha,
}

impl Default for CanaryOptions {
    fn default() -> Self {
        Self {
            stages: Stages::one(Share::DEFAULT),
            gate: Vec::new(),
            least: 20,
            within: Duration::from_mins(30),
            on_time: OnTime::Promote,
            on_fail: OnFail::Move,
            alpha: Alpha::DEFAULT,
        }
    }
}

/// The probability of a wrong verdict, in millionths: 1 to half a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Alpha(u32);

impl Alpha {
    /// One wrong verdict in a hundred canaries whose code is not worse.
    pub const DEFAULT: Self = Self(10_000);

    #[must_use]
    pub fn value(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl TryFrom<f64> for Alpha {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        if !(1e-6..=0.5).contains(&value) {
            return Err(format!(
                "alpha: expected a probability from 0.000001 to 0.5, got {value}"
            ));
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "half a million at most"
        )]
        let millionths = (value * 1e6).round() as u32;
        Ok(Self(millionths))
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

/// The wish of whoever asks for a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanaryWish {
    /// The configuration decides, and a canary that is on is replaced by another one.
    AsConfigured,
    /// The new code is to be a canary, with this share or that of the configuration.
    On(Option<Share>),
    /// The new code is to serve at once.
    Off,
}

impl CanaryWish {
    /// One wish for two requests: the newer one, unless it says nothing.
    #[must_use]
    pub const fn merged(self, newer: Self) -> Self {
        match newer {
            Self::AsConfigured => self,
            Self::On(_) | Self::Off => newer,
        }
    }
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
