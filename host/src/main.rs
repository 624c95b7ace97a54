//! `baton`: the life of the process.

#[path = "main/engine_setup.rs"]
mod engine_setup;
#[path = "main/failure.rs"]
mod failure;
#[path = "main/process_environment.rs"]
mod process_environment;

use std::process::ExitCode;

use clap::Parser as _;
use host::blocking::{any_threads, serving_threads};
use host::cli::doctor::DoctorArgs;
use host::cli::invoke::{InvokeArgs, InvokeError};
use host::cli::push::PushArgs;
use host::cli::test_session::TestSessionArgs;
use host::cli::{self, Cli, Command};
use host::life::{self, Mode, Plan, ServeArgs};
use host::supervisor::{self, FromHost, Link};
use host::telemetry::logs;

use self::engine_setup::run;
use self::failure::Failure;

fn main() -> ExitCode {
    cli::report_errors_in_whole_lines();
    for name in cli::empty_variables() {
        process_environment::remove(&name);
    }
    let Cli { command } = Cli::parse();
    let ended = match command {
        Command::Dev(args) => dev(&args),
        Command::Start { serve, host } => supervise(&serve, Mode::Start(host)),
        Command::Host { serve, host, listener } => supervised(&serve, Mode::Start(host), listener),
        Command::Invoke(args) => invoke(&args),
        Command::Doctor(args) => doctor(&args),
        Command::TestSession(args) => test_session(&args),
        Command::Push(args) => push(&args),
        Command::MakeStartupSnapshot { path } => {
            engine_setup::make_snapshot(&path).map_err(|error| Failure::new(1, error))
        }
        command => return cli::ask(&command),
    };
    match ended {
        Ok(code) => {
            logs::end();
            code
        }
        Err(Failure { code, report }) => {
            logs::say_last(&format!("{report:?}"));
            logs::end();
            ExitCode::from(code)
        }
    }
}

/// Runs a host for the person at this machine.
fn dev(args: &ServeArgs) -> Result<ExitCode, Failure> {
    if let Some(code) = cli::init::offer(args) {
        return Ok(code);
    }
    let plan = prepare(args, Mode::Dev)?;
    let engine = engine_setup::start(args.inspects())?;
    run(Some(engine.clone()), serving_threads(), life::alone(plan, engine))??;
    Ok(ExitCode::SUCCESS)
}

/// Runs the supervisor, which owns the socket and starts hosts; there is no V8 in this process.
fn supervise(args: &ServeArgs, mode: Mode) -> Result<ExitCode, Failure> {
    if args.names_release() {
        // What there is to plan with is pulled first, and told.
        logs::start(args.logs(false)).map_err(|error| Failure::new(1, error))?;
        logs::flow();
        life::fetch_release(args)?;
    }
    let plan = life::plan(args, mode)?;
    if !args.names_release() {
        logs::start(args.logs(false)).map_err(|error| Failure::new(1, error))?;
        logs::flow();
    }
    // The arguments after `baton start` are a host's, too.
    let arguments = std::env::args_os().skip(2).collect();
    let code = supervisor::start(plan.supervisor(arguments));
    code.map(ExitCode::from)
        .map_err(|error| Failure::new(error.exit_code(), error))
}

/// Runs a host that its supervisor has started.
fn supervised(args: &ServeArgs, mode: Mode, listener: i32) -> Result<ExitCode, Failure> {
    let link = Link::take(listener).map_err(|error| Failure::new(2, error))?;
    // The supervisor waits for this host, and learns the reason of a failure.
    let tell = |failure: Failure| {
        let message = failure.report.to_string();
        let _ = link.say(&FromHost::Failed { message });
        failure
    };
    let plan = prepare(args, mode).map_err(tell)?;
    life::greet(&link, &plan).map_err(|error| Failure::new(1, miette::miette!("the supervisor is gone: {error}")))?;
    let engine = engine_setup::start(false).map_err(Failure::from).map_err(tell)?;
    run(
        Some(engine.clone()),
        serving_threads(),
        life::supervised(plan, engine, link),
    )??;
    Ok(ExitCode::SUCCESS)
}

/// Runs a function in the running host, or brings V8 up for a host of its own.
fn invoke(args: &InvokeArgs) -> Result<ExitCode, Failure> {
    let prepared = cli::invoke::prepare(args)?;
    for (name, value) in prepared.environment() {
        process_environment::set(name, &value);
    }
    let engine = prepared.needs_engine().then(engine_setup::start_quietly).transpose()?;
    let invoked = cli::invoke::invoke(prepared, engine.clone().map(engine_setup::as_engine));
    Ok(run(engine, any_threads(), invoked)??)
}

/// Brings V8 up for a project's tests.
fn test_session(args: &TestSessionArgs) -> Result<ExitCode, Failure> {
    let prepared = cli::test_session::prepare(args).map_err(InvokeError::from)?;
    for (name, value) in prepared.environment() {
        process_environment::set(name, &value);
    }
    let engine = engine_setup::start_quietly()?;
    let session = cli::test_session::run(prepared, engine_setup::as_engine(engine.clone()));
    Ok(run(Some(engine), any_threads(), session)?.map_err(InvokeError::from)?)
}

/// Makes a release. Brings V8 up, since the code is loaded before anything is uploaded.
fn push(args: &PushArgs) -> Result<ExitCode, Failure> {
    let prepared = cli::push::prepare(args)?;
    let engine = engine_setup::start_quietly()?;
    let pushed = cli::push::push(prepared, engine_setup::as_engine(engine.clone()));
    Ok(run(Some(engine), any_threads(), pushed)??)
}

/// Looks at everything. Brings V8 up, since the checks may have to load the code.
fn doctor(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let prepared = cli::doctor::prepare(args);
    let engine = prepared.needs_engine().then(engine_setup::start_quietly).transpose()?;
    let looked = cli::doctor::run(args, prepared, engine.clone().map(engine_setup::as_engine));
    run(engine, any_threads(), looked)
}

/// Makes the plan of a host from its arguments, and begins the log.
fn prepare(args: &ServeArgs, mode: Mode) -> Result<Plan, Failure> {
    let plan = life::plan(args, mode)?;
    logs::start(args.logs(matches!(mode, Mode::Dev))).map_err(|error| Failure::new(1, error))?;
    Ok(plan)
}
