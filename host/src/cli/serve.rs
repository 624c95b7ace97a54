//! `baton dev` and `baton start`: the life of a host from its start to its last answer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use js_runtime_api::{Engine, EnvironmentSource, MemoryLimits, Project};
use miette::Diagnostic;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::ServeArgs;
use super::follow::{self, Watching};
use crate::config::{
    ConfigFile, Lock, PinMode, ProjectError, RegisterMode, Retries, StateError, StateFolder, WatchMode, discover,
    working_folder,
};
use crate::generation::{HostEvent, Keeper, Limits, Outcome, Pin, Reason, Role, Table, Want};
use crate::registration::{Registration, Settings};
use crate::server::{Access, Inspector, ListenError, Listeners, Server, Successor, bind, router};
use crate::supervisor::{Beginning, Occasion, Setup, Supervised};
use crate::telemetry::{Metrics, Traces, TracesError};

pub(super) const DEFAULT_PORT: u16 = 3111;
const DEFAULT_HOLD: Duration = Duration::from_mins(10);
/// More than a step takes that talks to one other service.
const DEFAULT_SLOW_CALL: Duration = Duration::from_mins(1);
const DEFAULT_LOAD_TIMEOUT: Duration = Duration::from_mins(1);
/// As long as Inngest lets a call take.
pub(super) const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_hours(2);
/// As long as Inngest waits for an answer.
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_hours(2);
const DEFAULT_MAX_GENERATIONS: usize = 8;
/// Of an isolate's heap, and as much again of its array buffers.
const DEFAULT_MEMORY_LIMIT_MIB: usize = 2048;
/// How long a run may sleep between two calls and still be pinned.
const DEFAULT_PIN_TTL: Duration = Duration::from_hours(24);
/// How long a generation may still take when there are too many.
const HURRIED_DRAIN: Duration = Duration::from_mins(10);

/// How the host is used.
#[derive(Debug, Clone, Copy)]
pub enum Mode {
    /// By the person at this machine.
    Dev,
    /// In production, on this address.
    Start(IpAddr),
}

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

/// What is known before anything is opened.
#[derive(Debug)]
pub struct Plan {
    mode: Mode,
    pub(super) project: Project,
    pub(super) state: StateFolder,
    address: SocketAddr,
    inspect: Option<u16>,
    hold: Duration,
    slow_call: Duration,
    pub(super) watching: Watching,
    pin: Pin,
    register: bool,
    pub(super) limits: Limits,
}

impl Plan {
    /// What a supervisor needs to know of it. `arguments`: for its hosts.
    #[must_use]
    pub fn supervisor(self, arguments: Vec<OsString>) -> Setup {
        Setup {
            state: self.state,
            address: self.address,
            drain: self.limits.drain,
            arguments,
        }
    }

    /// How long loading the project may take.
    #[must_use]
    pub const fn load_timeout(&self) -> Duration {
        self.limits.load
    }
}

impl Plan {
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) const fn settings(&self) -> Settings {
        Settings {
            wanted: self.register,
            address: self.address,
        }
    }
}

/// Finds the project and settles every value: flags and variables before `baton.toml`.
///
/// # Errors
/// When there is no project, or its configuration is wrong.
pub fn plan(args: &ServeArgs, mode: Mode) -> Result<Plan, ServeError> {
    let (mut project, file) = discover(args.path.as_deref(), &working_folder()?)?;
    let ConfigFile {
        port,
        state_dir,
        hold,
        load_timeout,
        drain_timeout,
        call_timeout,
        max_generations,
        isolates,
        spare,
        heap_limit,
        buffer_limit,
        cpu_limit,
        watch,
        require_clean,
        poll,
        pin,
        pin_ttl,
        env,
        inngest,
        functions,
        deny,
        path: _,
    } = file;
    project.default_retries = functions.default_retries.map(|Retries(count)| count);
    project.environment = EnvironmentSource {
        file: match &args.env_file {
            Some(file) => Some(working_folder()?.join(file)),
            None => env.file.map(|file| project.root.join(file)),
        },
        secret_command: env.secret_command,
        defaults: {
            let mut defaults: BTreeMap<_, _> = inngest.variables(matches!(mode, Mode::Start(_))).collect();
            if let Mode::Dev = mode {
                // The SDK would take this machine for Inngest's cloud.
                defaults.insert("INNGEST_DEV".to_owned(), "1".to_owned());
            }
            defaults
        },
    };
    let state_dir = args
        .state_dir
        .clone()
        .or_else(|| state_dir.map(|folder| project.root.join(folder)));
    let host = match mode {
        Mode::Dev => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Mode::Start(host) => host,
    };
    let drain = args.drain_timeout.or(drain_timeout).unwrap_or(DEFAULT_DRAIN_TIMEOUT);
    Ok(Plan {
        state: StateFolder::of(&project.root, state_dir)?,
        project,
        mode,
        inspect: args.inspect,
        slow_call: args.slow_call.unwrap_or(DEFAULT_SLOW_CALL),
        address: SocketAddr::new(host, args.port.or(port).unwrap_or(DEFAULT_PORT)),
        hold: args.hold.or(hold).unwrap_or(DEFAULT_HOLD),
        watching: Watching {
            mode: match args.watch {
                _ if args.no_watch => WatchMode::Off,
                Some(asked) => asked,
                None => watch.unwrap_or(match mode {
                    Mode::Dev => WatchMode::Files,
                    Mode::Start(_) => WatchMode::Off,
                }),
            },
            require_clean: args.require_clean || require_clean.unwrap_or_default(),
            poll: args.poll || poll.unwrap_or_default(),
        },
        pin: match args.pin.or(pin) {
            Some(PinMode::Run) => Pin::Run(args.pin_ttl.or(pin_ttl).unwrap_or(DEFAULT_PIN_TTL)),
            Some(PinMode::None) | None => Pin::Nothing,
        },
        register: match args.register.or(inngest.register) {
            Some(RegisterMode::Auto) | None => true,
            Some(RegisterMode::Off) => false,
        },
        limits: Limits {
            deny,
            max_generations: settled(args.max_generations, max_generations, DEFAULT_MAX_GENERATIONS),
            call: args.call_timeout.or(call_timeout).unwrap_or(DEFAULT_CALL_TIMEOUT),
            isolates: settled(args.isolates, isolates, default_isolates()),
            spare: !args.no_spare && spare.unwrap_or(true),
            memory: MemoryLimits {
                heap: settled(args.heap_limit, heap_limit, DEFAULT_MEMORY_LIMIT_MIB) << 20,
                buffers: settled(args.buffer_limit, buffer_limit, DEFAULT_MEMORY_LIMIT_MIB) << 20,
            },
            cpu: args.cpu_limit.or(cpu_limit),
            drain,
            hurried_drain: HURRIED_DRAIN.min(drain),
            load: args.load_timeout.or(load_timeout).unwrap_or(DEFAULT_LOAD_TIMEOUT),
        },
    })
}

/// The flag or variable, else what the file says, else the default.
fn settled(argument: Option<usize>, file: Option<NonZeroUsize>, default: usize) -> usize {
    argument.or(file.map(NonZeroUsize::get)).unwrap_or(default)
}

fn default_isolates() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(4)
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
    let mut signals = Signals::listen()?;
    let reason = tokio::select! {
        signal = signals.end() => signal,
        () = host.table.draining().cancelled() => "a drain was asked for",
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
    Ok(())
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
    serving: JoinHandle<std::io::Result<()>>,
    following: JoinHandle<()>,
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
        let Plan {
            mode,
            project,
            state,
            address: _,
            inspect,
            hold,
            slow_call,
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
            hold,
            slow_call,
            watch: watching.mode,
            serve_path,
            successor: successor.clone(),
            supervised: supervised.map(|(supervised, _)| supervised),
            started: Instant::now(),
        };
        let ending = table.draining().clone();
        let serving = tokio::spawn(listeners.serve(router(server), table.role(), ending, accepts, calls));
        if let Some(inspector) = inspector {
            // Until the process ends: what is paused then must be resumed by somebody.
            tokio::spawn(inspector.serve(table.clone()));
        }
        if let Some(traces) = traces.clone() {
            tokio::spawn(trace_reloads(traces, table.events()));
        }
        let following = tokio::spawn(follow::follow(
            watching,
            root,
            keeper.clone(),
            table.clone(),
            metrics.clone(),
            successor,
        ));
        Ok(Self {
            keeper,
            table,
            metrics,
            traces,
            address,
            accepting,
            serving,
            following,
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
    /// used up or when it is to end `now`. True when none was cut.
    pub(super) async fn finish(self, budget: Duration, now: impl Future<Output = &'static str>) -> bool {
        let Self {
            serving,
            following,
            keeper,
            table,
            traces,
            ..
        } = self;
        let finished = tokio::select! {
            biased;
            _ = serving => {
                following.abort();
                keeper.stop().await;
                true
            }
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
        if finished {
            return true;
        }
        for entry in &table.view().entries {
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
        false
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

/// The signals that end a host.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The next one, by its name. May be dropped and called again.
    pub(super) async fn end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.quit.recv() => SIGQUIT,
        }
    }
}

/// The signal that lets nothing be finished.
pub(super) const SIGQUIT: &str = "SIGQUIT";

pub(super) fn calls_in_flight(table: &Table) -> usize {
    let view = table.view();
    let live = view.entries.iter().filter_map(|entry| entry.live.as_ref());
    live.map(|generation| generation.in_flight().len()).sum()
}
