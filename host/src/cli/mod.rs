//! The command line: one file a command.

mod client;
mod dashboard;
pub mod doctor;
mod drain;
mod follow;
mod host;
pub mod invoke;
mod plan;
mod reload;
mod rollback;
mod serve;
mod service;
mod signals;
mod status;
mod upgrade;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

pub use host::{greet, host};
pub use plan::{Mode, Plan, plan};
pub use serve::{ServeError, serve};

use crate::config::{Bounds, PinMode, RegisterMode, WatchMode, parse_duration};
use crate::supervisor::HOST_COMMAND;
use crate::telemetry::LogFileSettings;
use crate::telemetry::logs::LogSettings;

/// Hosts Inngest functions and changes their code without losing a step.
#[derive(Debug, Parser)]
#[command(name = "baton", version, after_help = "Try: baton dev functions/")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a project on this machine, in Inngest's dev mode.
    #[command(
        after_help = "Example:\n  baton dev functions/\n  npx inngest-cli dev -u http://127.0.0.1:3111/api/inngest\n  \
                            curl -X PUT http://127.0.0.1:3111/api/reload"
    )]
    Dev(ServeArgs),
    /// Serve a project in production: admin routes need the token from the state folder.
    #[command(after_help = "Example:\n  baton start functions/ --host 0.0.0.0 --port 3111")]
    Start {
        #[command(flatten)]
        serve: ServeArgs,
        /// The address to listen on.
        #[arg(long, env = "BATON_HOST", default_value = "127.0.0.1")]
        host: std::net::IpAddr,
    },
    /// Run a function to its end on this machine, without an Inngest server, and show how.
    #[command(after_help = invoke::HELP)]
    Invoke(invoke::InvokeArgs),
    /// Load the code on the disk into the running host and swap it in.
    #[command(after_help = "Example:\n  baton reload --dry-run && baton reload --wait")]
    Reload(reload::ReloadArgs),
    /// Serve again what an earlier generation was made of; the newest five are kept.
    #[command(after_help = "Example:\n  baton rollback        # the one before\n  baton rollback 3")]
    Rollback(rollback::RollbackArgs),
    /// What is live, in flight and draining.
    #[command(after_help = "Example:\n  baton status --json | jq .current")]
    Status(status::StatusArgs),
    /// `baton start` as a service of this machine: under launchd or systemd.
    #[command(after_help = service::HELP)]
    Service(service::ServiceArgs),
    /// Go on with another binary: a new host loads, takes over, and the old one finishes its calls.
    #[command(
        after_help = "Example:\n  baton upgrade                       # what was installed over the running one\n  baton upgrade ./target/release/baton"
    )]
    Upgrade(upgrade::UpgradeArgs),
    /// Stop being called, finish the calls in flight, and end.
    #[command(after_help = "Example:\n  baton drain --wait && echo ended")]
    Drain(drain::DrainArgs),
    /// A host under a supervisor; `baton start` starts it.
    #[command(name = HOST_COMMAND, hide = true)]
    Host {
        #[command(flatten)]
        serve: ServeArgs,
        #[arg(long, env = "BATON_HOST", default_value = "127.0.0.1")]
        host: std::net::IpAddr,
        /// The number of the listening socket.
        #[arg(long)]
        listener: i32,
    },
    /// Print the URL of the page that shows what the host does; of `baton start` one that opens it once,
    /// within a minute.
    #[command(after_help = "Example:\n  xdg-open \"$(baton dashboard)\"")]
    Dashboard(dashboard::DashboardArgs),
    /// Why does it not work? Looks at the project, this machine, and Inngest, and says what to do.
    #[command(after_help = doctor::HELP)]
    Doctor(doctor::DoctorArgs),
    /// Make V8's startup snapshot; the host runs this by itself, once per build.
    #[command(name = SNAPSHOT_MAKER, hide = true)]
    MakeStartupSnapshot { path: PathBuf },
}

const DEFAULT_LOG_SIZE_MIB: usize = 64;
const DEFAULT_LOG_AGE: std::time::Duration = std::time::Duration::from_hours(24);
const DEFAULT_LOG_KEEP: usize = 14;

/// The hidden command that makes the startup snapshot.
pub const SNAPSHOT_MAKER: &str = "make-startup-snapshot";

/// What makes this binary write its startup snapshot to the path that follows.
#[must_use]
pub fn snapshot_maker() -> [&'static OsStr; 1] {
    [OsStr::new(SNAPSHOT_MAKER)]
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// A folder of functions or an entry file. Without it: what baton.toml says, else functions/,
    /// src/functions/, inngest/ or src/inngest/.
    path: Option<PathBuf>,
    /// The port to listen on; 0 takes a free one. [default: 3111]
    #[arg(long, env = "PORT")]
    port: Option<u16>,
    /// Where the host keeps its state. [default: the project's folder below ~/.local/state/baton]
    #[arg(long, env = "BATON_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// How long a call waits for the first good generation. [default: 10m]
    #[arg(long, env = "BATON_HOLD", value_parser = parse_duration)]
    hold: Option<std::time::Duration>,
    /// How long loading a generation may take. [default: 60s]
    #[arg(long, env = "BATON_LOAD_TIMEOUT", value_parser = parse_duration)]
    load_timeout: Option<std::time::Duration>,
    /// How long a superseded generation, or a host that was told to end, may finish its calls.
    /// [default: 2h]
    #[arg(long, env = "BATON_DRAIN_TIMEOUT", value_parser = parse_duration)]
    drain_timeout: Option<std::time::Duration>,
    /// The longest time for an app's streams and WebSockets once the host was told to end. [default: 10s]
    #[arg(long, env = "BATON_STREAM_DRAIN", value_parser = parse_duration)]
    stream_drain: Option<std::time::Duration>,
    /// How long a call may take before its isolate is ended. [default: 2h, as Inngest allows]
    #[arg(long, env = "BATON_CALL_TIMEOUT", value_parser = parse_duration)]
    call_timeout: Option<std::time::Duration>,
    /// How many generations may be live before the oldest one is hurried. [default: 8]
    #[arg(long, env = "BATON_MAX_GENERATIONS", value_parser = parse_count)]
    max_generations: Option<usize>,
    /// How many isolates a generation may have; a second one is made when the first is blocked, or has left calls
    /// waiting for a second.
    /// [default: the number of cores, at most 4]
    #[arg(long, env = "BATON_ISOLATES", value_parser = |text: &str| Bounds::ISOLATES.parse(text))]
    isolates: Option<usize>,
    /// How large the JavaScript heap of an isolate may grow, in MiB. [default: 2048]
    #[arg(long, env = "BATON_HEAP_LIMIT", value_parser = |text: &str| Bounds::HEAP.parse(text))]
    heap_limit: Option<usize>,
    /// How much the array buffers of an isolate may hold, in MiB. [default: 2048]
    #[arg(long, env = "BATON_BUFFER_LIMIT", value_parser = |text: &str| Bounds::BUFFERS.parse(text))]
    buffer_limit: Option<usize>,
    /// Keeps no isolate ready for the next reload: saves its memory, and reloads take longer.
    #[arg(long, env = "BATON_NO_SPARE", value_parser = BoolishValueParser::new())]
    no_spare: bool,
    /// How much processor time a call may use before its isolate is ended. [default: no limit]
    #[arg(long, env = "BATON_CPU_LIMIT", value_parser = parse_duration)]
    cpu_limit: Option<std::time::Duration>,
    /// A file of NAME=value lines for the functions' process.env, read for each generation anew; what the
    /// host's environment says comes first.
    #[arg(long, env = "BATON_ENV_FILE", value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Which changes on the disk lead to a reload: of any file that was read, of the commit that is
    /// checked out, or none. [default: files for dev, off for start]
    #[arg(long, env = "BATON_WATCH", value_name = "WHAT")]
    watch: Option<WatchMode>,
    /// The same as --watch off, whatever else says otherwise.
    #[arg(long)]
    no_watch: bool,
    /// With --watch git-ref: a commit is served only while no file differs from it.
    #[arg(long, env = "BATON_REQUIRE_CLEAN", value_parser = BoolishValueParser::new())]
    require_clean: bool,
    /// Looks at the files every second instead of waiting for the system to tell; where files are on
    /// another machine (NFS and others) this is done anyway.
    #[arg(long, env = "BATON_POLL", value_parser = BoolishValueParser::new())]
    poll: bool,
    /// Lets debuggers attach, on this machine only: chrome://inspect, or VS Code as to Node. [default port: 9229]
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "9229")]
    inspect: Option<u16>,
    /// Logs each call too.
    #[arg(long, short)]
    verbose: bool,
    /// A call that takes longer is logged. [default: 1m]
    #[arg(long, env = "BATON_SLOW_CALL", value_parser = parse_duration)]
    slow_call: Option<std::time::Duration>,
    /// Writes the log to this file too, as lines of JSON; the host rotates it.
    #[arg(long, env = "BATON_LOG_FILE", value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// How large the log file may grow before a new one begins, in MiB. [default: 64]
    #[arg(long, env = "BATON_LOG_SIZE", value_parser = parse_count, requires = "log_file")]
    log_size: Option<usize>,
    /// How old the log file may be before a new one begins. [default: 24h]
    #[arg(long, env = "BATON_LOG_AGE", value_parser = parse_duration, requires = "log_file")]
    log_age: Option<std::time::Duration>,
    /// How many older log files are kept. [default: 14]
    #[arg(long, env = "BATON_LOG_KEEP", requires = "log_file")]
    log_keep: Option<usize>,
    /// What stays on the generation on which it began. [default: none]
    #[arg(long, env = "BATON_PIN", value_name = "WHAT")]
    pin: Option<PinMode>,
    /// How long after its last call a run is pinned. [default: 24h]
    #[arg(long, env = "BATON_PIN_TTL", value_parser = parse_duration)]
    pin_ttl: Option<std::time::Duration>,
    /// Whether functions are registered at Inngest, whenever there is something new to tell. [default:
    /// auto]
    #[arg(long, env = "BATON_REGISTER", value_name = "WHETHER")]
    register: Option<RegisterMode>,
}

impl ServeArgs {
    /// Whether debuggers may attach.
    #[must_use]
    pub const fn inspects(&self) -> bool {
        self.inspect.is_some()
    }

    /// What is logged, and where.
    #[must_use]
    pub fn logs(&self) -> LogSettings {
        LogSettings {
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

/// A number of things of which there is one at least.
fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("{text:?} is no number above 0")),
    }
}

/// Which running host a command means.
#[derive(Debug, Args)]
pub struct HostArgs {
    /// The state folder of the host. [default: that of the project around the working folder]
    #[arg(long, env = "BATON_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// The variables of flags that are there and empty, which stands for not being there (`PORT=`).
#[must_use]
pub fn empty_variables() -> Vec<OsString> {
    let cli = Cli::command();
    let variables = cli.get_subcommands().flat_map(clap::Command::get_arguments);
    let names = variables.filter_map(|argument| argument.get_env().map(OsStr::to_owned));
    let is_empty = |name: &OsString| std::env::var_os(name).is_some_and(|value| value.is_empty());
    names.filter(is_empty).collect()
}

/// Runs a command that needs no V8.
#[must_use]
pub fn ask(command: &Command) -> Option<ExitCode> {
    match command {
        Command::Reload(args) => Some(reload::run(args)),
        Command::Rollback(args) => Some(rollback::run(args)),
        Command::Status(args) => Some(status::run(args)),
        Command::Service(args) => Some(service::run(args)),
        Command::Upgrade(args) => Some(upgrade::run(args)),
        Command::Drain(args) => Some(drain::run(args)),
        Command::Dashboard(args) => Some(dashboard::run(args)),
        Command::Dev(_)
        | Command::Start { .. }
        | Command::Host { .. }
        | Command::Invoke(_)
        | Command::Doctor(_)
        | Command::MakeStartupSnapshot { .. } => None,
    }
}

/// Errors name paths and commands that people copy: they are not broken into shorter lines.
pub fn report_errors_in_whole_lines() {
    let handler = || miette::MietteHandlerOpts::new().wrap_lines(false).build();
    // Fails only when a handler is set already.
    let _ = miette::set_hook(Box::new(move |_| Box::new(handler())));
}
