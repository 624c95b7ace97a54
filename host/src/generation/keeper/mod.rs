//! The one task that acts: it loads, swaps, drains and closes what `state` decides, and shows the
//! result in the table. Everybody else sends it requests and reads.

mod isolates;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use js_runtime_api::{CallQueue, Engine, LoadError, LoadRequest, Project, SourceChoice};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use self::isolates::{Isolates, LOOK_EVERY};
use super::deadlines::Deadlines;
use super::history::History;
use super::live::Generation;
use super::load::{Done, LoadResult, Running, next_done};
use super::reload::{Reason, ReloadQueue, Want};
use super::report::{Draining, FunctionChanges, Outcome, Report};
use super::state::{Decision, Event, GenerationId, Generations};
use super::table::{Entry, HostEvent, Table, View};

/// Bounds on generations.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many may be live before the oldest is hurried.
    pub max_generations: usize,
    /// How long a superseded generation may finish its calls.
    pub drain: Duration,
    /// The same for one that is hurried.
    pub hurried_drain: Duration,
    /// How long a load may take.
    pub load: Duration,
    /// How long a call may take before its isolate is ended.
    pub call: Duration,
    /// How many isolates a generation may have.
    pub isolates: usize,
    /// How large an isolate's JavaScript heap may grow, in bytes.
    pub heap: usize,
}

/// How many generations that ended are still shown.
const SHOWN_ENDED: usize = 20;
/// How long the isolates may take to end when the host does.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Sends requests to the task.
#[derive(Debug, Clone)]
pub struct Keeper(mpsc::UnboundedSender<Request>);

#[derive(Debug)]
enum Request {
    Load {
        want: Want,
        reason: Reason,
        answer: oneshot::Sender<Arc<Report>>,
    },
    Stop {
        done: oneshot::Sender<()>,
    },
}

impl Keeper {
    /// Starts the task. It runs until [`Self::stop`] or until every `Keeper` is dropped.
    pub fn start(engine: Arc<dyn Engine>, project: Project, limits: Limits, table: Arc<Table>) -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        let (emptied_sender, emptied) = mpsc::unbounded_channel();
        let task = Task {
            engine,
            project,
            limits,
            table,
            generations: Generations::new(limits.max_generations),
            entries: BTreeMap::new(),
            last_rejected: None,
            queue: ReloadQueue::default(),
            running: None,
            emptied_sender,
            deadlines: Deadlines::default(),
            isolates: Isolates::default(),
            history: History::default(),
        };
        tokio::spawn(task.run(requests, emptied));
        Self(sender)
    }

    /// Asks for a load and waits for what becomes of it.
    pub async fn request(&self, want: Want, reason: Reason) -> Arc<Report> {
        let (answer, report) = oneshot::channel();
        // A task that has ended drops the answer, which reads the same below.
        let _ = self.0.send(Request::Load { want, reason, answer });
        report.await.unwrap_or_else(|_| {
            Arc::new(Report {
                outcome: Outcome::ShuttingDown,
                took_ms: 0.0,
            })
        })
    }

    /// Ends every isolate, then the task.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        let _ = self.0.send(Request::Stop { done });
        let _ = stopped.await;
    }
}

struct Task {
    engine: Arc<dyn Engine>,
    project: Project,
    limits: Limits,
    table: Arc<Table>,
    generations: Generations,
    entries: BTreeMap<GenerationId, Entry>,
    last_rejected: Option<(GenerationId, LoadError)>,
    queue: ReloadQueue<oneshot::Sender<Arc<Report>>>,
    running: Option<Running>,
    emptied_sender: mpsc::UnboundedSender<GenerationId>,
    deadlines: Deadlines,
    isolates: Isolates,
    history: History,
}

impl Task {
    async fn run(
        mut self,
        mut requests: mpsc::UnboundedReceiver<Request>,
        mut emptied: mpsc::UnboundedReceiver<GenerationId>,
    ) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.begin_next_load();
            tokio::select! {
                request = requests.recv() => match request {
                    Some(Request::Load { want, reason, answer }) => self.queue.push(want, reason, answer),
                    Some(Request::Stop { done }) => {
                        self.stop().await;
                        let _ = done.send(());
                        return;
                    }
                    None => return self.stop().await,
                },
                done = next_done(&mut self.running) => self.proceed(done),
                Some(id) = emptied.recv() => self.close_if_idle(id),
                id = self.deadlines.next() => self.apply(id, Event::DeadlinePassed),
                news = self.isolates.next() => self.isolate_news(news),
                _ = look.tick() => self.look_after_isolates(),
            }
        }
    }

    fn begin_next_load(&mut self) {
        while self.running.is_none()
            && let Some((want, reason)) = self.queue.start()
        {
            let began = Instant::now();
            match (want, self.table.current()) {
                (Want::Reload { force: false }, Some(current)) => {
                    self.running = Some(Running::compare(want, reason, began, current.sources.clone()));
                }
                _ => self.begin_load(want, reason, began),
            }
        }
    }

    fn begin_load(&mut self, want: Want, reason: Reason, began: Instant) {
        let sources = match want {
            Want::Reload { .. } | Want::Check => SourceChoice::Disk,
            Want::Rollback(wanted) => match self.history.find(wanted, self.generations.current()) {
                Ok(sources) => SourceChoice::Kept(sources),
                Err(error) => {
                    let generation = self.generations.current();
                    let kept = self.history.kept();
                    return self.answer(
                        Outcome::NotKept {
                            generation,
                            kept,
                            error,
                        },
                        began,
                    );
                }
            },
        };
        let id = self.generations.begin();
        self.entries.insert(id, Entry::loading(id, reason));
        let request = LoadRequest {
            name: format!("generation-{id}"),
            project: self.project.clone(),
            sources,
            timeout: self.limits.load,
            queue: Arc::new(CallQueue::default()),
            heap_limit: self.limits.heap,
        };
        self.running = Some(Running::load(want, reason, began, id, self.engine.clone(), request));
        self.show(id);
    }

    fn proceed(&mut self, done: Done) {
        let Some(Running {
            want, reason, began, ..
        }) = self.running.take()
        else {
            return;
        };
        match done {
            Done::Compared { changed: true } => self.begin_load(want, reason, began),
            Done::Compared { changed: false } => self.end_unchanged(began),
            Done::Loaded(
                id,
                LoadResult {
                    loaded: Err(load_error),
                    ..
                },
            ) => self.reject(want, id, load_error, began),
            Done::Loaded(
                id,
                LoadResult {
                    loaded: Ok(loaded),
                    git,
                    queue,
                },
            ) => {
                let emptied = self.emptied_sender.clone();
                let generation = Arc::new(Generation::new(id, loaded.manifest, loaded.sources, queue, emptied));
                self.isolate_joins(&generation, loaded.isolate);
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.git.clone_from(&git);
                    entry.loaded_at = Some(Timestamp::now());
                    entry.hash = Some(generation.hash.clone());
                    entry.live = Some(generation.clone());
                }
                self.apply(id, Event::Loaded);
                match want {
                    Want::Check => self.discard(&generation, git, began),
                    Want::Reload { .. } | Want::Rollback(_) => self.activate(&generation, git, began),
                }
            }
        }
    }

    /// The disk reads as the current generation did.
    fn end_unchanged(&mut self, began: Instant) {
        self.last_rejected = None;
        self.show_all();
        if let Some(current) = self.table.current() {
            info!(generation = current.id.0, "nothing changed");
            self.answer(
                Outcome::Unchanged {
                    generation: current.id,
                    hash: current.hash.clone(),
                },
                began,
            );
        }
    }

    fn reject(&mut self, want: Want, id: GenerationId, load_error: LoadError, began: Instant) {
        if want != Want::Check {
            self.last_rejected = Some((id, load_error.clone()));
        }
        self.apply(id, Event::LoadFailed);
        warn!(
            generation = id.0,
            kind = load_error.kind.as_str(),
            file = load_error.file,
            line = load_error.line,
            column = load_error.column,
            error = %load_error,
            frame = load_error.frame.as_deref().map(tracing::field::display),
            help = load_error.help.as_deref().map(tracing::field::display),
            "generation rejected"
        );
        let generation = self.generations.current();
        let error = load_error;
        self.answer(Outcome::Rejected { generation, error }, began);
    }

    fn discard(&mut self, generation: &Arc<Generation>, git: Option<String>, began: Instant) {
        let current = self.table.current();
        let outcome = Outcome::Checked {
            generation: current.as_ref().map(|current| current.id),
            hash: generation.hash.clone(),
            git,
            functions: FunctionChanges::between(
                current.as_ref().map(|current| &current.manifest),
                &generation.manifest,
            ),
            warnings: generation.manifest.warnings.clone(),
        };
        // Never published, so nobody can hold a lease.
        let _ = generation.leases.close_if_idle();
        self.apply(generation.id, Event::Discarded);
        self.answer(outcome, began);
    }

    fn activate(&mut self, generation: &Arc<Generation>, git: Option<String>, began: Instant) {
        let previous = self.table.current();
        let functions = FunctionChanges::between(
            previous.as_ref().map(|previous| &previous.manifest),
            &generation.manifest,
        );
        self.last_rejected = None;
        self.history.push(generation.id, generation.sources.clone());
        self.apply(generation.id, Event::Activated);
        info!(
            generation = generation.id.0,
            functions = functions.count,
            git,
            "generation activated"
        );
        for warning in &generation.manifest.warnings {
            warn!(code = warning.code, function = warning.function, "{}", warning.message);
        }
        let outcome = Outcome::Activated {
            generation: generation.id,
            previous: previous.map(|previous| previous.id),
            hash: generation.hash.clone(),
            git,
            functions,
            draining: self.draining(),
            warnings: generation.manifest.warnings.clone(),
        };
        self.answer(outcome, began);
    }

    /// Tells the state machine, shows the new state, and does what was decided.
    fn apply(&mut self, id: GenerationId, event: Event) {
        let decisions = match self.generations.apply(id, event) {
            Ok(decisions) => decisions,
            Err(misplaced) => return error!(%misplaced, "a fault of Baton: please report it"),
        };
        // First the swap, so that whoever sees the new state is served by it.
        for decision in decisions {
            self.act(decision);
        }
        self.show(id);
    }

    fn act(&mut self, decision: Decision) {
        match decision {
            Decision::Publish(id) => self.table.publish(self.live(id)),
            Decision::Drain(id) => {
                self.deadlines.set(id, self.limits.drain);
                self.show(id);
                if let Some(generation) = self.live(id) {
                    generation.pool.drain();
                }
                if self.live(id).is_some_and(|generation| generation.leases.supersede()) {
                    self.close_if_idle(id);
                }
            }
            Decision::Hurry(id) => {
                let in_flight = self.live(id).map_or(0, |generation| generation.in_flight().len());
                let within = self.limits.hurried_drain;
                warn!(
                    generation = id.0,
                    in_flight,
                    "more than {} generations are live: this one has {within:?} to finish its calls",
                    self.limits.max_generations,
                );
                self.deadlines.set(id, within);
            }
            Decision::Terminate(id) => {
                if let Some(generation) = self.live(id) {
                    for (call, since) in generation.in_flight() {
                        warn!(
                            generation = id.0,
                            function = call.function,
                            run = call.run,
                            step = call.step,
                            running_ms = since.elapsed().as_millis(),
                            "call cut: its generation drained for too long",
                        );
                    }
                    generation.pool.terminate();
                }
            }
            Decision::Close(id) => {
                self.deadlines.remove(id);
                if let Some(generation) = self.live(id) {
                    self.close_isolates(&generation);
                }
            }
        }
    }

    fn close_if_idle(&mut self, id: GenerationId) {
        let closed = self
            .live(id)
            .is_some_and(|generation| generation.leases.close_if_idle());
        if closed {
            self.apply(id, Event::Emptied);
        }
    }

    fn closed(&mut self, id: GenerationId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.live = None;
        }
        self.apply(id, Event::Closed);
        info!(generation = id.0, "generation retired");
    }

    fn draining(&self) -> Vec<Draining> {
        let draining = self.entries.values().filter(|entry| entry.state.word() == "draining");
        let all = draining
            .filter_map(|entry| entry.live.as_ref())
            .map(|generation| Draining {
                generation: generation.id,
                in_flight: generation.in_flight().len(),
            });
        all.filter(|draining| draining.in_flight > 0).collect()
    }

    fn live(&self, id: GenerationId) -> Option<Arc<Generation>> {
        self.entries.get(&id).and_then(|entry| entry.live.clone())
    }

    fn answer(&mut self, outcome: Outcome, began: Instant) {
        let took_ms = (began.elapsed().as_secs_f64() * 10_000.0).round() / 10.0;
        let report = Arc::new(Report { outcome, took_ms });
        self.table.tell(HostEvent::Reload(report.clone()));
        for ticket in self.queue.finish() {
            // Whoever asked may have gone.
            let _ = ticket.send(report.clone());
        }
    }

    /// Shows one generation's new state, and tells those who follow.
    fn show(&mut self, id: GenerationId) {
        if let (Some(entry), Some(state)) = (self.entries.get_mut(&id), self.generations.state(id)) {
            let word = state.word();
            let news = entry.state.word() != word || !entry.announced;
            entry.state = state;
            entry.announced = true;
            if news {
                self.table.tell(HostEvent::Generation {
                    generation: id,
                    state: word,
                });
            }
        }
        self.show_all();
    }

    fn show_all(&mut self) {
        for id in self.generations.forget_ended(SHOWN_ENDED) {
            self.entries.remove(&id);
        }
        self.table.show(View {
            entries: self.entries.values().cloned().collect(),
            last_rejected: self.last_rejected.clone(),
        });
    }

    async fn stop(&mut self) {
        self.running = None;
        self.table.publish(None);
        for generation in self.entries.values().filter_map(|entry| entry.live.as_ref()) {
            generation.pool.close();
        }
        if tokio::time::timeout(STOP_GRACE, self.isolates.all_gone())
            .await
            .is_err()
        {
            warn!("isolates still run: they end with the process");
        }
    }
}
