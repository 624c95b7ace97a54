//! `baton doctor`: every check that explains why something does not work, a line each, with its remedy. The checks
//! change nothing, but that a running host registers once more. Without a host the code is loaded here, to see
//! whether it can be.
//!
//! `here` looks at this machine, `service` at launchd's jobs, `code` at the project's code, `inngest` at Inngest and
//! the way back.

mod check;
mod code;
mod connect_check;
mod here;
mod inngest;
mod service;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use hyper::Method;
use js_runtime_api::{Engine, LoadErrorKind, Sources};
use serde::de::DeserializeOwned;

use self::check::{Check, Finding};
use super::client;
use crate::config::ConnectRule;
use crate::life::{Mode, Plan, ServeArgs, ServeError, plan as plan_of};
use crate::status::{RegistrationStatus, Status};

pub(super) const HELP: &str =
    "Example:\n  baton doctor\n  baton doctor --json | jq '.checks[] | select(.status == \"failed\")'";

/// The time for a host's answer. A registration takes half of that time at most.
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
#[allow(missing_docs, reason = "clap would take it for a help text")]
pub struct DoctorArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// The plan whose parts are to be looked at; an error where there is no plan.
#[derive(Debug)]
pub struct DoctorPlan(Result<Plan, ServeError>);

impl DoctorPlan {
    /// Tells whether there is a project whose code may have to be loaded.
    #[must_use]
    pub const fn needs_engine(&self) -> bool {
        self.0.is_ok()
    }
}

/// Finds the project and its settings. A missing project is a finding.
#[must_use]
pub fn prepare(args: &DoctorArgs) -> DoctorPlan {
    DoctorPlan(plan_of(&args.serve, Mode::Dev))
}

/// Looks at everything, prints the checks, and returns a code that tells whether all is well.
pub async fn run(args: &DoctorArgs, prepared: DoctorPlan, engine: Option<Arc<dyn Engine>>) -> ExitCode {
    let checks = match (prepared.0, engine) {
        (Ok(plan), Some(engine)) => examine(args, plan, engine).await,
        (Ok(_), None) => vec![Check::failed(
            "project",
            Finding::new("no_engine", "V8 did not start", "Read the message above."),
        )],
        (Err(error), _) => vec![no_project(&error)],
    };
    check::tell(&checks, args.json);
    if checks.iter().any(Check::is_bad) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn no_project(error: &ServeError) -> Check {
    let help = miette::Diagnostic::help(error).map(|help| help.to_string());
    let help = help.unwrap_or_else(|| "Go to the project's folder, or name it: baton doctor PATH.".to_owned());
    Check::failed("project", Finding::new("no_project", error.to_string(), help))
}

async fn examine(args: &DoctorArgs, mut plan: Plan, engine: Arc<dyn Engine>) -> Vec<Check> {
    let mut checks = vec![Check::good("project", plan.project.root.display().to_string())];
    let host = running(&plan).await;
    checks.push(here::host(&plan, host.as_ref()));
    checks.push(here::port(&plan, host.as_ref()));
    checks.extend(service::look(&plan));
    checks.push(here::environment_file(&plan));
    checks.push(here::watching(&plan.project.root));
    checks.push(here::package(&plan.project.root));
    checks.extend(
        engine
            .release()
            .map(|release| here::engine(&release, jiff::Zoned::now().date())),
    );
    let mut read_as_dev = read(&plan, &engine).await;
    // A user who has a signing key means `baton start`.
    if let Ok(sources) = &read_as_dev
        && sources
            .variable("INNGEST_SIGNING_KEY")
            .is_some_and(|key| !key.is_empty())
        && let Ok(production) = plan_of(&args.serve, Mode::Start(plan.address.ip()))
    {
        plan = production;
        read_as_dev = read(&plan, &engine).await;
    }
    let sources = match read_as_dev {
        Ok(sources) => sources,
        Err(check) => {
            checks.push(check);
            return checks;
        }
    };
    let registration = match &host {
        Some(status) => {
            checks.extend(code::of_host(status));
            RegistrationStatus::clone(&status.registration)
        }
        None => {
            let (more, registration) = code::load(&plan, &engine, sources.clone()).await;
            checks.extend(more);
            registration
        }
    };
    checks.push(here::keys(sources.as_ref(), &registration, host.as_ref()));
    if plan.connects == ConnectRule::Always || host.as_ref().is_some_and(|host| host.connection.is_some()) {
        checks.push(connect_check::look(host.as_ref()));
        return checks;
    }
    let asked = match &host {
        // A new registration would take the app from the host that has it.
        Some(_) if registration.holder.is_some() || registration.newer.is_some() => registration,
        Some(_) => ask(&plan).await.unwrap_or(registration),
        None => registration,
    };
    checks.extend(inngest::look(sources.as_ref(), &asked, host.is_some()).await);
    checks
}

async fn read(plan: &Plan, engine: &Arc<dyn Engine>) -> Result<Arc<dyn Sources>, Check> {
    let (project, engine) = (plan.project.clone(), engine.clone());
    // The keys and URLs of the checks below may be among its secrets.
    let read = move || {
        engine
            .read(project)
            .and_then(|sources| sources.obtain_secrets().map(|()| sources))
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(sources)) => Ok(sources),
        Ok(Err(error)) if error.kind == LoadErrorKind::Environment => {
            let help = error.help.clone().unwrap_or_default();
            Err(Check::failed(
                "environment",
                Finding::new("environment", error.message, help),
            ))
        }
        Ok(Err(error)) => {
            let help = error.help.clone().unwrap_or_else(|| "Make it readable.".to_owned());
            Err(Check::failed("code", Finding::new("unreadable", error.message, help)))
        }
        Err(error) => Err(Check::failed(
            "code",
            Finding::new("unreadable", error.to_string(), "Try again."),
        )),
    }
}

/// The status of the project's running host.
async fn running(plan: &Plan) -> Option<Status> {
    control(&plan.state.control_socket(), Method::GET, "/-/status").await
}

/// Registers once more, and returns the state of the registration.
async fn ask(plan: &Plan) -> Option<RegistrationStatus> {
    control(&plan.state.control_socket(), Method::POST, "/-/register").await
}

async fn control<T: DeserializeOwned>(socket: &Path, method: Method, path: &str) -> Option<T> {
    let asked = client::exchange(socket, method, path, String::new());
    // A host that hangs is a finding.
    let answer = tokio::time::timeout(ANSWERS_WITHIN, asked).await.ok()?.ok()?;
    answer.status.is_success().then(|| answer.read().ok())?
}
