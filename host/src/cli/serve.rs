//! `baton dev` and `baton start`: the life of a host from its start to its last answer.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use js_runtime_api::{Engine, EnvironmentSource, MemoryLimits, Project};
use miette::Diagnostic;
use tokio::signal::unix::{SignalKind, signal};
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
use crate::generation::{Keeper, Limits, Outcome, Pin, Reason, Table, Want};
use crate::registration::{Registration, Settings};
use crate::server::{Access, ListenError, Listeners, Server, router};
use crate::telemetry::Metrics;

const DEFAULT_PORT: u16 = 3111;
const DEFAULT_HOLD: Duration = Duration::from_mins(10);
const DEFAULT_LOAD_TIMEOUT: Duration = Duration::from_mins(1);
/// As long as Inngest lets a call take.
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_hours(2);
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
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl ServeError {
    /// 2 for what was asked wrongly, 78 (`EX_CONFIG`) for what no retry can mend, else 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Project(ProjectError::Unreadable { .. }) => 2,
            Self::Project(ProjectError::ConfigFile(_)) => 78,
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
    hold: Duration,
    watching: Watching,
    pin: Pin,
    register: bool,
    limits: Limits,
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
    let loading = tokio::spawn(first_load(host.keeper.clone(), host.address, watch));
    wait_for_the_end(&host.table).await?;
    host.table.drain();
    host.registers.send_replace(false);
    host.following.abort();
    loading.abort();
    if finish(host.serving, &host.calls, &host.table, drain).await {
        host.keeper.stop().await;
    }
    info!("ended");
    Ok(())
}

/// A host that serves; nothing is loaded before it is asked for.
pub(super) struct Host {
    pub(super) keeper: Keeper,
    pub(super) table: Arc<Table>,
    address: SocketAddr,
    calls: TaskTracker,
    serving: JoinHandle<std::io::Result<()>>,
    following: JoinHandle<()>,
    /// Whether this host is the one that registers. The task ends with it.
    registers: watch::Sender<bool>,
    _lock: Lock,
}

impl Host {
    /// Takes the state folder, listens, and follows what changes.
    ///
    /// # Errors
    /// When it cannot start: another host, a taken port, a state folder that cannot be written.
    pub(super) async fn begin(plan: Plan, engine: Arc<dyn Engine>) -> Result<Self, ServeError> {
        let Plan {
            mode,
            project,
            state,
            address,
            hold,
            watching,
            pin,
            register,
            limits,
        } = plan;
        let lock = state.lock()?;
        let access = match mode {
            Mode::Dev => Access::Loopback,
            Mode::Start(_) => Access::token(&state.admin_token()?),
        };
        let listeners = Listeners::bind(address, state.control_socket()).await?;
        let address = listeners.address;
        info!(
            url = format!("http://{address}"),
            project = %project.entry.path().display(),
            state = %state.path().display(),
            pid = std::process::id(),
            "listening"
        );

        let table = Arc::new(Table::new(pin));
        let calls = TaskTracker::new();
        let root = project.root.clone();
        let metrics = Arc::<Metrics>::default();
        let keeper = Keeper::start(engine, project, limits, table.clone(), state.path().join("kept"));
        let (registers, allowed) = watch::channel(true);
        let settings = Settings {
            wanted: register,
            address,
        };
        let server = Server {
            registration: Registration::start(table.clone(), settings, allowed),
            table: table.clone(),
            keeper: keeper.clone(),
            metrics: metrics.clone(),
            access: Arc::new(access),
            calls: calls.clone(),
            hold,
            watch: watching.mode,
            started: Instant::now(),
        };
        let serving = tokio::spawn(listeners.serve(router(server), table.draining().clone()));
        let following = tokio::spawn(follow::follow(watching, root, keeper.clone(), table.clone(), metrics));
        Ok(Self {
            keeper,
            table,
            address,
            calls,
            serving,
            following,
            registers,
            _lock: lock,
        })
    }
}

async fn first_load(keeper: Keeper, address: SocketAddr, watch: WatchMode) {
    let report = keeper.request(Want::Reload { force: false }, Reason::Start).await;
    let Outcome::Activated { functions, .. } = &report.outcome else {
        // The keeper has said what becomes of it.
        return;
    };
    info!("ready: {} function(s) at http://{address}/api/inngest", functions.count);
    match watch {
        WatchMode::Files => info!("edit a function: it is swapped in as you save"),
        WatchMode::GitRef => info!("check out another commit: it is swapped in"),
        WatchMode::Off => info!("edit a function, then: baton reload"),
    }
}

/// Resolves at SIGTERM, SIGINT, or when a drain was asked for.
async fn wait_for_the_end(table: &Table) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let reason = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = table.draining().cancelled() => "a drain was asked for",
    };
    info!(
        reason,
        in_flight = calls_in_flight(table),
        "ending: no new calls, the ones in flight are finished"
    );
    Ok(())
}

/// Waits for the last answer. False when calls were cut: after the drain budget, or at a second
/// signal.
async fn finish(
    serving: JoinHandle<std::io::Result<()>>,
    calls: &TaskTracker,
    table: &Table,
    budget: Duration,
) -> bool {
    let second_signal = async {
        let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let answered = async {
        let _ = serving.await;
        // What is left are calls whose callers hung up.
        calls.close();
        calls.wait().await;
    };
    tokio::select! {
        () = answered => return true,
        () = tokio::time::sleep(budget) => warn!("the drain budget is used up"),
        () = second_signal => warn!("a second signal: ending now"),
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

fn calls_in_flight(table: &Table) -> usize {
    let view = table.view();
    let live = view.entries.iter().filter_map(|entry| entry.live.as_ref());
    live.map(|generation| generation.in_flight().len()).sum()
}
