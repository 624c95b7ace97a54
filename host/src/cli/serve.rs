//! `baton dev` and `baton start`: the life of a host from its start to its last answer.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use js_runtime_api::Engine;
use miette::Diagnostic;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::follow;
use super::plan::{Mode, NAME_THE_ENV_FILE, Plan};
use super::signals::{SIGQUIT, Signals};
use crate::config::{Lock, ProjectError, StateError, WatchMode};
use crate::generation::{HostEvent, Keeper, Outcome, Reason, Role, Table, Want};
use crate::registration::{Registration, Settings, Unsigned};
use crate::server::{Access, Inspector, ListenError, Listeners, Room, Server, Successor, bind, router};
use crate::supervisor::{Beginning, Ledger, Occasion, Supervised, swallow, tell_all_lost};
use crate::tasks::TaskFailure;
use crate::telemetry::{Metrics, Traces, TracesError};

/// The pause before a stop says for the first time what it waits for; each is twice as long as the one before, up to
/// the last.
const FIRST_WORD: Duration = Duration::from_secs(2);
const LAST_WORD: Duration = Duration::from_mins(5);
/// The most calls and streams that are named each time.
const NAMED_WAITING: usize = 20;

/// Why a host did not start.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ServeError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Traces(#[from] TracesError),
    #[error(transparent)]
    #[diagnostic(help("The calls in flight were finished. Start the host again."))]
    Task(#[from] TaskFailure),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl ServeError {
    /// 2 for what was asked wrongly, 78 (`EX_CONFIG`) for what no retry can mend, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Project(ProjectError::Unreadable { .. }) => 2,
            Self::Project(ProjectError::ConfigFile(_)) => 78,
            Self::State(error) if error.is_lasting() => 78,
            Self::Listen(error) if error.is_lasting() => 78,
            _ => 1,
        }
    }
}

/// Serves until it is told to end, then finishes the calls it has.
///
/// # Errors
/// When it cannot start: another host, a taken port, a state folder that cannot be written.
pub async fn serve(plan: Plan, engine: Arc<dyn Engine>) -> Result<(), ServeError> {
    let (drain, watch) = (plan.limits.drain, plan.watching.mode);
    let host = Host::begin(plan, engine).await?;
    let loading = tokio::spawn(first_load(
        host.keeper.clone(),
        host.metrics.clone(),
        host.address,
        watch,
    ));
    // Of a terminal that is closed the default is right.
    swallow::signals_without_meaning(&[]);
    let mut signals = Signals::listen()?;
    let (reason, failure) = tokio::select! {
        signal = signals.end() => (signal, None),
        () = host.table.draining().cancelled() => ("a drain was asked for", None),
        failure = host.table.tasks().failure() => ("a task of the host failed", Some(failure)),
    };
    host.table.drain();
    loading.abort();
    info!(
        reason,
        in_flight = calls_in_flight(&host.table),
        "ending: no new calls, the ones in flight are finished"
    );
    if reason == SIGQUIT {
        host.finish(drain, std::future::ready(reason)).await;
    } else {
        host.finish(drain, signals.end()).await;
    }
    info!("ended");
    failure.map_or(Ok(()), |failure| Err(failure.into()))
}

/// A host that serves; nothing is loaded before it is asked for.
pub(super) struct Host {
    pub(super) keeper: Keeper,
    pub(super) table: Arc<Table>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) traces: Option<Arc<Traces>>,
    pub(super) address: SocketAddr,
    /// Whether the port is served at the moment.
    pub(super) accepting: watch::Receiver<bool>,
    serving: JoinHandle<()>,
    room: Room,
    following: JoinHandle<()>,
    ledger: Arc<Ledger>,
    _lock: Option<Lock>,
}

/// How a host comes to be that has a supervisor.
pub(super) struct Supervision {
    pub(super) supervised: Arc<Supervised>,
    pub(super) listener: TcpListener,
    pub(super) beginning: Beginning,
}

impl Host {
    /// Takes the state folder, listens, and follows what changes.
    ///
    /// # Errors
    /// When it cannot start: another host, a taken port, a state folder that cannot be written.
    pub(super) async fn begin(plan: Plan, engine: Arc<dyn Engine>) -> Result<Self, ServeError> {
        let lock = plan.state.lock()?;
        tell_all_lost(plan.state.path(), &[]);
        let listener = bind(plan.address)?;
        let mut host = Self::with(plan, engine, listener, None)?;
        host._lock = Some(lock);
        host.accepts().await;
        Ok(host)
    }

    /// Under a supervisor, which has the lock and the socket, and says when to accept.
    ///
    /// # Errors
    /// When the state folder cannot be written.
    pub(super) fn supervised(
        plan: Plan,
        engine: Arc<dyn Engine>,
        Supervision {
            supervised,
            listener,
            beginning,
        }: Supervision,
    ) -> Result<Self, ServeError> {
        Self::with(plan, engine, listener, Some((supervised, beginning)))
    }

    fn with(
        plan: Plan,
        engine: Arc<dyn Engine>,
        listener: TcpListener,
        supervised: Option<(Arc<Supervised>, Beginning)>,
    ) -> Result<Self, ServeError> {
        let unnamed = plan.unnamed_env_file();
        let Plan {
            mode,
            project,
            state,
            address: _,
            inspect,
            hold,
            slow_call,
            stream_drain,
            watching,
            pin,
            register,
            limits,
        } = plan;
        let traces = Traces::from_environment()?;
        let access = match mode {
            Mode::Dev => Access::Loopback,
            Mode::Start(_) => Access::token(&state.admin_token()?),
        };
        // (An older supervisor has made none.)
        state.make_socket_folder()?;
        let listeners = Listeners::with(listener, state.control_socket())?;
        let inspector = inspect.map(Inspector::bind).transpose()?;
        let address = listeners.address;
        let (url, pid) = (format!("http://{address}"), std::process::id());
        let (folder, entry) = (state.path().display(), project.entry.path().display());
        match supervised {
            Some((
                _,
                Beginning {
                    occasion: Occasion::Upgrade,
                    ..
                },
            )) => {
                info!(%url, project = %entry, state = %folder, pid, "loading beside the host that serves");
            }
            _ => info!(%url, project = %entry, state = %folder, pid, "listening"),
        }
        if let (Mode::Dev, Some(file)) = (mode, unnamed) {
            let file = file.display();
            info!(%file, help = NAME_THE_ENV_FILE, "an environment file is there, and nothing reads it");
        }

        if let Some(inspector) = &inspector {
            info!(address = %inspector.address, "debuggers may attach: chrome://inspect, or an editor as to Node");
        }
        let table = Arc::new(Table::new(pin));
        let given = supervised.as_ref().and_then(|(_, beginning)| beginning.before.newest);
        if supervised.is_some() {
            table.set_role(Role::Waiting);
        }
        let calls = TaskTracker::new();
        let root = project.root.clone();
        let serve_path = project.serve_path.as_str().into();
        let metrics = Arc::<Metrics>::default();
        let kept = state.path().join("kept");
        let keeper = Keeper::start_after(engine, project, limits, table.clone(), kept, given);
        let successor = Successor {
            socket: state.control_socket(),
            hold,
            ending: table.draining().clone(),
        };
        let settings = Settings {
            wanted: register,
            address,
        };
        let (accepts, accepting) = watch::channel(false);
        let ledger = Arc::new(Ledger::create(state.path(), pid));
        let server = Server {
            registration: Registration::start(table.clone(), settings, accepting.clone()),
            table: table.clone(),
            keeper: keeper.clone(),
            metrics: metrics.clone(),
            traces: traces.clone(),
            access: Arc::new(access),
            sessions: Arc::default(),
            address,
            project: root.display().to_string().into(),
            calls: calls.clone(),
            streams_end: end_of_streams(table.draining().clone(), stream_drain),
            hold,
            held: Arc::default(),
            slow_call,
            watch: watching.mode,
            serve_path,
            successor: successor.clone(),
            ledger: ledger.clone(),
            supervised: supervised.map(|(supervised, _)| supervised),
            started: Instant::now(),
        };
        let ending = table.draining().clone();
        let tasks = table.tasks();
        let room = listeners.room.clone();
        let served = listeners.serve(router(server), table.role(), ending, accepts, calls);
        let serving = tasks.spawn("connections", served);
        if let Some(inspector) = inspector {
            // Until the process ends: what is paused then must be resumed by somebody.
            tasks.spawn("inspector", inspector.serve(table.clone()));
        }
        if let Mode::Start(_) = mode {
            tokio::spawn(warn_of_unsigned_calls(table.clone()));
        }
        if let Some(traces) = traces.clone() {
            tasks.spawn("spans of reloads", trace_reloads(traces, table.events()));
        }
        let followed = follow::follow(
            watching,
            root,
            keeper.clone(),
            table.clone(),
            metrics.clone(),
            successor,
        );
        let following = tasks.spawn("watcher of files", followed);
        Ok(Self {
            keeper,
            table,
            metrics,
            traces,
            address,
            accepting,
            room,
            serving,
            following,
            ledger,
            _lock: None,
        })
    }

    /// Takes new calls; resolves once the port is served.
    pub(super) async fn accepts(&self) {
        self.table.set_role(Role::Accepting);
        // Fails when it serves no more, which is seen elsewhere.
        let _ = self.accepting.clone().wait_for(|accepting| *accepting).await;
    }

    /// Takes no new calls, which wait; resolves once none comes in.
    pub(super) async fn stops_accepting(&self) {
        self.table.set_role(Role::Stopped);
        let _ = self.accepting.clone().wait_for(|accepting| !*accepting).await;
    }

    /// Waits for the last answer, then ends what is left. Calls are cut, and named, when the budget is
    /// used up or when it is to end `now`.
    pub(super) async fn finish(self, budget: Duration, now: impl Future<Output = &'static str>) {
        let Self {
            serving,
            following,
            keeper,
            table,
            traces,
            room,
            ledger,
            ..
        } = self;
        let ended = async {
            // It ends with its last connection, or the task has panicked, which is as final.
            let _ = serving.await;
            let view = table.view();
            let live = view.entries.iter().filter_map(|entry| entry.live.as_ref());
            futures::future::join_all(live.map(|generation| generation.drained())).await;
            table.tasks().may_end();
            following.abort();
            // What user code does at its end belongs to the budget, too.
            keeper.stop().await;
        };
        let finished = tokio::select! {
            biased;
            () = ended => true,
            never = tell_what_is_waited_for(&table, &room) => match never {},
            () = tokio::time::sleep(budget) => {
                warn!("the drain budget is used up");
                false
            }
            reason = now => {
                warn!(reason, "ending now");
                false
            }
        };
        if let Some(traces) = traces {
            traces.end().await;
        }
        let cut = if finished {
            Vec::new()
        } else {
            table.view().entries.clone()
        };
        for entry in &cut {
            for (call, since) in entry.live.iter().flat_map(|live| live.in_flight()) {
                warn!(
                    generation = entry.id.0,
                    function = call.function,
                    run = call.run,
                    step = call.step,
                    running_ms = since.elapsed().as_millis(),
                    "call cut"
                );
            }
        }
        ledger.clear();
    }
}

/// A token that is cancelled `after` so long a time from the beginning of the host's end.
fn end_of_streams(draining: CancellationToken, after: Duration) -> CancellationToken {
    let end = CancellationToken::new();
    let cancelled = end.clone();
    tokio::spawn(async move {
        draining.cancelled().await;
        tokio::time::sleep(after).await;
        cancelled.cancel();
    });
    end
}

/// Says in production that anybody can run the functions, whenever that becomes so. Ends with the table.
async fn warn_of_unsigned_calls(table: Arc<Table>) {
    let mut views = table.views();
    let mut told = None;
    loop {
        views.borrow_and_update();
        let unsigned = table.current().and_then(|current| {
            let sources = current.sources.clone();
            Unsigned::of(&current.manifest, |name| sources.variable(name))
        });
        if let Some(unsigned) = unsigned.filter(|unsigned| Some(*unsigned) != told) {
            let (message, help) = unsigned.words();
            warn!(help, "{message}");
        }
        told = unsigned;
        if views.changed().await.is_err() {
            return;
        }
    }
}

/// Says what a stop waits for, while it does: soon, and then ever less often.
async fn tell_what_is_waited_for(table: &Table, room: &Room) -> Infallible {
    let mut pause = FIRST_WORD;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_WORD);
        let view = table.view();
        let live = view.entries.iter().filter_map(|entry| entry.live.as_ref());
        let waiting: Vec<_> = live
            .flat_map(|live| live.waiting().into_iter().map(|call| (live.id, call)))
            .collect();
        let streams = waiting.iter().filter(|(_, call)| call.is_stream()).count();
        let (calls, census) = (waiting.len() - streams, room.census());
        info!(
            calls,
            streams,
            connections = census.reading + census.answering,
            "waiting for what is not finished"
        );
        for (generation, call) in waiting.iter().take(NAMED_WAITING) {
            info!(
                generation = generation.0,
                function = call.info.function,
                run = call.info.run,
                step = call.info.step,
                request = call.info.request,
                running_ms = call.since.elapsed().as_millis(),
                "{}",
                if call.is_stream() {
                    "waiting for a stream"
                } else {
                    "waiting for a call"
                }
            );
        }
    }
}

/// Ends with the table.
async fn trace_reloads(traces: Arc<Traces>, mut events: broadcast::Receiver<HostEvent>) {
    loop {
        match events.recv().await {
            Ok(HostEvent::Reload(report)) => traces.reload(&report),
            Ok(HostEvent::Generation { .. } | HostEvent::Registration { .. }) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn first_load(keeper: Keeper, metrics: Arc<Metrics>, address: SocketAddr, watch: WatchMode) {
    let report = keeper.request(Want::Reload { force: false }, Reason::Start).await;
    metrics.reload_answered(&report);
    let Outcome::Activated { functions, .. } = &report.outcome else {
        // The keeper has said what becomes of it.
        return;
    };
    info!("ready: {} function(s) at http://{address}/api/inngest", functions.count);
    info!("dashboard: http://{address}/-/");
    match watch {
        WatchMode::Files => info!("edit a function: it is swapped in as you save"),
        WatchMode::GitRef => info!("check out another commit: it is swapped in"),
        WatchMode::Off => info!("edit a function, then: baton reload"),
    }
}

pub(super) fn calls_in_flight(table: &Table) -> usize {
    let view = table.view();
    let live = view.entries.iter().filter_map(|entry| entry.live.as_ref());
    live.map(|generation| generation.in_flight().len()).sum()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{ServeError, serve};
    use crate::cli::{Cli, Command, Mode, plan};
    use crate::generation::fake_engine::{Code, FakeEngine};
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
        let ended = serve(plan, FakeEngine::new(Code::PanicsKeeper)).await;
        let Err(ServeError::Task(failure)) = ended else {
            panic!("{ended:?}");
        };
        assert_eq!(failure, TaskFailure::Panicked("keeper"));
    }
}
