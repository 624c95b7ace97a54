//! From a request to its answer: the keeper compares, loads, and then activates, discards or rejects.

use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use jiff::Timestamp;
use js_runtime_api::{LoadError, LoadedIsolate, Manifest};
use tracing::{debug, info, warn};

use super::{KeeperTask, replays};
use crate::canary::Stages;
use crate::generation::gate::{Candidate, RunsWanted};
use crate::generation::history::PastGeneration;
use crate::generation::live::Generation;
use crate::generation::load::{
    Admission, DiskComparison, LoadInput, LoadPhaseEnd, LoadResult, RunningLoad, SourceOrigin, SupersededLoads,
    find_out_whether_outdated,
};
use crate::generation::reload_queue::{Reason, WantedCode};
use crate::generation::report::{FunctionChanges, Outcome};
use crate::generation::state::{Event, GenerationId};
use crate::generation::table::GenerationEntry;
use crate::generation::trial::CanaryEnd;
use crate::lint::{self, ServingCode};
use crate::release::ReleaseName;
use crate::replay::ReplayReport;

impl KeeperTask {
    /// Begins the request that waits first, unless another one is worked on.
    pub(super) fn begin_next_load(&mut self) {
        while self.running.is_none()
            && self.handover.is_open()
            && let Some((want, reason)) = self.queue.start()
        {
            self.preparing.pause();
            self.answers.expect(reason);
            let began = self.superseded.map_or_else(Instant::now, |superseded| superseded.since);
            // Code of another release is another code, without a look.
            let current = self.table.current().filter(|current| {
                let entry = self.entries.get(&current.id);
                let release = entry.and_then(|entry| entry.release.as_ref());
                release.map(|release| &release.digest) == self.place.digest()
            });
            let current = current.map(|current| current.sources.clone());
            // Code that was rejected, or rolled back, is loaded again when somebody asks for it or when it changed.
            let read_last = self.newest_read.clone().filter(|_| !reason.is_asked_for());
            let mut read_last = read_last.filter(|_| self.newest_read_of.as_ref() == self.place.digest());
            if let Some(trial) = self
                .table
                .trial()
                .filter(|trial| trial.release() == self.place.digest())
            {
                // The code of a canary that is on is not tried anew.
                read_last = Some(trial.canary.sources.clone());
            }
            let want = self.resumed_want(want);
            if matches!(want, WantedCode::Reload { force: false, .. }) && (current.is_some() || read_last.is_some()) {
                self.running = Some(RunningLoad::compare(want, reason, began, current, read_last));
            } else {
                self.begin_load(want, reason, began);
            }
        }
    }

    /// Finds out whether the disk makes the running load useless, after a reload was asked for.
    pub(super) fn asked_during_load(&mut self) {
        let Some(running) = &self.running else {
            return;
        };
        let read = match running.want {
            // The code on the disk comes before the last good code, once it differs from the code that was rejected.
            WantedCode::LastGood { .. } => self.newest_read.clone(),
            _ => running.read(),
        };
        self.outdated = running.generation().zip(read).map(find_out_whether_outdated);
    }

    /// Gives up the load of an older edit, since a newer one makes it useless, however long it has run.
    pub(super) fn supersede_load(&mut self, outdated: GenerationId) {
        let Some(running) = &self.running else {
            return;
        };
        let (want, reason, began) = (running.want, running.reason, running.began);
        if running.generation() != Some(outdated) || !SupersededLoads::may_go_on(self.superseded) {
            return;
        }
        debug!(generation = outdated.0, "load given up for a newer edit");
        self.running = None;
        // Nobody has asked for the last good code.
        if !matches!(want, WantedCode::LastGood { .. }) {
            self.superseded = Some(SupersededLoads::once_more(self.superseded, began));
            self.queue.again(want, reason);
        }
        self.apply(outdated, Event::LoadAbandoned);
    }

    /// Tells the stage of a load that takes long.
    pub(super) fn tell_long_load(&mut self) {
        let Some((id, stage, elapsed)) = self.running.as_ref().and_then(RunningLoad::long_load) else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(&id)
            && entry.load_stage.as_ref() != Some(&stage)
        {
            info!(generation = id.0, stage = %stage, ms = elapsed.as_millis(), "the load is slow");
            entry.load_stage = Some(stage);
            self.show(id);
        }
    }

    fn begin_load(&mut self, mut want: WantedCode, reason: Reason, began: Instant) {
        let current = self.generations.current();
        let past = match want {
            WantedCode::Reload { .. } | WantedCode::Check => None,
            WantedCode::LastGood { before } => match self.history.before(before) {
                Some(past) => Some(past),
                None => return warn!("calls are held until there is code that loads"),
            },
            WantedCode::Continue(id) => {
                let past = self.history.find(Some(id), None);
                if past.is_err() {
                    self.record.forget();
                    warn!(
                        generation = id.0,
                        "the code of the host before was not kept: loading the code on the disk"
                    );
                    want = WantedCode::reload(true);
                }
                past.ok()
            }
            WantedCode::Rollback(wanted) => match self.history.find(wanted, current) {
                Ok(past) => Some(past),
                Err(error) => {
                    let outcome = Outcome::NotKept {
                        generation: current,
                        kept: self.history.kept(),
                        error,
                    };
                    return self.answer(outcome, began);
                }
            },
        };
        let id = self.generations.begin();
        self.entries.insert(id, GenerationEntry::loading(id, reason));
        let place = past.as_ref().map_or(&self.place, |past| &past.place).clone();
        if let Some(refusal) = self.lack_of_memory(want, reason) {
            let origin = SourceOrigin {
                git: None,
                place,
                restored_from: None,
            };
            return self.reject(want, id, refusal, &origin, began);
        }
        let restored = |past: PastGeneration| {
            let origin = SourceOrigin {
                git: past.git,
                place: past.place,
                restored_from: Some(past.id),
            };
            (origin, past.sources)
        };
        let making = LoadInput {
            id,
            place,
            sources: past.map(restored),
            timeout: self.limits.load,
            memory: self.limits.memory,
        };
        self.running = Some(RunningLoad::load(want, reason, began, self.engine.clone(), making));
        self.show(id);
    }

    /// Goes on with the running request, a phase of which has ended.
    pub(super) fn proceed(&mut self, done: LoadPhaseEnd) {
        let Some(RunningLoad {
            want, reason, began, ..
        }) = self.running.take()
        else {
            return;
        };
        match done {
            LoadPhaseEnd::Compared(DiskComparison::Changed) => self.begin_load(want, reason, began),
            LoadPhaseEnd::Compared(DiskComparison::AsCurrent) => {
                self.end_trial(CanaryEnd::Reverted);
                self.newest_read = self.table.current().map(|current| current.sources.clone());
                self.newest_read_of = self.place.digest().cloned();
                if self.last_rejected.take().is_some() {
                    info!("the code on the disk serves again");
                    self.show_all();
                }
                self.end_unchanged(began);
            }
            LoadPhaseEnd::Compared(DiskComparison::AsReadLast) => self.end_unchanged(began),
            LoadPhaseEnd::Admitted(admission) => {
                self.admitted(want, admission, began);
                self.show_watched();
            }
            LoadPhaseEnd::Loaded(id, result) if result.torn && SupersededLoads::may_go_on(self.superseded) => {
                debug!(
                    generation = id.0,
                    "the disk changed during a load that failed: loading again"
                );
                self.superseded = Some(SupersededLoads::once_more(self.superseded, began));
                self.queue.again(want, reason);
                self.apply(id, Event::LoadAbandoned);
            }
            LoadPhaseEnd::Loaded(id, result) => {
                self.preparing.schedule();
                if matches!(want, WantedCode::Reload { .. }) {
                    self.superseded = None;
                    self.newest_read.clone_from(&result.sources);
                    self.newest_read_of = result.origin.place.digest().cloned();
                }
                self.loaded(want, reason, id, *result, began);
                self.show_watched();
            }
        }
    }

    fn loaded(&mut self, want: WantedCode, reason: Reason, id: GenerationId, result: LoadResult, began: Instant) {
        let LoadResult {
            loaded,
            sources,
            origin,
            torn: _,
            queue,
        } = result;
        let (LoadedIsolate { isolate, mut manifest }, sources) = match (loaded, sources) {
            (Ok(loaded), Some(sources)) => (loaded, sources),
            (Err(load_error), _) => return self.reject(want, id, load_error, &origin, began),
            (Ok(_), None) => {
                let bug = LoadError::bug("the code loaded without sources");
                return self.reject(want, id, bug, &origin, began);
            }
        };
        let stages = self.wanted_stages(want, reason);
        self.lint(&mut manifest, stages.is_some());
        if matches!(want, WantedCode::Reload { .. } | WantedCode::Check)
            && let Some(denied) = lint::denied(&manifest.warnings, &self.limits.deny)
        {
            isolate.close();
            return self.reject(want, id, denied, &origin, began);
        }
        let replay = self.replay_first(want, (id, &manifest, &sources));
        let admission = Box::new(Admission {
            id,
            loaded: LoadedIsolate { isolate, manifest },
            sources,
            origin,
            queue,
            replay: None,
            word: Ok(()),
        });
        let words = self.ask_gates(want, stages, &admission);
        if replay.is_none() && words.is_empty() {
            return self.admitted(want, admission, began);
        }
        let deny = self.limits.deny.clone();
        let judge = async move {
            let Some(replay) = replay else {
                return (None, Ok(()));
            };
            let report = replay.await;
            replays::tell(id, &report);
            let refused = replays::refuse(&report, &deny);
            (Some(report), refused)
        };
        self.running = Some(RunningLoad::admit(want, reason, began, judge, words, admission));
    }

    /// Asks the gates whether a generation may get runs beside, or in place of, the one that serves.
    fn ask_gates(
        &mut self,
        want: WantedCode,
        stages: Option<Stages>,
        admission: &Admission,
    ) -> Vec<BoxFuture<'static, Result<(), LoadError>>> {
        // The first generation is better than none, and a check gets no runs.
        if want == WantedCode::Check || self.table.current().is_none() {
            return Vec::new();
        }
        let runs = match stages {
            None => RunsWanted::All,
            Some(_) if !self.has_gate(&*admission.sources) => return Vec::new(),
            Some(stages) => {
                self.enter_gate(&*admission.sources, stages);
                RunsWanted::Canary
            }
        };
        let candidate = Candidate {
            id: admission.id,
            runs,
            isolate: &admission.loaded.isolate,
            queue: &admission.queue,
            manifest: &admission.loaded.manifest,
            sources: &*admission.sources,
            root: &admission.origin.place.project.root,
        };
        self.table.gates().iter().map(|gate| gate.admit(candidate)).collect()
    }

    /// Goes on with a generation that may become current, or may not.
    fn admitted(&mut self, want: WantedCode, admission: Box<Admission>, began: Instant) {
        let Admission {
            id,
            loaded: LoadedIsolate { isolate, manifest },
            sources,
            origin,
            queue,
            replay,
            word,
        } = *admission;
        if let Err(refusal) = word {
            isolate.close();
            self.leave_gate();
            return self.reject(want, id, refusal, &origin, began);
        }
        let emptied = self.emptied_sender.clone();
        let generation = Arc::new(Generation::new(
            id,
            manifest,
            sources,
            queue,
            emptied,
            self.table.timeline.clone(),
        ));
        self.isolate_joins(&generation, isolate);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.git.clone_from(&origin.git);
            entry.release.clone_from(&origin.place.release);
            entry.restored_from = origin.restored_from;
            entry.loaded_at = Some(Timestamp::now());
            entry.hash = Some(generation.hash.clone());
            entry.live = Some(generation.clone());
        }
        self.apply(id, Event::Loaded);
        if replay.is_none() {
            self.replay_beside(want, &generation);
        }
        let reason = self.entries.get(&id).map_or(Reason::Api, |entry| entry.reason);
        match want {
            WantedCode::Check => self.discard(&generation, origin.git, replay, began),
            WantedCode::Reload { .. }
            | WantedCode::Rollback(_)
            | WantedCode::LastGood { .. }
            | WantedCode::Continue(_) => {
                match self.wanted_stages(want, reason) {
                    Some(stages) => self.begin_trial(want, &generation, stages, origin, began),
                    None => self.activate(want, &generation, (origin, replay), began),
                }
                self.resume_trial(want);
            }
        }
    }

    /// Adds warnings about the new code, also in comparison with the code that serves.
    fn lint(&self, manifest: &mut Manifest, is_canary: bool) {
        let current = self.table.current();
        let live: Vec<_> = self.entries.values().filter_map(|entry| entry.live.as_ref()).collect();
        let in_flight = live.iter().flat_map(|live| live.in_flight());
        let running: Vec<_> = in_flight.filter_map(|(call, _)| call.function).collect();
        let alive = |id: &str| running.iter().filter(|function| *function == id).count();
        let before = current.as_ref().map(|current| ServingCode {
            manifest: &current.manifest,
            stays: is_canary,
            alive: &alive,
        });
        manifest.warnings.extend(lint::look(manifest, before.as_ref()));
    }

    /// Answers a request for which nothing is to be loaded.
    fn end_unchanged(&mut self, began: Instant) {
        self.superseded = None;
        let outcome = match (self.table.current(), &self.last_rejected) {
            (Some(current), _) => Outcome::Unchanged {
                generation: current.id,
                hash: current.hash.clone(),
            },
            (None, Some((_, error))) => Outcome::Rejected {
                generation: None,
                error: error.clone(),
            },
            // The disk was compared with code that was loaded or rejected, so one of the two is known.
            (None, None) => Outcome::ShuttingDown,
        };
        self.answer(outcome, began);
    }

    fn reject(
        &mut self,
        want: WantedCode,
        id: GenerationId,
        load_error: LoadError,
        origin: &SourceOrigin,
        began: Instant,
    ) {
        if matches!(want, WantedCode::Reload { .. } | WantedCode::Rollback(_)) {
            self.last_rejected = Some((id, load_error.clone()));
        }
        self.apply(id, Event::LoadFailed);
        if self.generations.current().is_some() {
            self.record.forget();
        }
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
        if matches!(want, WantedCode::Reload { .. })
            && let Some(wait) = self
                .retry
                .failed(load_error.kind, self.serves_the_disk(), tokio::time::Instant::now())
        {
            info!("the failure may be temporary: trying again in {wait:?}");
        }
        let error = load_error;
        self.answer(Outcome::Rejected { generation, error }, began);
        // The last good code is better than none.
        let before = origin.restored_from;
        if generation.is_none() && want != WantedCode::Check {
            self.begin_load(WantedCode::LastGood { before }, Reason::LastGood, Instant::now());
        }
    }

    /// Tells whether the code that serves came from the disk, be it older than the code that is there now.
    fn serves_the_disk(&self) -> bool {
        let current = self.generations.current().and_then(|id| self.entries.get(&id));
        current.is_some_and(|entry| entry.reason != Reason::LastGood)
    }

    pub(super) fn try_again_if_due(&mut self) {
        if self.running.is_none() && self.retry.is_due(tokio::time::Instant::now()) {
            // Nobody waits for the report.
            let (nobody, _) = tokio::sync::oneshot::channel();
            self.queue.push(WantedCode::reload(true), Reason::Retry, nobody);
        }
    }

    fn discard(
        &mut self,
        generation: &Arc<Generation>,
        git: Option<String>,
        replay: Option<ReplayReport>,
        began: Instant,
    ) {
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
            replay,
        };
        // The generation was never published, so nobody can hold a lease.
        let _ = generation.leases.close_if_idle();
        self.apply(generation.id, Event::Discarded);
        self.answer(outcome, began);
    }

    pub(super) fn activate(
        &mut self,
        want: WantedCode,
        generation: &Arc<Generation>,
        (origin, replay): (SourceOrigin, Option<ReplayReport>),
        began: Instant,
    ) {
        self.end_trial(CanaryEnd::Superseded {
            generation: generation.id,
        });
        let previous = self.table.current();
        let functions = FunctionChanges::between(
            previous.as_ref().map(|previous| &previous.manifest),
            &generation.manifest,
        );
        if !matches!(want, WantedCode::LastGood { .. }) {
            self.last_rejected = None;
            self.retry.succeeded();
        }
        let SourceOrigin {
            git,
            place,
            restored_from,
        } = origin;
        let release = place.release.clone();
        self.apply(generation.id, Event::Activated);
        // The swap comes first, since the history takes longer to forget old sources.
        self.history.push(PastGeneration {
            id: generation.id,
            git: git.clone(),
            place,
            sources: generation.sources.clone(),
        });
        // At the start everything is new.
        let ids = |ids: &[String]| (previous.is_some() && !ids.is_empty()).then(|| ids.join(", "));
        info!(
            generation = generation.id.0,
            functions = functions.count,
            added = ids(&functions.added),
            removed = ids(&functions.removed),
            changed = ids(&functions.changed),
            git,
            release = release.as_ref().map(|release| release.digest.to_string()),
            restored_from = restored_from.map(|id| id.0),
            ms = began.elapsed().as_millis(),
            "generation activated"
        );
        match want {
            WantedCode::LastGood { .. } => warn!(
                generation = generation.id.0,
                "cannot serve the code on the disk: serving the last good code until it loads"
            ),
            WantedCode::Rollback(_) => info!("the code on the disk is served again once it changes, or after a reload"),
            WantedCode::Reload { .. } | WantedCode::Check | WantedCode::Continue(_) => {}
        }
        for warning in &generation.manifest.warnings {
            warn!(
                code = &*warning.code,
                function = warning.function,
                file = warning.file,
                line = warning.line,
                help = warning.help.as_deref().map(tracing::field::display),
                "{}",
                warning.message
            );
        }
        let outcome = Outcome::Activated {
            generation: generation.id,
            previous: previous.map(|previous| previous.id),
            restored_from,
            hash: generation.hash.clone(),
            git,
            release: release.as_deref().map(ReleaseName::of),
            functions,
            draining: self.draining(),
            warnings: generation.manifest.warnings.clone(),
            replay,
        };
        self.answer(outcome, began);
    }
}
