//! The command line: one file for each command.

mod canary;
mod client;
mod completions;
mod config;
mod dashboard;
pub mod doctor;
mod drain;
pub mod init;
pub mod invoke;
mod mcp;
mod output;
pub mod push;
mod releases;
mod reload;
mod rollback;
mod service;
mod status;
pub mod test_session;
mod upgrade;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::life::ServeArgs;
use crate::supervisor::HOST_COMMAND;

/// Hosts Inngest functions and changes their code without losing a step.
#[derive(Debug, Parser)]
#[command(name = "baton", version, after_help = "Try: baton dev functions/")]
pub struct Cli {
    #[allow(missing_docs, reason = "clap would take it for a help text")]
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "clap would take it for a help text")]
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
    /// Make a project with a first function and a test of it, or add to a project what it lacks.
    #[command(after_help = init::HELP)]
    Init(init::InitArgs),
    /// Run a function to its end on this machine, without an Inngest server, and show how.
    #[command(after_help = invoke::HELP)]
    Invoke(invoke::InvokeArgs),
    /// Make a release of a project and upload it to a registry. Hosts start from it.
    #[command(after_help = push::HELP)]
    Push(push::PushArgs),
    /// List the releases that are unpacked here: the one that serves, and those that can be served again.
    #[command(after_help = "Example:\n  baton releases\n  baton rollback --release 9f2c1d")]
    Releases(releases::ReleasesArgs),
    /// Load the code on the disk, or the release of the tag, into the running host and swap it in.
    #[command(
        after_help = "Example:\n  baton reload --dry-run && baton reload --wait\n  baton reload --canary 10 --wait"
    )]
    Reload(reload::ReloadArgs),
    /// Show the canary, or decide on it.
    #[command(after_help = canary::HELP)]
    Canary(canary::CanaryArgs),
    /// Serve the code of an earlier generation again; the newest five are kept.
    #[command(after_help = "Example:\n  baton rollback        # the one before\n  baton rollback 3")]
    Rollback(rollback::RollbackArgs),
    /// Show the generations, the calls in flight, and the registration.
    #[command(after_help = "Example:\n  baton status --json | jq .current")]
    Status(status::StatusArgs),
    /// Run `baton start` as a service of this machine, under launchd or systemd.
    #[command(after_help = service::HELP)]
    Service(service::ServiceArgs),
    /// Replace the running binary: a new host loads and takes over, and the old one finishes its calls.
    #[command(
        after_help = "Example:\n  baton upgrade                       # the one that was installed over the running one\n  baton upgrade ./target/release/baton"
    )]
    Upgrade(upgrade::UpgradeArgs),
    /// Take no new calls, finish the calls in flight, and end the host.
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
    /// Print every setting, its value, and the source of the value: a flag, a variable, baton.toml, or the default.
    #[command(after_help = config::HELP)]
    Config(config::ConfigArgs),
    /// Print the URL of the dashboard; for `baton start` a link that opens it once, within a minute.
    #[command(after_help = "Example:\n  xdg-open \"$(baton dashboard)\"")]
    Dashboard(dashboard::DashboardArgs),
    /// Check the project, this machine and Inngest, and say what to do about each fault.
    #[command(after_help = doctor::HELP)]
    Doctor(doctor::DoctorArgs),
    /// Serve an agent that edits functions, over the Model Context Protocol on standard input and output.
    #[command(after_help = mcp::HELP)]
    Mcp(mcp::McpArgs),
    /// Run functions for a project's tests; the JavaScript library of the npm package starts it.
    #[command(name = "test-session", hide = true)]
    TestSession(test_session::TestSessionArgs),
    /// Print what a shell completes of this command line.
    #[command(after_help = completions::HELP)]
    Completions(completions::CompletionsArgs),
    /// Write the manual pages into a folder; a release has them.
    #[command(name = "make-manual", hide = true)]
    MakeManual(completions::ManualArgs),
    /// Make V8's startup snapshot; the host runs this by itself, once per build.
    #[command(name = SNAPSHOT_MAKER, hide = true)]
    MakeStartupSnapshot { path: PathBuf },
}

/// The hidden command that makes the startup snapshot.
pub const SNAPSHOT_MAKER: &str = "make-startup-snapshot";

/// Returns the argument with which this binary writes its startup snapshot to the path that follows.
#[must_use]
pub fn snapshot_maker() -> [&'static OsStr; 1] {
    [OsStr::new(SNAPSHOT_MAKER)]
}

/// Returns the variables of flags that are there and empty: an empty variable counts as a missing one (`PORT=`).
#[must_use]
pub fn empty_variables() -> Vec<OsString> {
    let cli = Cli::command();
    let variables = cli.get_subcommands().flat_map(clap::Command::get_arguments);
    let names = variables.filter_map(|argument| argument.get_env().map(OsStr::to_owned));
    let is_empty = |name: &OsString| std::env::var_os(name).is_some_and(|value| value.is_empty());
    names.filter(is_empty).collect()
}

/// Runs a command that needs no V8; the other commands are the life of a process.
#[must_use]
pub fn ask(command: &Command) -> ExitCode {
    match command {
        Command::Init(args) => init::run(args),
        Command::Reload(args) => reload::run(args),
        Command::Canary(args) => canary::run(args),
        Command::Releases(args) => releases::run(args),
        Command::Rollback(args) => rollback::run(args),
        Command::Status(args) => status::run(args),
        Command::Service(args) => service::run(args),
        Command::Upgrade(args) => upgrade::run(args),
        Command::Drain(args) => drain::run(args),
        Command::Dashboard(args) => dashboard::run(args),
        Command::Config(args) => config::run(args),
        Command::Mcp(args) => mcp::run(args),
        Command::Completions(args) => completions::run(args),
        Command::MakeManual(args) => completions::make_manual(args),
        Command::Dev(_)
        | Command::Start { .. }
        | Command::Host { .. }
        | Command::Invoke(_)
        | Command::Doctor(_)
        | Command::TestSession(_)
        | Command::Push(_)
        | Command::MakeStartupSnapshot { .. } => ExitCode::SUCCESS,
    }
}

/// Has error reports keep their lines whole: errors name paths and commands that people copy.
pub fn report_errors_in_whole_lines() {
    let handler = || miette::MietteHandlerOpts::new().wrap_lines(false).build();
    // This fails only when a handler is set already.
    let _ = miette::set_hook(Box::new(move |_| Box::new(handler())));
}
