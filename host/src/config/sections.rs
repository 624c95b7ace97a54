//! The tables of `baton.toml`, and the values that a key of theirs may have.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use js_runtime_api::Manifest;
use serde::{Deserialize, Serialize};

use super::setting_values::{command, duration, url_path};
use crate::canary::{Alpha, CanaryOptions, OnFail, OnTime, Share, Stages};

/// `[canary]`: each reload of `baton start` gives the new code a part of the new runs first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanarySection {
    /// The part of the new runs, in percent.
    pub share: Option<Share>,
    /// The shares that the new code gets one after the other, in place of one share.
    pub steps: Option<Stages>,
    /// The functions that run in the new code before it gets a run; one that fails rejects the code.
    #[serde(default)]
    pub gate: Vec<String>,
    /// The number of runs of the new code that must have ended before it can pass.
    pub least: Option<u32>,
    /// The time after which there is a verdict in any case.
    #[serde(default, deserialize_with = "duration")]
    pub within: Option<Duration>,
    /// The end of a canary of which nothing bad was seen, and not enough good.
    pub on_time: Option<OnTime>,
    /// The end of the runs of a canary that is taken back.
    pub on_fail: Option<OnFail>,
    /// The probability of a wrong "fail".
    pub alpha: Option<Alpha>,
}

impl CanarySection {
    /// The terms, with the defaults for what is not said.
    #[must_use]
    pub fn options(self) -> CanaryOptions {
        let usual = CanaryOptions::default();
        CanaryOptions {
            stages: self.steps.or(self.share.map(Stages::one)).unwrap_or(usual.stages),
            gate: self.gate,
            least: self.least.unwrap_or(usual.least),
            within: self.within.unwrap_or(usual.within),
            on_time: self.on_time.unwrap_or(usual.on_time),
            on_fail: self.on_fail.unwrap_or(usual.on_fail),
            alpha: self.alpha.unwrap_or(usual.alpha),
        }
    }
}

/// `[inngest]`: the Inngest of the project, and its way to the project. Variables of the environment come first.
/// `baton dev` uses the path alone: an Inngest in production must not hear of a development host, nor a dev server
/// call functions in production.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InngestSection {
    /// The URL of Inngest: `http://127.0.0.1:8288` (`INNGEST_BASE_URL`).
    pub base_url: Option<String>,
    /// The origin at which Inngest reaches the host: `https://app.example` (`INNGEST_SERVE_ORIGIN`).
    pub serve_origin: Option<String>,
    /// The path at which Inngest reaches the host, also that of the project's own app (`INNGEST_SERVE_PATH`).
    #[serde(default, deserialize_with = "url_path")]
    pub serve_path: Option<String>,
    /// The branch environment (`INNGEST_ENV`).
    pub env: Option<String>,
    pub register: Option<RegisterMode>,
}

impl InngestSection {
    /// The variables with the same values as these keys.
    pub fn variables(&self, production: bool) -> impl Iterator<Item = (String, String)> {
        let said = [
            ("INNGEST_BASE_URL", &self.base_url),
            ("INNGEST_SERVE_ORIGIN", &self.serve_origin),
            // Version 3 of the SDK calls the variable so.
            ("INNGEST_SERVE_HOST", &self.serve_origin),
            ("INNGEST_SERVE_PATH", &self.serve_path),
            ("INNGEST_ENV", &self.env),
        ];
        said.into_iter()
            .filter(move |(name, _)| production || *name == "INNGEST_SERVE_PATH")
            .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
    }
}

/// `[connect]`: the connection to Inngest, over which calls come instead of HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectSection {
    /// Tells whether the host connects.
    pub enabled: Option<bool>,
    /// The name of this machine at Inngest.
    pub instance_id: Option<String>,
    /// The number of calls that this machine takes at once (`INNGEST_CONNECT_MAX_WORKER_CONCURRENCY`).
    pub max_worker_concurrency: Option<NonZeroU32>,
    /// The address of the gateway, in place of the one that Inngest names (`INNGEST_CONNECT_GATEWAY_URL`).
    pub gateway_url: Option<String>,
    /// The end of the connection when the host is told to end.
    pub on_stop: Option<OnStop>,
}

/// The end of the connection when the host is told to end and no other host of this machine takes over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStop {
    /// The connection closes at once: new work waits in Inngest's queue, and calls in flight have the time of their
    /// leases.
    #[default]
    Close,
    /// The connection stays for the calls in flight, and takes no new ones: other hosts have to be connected.
    Pause,
}

/// The rule by which a host connects to Inngest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConnectRule {
    /// The project's code decides: it calls `connect()`, or does not.
    #[default]
    AsTheCodeSays,
    Always,
    Never,
}

impl ConnectRule {
    /// Tells whether a generation is connected.
    #[must_use]
    pub const fn connects(self, manifest: &Manifest) -> bool {
        match self {
            Self::AsTheCodeSays => manifest.connect.is_some(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// The times at which functions are registered at Inngest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RegisterMode {
    /// Whenever there is something new, and an Inngest to tell it to.
    Auto,
    /// Never by the host: whoever else does it.
    Off,
}

/// `[release]`: the settings of a host that was started from a release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseSection {
    /// The time between two looks at the tag.
    #[serde(default, deserialize_with = "duration")]
    pub poll: Option<Duration>,
}

/// `[fleet]`: the settings of a host that shares its address with others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetSection {
    /// The time for which the generation before the current one stays.
    #[serde(default, deserialize_with = "duration")]
    pub linger: Option<Duration>,
}

/// `[functions]`: the settings for all functions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionsSection {
    /// The retries of functions that say nothing about retries.
    pub default_retries: Option<Retries>,
}

/// The number of times that Inngest may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Retries(pub u32);

impl TryFrom<u32> for Retries {
    type Error = String;

    fn try_from(count: u32) -> Result<Self, Self::Error> {
        if count > 20 {
            return Err(format!("{count} is too many: Inngest tries again 20 times at most"));
        }
        Ok(Self(count))
    }
}

/// `[env]`: the variables that the functions' code sees in `process.env`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentFile {
    /// The file of `NAME=value` lines, relative to the project's root; it is read for each generation anew.
    pub file: Option<PathBuf>,
    /// The command that prints such lines or a JSON object: a program with its arguments, or one line for the shell.
    /// It runs in the project's root for each generation anew, and its variables come before those of the file.
    #[serde(default, deserialize_with = "command")]
    pub secret_command: Option<Vec<String>>,
}

/// The changes on the disk that lead to a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum WatchMode {
    /// Every change of a file that was read.
    Files,
    /// Another commit that is checked out.
    GitRef,
    /// None: only who asks for a reload gets one.
    Off,
}

/// The things that stay on the generation on which they began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PinMode {
    /// Nothing: the current generation serves.
    None,
    /// A run, to its end.
    Run,
}
