//! The table of generations: the one that serves a call, and the states that others may see. The keeper writes it,
//! everybody reads it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use js_runtime_api::{CallError, LoadError, LoadStage, WatchedPaths};
use serde::Serialize;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::choice::GenerationChoice;
use super::gate::Gate;
use super::holds::{Holds, Pin};
use super::live::{CallInfo, Generation, Lease};
use super::losses::LossCount;
use super::reload_queue::Reason;
use super::report::Report;
use super::role::Role;
use super::state::{GenerationId, PublicState, State};
use super::timeline::Timeline;
use super::trial::{CanarySummary, Trial};
use crate::release::UnpackedRelease;
use crate::replay::KeptCalls;
use crate::tasks::WatchedTasks;
use crate::wire::AnswerHead;

/// The table that the keeper, the server and the commands share.
#[derive(Debug)]
pub struct Table {
    current: ArcSwapOption<Generation>,
    /// The calls that belong to an older generation.
    pub holds: Holds,
    /// The newest call of each live run.
    pub(super) live_calls: KeptCalls,
    /// The events of the last minutes.
    pub timeline: Arc<Timeline>,
    /// The canary that is on.
    trial: ArcSwapOption<Trial>,
    /// The canary that was on last.
    ended_trial: ArcSwapOption<CanarySummary>,
    /// Tells that a canary is to be judged.
    trial_news: Arc<Notify>,
    view: watch::Sender<Arc<View>>,
    /// The places where a change on the disk would be news.
    watched: watch::Sender<WatchedPaths>,
    events: broadcast::Sender<HostEvent>,
    /// The token that is cancelled when the host is to end: no call is held any longer.
    draining: CancellationToken,
    role: watch::Sender<Role>,
    /// The tasks without which nobody would serve, load or look after isolates.
    tasks: WatchedTasks,
    /// The cost of isolates that V8 could not end.
    pub losses: LossCount,
    /// Whoever may refuse a generation that was loaded.
    gates: OnceLock<Vec<Arc<dyn Gate>>>,
}

/// All generations at one moment.
#[derive(Debug, Default)]
pub struct View {
    /// The generations by number, the oldest first.
    pub entries: Vec<GenerationEntry>,
    /// The newest load that failed, while nothing newer was activated.
    pub last_rejected: Option<(GenerationId, LoadError)>,
}

/// A generation as the outside sees it.
#[derive(Debug, Clone)]
pub struct GenerationEntry {
    pub id: GenerationId,
    pub state: State,
    pub reason: Reason,
    pub git: Option<String>,
    /// The release that the code is of.
    pub release: Option<Arc<UnpackedRelease>>,
    /// The earlier generation whose code this is.
    pub restored_from: Option<GenerationId>,
    pub loaded_at: Option<Timestamp>,
    /// The generation itself, while it has an isolate.
    pub live: Option<Arc<Generation>>,
    pub hash: Option<String>,
    /// The stage of the load, once it takes long.
    pub load_stage: Option<LoadStage>,
    /// The state that the followers were told last.
    pub(super) announced: Option<PublicState>,
}

impl GenerationEntry {
    /// The time of the code: that of the release's push, or else of the load.
    #[must_use]
    pub fn code_time(&self) -> Option<Timestamp> {
        self.release
            .as_ref()
            .map(|release| release.config.created)
            .or(self.loaded_at)
    }

    pub(super) const fn loading(id: GenerationId, reason: Reason) -> Self {
        Self {
            id,
            state: State::Loading,
            reason,
            git: None,
            release: None,
            restored_from: None,
            loaded_at: None,
            live: None,
            hash: None,
            load_stage: None,
            announced: None,
        }
    }
}

/// An event of the host, for its followers.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum HostEvent {
    /// A generation's state changed.
    Generation {
        generation: GenerationId,
        state: &'static str,
    },
    /// A reload was answered.
    Reload(Arc<Report>),
    /// A canary began, or ended.
    Canary(Arc<CanarySummary>),
    /// Inngest knows the functions, or does not any more.
    Registration { state: &'static str, error: Option<String> },
}

impl HostEvent {
    /// The event's name in a stream of server-sent events.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Generation { .. } => "generation",
            Self::Reload(_) => "reload",
            Self::Canary(_) => "canary",
            Self::Registration { .. } => "registration",
        }
    }
}

/// The reason why a call found no generation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseRefusal {
    #[error("no generation was ready within {0:?}")]
    HeldTooLong(Duration),
    #[error("too many calls wait for a generation")]
    TooManyHeld,
    #[error("the host is shutting down")]
    Draining,
    #[error("another host of the project has taken over")]
    HandedOver,
}

/// The number of events that a slow follower may be behind before it misses some.
const EVENTS_KEPT: usize = 1024;

impl Table {
    #[must_use]
    pub fn new(pin: Pin) -> Self {
        Self {
            holds: Holds::new(pin),
            live_calls: KeptCalls::default(),
            timeline: Arc::default(),
            current: ArcSwapOption::empty(),
            trial: ArcSwapOption::empty(),
            ended_trial: ArcSwapOption::empty(),
            trial_news: Arc::default(),
            view: watch::Sender::new(Arc::default()),
            watched: watch::Sender::default(),
            events: broadcast::Sender::new(EVENTS_KEPT),
            draining: CancellationToken::new(),
            role: watch::Sender::default(),
            tasks: WatchedTasks::default(),
            losses: LossCount::default(),
            gates: OnceLock::new(),
        }
    }

    /// The generation that gets new calls.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// The generation with the newest code that gets runs: the canary, or else the current one.
    #[must_use]
    pub fn newest(&self) -> Option<Arc<Generation>> {
        let canary = self.trial().map(|trial| trial.canary.clone());
        canary.or_else(|| self.current())
    }

    /// Takes a lease on the generation that the call belongs to: the current one, unless an older one planned its
    /// step, or its run is pinned. Waits while there is no generation yet.
    ///
    /// # Errors
    /// When there is none after `hold`, or the host ends.
    pub async fn lease(&self, info: CallInfo, hold: Duration) -> Result<Lease, LeaseRefusal> {
        if let Some(lease) = self.lease_while_accepting(&info) {
            return Ok(lease);
        }
        tokio::select! {
            lease = self.wait_for_lease(info) => lease,
            () = tokio::time::sleep(hold) => Err(LeaseRefusal::HeldTooLong(hold)),
            () = self.draining.cancelled() => Err(LeaseRefusal::Draining),
        }
    }

    /// Takes a lease as [`Self::lease`] does, for a request that is not worth a long wait: it is given up after
    /// `limit` while no generation is current. A request that waits only because the hosts of the project take turns
    /// waits on.
    ///
    /// # Errors
    /// When there is none after `limit`, or the host ends.
    pub async fn lease_soon(&self, info: CallInfo, limit: Duration, hold: Duration) -> Result<Lease, LeaseRefusal> {
        let nothing_serves = async {
            tokio::time::sleep(limit).await;
            self.wait_until(|_| self.current().is_none()).await;
        };
        tokio::select! {
            biased;
            lease = self.lease(info, hold) => lease,
            () = nothing_serves => Err(LeaseRefusal::HeldTooLong(limit)),
        }
    }

    /// Takes a lease as [`Self::lease`] does, for a call that this host has said it executes: the role is not asked.
    ///
    /// # Errors
    /// When there is none after `hold`, or the host ends.
    pub async fn lease_acknowledged(&self, info: CallInfo, hold: Duration) -> Result<Lease, LeaseRefusal> {
        if let Some(lease) = self.try_lease(&info) {
            return Ok(lease);
        }
        let mut changes = self.view.subscribe();
        let there_is_one = async {
            loop {
                changes.borrow_and_update();
                if let Some(lease) = self.try_lease(&info) {
                    return lease;
                }
                // The sender lives as long as this table.
                let _ = changes.changed().await;
            }
        };
        tokio::select! {
            lease = there_is_one => Ok(lease),
            () = tokio::time::sleep(hold) => Err(LeaseRefusal::HeldTooLong(hold)),
            () = self.draining.cancelled() => Err(LeaseRefusal::Draining),
        }
    }

    /// Takes a lease while this host accepts. The role is looked at again once the lease is taken: whoever has seen
    /// this host stop accepting sees every call that it still executes.
    fn lease_while_accepting(&self, info: &CallInfo) -> Option<Lease> {
        let accepts = || matches!(*self.role.borrow(), Role::Accepting | Role::Waiting);
        if !accepts() {
            return None;
        }
        self.try_lease(info).filter(|_| accepts())
    }

    fn try_lease(&self, info: &CallInfo) -> Option<Lease> {
        if let Some(lease) = self.holds.find(info).and_then(|held| held.lease(info.clone())) {
            return Some(lease);
        }
        if let Some(lease) = self.lease_of_split(info) {
            return Some(lease);
        }
        if let Some(lease) = self.lease_for_lost_function(info) {
            return Some(lease);
        }
        if let Some(current) = self.current().filter(|current| !current.may_know(info))
            && let Some(lease) = self.lease_beside(info, &[current.id], |live| live.may_know(info))
        {
            return Some(lease);
        }
        // A generation that refuses has been superseded since it was read, so the next read finds
        // its successor.
        while let Some(current) = self.current() {
            if let Some(lease) = current.lease(info.clone()) {
                return Some(lease);
            }
        }
        None
    }

    /// Takes a lease for a run that a canary, or the generation beside it, gets. The run stays there.
    fn lease_of_split(&self, info: &CallInfo) -> Option<Lease> {
        let generation = self.trial.load_full()?.generation_of(info)?;
        let lease = generation.lease(info.clone())?;
        if let Some(run) = &info.run {
            self.holds.pin(run, &generation);
            if self.trial.load().is_none() {
                // The canary has ended meanwhile.
                self.holds.unpin(run);
            }
        }
        Some(lease)
    }

    /// Learns from an answer of the SDK, for which the isolate took so long: which calls are to come, and how the run
    /// fares while a canary is on.
    pub fn learn(
        &self,
        generation: &Arc<Generation>,
        info: &CallInfo,
        head: AnswerHead<'_>,
        body: &[u8],
        took: Duration,
    ) {
        let has_ended = self.holds.learn(generation, info, head, body);
        if let (Some(run), Some(function)) = (&info.run, &info.function) {
            match has_ended {
                true => self.live_calls.forget(run),
                false => self.live_calls.keep(run, function, &info.body, Instant::now()),
            }
        }
        if let Some(trial) = self.trial.load_full() {
            self.unpin_ended(info, trial.learn(generation, info, head, body, took));
        }
    }

    /// Learns of a call that has no answer.
    pub fn learn_loss(&self, generation: &Arc<Generation>, info: &CallInfo, error: &CallError) {
        // A host that ends cuts calls, which says nothing of their code.
        if let Some(trial) = self.trial.load_full()
            && !self.draining.is_cancelled()
        {
            self.unpin_ended(info, trial.learn_loss(generation, info, error));
        }
    }

    fn unpin_ended(&self, info: &CallInfo, has_ended: bool) {
        if let Some(run) = info.run.as_deref().filter(|_| has_ended) {
            self.holds.unpin(run);
        }
    }

    /// The canary that is on, or else the one that was on last.
    #[must_use]
    pub fn canary(&self) -> Option<Arc<CanarySummary>> {
        let trial = self.trial.load_full();
        trial
            .map(|trial| Arc::new(trial.summary(None)))
            .or_else(|| self.ended_trial.load_full())
    }

    pub(super) fn trial(&self) -> Option<Arc<Trial>> {
        self.trial.load_full()
    }

    pub(super) fn trial_news(&self) -> Arc<Notify> {
        self.trial_news.clone()
    }

    pub(super) fn begin_trial(&self, trial: Arc<Trial>) {
        self.trial.store(Some(trial));
    }

    /// Splits no more runs.
    pub(super) fn end_trial(&self, summary: CanarySummary) {
        self.trial.store(None);
        self.ended_trial.store(Some(Arc::new(summary)));
    }

    /// The live generation that a person names.
    #[must_use]
    pub fn named(&self, choice: GenerationChoice) -> Option<Arc<Generation>> {
        match choice {
            GenerationChoice::Canary => self.trial().map(|trial| trial.canary.clone()),
            GenerationChoice::Number(id) => {
                let view = self.view();
                let entry = view.entries.iter().find(|entry| entry.id == id);
                entry.and_then(|entry| entry.live.clone())
            }
        }
    }

    /// Has a run executed by a live generation that a person names. False where that is not live.
    #[must_use]
    pub fn pin_to(&self, run: &str, choice: GenerationChoice) -> bool {
        self.named(choice).is_some_and(|generation| {
            self.holds.pin(run, &generation);
            true
        })
    }

    /// Takes a lease for a function that the current generation lost: the newest generation that has it serves the
    /// call.
    fn lease_for_lost_function(&self, info: &CallInfo) -> Option<Lease> {
        let function = info.function.as_deref()?;
        if self.current()?.may_have(function) {
            return None;
        }
        let view = self.view();
        let mut newest_first = view.entries.iter().rev().filter(|entry| entry.state == State::Draining);
        let lease = newest_first.find_map(|entry| {
            let live = entry.live.as_ref().filter(|live| live.may_have(function))?;
            live.lease(info.clone())
        })?;
        tracing::warn!(
            function,
            run = info.run,
            generation = lease.generation().id.0,
            "the current generation has no such function: an older one serves the call"
        );
        Some(lease)
    }

    /// Takes a lease for a step that none of these generations planned: the newest of the others that has the function
    /// serves the call.
    #[must_use]
    pub fn lease_for_unknown_step(&self, info: &CallInfo, asked: &[GenerationId]) -> Option<Lease> {
        self.lease_beside(info, asked, |live| live.may_know(info))
            .or_else(|| self.lease_beside(info, asked, |_| true))
    }

    fn lease_beside(
        &self,
        info: &CallInfo,
        asked: &[GenerationId],
        is_wanted: impl Fn(&Generation) -> bool,
    ) -> Option<Lease> {
        let function = info.function.as_deref()?;
        let view = self.view();
        let mut newest_first = view
            .entries
            .iter()
            .rev()
            .filter(|entry| matches!(entry.state, State::Current | State::Draining) && !asked.contains(&entry.id));
        newest_first.find_map(|entry| {
            let live = entry
                .live
                .as_ref()
                .filter(|live| live.may_have(function) && is_wanted(live))?;
            live.lease(info.clone())
        })
    }

    async fn wait_for_lease(&self, info: CallInfo) -> Result<Lease, LeaseRefusal> {
        let mut changes = self.view.subscribe();
        let mut roles = self.role.subscribe();
        loop {
            if *roles.borrow_and_update() == Role::HandedOver {
                return Err(LeaseRefusal::HandedOver);
            }
            if let Some(lease) = self.lease_while_accepting(&info) {
                return Ok(lease);
            }
            // The senders live as long as this table.
            tokio::select! {
                _ = changes.changed() => {}
                _ = roles.changed() => {}
            }
        }
    }

    /// Sets the gates, once: from now on each of them is asked before a generation gets runs beside another one.
    pub fn set_gates(&self, gates: Vec<Arc<dyn Gate>>) {
        // A second call is a mistake, and the first gates stay.
        let _ = self.gates.set(gates);
    }

    pub(super) fn gates(&self) -> &[Arc<dyn Gate>] {
        self.gates.get().map_or(&[], Vec::as_slice)
    }

    /// The role of this host, and each change of it.
    #[must_use]
    pub fn role(&self) -> watch::Receiver<Role> {
        self.role.subscribe()
    }

    /// Tells whether another host executes new calls.
    #[must_use]
    pub fn is_handed_over(&self) -> bool {
        *self.role.borrow() == Role::HandedOver
    }

    /// Sets the role of this host, from the next call on.
    pub fn set_role(&self, role: Role) {
        if role == Role::HandedOver {
            self.tasks.may_end();
        }
        self.role.send_replace(role);
    }

    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// The view, and each change of it.
    #[must_use]
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// The release that a generation's code is of.
    #[must_use]
    pub fn release_of(&self, id: GenerationId) -> Option<Arc<UnpackedRelease>> {
        let view = self.view();
        let entry = view.entries.iter().find(|entry| entry.id == id)?;
        entry.release.clone()
    }

    /// Waits until the view satisfies the condition.
    pub async fn wait_until(&self, condition: impl Fn(&View) -> bool) {
        // Fails only without a sender, which this table holds.
        let _ = self.view.subscribe().wait_for(|view| condition(view)).await;
    }

    /// The events from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<HostEvent> {
        self.events.subscribe()
    }

    /// Tells that the host is to end: readiness says so, and waiting calls are told.
    pub fn drain(&self) {
        self.tasks.may_end();
        self.draining.cancel();
        // Streams end only if user code ends them.
        for live in self.view().entries.iter().filter_map(|entry| entry.live.as_ref()) {
            live.pool.drain();
        }
    }

    #[must_use]
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// The tasks that the host cannot do without.
    #[must_use]
    pub const fn tasks(&self) -> &WatchedTasks {
        &self.tasks
    }

    pub(super) fn publish(&self, current: Option<Arc<Generation>>) {
        self.current.store(current);
    }

    pub(super) fn show(&self, view: View) {
        self.view.send_replace(Arc::new(view));
    }

    /// The places where a change on the disk would be news: the sources that serve, and those that were read last.
    #[must_use]
    pub fn watched(&self) -> watch::Receiver<WatchedPaths> {
        self.watched.subscribe()
    }

    pub(super) fn watch(&self, watched: WatchedPaths) {
        self.watched.send_if_modified(|now| {
            let news = *now != watched;
            *now = watched;
            news
        });
    }

    pub(crate) fn tell(&self, event: HostEvent) {
        match &event {
            HostEvent::Generation { generation, state } => self.timeline.generation_became(*generation, state),
            HostEvent::Reload(report) => self.timeline.reloaded(report.clone()),
            HostEvent::Canary(_) | HostEvent::Registration { .. } => {}
        }
        // An error means that nobody follows.
        let _ = self.events.send(event);
    }
}
