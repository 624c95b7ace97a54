//! `baton dev`: a host without a supervisor.

use std::net::SocketAddr;
use std::sync::Arc;

use js_runtime_api::Engine;

use super::dev_screen::Screen;
use super::ending::Ending;
use super::plan::Plan;
use super::serving::Host;
use super::signals::{SIGQUIT, Signals};
use super::{ServeError, announcement};
use crate::config::WatchMode;
use crate::generation::{Keeper, Outcome, Reason, WantedCode};
use crate::posix::signals;
use crate::tasks::OwnedTask;
use crate::telemetry::{Metrics, logs};

/// Serves until the host is told to end, then finishes the calls that it has.
///
/// # Errors
/// When it cannot start: another host, a taken port, a state folder that cannot be written.
pub async fn alone(plan: Plan, engine: Arc<dyn Engine>) -> Result<(), ServeError> {
    let (drain, watch) = (plan.limits.drain, plan.watching.mode);
    let (project, serve_path) = (plan.shown_project(), plan.project.serve_path.clone());
    let host = Host::begin(plan, engine).await?;
    let screen = logs::screen().map(|terminal| Screen::new(terminal, &host, project, &serve_path, watch));
    let screen = screen.map(|screen| OwnedTask::spawn("screen", screen.show()));
    let loading = first_load(
        host.keeper.clone(),
        host.metrics.clone(),
        host.address,
        serve_path,
        watch,
    );
    let loading = OwnedTask::spawn("first load", loading);
    // The default of the system is right for the signal of a closed terminal.
    signals::swallow(&[]);
    let mut signals = Signals::listen()?;
    let (ending, failure) = tokio::select! {
        signal = signals.end() => match signal {
            SIGQUIT => (Ending::Now(signal), None),
            signal => (Ending::Drain(signal), None),
        },
        () = host.table.draining().cancelled() => (Ending::Drain("a drain was asked for"), None),
        failure = host.table.tasks().failure() => (Ending::Drain("a task of the host failed"), Some(failure)),
    };
    loading.end().await;
    if let Some(screen) = screen {
        screen.end().await;
    }
    host.end(ending, drain, || {}, signals.end()).await;
    failure.map_or(Ok(()), |failure| Err(failure.into()))
}

async fn first_load(keeper: Keeper, metrics: Arc<Metrics>, address: SocketAddr, serve_path: String, watch: WatchMode) {
    let report = keeper.request(WantedCode::reload(false), Reason::Start).await;
    metrics.reload_answered(&report);
    let Outcome::Activated { functions, .. } = &report.outcome else {
        // The keeper has told the outcome.
        return;
    };
    announcement::ready(address, &serve_path, functions.count, watch);
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{ServeError, alone};
    use crate::cli::{Cli, Command};
    use crate::generation::fake_engine::{Code, FakeEngine};
    use crate::life::{Mode, plan};
    use crate::tasks::TaskFailure;

    #[tokio::test]
    async fn a_host_whose_keeper_panicked_ends_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(path("functions")).unwrap();
        std::fs::write(path("package.json"), "{}").unwrap();
        let arguments = [
            "baton",
            "dev",
            &path("functions"),
            "--port=0",
            "--state-dir",
            &path("state"),
        ];
        let Command::Dev(args) = Cli::parse_from(arguments).command else {
            panic!("another command");
        };
        let plan = plan(&args, Mode::Dev).unwrap();
        let ended = alone(plan, FakeEngine::new(Code::PanicsKeeper)).await;
        let Err(ServeError::Task(failure)) = ended else {
            panic!("{ended:?}");
        };
        assert_eq!(failure, TaskFailure::Panicked("keeper"));
    }
}
