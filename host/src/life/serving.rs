//! A host that serves, and its parts.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use js_runtime_api::Engine;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::plan::{Mode, NAME_THE_ENV_FILE, Plan};
use super::{ServeError, announcement, follow};
use crate::calls::Executor;
use crate::canary_gate::CanaryGate;
use crate::config::Lock;
use crate::connect::{self, Connection};
use crate::generation::{HostEvent, Keeper, ProjectPlace, Projects, Role, Table};
use crate::net::bind;
use crate::pull::{PullPlan, Puller};
use crate::registration::{Registration, RegistrationSettings, UnsignedReason};
use crate::release::Registry;
use crate::server::{Access, Inspector, Listeners, Room, Server, Successor, router};
use crate::supervisor::{HostStart, Ledger, Occasion, SupervisorHandle, tell_all_lost};
use crate::tasks::OwnedTask;
use crate::telemetry::{Metrics, Traces};

/// A host that serves. The host loads nothing before somebody asks for a load.
pub(crate) struct Host {
    pub(crate) keeper: Keeper,
    pub(crate) table: Arc<Table>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) traces: Option<Arc<Traces>>,
    pub(crate) address: SocketAddr,
    pub(super) registration: Registration,
    /// Tells whether the port is served at the moment.
    pub(crate) accepting: watch::Receiver<bool>,
    pub(super) connection: Connection,
    pub(super) room: Room,
    pub(super) ledger: Arc<Ledger>,
    /// Serves connections until the last call is answered.
    pub(super) serving: OwnedTask<()>,
    /// Makes reloads of changes, until the token stops it.
    pub(super) following: OwnedTask<()>,
    pub(super) stop_following: CancellationToken,
    /// Ends the remaining streams, a while after the host was told to end.
    pub(super) streams_end: OwnedTask<()>,
    _lock: Option<Lock>,
}

/// The parts that a host gets from its supervisor.
pub(super) struct SupervisorParts {
    pub(super) supervised: Arc<SupervisorHandle>,
    pub(super) listener: TcpListener,
    pub(super) beginning: HostStart,
}

impl Host {
    /// Takes the state folder, listens, and follows changes.
    ///
    /// # Errors
    /// When it cannot start: another host, a taken port, a state folder that cannot be written.
    pub(crate) async fn begin(plan: Plan, engine: Arc<dyn Engine>) -> Result<Self, ServeError> {
        let lock = plan.state.lock()?;
        tell_all_lost(plan.state.path(), &[]);
        let listener = bind(plan.address)?;
        let mut host = Self::with(plan, engine, listener, None)?;
        host._lock = Some(lock);
        host.accepts().await;
        Ok(host)
    }

    /// Begins a host under a supervisor, which has the lock and the socket, and says when to accept.
    ///
    /// # Errors
    /// When the state folder cannot be written.
    pub(super) fn supervised(
        plan: Plan,
        engine: Arc<dyn Engine>,
        SupervisorParts {
            supervised,
            listener,
            beginning,
        }: SupervisorParts,
    ) -> Result<Self, ServeError> {
        Self::with(plan, engine, listener, Some((supervised, beginning)))
    }

    fn with(
        plan: Plan,
        engine: Arc<dyn Engine>,
        listener: TcpListener,
        supervised: Option<(Arc<SupervisorHandle>, HostStart)>,
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
            release,
            pin,
            register,
            connects,
            identity,
            on_stop,
            limits,
        } = plan;
        let traces = Traces::from_environment()?;
        let access = match mode {
            Mode::Dev => Access::Loopback,
            Mode::Start(_) => Access::token(&state.admin_token()?),
        };
        // (An older supervisor has made no folder for sockets.)
        state.make_socket_folder()?;
        let listeners = Listeners::with(listener, state.control_socket())?;
        let inspector = inspect.map(Inspector::bind).transpose()?;
        let address = listeners.address;
        let occasion = supervised.as_ref().map(|(_, beginning)| beginning.occasion);
        announcement::listening(address, &project, state.path(), occasion);
        if let Some(file) = unnamed.filter(|_| matches!(mode, Mode::Dev)) {
            let file = file.display();
            info!(%file, help = NAME_THE_ENV_FILE, "an environment file exists, but no setting names it");
        }
        if let Some(inspector) = &inspector {
            let address = inspector.address;
            info!(%address, "debuggers may attach: use chrome://inspect, or an editor as for Node");
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
        let projects = match &release {
            Some(plan) => Projects {
                next: ProjectPlace {
                    project,
                    release: Some(plan.release.clone()),
                },
                find: Some(plan.find.clone()),
            },
            None => Projects::of_folder(project),
        };
        let gate = CanaryGate::new(limits.canary.1.gate.clone(), limits.load);
        let keeper = Keeper::start(engine, projects, limits, table.clone(), kept, given);
        let puller = release.map(|plan| {
            let begun_with = plan.release.digest.clone();
            let plan = PullPlan {
                registry: Registry::new(plan.reference),
                folders: plan.folders,
                poll: plan.poll,
                find: plan.find,
                begun_with,
            };
            Puller::new(plan, keeper.clone(), table.clone())
        });
        let successor = Successor {
            socket: state.control_socket(),
            hold,
            ending: table.draining().clone(),
        };
        let end_streams = CancellationToken::new();
        let settings = RegistrationSettings {
            wanted: register,
            connects,
            address,
        };
        let (accepts, accepting) = watch::channel(false);
        let ledger = Arc::new(Ledger::create(state.path(), std::process::id()));
        let executor = Executor {
            table: table.clone(),
            metrics: metrics.clone(),
            traces: traces.clone(),
            tasks: calls.clone(),
            hold,
            held: Arc::default(),
            slow_call,
            ledger: ledger.clone(),
        };
        let connecting = connect::ConnectionSettings {
            rule: connects,
            identity,
            on_stop,
            state: state.path().to_owned(),
            beside: supervised
                .as_ref()
                .is_some_and(|(_, beginning)| beginning.occasion == Occasion::Upgrade),
        };
        let connection = Connection::start(executor.clone(), connecting);
        table.set_gates(vec![Arc::new(gate), Arc::new(connection.clone())]);
        let registration = Registration::start(table.clone(), settings, accepting.clone());
        let server = Server {
            executor,
            connection: connection.clone(),
            registration: registration.clone(),
            table: table.clone(),
            keeper: keeper.clone(),
            metrics: metrics.clone(),
            access: Arc::new(access),
            sessions: Arc::default(),
            bounces: Arc::default(),
            address,
            project: root.display().to_string().into(),
            streams_end: end_streams.clone(),
            watch: watching.mode,
            serve_path,
            successor: successor.clone(),
            supervised: supervised.map(|(supervised, _)| supervised),
            puller: puller.clone(),
            started: Instant::now(),
        };
        let ending = table.draining().clone();
        let tasks = table.tasks();
        let room = listeners.room.clone();
        let served = listeners.serve(router(server), table.role(), ending, accepts, calls);
        let serving = tasks.spawn("connections", served);
        keep_tasks(&table, mode, inspector, traces.clone());
        let reloads = follow::Reloads::new(keeper.clone(), metrics.clone(), successor);
        let stop_following = CancellationToken::new();
        let followed = follow::follow(watching, root, table.clone(), reloads, stop_following.clone());
        let following = match puller {
            Some(puller) => tasks.spawn("look at the tag", puller.follow(stop_following.clone())),
            None => tasks.spawn("watcher of files", followed),
        };
        let ending_streams = cancel_after(table.draining().clone(), stream_drain, end_streams);
        let streams_end = OwnedTask::spawn("end of streams", ending_streams);
        Ok(Self {
            keeper,
            table,
            metrics,
            traces,
            address,
            registration,
            accepting,
            connection,
            room,
            ledger,
            serving,
            following,
            stop_following,
            streams_end,
            _lock: None,
        })
    }

    /// Takes new calls; resolves once the port is served.
    pub(super) async fn accepts(&self) {
        self.table.set_role(Role::Accepting);
        // This fails when the host serves no more, which is seen elsewhere.
        let _ = self.accepting.clone().wait_for(|accepting| *accepting).await;
    }

    /// Takes no new calls; they wait. Resolves once no call comes in.
    pub(super) async fn stops_accepting(&self) {
        self.table.set_role(Role::Stopped);
        let _ = self.accepting.clone().wait_for(|accepting| !*accepting).await;
    }
}

/// Starts the tasks that last as long as the host does, and that take no requests.
fn keep_tasks(table: &Arc<Table>, mode: Mode, inspector: Option<Inspector>, traces: Option<Arc<Traces>>) {
    let tasks = table.tasks();
    if let Some(inspector) = inspector {
        // The door for debuggers stays until the process ends: somebody must be able to resume paused code.
        tasks.keep("inspector", inspector.serve(table.clone()));
    }
    if let Mode::Start(_) = mode {
        tasks.keep("warnings of unsigned calls", warn_of_unsigned_calls(table.clone()));
    }
    if let Some(traces) = traces {
        tasks.keep("spans of reloads", trace_reloads(traces, table.events()));
    }
}

/// Cancels a token when a time has passed since the beginning of the host's end.
async fn cancel_after(draining: CancellationToken, after: Duration, cancelled: CancellationToken) {
    draining.cancelled().await;
    tokio::time::sleep(after).await;
    cancelled.cancel();
}

/// Says in production that anybody can run the functions, whenever that becomes so. Ends with the table.
async fn warn_of_unsigned_calls(table: Arc<Table>) {
    let mut views = table.views();
    let mut told = None;
    loop {
        views.borrow_and_update();
        let unsigned = table.current().and_then(|current| {
            let sources = current.sources.clone();
            UnsignedReason::of(&current.manifest, |name| sources.variable(name))
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

/// Traces each reload and each canary. Ends with the table.
async fn trace_reloads(traces: Arc<Traces>, mut events: broadcast::Receiver<HostEvent>) {
    loop {
        match events.recv().await {
            Ok(HostEvent::Reload(report)) => traces.reload(&report),
            Ok(HostEvent::Canary(summary)) => traces.canary(&summary),
            Ok(HostEvent::Generation { .. } | HostEvent::Registration { .. }) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
