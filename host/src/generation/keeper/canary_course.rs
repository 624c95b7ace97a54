//! Trying a generation with a part of the new runs: the keeper begins a canary, acts on its verdict or on a person's
//! decision, and keeps its state for the next host.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use js_runtime_api::{LoadError, Sources};
use tokio::sync::{oneshot, watch};
use tracing::{error, info, warn};

use super::KeeperTask;
use crate::canary::{
    self, CanaryRecord, CanaryUse, CanaryVerdict, CanaryWish, Doubt, MovingRuns, OnFail, OnTime, Stages, Terms,
};
use crate::generation::history::PastGeneration;
use crate::generation::live::Generation;
use crate::generation::load::SourceOrigin;
use crate::generation::reload_queue::{Reason, WantedCode};
use crate::generation::report::{FunctionChanges, Outcome};
use crate::generation::state::{Event, GenerationId};
use crate::generation::table::HostEvent;
use crate::generation::trial::{
    CanaryCommand, CanaryEnd, CanaryRefusal, CanaryState, CanarySummary, Trial, TrialStart,
};
use crate::posix::free_memory::free_memory;
use crate::tasks::OwnedTask;

/// The number of hosts that may die while a canary is on: one may have other reasons.
const MOST_CRASHES: u32 = 2;
/// The time between two writes of a canary's state.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// The limit for the disk to take a canary's state.
const DISK_LIMIT: Duration = Duration::from_secs(5);

impl KeeperTask {
    /// The shares of the new runs that new code gets one after the other; `None`: all at once.
    pub(super) fn wanted_stages(&self, want: WantedCode, reason: Reason) -> Option<Stages> {
        let WantedCode::Reload { canary, .. } = want else {
            return None;
        };
        let (canary_use, options) = &self.limits.canary;
        let is_news = matches!(
            reason,
            Reason::Api | Reason::File | Reason::Git | Reason::Release | Reason::Retry
        );
        match (canary, self.table.trial(), canary_use) {
            (CanaryWish::Off, ..) | (_, _, CanaryUse::Never) => None,
            (CanaryWish::On(Some(share)), ..) => Some(Stages::one(share)),
            (CanaryWish::On(None), ..) => Some(options.stages.clone()),
            (CanaryWish::AsConfigured, Some(trial), _) => Some(trial.stages().clone()),
            (CanaryWish::AsConfigured, None, CanaryUse::Always) => is_news.then(|| options.stages.clone()),
            (CanaryWish::AsConfigured, None, CanaryUse::OnRequest) => None,
        }
    }

    /// Tells whether a canary has to pass the gate. One that the host before this one had on has passed.
    pub(super) fn has_gate(&self, sources: &dyn Sources) -> bool {
        let left = self.record.left_with(sources);
        !self.limits.canary.1.gate.is_empty() && left.is_none_or(|left| left.in_gate)
    }

    /// Notes on the disk that functions of a canary's gate are about to run: should the host die of them, the next one
    /// is to know. While another canary is on, the disk has the state of that one.
    pub(super) fn enter_gate(&mut self, sources: &dyn Sources, stages: Stages) {
        let Some(current) = self.table.current().filter(|_| self.table.trial().is_none()) else {
            return;
        };
        let mut record = CanaryRecord::new(current.id.0, sources.hash(), stages, Timestamp::now());
        record.in_gate = true;
        record.crashes = self.record.left_with(sources).map_or(0, |left| left.crashes);
        self.record.write(record);
    }

    /// Forgets a canary that has not passed the gate.
    pub(super) fn leave_gate(&mut self) {
        if self.table.trial().is_none() {
            self.record.remove();
        }
    }

    /// Refuses to load a canary for which the memory does not suffice.
    pub(super) fn lack_of_memory(&self, want: WantedCode, reason: Reason) -> Option<LoadError> {
        self.wanted_stages(want, reason)?;
        let isolates = self.table.current()?.pool.observed();
        let held = isolates.iter().map(|isolate| isolate.vitals.memory_used()).sum();
        canary::lack_of_memory(held, free_memory()?)
    }

    /// Gives a part of the new runs to a generation that was loaded.
    pub(super) fn begin_trial(
        &mut self,
        want: WantedCode,
        generation: &Arc<Generation>,
        stages: Stages,
        origin: SourceOrigin,
        began: Instant,
    ) {
        let Some(current) = self.table.current() else {
            return self.activate(want, generation, (origin, None), began);
        };
        let both = generation
            .manifest
            .functions()
            .filter(|(_, function)| current.has(&function.id));
        let functions = both.count();
        if functions == 0 {
            warn!(
                generation = generation.id.0,
                "no function is in both generations, so that nothing can be compared: the new code serves at once"
            );
            return self.activate(want, generation, (origin, None), began);
        }
        self.end_trial(CanaryEnd::Replaced {
            generation: generation.id,
        });
        let left = self.record.left.take();
        let record = left.filter(|record| record.hash == generation.hash);
        let is_resumed = record.is_some();
        let record = record.map(CanaryRecord::past_the_gate).unwrap_or_else(|| {
            let hash = generation.hash.clone();
            let mut record = CanaryRecord::new(current.id.0, hash, stages, Timestamp::now());
            // No run will speak for it.
            record.is_held = record.stages.gets_no_runs();
            record
        });
        let changes = FunctionChanges::between(Some(&current.manifest), &generation.manifest);
        self.last_rejected = None;
        self.retry.succeeded();
        let trial = Arc::new(Trial::new(TrialStart {
            canary: generation.clone(),
            current: current.clone(),
            git: origin.git.clone(),
            place: origin.place.clone(),
            terms: Terms {
                options: self.limits.canary.1.clone(),
                functions,
                changed: changes.changed.clone(),
            },
            record,
            news: self.table.trial_news(),
        }));
        for (run, generation) in trial.open_runs() {
            self.table.holds.pin(&run, &generation);
        }
        self.apply(generation.id, Event::Tried);
        self.table.begin_trial(trial.clone());
        info!(
            generation = generation.id.0,
            current = current.id.0,
            share = %trial.stages(),
            resumed = is_resumed,
            changed = (!changes.changed.is_empty()).then(|| changes.changed.join(", ")),
            git = origin.git,
            ms = began.elapsed().as_millis(),
            "canary began"
        );
        if !changes.added.is_empty() {
            let added = changes.added.join(", ");
            info!(
                added,
                "Inngest is told of the canary's new functions when it is promoted"
            );
        }
        self.record.kept_at = None;
        self.keep_trial();
        self.tell_canary(trial.summary(None));
        self.answer(
            Outcome::Canary {
                generation: generation.id,
                current: current.id,
                share: trial.share(),
                hash: generation.hash.clone(),
                git: origin.git,
                functions: changes,
                warnings: generation.manifest.warnings.clone(),
                gate: if is_resumed {
                    Vec::new()
                } else {
                    self.limits.canary.1.gate.clone()
                },
            },
            began,
        );
    }

    /// Acts on the verdict on the canary, if there is one.
    pub(super) fn judge_trial(&mut self) {
        let Some(trial) = self.table.trial().filter(|_| self.handover.is_open()) else {
            return;
        };
        match trial.verdict() {
            CanaryVerdict::Fail(grounds) => self.end_trial(CanaryEnd::Failed(grounds)),
            CanaryVerdict::Pass if !trial.is_held() => self.end_stage(&trial, CanaryEnd::Passed),
            CanaryVerdict::Inconclusive(doubt) if !trial.is_held() => match trial.on_time() {
                OnTime::Promote if !doubt.is_grave() => self.end_stage(&trial, CanaryEnd::TimeUp(doubt)),
                OnTime::Promote | OnTime::Hold => {
                    trial.hold();
                    warn!(
                        generation = trial.canary.id.0,
                        doubt = doubt.words(),
                        help =
                            "Run `baton canary` for the evidence, then `baton canary promote` or `baton canary abort`.",
                        "canary held: its time is up without a verdict"
                    );
                    self.tell_canary(trial.summary(None));
                }
            },
            CanaryVerdict::Open(Doubt::BothFail { function }) if trial.tell_both_fail() => warn!(
                generation = trial.canary.id.0,
                function, "most runs fail in both generations: there is no verdict on the canary"
            ),
            CanaryVerdict::Open(_) | CanaryVerdict::Pass | CanaryVerdict::Inconclusive(_) => {}
        }
    }

    /// Gives the canary more of the new runs, or all of them after its last stage.
    fn end_stage(&mut self, trial: &Trial, end: CanaryEnd) {
        let Some(share) = trial.advance() else {
            return self.promote(trial, end);
        };
        info!(
            generation = trial.canary.id.0,
            %share,
            because = end.words(),
            "canary gets more runs"
        );
        self.record.kept_at = None;
        self.keep_trial();
        self.tell_canary(trial.summary(None));
    }

    /// Does what a person decided.
    pub(super) fn decide(&mut self, command: CanaryCommand) -> Result<CanarySummary, CanaryRefusal> {
        if !self.handover.is_open() {
            return Err(CanaryRefusal::HandedOver);
        }
        let trial = self.table.trial().ok_or(CanaryRefusal::NoneIsOn)?;
        match command {
            CanaryCommand::Promote => self.promote(&trial, CanaryEnd::Promoted),
            CanaryCommand::Abort => self.end_trial(CanaryEnd::Aborted),
            CanaryCommand::Hold => {
                if trial.hold() {
                    info!(generation = trial.canary.id.0, "canary held");
                    self.tell_canary(trial.summary(None));
                }
            }
        }
        let canary = self.table.canary().ok_or(CanaryRefusal::NoneIsOn)?;
        Ok((*canary).clone())
    }

    /// Takes the canary back, if one is on.
    pub(super) fn end_trial(&mut self, end: CanaryEnd) {
        let Some(trial) = self.table.trial() else {
            return;
        };
        let (id, because) = (trial.canary.id, end.words());
        let is_failure = matches!(end, CanaryEnd::Failed(_));
        let summary = trial.summary(Some(end));
        self.table.end_trial(summary.clone());
        let moved = match trial.on_fail() {
            OnFail::Move => {
                self.table.holds.release(id);
                trial.moving_runs()
            }
            OnFail::Finish => MovingRuns::default(),
        };
        let unknown_steps = Some(moved.unknown_steps).filter(|steps| *steps > 0);
        let moved = moved.runs;
        self.table.holds.unpin_split(trial.current.id);
        self.record.remove();
        self.apply(id, Event::TakenBack);
        let current = trial.current.id.0;
        if is_failure {
            warn!(
                generation = id.0,
                current,
                because,
                moved,
                unknown_steps,
                help = "Mend the code on the disk and reload: until then the old code serves.",
                "canary taken back"
            );
        } else {
            info!(
                generation = id.0,
                current, because, moved, unknown_steps, "canary taken back"
            );
        }
        self.tell_canary(summary);
    }

    fn promote(&mut self, trial: &Trial, end: CanaryEnd) {
        let (generation, because) = (trial.canary.clone(), end.words());
        let summary = trial.summary(Some(end));
        self.table.end_trial(summary.clone());
        self.record.remove();
        self.apply(generation.id, Event::Activated);
        self.table.holds.unpin_split(generation.id);
        self.history.push(PastGeneration {
            id: generation.id,
            git: trial.git.clone(),
            place: trial.place.clone(),
            sources: generation.sources.clone(),
        });
        self.show_watched();
        info!(
            generation = generation.id.0,
            previous = trial.current.id.0,
            because,
            "canary promoted"
        );
        self.tell_canary(summary);
    }

    fn tell_canary(&self, summary: CanarySummary) {
        self.table.tell(HostEvent::Canary(Arc::new(summary)));
    }

    /// The code to load instead of that on the disk, where the host before this one had a canary on: its other
    /// generation serves first.
    pub(super) fn resumed_want(&mut self, want: WantedCode) -> WantedCode {
        if self.generations.current().is_none() {
            self.record.look();
        }
        match (&self.record.left, want) {
            (Some(left), WantedCode::Reload { .. }) if self.generations.current().is_none() => {
                WantedCode::Continue(GenerationId(left.current))
            }
            _ => want,
        }
    }

    /// Has the canary of the host before this one loaded, after the generation beside it.
    pub(super) fn resume_trial(&mut self, want: WantedCode) {
        let reason = match (want, self.generations.current()) {
            (WantedCode::Continue(_), Some(current)) => self.entries.get(&current).map(|entry| entry.reason),
            _ => None,
        };
        let (Some(reason), Some(mut left)) = (reason, self.record.left.clone()) else {
            return;
        };
        if reason == Reason::Restart {
            left.crashes += 1;
        }
        if left.crashes >= MOST_CRASHES {
            let end = CanaryEnd::HostsDied { hosts: left.crashes };
            error!(
                because = end.words(),
                help = "Mend the code on the disk and reload: until then the old code serves.",
                "canary taken back"
            );
            let summary = CanarySummary {
                state: CanaryState::TakenBack,
                share: left.stages.share(left.stage.number),
                began: Some(left.began),
                end: Some(end),
                ..CanarySummary::default()
            };
            self.table.end_trial(summary.clone());
            self.tell_canary(summary);
            return self.record.remove();
        }
        let share = left.stages.share(0);
        // The next host is to know of this death, should the load be the reason.
        self.record.write(left.clone());
        self.record.left = Some(left);
        // Nobody waits for the report.
        let (nobody, _) = oneshot::channel();
        let want = WantedCode::Reload {
            force: false,
            canary: CanaryWish::On(share),
        };
        self.queue.push(want, reason, nobody);
    }

    /// Keeps the state of the canary on the disk, if it has changed.
    pub(super) fn keep_trial(&mut self) {
        let is_due = self.record.kept_at.is_none_or(|kept| kept.elapsed() >= KEEP_EVERY);
        if let Some(trial) = self.table.trial().filter(|_| is_due)
            && let Some(record) = trial.changed_record()
        {
            self.record.write(record);
        }
    }

    /// Keeps the state of the canary for the next host, and waits for the disk.
    pub(super) async fn keep_trial_whole(&mut self) {
        self.record.kept_at = None;
        self.keep_trial();
        self.record.close().await;
    }
}

/// The state of a canary on the disk.
pub(super) struct TrialRecord {
    path: PathBuf,
    canary_use: CanaryUse,
    /// The state that the host before this one left, until the canary is on again.
    pub(super) left: Option<CanaryRecord>,
    kept_at: Option<Instant>,
    writer: Option<RecordWriter>,
}

/// Writes the state, one after another, beside everything else.
struct RecordWriter {
    /// The state that is to be on the disk; `None`: none.
    state: watch::Sender<Option<CanaryRecord>>,
    task: OwnedTask<()>,
}

impl TrialRecord {
    pub(super) const fn new(path: PathBuf, canary_use: CanaryUse) -> Self {
        Self {
            path,
            canary_use,
            left: None,
            kept_at: None,
            writer: None,
        }
    }

    /// Reads the state that the host before this one left, unless this host has no canaries. That host writes no more:
    /// it has ended, or is frozen. The disk has just given the kept sources, so that nobody waits long.
    fn look(&mut self) {
        if self.canary_use == CanaryUse::Never {
            return;
        }
        self.left = CanaryRecord::read(&self.path).unwrap_or_else(|error| {
            warn!(%error, "cannot read the state of a canary: it is not resumed");
            None
        });
    }

    /// The state that the host before this one left of a canary with these sources.
    fn left_with(&self, sources: &dyn Sources) -> Option<&CanaryRecord> {
        self.left.as_ref().filter(|left| left.hash == sources.hash())
    }

    fn write(&mut self, record: CanaryRecord) {
        self.kept_at = Some(Instant::now());
        self.writer().state.send_replace(Some(record));
    }

    /// Removes the state: no canary is on.
    pub(super) fn remove(&mut self) {
        self.left = None;
        self.writer().state.send_replace(None);
    }

    /// Removes the state that the host before this one left, if there is one.
    pub(super) fn forget(&mut self) {
        if self.left.is_some() {
            warn!("the canary of the host before is not resumed: its code cannot be loaded");
            self.remove();
        }
    }

    fn writer(&mut self) -> &RecordWriter {
        let path = &self.path;
        self.writer.get_or_insert_with(|| RecordWriter::start(path.clone()))
    }

    /// Waits until the disk has the state, within a limit.
    async fn close(&mut self) {
        if let Some(RecordWriter { state, task }) = self.writer.take() {
            drop(state);
            if tokio::time::timeout(DISK_LIMIT, task.ended()).await.is_err() {
                warn!("the disk is slow: the state of the canary may not be kept");
            }
        }
    }
}

impl RecordWriter {
    fn start(path: PathBuf) -> Self {
        let (state, mut to_write) = watch::channel(None::<CanaryRecord>);
        let task = OwnedTask::spawn("writer of a canary's state", async move {
            while to_write.changed().await.is_ok() {
                let (state, path) = (to_write.borrow_and_update().clone(), path.clone());
                let write = move || match state {
                    Some(record) => record.write(&path),
                    None => CanaryRecord::remove(&path),
                };
                // A write that panicked has said so.
                if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
                    warn!(%error, "cannot keep the state of the canary: the next host will not resume it");
                }
            }
        });
        Self { state, task }
    }
}
