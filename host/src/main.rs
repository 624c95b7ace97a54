//! `baton`: the life of the process.

#![allow(
    clippy::print_stderr,
    reason = "a process that cannot start says why on its terminal"
)]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use host::blocking;
use host::cli::doctor::DoctorArgs;
use host::cli::invoke::InvokeArgs;
use host::cli::{self, Cli, Command, Mode, ServeArgs};
use host::descriptors;
use host::supervisor::{self, FromHost, Link};
use host::telemetry::logs;
use js_runtime::startup_snapshot::SnapshotError;
use js_runtime::{SnapshotSource, V8Engine};
use js_runtime_api::Engine;

fn main() -> ExitCode {
    cli::report_errors_in_whole_lines();
    for name in cli::empty_variables() {
        remove_variable(&name);
    }
    let Cli { command } = Cli::parse();
    if let Some(code) = cli::ask(&command) {
        return code;
    }
    match command {
        Command::Invoke(args) => invoke(&args),
        Command::Doctor(args) => doctor(&args),
        Command::Dev(args) => serve(&args, Mode::Dev),
        Command::Start { serve: args, host } => supervise(&args, Mode::Start(host)),
        Command::Host {
            serve: args,
            host,
            listener,
        } => supervised_host(&args, Mode::Start(host), listener),
        Command::MakeStartupSnapshot { path } => match js_runtime::startup_snapshot::make(&path) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("cannot make the startup snapshot {}: {error}", path.display());
                ExitCode::FAILURE
            }
        },
        Command::Reload(_)
        | Command::Rollback(_)
        | Command::Status(_)
        | Command::Dashboard(_)
        | Command::Service(_)
        | Command::Upgrade(_)
        | Command::Drain(_) => ExitCode::SUCCESS,
    }
}

/// Settles what is asked, brings V8 up while there is one thread, then serves.
fn serve(args: &ServeArgs, mode: Mode) -> ExitCode {
    let plan = match cli::plan(args, mode) {
        Ok(plan) => plan,
        Err(error) => return fail(error.exit_code(), &error.into()),
    };
    if let Err(error) = logs::start(args.logs()) {
        return fail(1, &error.into());
    }
    let engine = match start_engine_and_log() {
        Ok(engine) if args.inspects() => Arc::new(engine.with_source_maps()),
        Ok(engine) => Arc::new(engine),
        Err(error) => return fail(1, &miette::miette!("{error}")),
    };
    let runtime = match serving_threads() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &miette::miette!("cannot start threads: {error}")),
    };
    let served = runtime.block_on(cli::serve(plan, engine.clone()));
    // A call that was cut may still hold a thread; the process ends all the same.
    runtime.shutdown_background();
    engine.close();
    match served {
        Ok(()) => end(ExitCode::SUCCESS),
        Err(error) => fail(error.exit_code(), &error.into()),
    }
}

/// Owns the socket and starts hosts; no V8 in this process.
fn supervise(args: &ServeArgs, mode: Mode) -> ExitCode {
    let plan = match cli::plan(args, mode) {
        Ok(plan) => plan,
        Err(error) => return fail(error.exit_code(), &error.into()),
    };
    if let Err(error) = logs::start(args.logs()) {
        return fail(1, &error.into());
    }
    logs::flow();
    // `baton start …`: what follows is a host's, too.
    let arguments = std::env::args_os().skip(2).collect();
    match supervisor::start(plan.supervisor(arguments)) {
        Ok(code) => end(ExitCode::from(code)),
        Err(error) => fail(error.exit_code(), &error.into()),
    }
}

/// Serves under a supervisor.
fn supervised_host(args: &ServeArgs, mode: Mode, listener: i32) -> ExitCode {
    let link = match Link::take(listener) {
        Ok(link) => link,
        Err(error) => return fail(2, &error.into()),
    };
    // Whoever waits for this host learns why there is none.
    let tell = |message: String| {
        let _ = link.say(&FromHost::Failed { message });
    };
    let plan = match cli::plan(args, mode) {
        Ok(plan) => plan,
        Err(error) => {
            tell(error.to_string());
            return fail(error.exit_code(), &error.into());
        }
    };
    if let Err(error) = logs::start(args.logs()) {
        tell(error.to_string());
        return fail(1, &error.into());
    }
    if let Err(error) = cli::greet(&link, &plan) {
        return fail(1, &miette::miette!("the supervisor is gone: {error}"));
    }
    let engine = match start_engine_and_log() {
        Ok(engine) => Arc::new(engine),
        Err(error) => {
            tell(error.to_string());
            return fail(1, &miette::miette!("{error}"));
        }
    };
    let runtime = match serving_threads() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &miette::miette!("cannot start threads: {error}")),
    };
    let served = runtime.block_on(cli::host(plan, engine.clone(), link));
    // A call that was cut may still hold a thread; the process ends all the same.
    runtime.shutdown_background();
    engine.close();
    match served {
        Ok(()) => end(ExitCode::SUCCESS),
        Err(error) => fail(error.exit_code(), &error.into()),
    }
}

/// Runs a function in the running host, or brings V8 up for a host of its own.
fn invoke(args: &InvokeArgs) -> ExitCode {
    let prepared = match cli::invoke::prepare(args) {
        Ok(prepared) => prepared,
        Err(error) => return fail(error.exit_code(), &error.into()),
    };
    for (name, value) in prepared.environment() {
        set_variable(name, &value);
    }
    let mut engine: Option<Arc<V8Engine>> = None;
    if prepared.needs_engine() {
        logs::start_quietly();
        engine = match start_engine_and_log() {
            Ok(engine) => Some(Arc::new(engine)),
            Err(error) => return fail(1, &miette::miette!("{error}")),
        };
    }
    let runtime = match blocking::runtime(&mut tokio::runtime::Builder::new_multi_thread()) {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &miette::miette!("cannot start threads: {error}")),
    };
    let invoked = runtime.block_on(cli::invoke::invoke(prepared, engine.clone().map(as_engine)));
    // A step that was cut may still hold a thread; the process ends all the same.
    runtime.shutdown_background();
    if let Some(engine) = engine {
        engine.close();
    }
    match invoked {
        Ok(code) => end(code),
        Err(error) => fail(error.exit_code(), &error.into()),
    }
}

/// Looks at everything; brings V8 up, since the code may have to be loaded to be looked at.
fn doctor(args: &DoctorArgs) -> ExitCode {
    let prepared = cli::doctor::prepare(args);
    let mut engine: Option<Arc<V8Engine>> = None;
    if prepared.needs_engine() {
        logs::start_quietly();
        engine = match start_engine_and_log() {
            Ok(engine) => Some(Arc::new(engine)),
            Err(error) => return fail(1, &miette::miette!("{error}")),
        };
    }
    let runtime = match blocking::runtime(&mut tokio::runtime::Builder::new_multi_thread()) {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &miette::miette!("cannot start threads: {error}")),
    };
    let code = runtime.block_on(cli::doctor::run(args, prepared, engine.clone().map(as_engine)));
    runtime.shutdown_background();
    if let Some(engine) = engine {
        engine.close();
    }
    end(code)
}

/// Brings V8 up, then the threads that write the log.
fn start_engine_and_log() -> Result<V8Engine, SnapshotError> {
    let engine = start_engine();
    logs::flow();
    engine
}

fn start_engine() -> Result<V8Engine, SnapshotError> {
    descriptors::raise_limit();
    descriptors::keep_reserve();
    let folder = cache_folder();
    let code = code_cache(&folder);
    V8Engine::start(folder, code, snapshot(&cli::snapshot_maker()))
}

fn as_engine(engine: Arc<V8Engine>) -> Arc<dyn Engine> {
    engine
}

/// Makes the threads that take requests and answer them: on half of the cores, since isolates need the others, and since
/// a thread that is woken for a call wakes the next to look for more.
fn serving_threads() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    blocking::runtime(threads.worker_threads((cores / 2).max(1)))
}

/// The startup snapshot that `bin/release` puts into the binary; others make their own.
#[cfg(embedded_snapshot)]
static EMBEDDED_SNAPSHOT: Option<&[u8]> = Some(include_bytes!(env!("BATON_STARTUP_SNAPSHOT")));
#[cfg(not(embedded_snapshot))]
static EMBEDDED_SNAPSHOT: Option<&[u8]> = None;

fn snapshot<'a>(maker: &'a [&'a OsStr]) -> SnapshotSource<'a> {
    EMBEDDED_SNAPSHOT.map_or(SnapshotSource::Made(maker), SnapshotSource::Embedded)
}

/// Only while the process has one thread.
fn set_variable(name: &str, value: &str) {
    #[allow(unsafe_code, clippy::disallowed_methods, reason = "the process has one thread yet")]
    // SAFETY: no other thread reads the environment, for there is none.
    unsafe {
        std::env::set_var(name, value);
    }
}

/// Only while the process has one thread.
fn remove_variable(name: &OsStr) {
    #[allow(unsafe_code, clippy::disallowed_methods, reason = "the process has one thread yet")]
    // SAFETY: no other thread reads the environment, for there is none.
    unsafe {
        std::env::remove_var(name);
    }
}

/// Returns the folder for what can be made again: `$XDG_CACHE_HOME/baton`, else `~/.cache/baton`; without a home in a
/// folder for temporary files, of this user alone.
fn cache_folder() -> PathBuf {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    match cache {
        Some(cache) => cache.join("baton"),
        None => std::env::temp_dir().join(format!("baton-{}", supervisor::effective_user())),
    }
}

/// Where what is made of the project's files is kept: `BATON_CODE_CACHE`, nowhere if that is `off`, else below
/// the cache folder.
fn code_cache(cache_folder: &Path) -> Option<PathBuf> {
    match std::env::var_os("BATON_CODE_CACHE").filter(|value| !value.is_empty()) {
        Some(value) if value == "off" => None,
        Some(folder) => Some(folder.into()),
        None => Some(cache_folder.join("code")),
    }
}

fn fail(code: u8, error: &miette::Report) -> ExitCode {
    logs::say_last(&format!("{error:?}"));
    ExitCode::from(code)
}

/// Ends the process once its last lines are written.
fn end(code: ExitCode) -> ExitCode {
    logs::flush();
    code
}
