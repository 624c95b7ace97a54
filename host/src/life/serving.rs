//! A host that serves: its parts put together, and how it comes to its end.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use js_runtime_api::Engine;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::plan::{Mode, NAME_THE_ENV_FILE, Plan};
use super::{ServeError, follow};
use crate::config::Lock;
use crate::generation::{HostEvent, Keeper, Role, Table};
use crate::net::bind;
use crate::registration::{Registration, Settings, Unsigned};
use crate::server::{Access, Inspector, Listeners, Room, Server, Successor, router};
use crate::supervisor::{Beginning, Ledger, Occasion, Supervised, tell_all_lost};
use crate::telemetry::{Metrics, Traces};

/// The pause before a stop says for the first time what it waits for; each is twice as long as the one before, up to
/// the last.
const FIRST_WORD: Duration = Duration::from_secs(2);
const LAST_WORD: Duration = Duration::from_mins(5);
/// The longest wait of a host that ends by itself for a load that runs.
const FREEZE_WITHIN: Duration = Duration::from_secs(10);
/// The most calls and streams that are named each time.
const NAMED_WAITING: usize = 20;

/// The way in which a host's work comes to its end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    /// Another host accepts.
    HandedOver,
    /// No other host will.
    Drain(&'static str),
    /// It was asked to end, and its supervisor was not; or the supervisor is gone.
    Leave(&'static str),
    Now(&'static str),
}

/// A host that serves; nothing is loaded before it is asked for.
pub(crate) struct Host {
    pub(crate) keeper: Keeper,
    pub(crate) table: Arc<Table>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) traces: Option<Arc<Traces>>,
    pub(crate) address: SocketAddr,
    /// Whether the port is served at the moment.
    pub(crate) accepting: watch::Receiver<bool>,
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
    pub(crate) async fn begin(plan: Plan, engine: Arc<dyn Engine>) -> Result<Self, ServeError> {
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

    /// Begins nothing new, waits for the last answer, then ends what is left. `leaving` tells that another host gets the
    /// next calls.
    pub(super) async fn end(
        self,
        ending: Ending,
        budget: Duration,
        leaving: impl FnOnce(),
        now: impl Future<Output = &'static str>,
    ) {
        let in_flight = calls_in_flight(&self.table);
        match ending {
            Ending::HandedOver => info!(in_flight, "handed over: the calls in flight are finished"),
            Ending::Drain(reason) => {
                info!(
                    reason,
                    in_flight, "ending: no new calls, the ones in flight are finished"
                );
                // Whoever waits for a reload is answered, too.
                self.keeper.resume(None);
                self.table.drain();
            }
            Ending::Leave(reason) => {
                info!(
                    reason,
                    in_flight, "ending: the calls in flight are finished, another host gets the next"
                );
                self.stops_accepting().await;
                let _ = tokio::time::timeout(FREEZE_WITHIN, self.keeper.freeze()).await;
                leaving();
            }
            Ending::Now(reason) => info!(reason, in_flight, "ending now"),
        }
        if matches!(ending, Ending::HandedOver | Ending::Leave(_)) {
            self.keeper.hand_over();
            self.table.set_role(Role::HandedOver);
        }
        match ending {
            Ending::Now(reason) => self.finish(budget, std::future::ready(reason)).await,
            _ => self.finish(budget, now).await,
        }
        info!("ended");
    }

    /// Waits for the last answer, then ends what is left. Calls are cut, and named, when the budget is
    /// used up or when it is to end `now`.
    async fn finish(self, budget: Duration, now: impl Future<Output = &'static str>) {
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

fn calls_in_flight(table: &Table) -> usize {
    let view = table.view();
    let live = view.entries.iter().filter_map(|entry| entry.live.as_ref());
    live.map(|generation| generation.in_flight().len()).sum()
}
