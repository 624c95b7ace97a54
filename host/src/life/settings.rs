//! The settings of a host, as flags and variables declare them: `--help`, docs/configuration.md and `baton config`
//! are made of these settings. `plan` puts them together with `baton.toml`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::config::{Bounds, PinMode, RegisterMode, WatchMode};
use crate::duration::parse_duration;
use crate::telemetry::LogFileSettings;
use crate::telemetry::logs::LogSettings;

const DEFAULT_LOG_SIZE_MIB: usize = 64;
const DEFAULT_LOG_AGE: Duration = Duration::from_hours(24);
const DEFAULT_LOG_KEEP: usize = 14;

#[derive(Debug, Clone, Args)]
#[allow(missing_docs, reason = "clap would take it for a help text")]
pub struct ServeArgs {
    /// A folder of functions or an entry file; for `baton start` also a release, oci://REGISTRY/REPOSITORY:TAG.
    /// [default: path in baton.toml, else functions/, src/functions/, inngest/ or src/inngest/]
    pub(crate) path: Option<PathBuf>,
    /// Listen on this port; 0 picks a free one. [default: 3111]
    #[arg(long, env = "PORT", value_parser = parse_port)]
    pub(crate) port: Option<u16>,
    /// Keep the state of the host in this folder. [default: the project's folder below ~/.local/state/baton]
    #[arg(long, env = "BATON_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Hold a call for this long until there is a first generation. [default: 10m]
    #[arg(long, env = "BATON_HOLD", value_parser = parse_duration)]
    pub(crate) hold: Option<Duration>,
    /// Reject code that takes longer than this to load. [default: 60s]
    #[arg(long, env = "BATON_LOAD_TIMEOUT", value_parser = parse_duration)]
    pub(crate) load_timeout: Option<Duration>,
    /// Let a superseded generation, or a host that was told to end, finish its calls for this long. [default: 2h]
    #[arg(long, env = "BATON_DRAIN_TIMEOUT", value_parser = parse_duration)]
    pub(crate) drain_timeout: Option<Duration>,
    /// Close an app's streams and WebSockets this long after the host was told to end. [default: 10s]
    #[arg(long, env = "BATON_STREAM_DRAIN", value_parser = parse_duration)]
    pub(crate) stream_drain: Option<Duration>,
    /// End the isolate of a call that takes longer than this. [default: 2h, as Inngest allows]
    #[arg(long, env = "BATON_CALL_TIMEOUT", value_parser = parse_duration)]
    pub(crate) call_timeout: Option<Duration>,
    /// Hurry the oldest generation when more than this many are live. [default: 8]
    #[arg(long, env = "BATON_MAX_GENERATIONS", value_parser = parse_count)]
    pub(crate) max_generations: Option<usize>,
    /// Make at most this many isolates for a generation; another one is made when user code holds the thread of each
    /// while calls wait, or when calls have waited for a second and cores are left. [default: 4]
    #[arg(long, env = "BATON_ISOLATES", value_parser = |text: &str| Bounds::ISOLATES.parse(text))]
    pub(crate) isolates: Option<usize>,
    /// Limit the JavaScript heap of an isolate to this many MiB. [default: 2048]
    #[arg(long, env = "BATON_HEAP_LIMIT", value_parser = |text: &str| Bounds::HEAP.parse(text))]
    pub(crate) heap_limit: Option<usize>,
    /// Limit the array buffers of an isolate to this many MiB. [default: 2048]
    #[arg(long, env = "BATON_BUFFER_LIMIT", value_parser = |text: &str| Bounds::BUFFERS.parse(text))]
    pub(crate) buffer_limit: Option<usize>,
    /// Keep no isolate ready for the next reload: this saves its memory, and reloads take longer.
    #[arg(long, env = "BATON_NO_SPARE", value_parser = BoolishValueParser::new())]
    pub(crate) no_spare: bool,
    /// End the isolate of a call that uses more processor time than this. [default: no limit]
    #[arg(long, env = "BATON_CPU_LIMIT", value_parser = parse_duration)]
    pub(crate) cpu_limit: Option<Duration>,
    /// Add this file of NAME=value lines to the functions' process.env, read again for each generation; the
    /// host's environment comes first.
    #[arg(long, env = "BATON_ENV_FILE", value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Reload at these changes on the disk: of any file that was read, of the commit that is checked out, or none.
    /// [default: files for dev, off for start]
    #[arg(long, env = "BATON_WATCH", value_name = "WHAT")]
    pub(crate) watch: Option<WatchMode>,
    /// Same as --watch off; overrides every other setting.
    #[arg(long)]
    pub(crate) no_watch: bool,
    /// With --watch git-ref: serve a commit only while no file differs from it.
    #[arg(long, env = "BATON_REQUIRE_CLEAN", value_parser = BoolishValueParser::new())]
    pub(crate) require_clean: bool,
    /// Look at the files every second instead of waiting for events of the system; files on another
    /// machine (NFS and others) are always polled.
    #[arg(long, env = "BATON_POLL", value_parser = BoolishValueParser::new())]
    pub(crate) poll: bool,
    /// Look at the release's tag in this interval. [default: 15s]
    #[arg(long, env = "BATON_RELEASE_POLL", value_parser = parse_duration)]
    pub(crate) release_poll: Option<Duration>,
    /// Let debuggers attach, on this machine only: chrome://inspect, or VS Code as for Node. [default port: 9229]
    #[arg(
        long,
        value_name = "PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "9229",
        value_parser = parse_port
    )]
    pub(crate) inspect: Option<u16>,
    /// Log each call.
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// Log a call that takes longer than this. [default: 1m]
    #[arg(long, env = "BATON_SLOW_CALL", value_parser = parse_duration)]
    pub(crate) slow_call: Option<Duration>,
    /// Write the log to this file too, as lines of JSON; the host rotates it.
    #[arg(long, env = "BATON_LOG_FILE", value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// Begin a new log file when it has this many MiB. [default: 64]
    #[arg(long, env = "BATON_LOG_SIZE", value_parser = parse_count, requires = "log_file")]
    pub(crate) log_size: Option<usize>,
    /// Begin a new log file when it is this old. [default: 24h]
    #[arg(long, env = "BATON_LOG_AGE", value_parser = parse_duration, requires = "log_file")]
    pub(crate) log_age: Option<Duration>,
    /// Keep this many older log files. [default: 14]
    #[arg(long, env = "BATON_LOG_KEEP", value_parser = parse_whole::<usize>, requires = "log_file")]
    pub(crate) log_keep: Option<usize>,
    /// Keep this on the generation on which it began. [default: none]
    #[arg(long, env = "BATON_PIN", value_name = "WHAT")]
    pub(crate) pin: Option<PinMode>,
    /// Keep a run pinned for this long after its last call. [default: 24h]
    #[arg(long, env = "BATON_PIN_TTL", value_parser = parse_duration)]
    pub(crate) pin_ttl: Option<Duration>,
    /// Call Inngest, and take the calls of functions over that connection (Inngest Connect), instead of being called.
    /// [default: where the entry file calls `connect()`]
    #[arg(long, env = "BATON_CONNECT", value_parser = BoolishValueParser::new())]
    pub(crate) connect: bool,
    /// Register the functions at Inngest whenever there is something new to register. [default: auto]
    #[arg(long, env = "BATON_REGISTER", value_name = "WHETHER")]
    pub(crate) register: Option<RegisterMode>,
}

impl ServeArgs {
    /// Tells whether debuggers may attach.
    #[must_use]
    pub const fn inspects(&self) -> bool {
        self.inspect.is_some()
    }

    /// Returns the settings of the log. `screen`: a terminal has a screen beside the lines.
    #[must_use]
    pub fn logs(&self, screen: bool) -> LogSettings {
        LogSettings {
            screen,
            verbose: self.verbose,
            file: self.log_file.clone().map(|path| LogFileSettings {
                path,
                size: self.log_size.unwrap_or(DEFAULT_LOG_SIZE_MIB) as u64 * (1 << 20),
                age: self.log_age.unwrap_or(DEFAULT_LOG_AGE),
                keep: self.log_keep.unwrap_or(DEFAULT_LOG_KEEP),
            }),
        }
    }
}

/// Parses a port; 0 stands for any free one.
pub(crate) fn parse_port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("expected a number from 0 to 65535, got {text:?}"))
}

/// Parses a whole number.
pub(crate) fn parse_whole<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse()
        .map_err(|_| format!("expected a whole number, got {text:?}"))
}

/// Parses a number of things of which there is at least one.
fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("expected a number above 0, got {text:?}")),
    }
}
