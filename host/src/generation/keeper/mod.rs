//! The one task that acts: it loads, swaps, drains and closes generations as `state` decides, and shows the result in
//! the table. Everybody else sends it requests and reads.

mod answers;
mod canary_course;
mod frozen;
mod handover;
mod isolates;
mod keeper_handle;
mod loads;
mod preparing;
mod replays;
mod spare;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use js_runtime_api::{Engine, LoadError, Sources};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use self::answers::Answers;
use self::canary_course::TrialRecord;
pub use self::frozen::FrozenHost;
use self::frozen::Handover;
use self::isolates::{Isolates, LOOK_EVERY};
use self::keeper_handle::KeeperRequest;
pub use self::keeper_handle::{Keeper, Limits};
use self::preparing::PreparationState;
use super::deadlines::Deadlines;
use super::history::History;
use super::live::Generation;
use super::load::{OutdatedCheck, RunningLoad, SupersededLoads, next_done, next_outdated};
use super::project_place::ProjectPlace;
use super::reload_queue::{ReloadQueue, WantedCode};
use super::report::{DrainingGeneration, Report};
use super::retry::Retry;
use super::state::{Decision, Event, GenerationId, Generations, PublicState, State};
use super::table::{GenerationEntry, HostEvent, Table, View};
use crate::release::Digest;
use crate::tasks::OwnedTask;

/// The number of ended generations that are still shown.
const SHOWN_ENDED: usize = 20;
/// The longest time that user code may hold the thread of an isolate that ends together with the host.
const STOP_GRACE: Duration = Duration::from_secs(5);

struct KeeperTask {
    engine: Arc<dyn Engine>,
    /// The project that the next load reads.
    place: ProjectPlace,
    limits: Limits,
    table: Arc<Table>,
    generations: Generations,
    entries: BTreeMap<GenerationId, GenerationEntry>,
    last_rejected: Option<(GenerationId, LoadError)>,
    /// The sources that were read from the disk last, whatever the outcome of their load.
    newest_read: Option<Arc<dyn Sources>>,
    /// The release that these are of.
    newest_read_of: Option<Digest>,
    queue: ReloadQueue<oneshot::Sender<Arc<Report>>>,
    answers: Answers,
    running: Option<RunningLoad>,
    retry: Retry,
    /// The question whether a change on the disk makes the running load useless, while its answer is awaited.
    outdated: Option<OutdatedCheck>,
    superseded: Option<SupersededLoads>,
    emptied_sender: mpsc::UnboundedSender<GenerationId>,
    emptied: mpsc::UnboundedReceiver<GenerationId>,
    deadlines: Deadlines,
    isolates: Isolates,
    preparing: PreparationState,
    /// The replays of live runs that go on beside the newest reload.
    replaying: Option<OwnedTask<()>>,
    handover: Handover,
    history: History,
    record: TrialRecord,
    /// The revision of the current generation's sources when they were looked at last.
    watched_revision: Option<usize>,
}

impl KeeperTask {
    fn new(
        engine: Arc<dyn Engine>,
        place: ProjectPlace,
        limits: Limits,
        table: Arc<Table>,
        history: History,
        given: Option<GenerationId>,
        record: TrialRecord,
    ) -> Self {
        let (emptied_sender, emptied) = mpsc::unbounded_channel();
        Self {
            engine,
            place,
            generations: Generations::new(limits.max_generations, history.newest().max(given)),
            limits,
            table,
            entries: BTreeMap::new(),
            last_rejected: None,
            newest_read: None,
            newest_read_of: None,
            queue: ReloadQueue::default(),
            answers: Answers::default(),
            running: None,
            retry: Retry::default(),
            outdated: None,
            superseded: None,
            emptied_sender,
            emptied,
            deadlines: Deadlines::default(),
            isolates: Isolates::default(),
            preparing: PreparationState::default(),
            replaying: None,
            handover: Handover::default(),
            history,
            record,
            watched_revision: None,
        }
    }

    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<KeeperRequest>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let trial_news = self.table.trial_news();
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.begin_next_load();
            self.answer_freeze().await;
            self.prepare_next_load();
            tokio::select! {
                request = requests.recv() => match request {
                    Some(KeeperRequest::Load { want, reason, answer }) => {
                        self.queue.push(want, reason, answer);
                        if matches!(want, WantedCode::Reload { .. }) {
                            self.asked_during_load();
                        }
                        if self.handover.is_over() {
                            self.refuse_waiting();
                        }
                    }
                    Some(KeeperRequest::Move(place)) => self.place = *place,
                    Some(KeeperRequest::Freeze { answer }) => self.handover.freeze(answer),
                    Some(KeeperRequest::Resume { given }) => self.resume(given),
                    // The requester may have gone.
                    Some(KeeperRequest::Ping { answer }) => drop(answer.send(())),
                    // The requester may have gone.
                    Some(KeeperRequest::Canary { command, answer }) => drop(answer.send(self.decide(command))),
                    Some(KeeperRequest::HandOver) => self.hand_over().await,
                    Some(KeeperRequest::Stop { done }) => {
                        self.table.tasks().may_end();
                        self.stop().await;
                        let _ = done.send(());
                        return;
                    }
                    None => {
                        self.table.tasks().may_end();
                        return self.stop().await;
                    }
                },
                done = next_done(&mut self.running) => self.proceed(done),
                due = self.answers.next() => self.give_answer(due),
                (id, changed) = next_outdated(&mut self.outdated) => if changed {
                    self.supersede_load(id);
                },
                Some(id) = self.emptied.recv() => self.close_if_idle(id),
                id = self.deadlines.next() => self.deadline_passed(id),
                () = self.preparing.done() => {}
                () = trial_news.notified() => self.judge_trial(),
                news = self.isolates.next() => self.isolate_news(news),
                _ = look.tick() => {
                    self.look_after_isolates();
                    self.tell_long_load();
                    if self.handover.is_open() {
                        self.judge_trial();
                        self.keep_trial();
                        self.look_after_sources();
                        self.try_again_if_due();
                    }
                    self.table.holds.expire();
                }
            }
        }
    }

    /// Tells the state machine of an event, acts on its decisions, and shows the new state.
    fn apply(&mut self, id: GenerationId, event: Event) {
        let decisions = match self.generations.apply(id, event) {
            Ok(decisions) => decisions,
            Err(misplaced) => {
                return error!(%misplaced, "a change of state is impossible: this is a bug in Baton, please report it");
            }
        };
        // The swap comes first, so that the new generation serves whoever sees the new state.
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
                    self.isolates.drain(&generation);
                    if generation.shares_address && self.limits.linger > Duration::ZERO {
                        self.table.holds.linger(&generation, self.limits.linger);
                    }
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
                self.table.holds.release(id);
            }
            Decision::Terminate(id) => {
                self.table.holds.release(id);
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
                    if generation.in_flight().is_empty() {
                        warn!(generation = id.0, "generation ended: its code did not finish in time");
                    }
                    generation.pool.terminate();
                }
            }
            Decision::Close(id) => {
                if self.generations.state(id) == Some(State::Closing) {
                    self.deadlines.begin(id, self.limits.drain);
                }
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

    fn deadline_passed(&mut self, id: GenerationId) {
        if self.live(id).is_some_and(|generation| generation.pool.is_debugged()) {
            // The generation is ended when the debugger has gone.
            return self.deadlines.set(id, LOOK_EVERY);
        }
        self.apply(id, Event::DeadlinePassed);
    }

    fn closed(&mut self, id: GenerationId) {
        self.deadlines.remove(id);
        self.isolates.forget(id);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.live = None;
        }
        self.apply(id, Event::Closed);
        info!(generation = id.0, "generation retired");
    }

    fn draining(&self) -> Vec<DrainingGeneration> {
        let draining = self
            .entries
            .values()
            .filter(|entry| entry.state.public() == PublicState::Draining);
        let all = draining
            .filter_map(|entry| entry.live.as_ref())
            .map(|generation| DrainingGeneration {
                generation: generation.id,
                in_flight: generation.in_flight().len(),
            });
        all.filter(|draining| draining.in_flight > 0).collect()
    }

    fn live(&self, id: GenerationId) -> Option<Arc<Generation>> {
        self.entries.get(&id).and_then(|entry| entry.live.clone())
    }

    /// Shows one generation's new state, and tells the followers of it.
    fn show(&mut self, id: GenerationId) {
        if let (Some(entry), Some(state)) = (self.entries.get_mut(&id), self.generations.state(id)) {
            let public = state.public();
            entry.state = state;
            if entry.announced.replace(public) != Some(public) {
                self.table.tell(HostEvent::Generation {
                    generation: id,
                    state: public.as_str(),
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

    /// Watches and keeps the files, too, that the current generation has read since, by a lazy `import()` for
    /// example.
    fn look_after_sources(&mut self) {
        let revision = self.table.current().map(|current| current.sources.revision());
        if revision != self.watched_revision {
            self.watched_revision = revision;
            self.history.refresh();
            self.show_watched();
        }
    }

    fn show_watched(&self) {
        let current = self.table.current().map(|current| current.sources.clone());
        let read = current.iter().chain(&self.newest_read).map(|sources| sources.watched());
        let all = read.reduce(|mut all, more| {
            all.files.extend(more.files);
            all.trees.extend(more.trees);
            all.links.extend(more.links);
            all
        });
        self.table.watch(all.unwrap_or_default());
    }

    async fn stop(&mut self) {
        self.running = None;
        self.keep_trial_whole().await;
        self.give_up_spare().await;
        self.table.holds.clear();
        self.history.close().await;
        self.give_all_answers();
        self.table.publish(None);
        for generation in self.live_generations() {
            generation.pool.close();
        }
        if !self.isolates_end().await {
            warn!("isolates are still running: they end with the process");
        }
    }
}
