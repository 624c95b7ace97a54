//! `baton`: the life of the process.

#![allow(
    clippy::print_stderr,
    reason = "a process that cannot start says why on its terminal"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use host::cli::{self, Cli, Command, Mode, ServeArgs};
use host::telemetry::logs;
use js_runtime::V8Engine;

fn main() -> ExitCode {
    cli::report_errors_in_whole_lines();
    let Cli { command } = Cli::parse();
    if let Some(code) = cli::ask(&command) {
        return code;
    }
    match command {
        Command::Dev(args) => serve(&args, Mode::Dev),
        Command::Start { serve: args, host } => serve(&args, Mode::Start(host)),
        Command::MakeStartupSnapshot { path } => match js_runtime::startup_snapshot::make(&path) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        Command::Reload(_) | Command::Rollback(_) | Command::Status(_) => ExitCode::SUCCESS,
    }
}

/// Settles what is asked, brings V8 up while there is one thread, then serves.
fn serve(args: &ServeArgs, mode: Mode) -> ExitCode {
    let plan = match cli::plan(args, mode) {
        Ok(plan) => plan,
        Err(error) => return fail(error.exit_code(), &error.into()),
    };
    logs::start();
    let engine = match V8Engine::start(cache_folder(), &cli::snapshot_maker()) {
        Ok(engine) => Arc::new(engine),
        Err(error) => return fail(1, &miette::miette!("{error}")),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &miette::miette!("cannot start threads: {error}")),
    };
    let served = runtime.block_on(cli::serve(plan, engine));
    // A call that was cut may still hold a thread; the process ends all the same.
    runtime.shutdown_background();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.exit_code(), &error.into()),
    }
}

/// Where what can be made again is kept: `$XDG_CACHE_HOME/baton`, else `~/.cache/baton`.
fn cache_folder() -> PathBuf {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("baton")
}

fn fail(code: u8, error: &miette::Report) -> ExitCode {
    eprintln!("{error:?}");
    ExitCode::from(code)
}
