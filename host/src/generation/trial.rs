//! A canary that is on: two generations, the split of the runs between them, and what was counted of them.
//!
//! The table asks it for the generation of a run that begins, and tells it each answer. It judges with each answer, so
//! that a canary that has failed gets no further run; the keeper acts on the verdict.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use js_runtime_api::CallError;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::live::{CallInfo, Generation};
use super::project_place::ProjectPlace;
use super::state::GenerationId;
use crate::canary::{
    CallEffect, CallReport, CanaryRecord, CanarySignal, CanaryVerdict, Doubt, Grounds, Lane, MovingRuns, OnFail,
    OnTime, RunCounts, Share, Split, Stage, Stages, Tally, Terms, decide, is_first_call,
};
use crate::release::Digest;
use crate::wire::{AnswerHead, SdkAnswer};

/// A canary that is on: see the module's documentation.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) canary: Arc<Generation>,
    pub(super) current: Arc<Generation>,
    pub(super) git: Option<String>,
    /// The project that the canary is of.
    pub(super) place: ProjectPlace,
    split: Split,
    terms: Terms,
    stages: Stages,
    began: Timestamp,
    crashes: u32,
    progress: Mutex<TrialProgress>,
    /// Tells whether the canary still gets runs.
    is_open: AtomicBool,
    /// Tells the keeper that there is a verdict.
    news: Arc<Notify>,
}

#[derive(Debug)]
struct TrialProgress {
    counts: RunCounts,
    stage: Stage,
    is_held: bool,
    /// Tells whether the counts have changed since they were recorded.
    is_changed: bool,
    /// Tells whether somebody was told that both generations fail.
    told_both_fail: bool,
}

/// The parts of a canary that begins.
pub(super) struct TrialStart {
    pub(super) canary: Arc<Generation>,
    pub(super) current: Arc<Generation>,
    pub(super) git: Option<String>,
    pub(super) place: ProjectPlace,
    pub(super) terms: Terms,
    pub(super) record: CanaryRecord,
    pub(super) news: Arc<Notify>,
}

impl Trial {
    pub(super) fn new(start: TrialStart) -> Self {
        let TrialStart {
            canary,
            current,
            git,
            place,
            terms,
            record,
            news,
        } = start;
        Self {
            split: Split::new(&canary.hash),
            canary,
            current,
            git,
            place,
            terms,
            stages: record.stages,
            began: record.began,
            crashes: record.crashes,
            progress: Mutex::new(TrialProgress {
                counts: record.counts,
                stage: record.stage,
                is_held: record.is_held,
                is_changed: true,
                told_both_fail: false,
            }),
            is_open: AtomicBool::new(true),
            news,
        }
    }

    /// The release that the canary is, on a host of releases.
    pub(super) fn release(&self) -> Option<&Digest> {
        self.place.digest()
    }

    /// The part of the new runs that the canary gets now.
    pub(super) fn share(&self) -> Share {
        self.share_in(self.lock().stage)
    }

    fn share_in(&self, stage: Stage) -> Share {
        self.stages.share(stage.number).unwrap_or(Share::NONE)
    }

    pub(super) const fn stages(&self) -> &Stages {
        &self.stages
    }

    /// Begins the next stage, and returns its share; `None` after the last one.
    pub(super) fn advance(&self) -> Option<Share> {
        let mut progress = self.lock();
        let number = progress.stage.number + 1;
        let share = self.stages.share(number)?;
        progress.stage = Stage {
            number,
            began: Timestamp::now(),
            ended_before: progress.counts.ended(Lane::Canary).total,
        };
        progress.is_changed = true;
        Some(share)
    }

    pub(super) const fn on_fail(&self) -> OnFail {
        self.terms.options.on_fail
    }

    pub(super) const fn on_time(&self) -> OnTime {
        self.terms.options.on_time
    }

    const fn generation(&self, lane: Lane) -> &Arc<Generation> {
        match lane {
            Lane::Canary => &self.canary,
            Lane::Current => &self.current,
        }
    }

    /// The generation that a call belongs to, if its run is split; the first call of a run splits it.
    pub(super) fn generation_of(&self, info: &CallInfo) -> Option<Arc<Generation>> {
        let (run, function) = (info.run.as_deref()?, info.function.as_deref()?);
        if let Some(lane) = self.lock().counts.lane(run) {
            return Some(self.generation(lane).clone());
        }
        match (self.current.has(function), self.canary.has(function)) {
            (true, true) => {}
            (false, true) => return Some(self.canary.clone()),
            (_, false) => return None,
        }
        if !self.is_open.load(Ordering::Acquire) || !is_first_call(&info.body) {
            return None;
        }
        let mut progress = self.lock();
        let lane = match self.split.takes(run, self.share_in(progress.stage)) {
            true => Lane::Canary,
            false => Lane::Current,
        };
        progress.is_changed = true;
        let is_followed = progress.counts.begin(run, function, lane);
        is_followed.then(|| self.generation(lane).clone())
    }

    /// Counts an answer of the SDK, for which the isolate took so long. True when its run has ended.
    pub(super) fn learn(
        &self,
        generation: &Arc<Generation>,
        info: &CallInfo,
        head: AnswerHead<'_>,
        body: &[u8],
        took: Duration,
    ) -> bool {
        self.note(generation, info, |attempts| {
            CallReport::read(&SdkAnswer::read(head, body), &info.body, attempts, took)
        })
    }

    /// Counts a call that has no answer. True when its run has ended.
    pub(super) fn learn_loss(&self, generation: &Arc<Generation>, info: &CallInfo, error: &CallError) -> bool {
        self.note(generation, info, |attempts| {
            let effect = match error {
                CallError::IsolateDied => CallEffect::died(&info.body, attempts),
                CallError::Threw(_) | CallError::NeverSettles => CallEffect::threw(&info.body, attempts),
                // The function has no part in these.
                CallError::HungUp | CallError::NoAnswer(_) => CallEffect::Postponed,
            };
            effect.into()
        })
    }

    fn note(
        &self,
        generation: &Arc<Generation>,
        info: &CallInfo,
        report: impl FnOnce(Option<u32>) -> CallReport,
    ) -> bool {
        let (Some(run), Some(function)) = (info.run.as_deref(), info.function.as_deref()) else {
            return false;
        };
        // A run that moved is not counted any more.
        let lane = self.lock().counts.lane(run);
        if lane.is_none_or(|lane| self.generation(lane).id != generation.id) {
            return false;
        }
        let mut functions = generation.manifest.functions().map(|(_, function)| function);
        let retries = functions
            .find(|known| known.id == function)
            .and_then(|known| known.retries);
        let report = report(retries.map(|retries| retries.saturating_add(1)));
        let mut progress = self.lock();
        progress.is_changed = true;
        let has_ended = progress.counts.note(run, report);
        match decide(
            &progress.counts,
            &self.terms,
            progress.stage.ended_before,
            Duration::ZERO,
        ) {
            CanaryVerdict::Open(_) | CanaryVerdict::Inconclusive(_) => {}
            CanaryVerdict::Pass => self.news.notify_one(),
            CanaryVerdict::Fail(_) => {
                self.is_open.store(false, Ordering::Release);
                self.news.notify_one();
            }
        }
        has_ended
    }

    /// The verdict at this moment.
    pub(super) fn verdict(&self) -> CanaryVerdict {
        let progress = self.lock();
        let elapsed = Timestamp::now().duration_since(progress.stage.began);
        // A clock that was set back has no time pass.
        let elapsed = Duration::try_from(elapsed).unwrap_or_default();
        decide(&progress.counts, &self.terms, progress.stage.ended_before, elapsed)
    }

    /// Has the canary wait for a person. True when it did not yet.
    pub(super) fn hold(&self) -> bool {
        let mut progress = self.lock();
        progress.is_changed = true;
        !std::mem::replace(&mut progress.is_held, true)
    }

    pub(super) fn is_held(&self) -> bool {
        self.lock().is_held
    }

    /// Notes that somebody is told that both generations fail. True for the first time.
    pub(super) fn tell_both_fail(&self) -> bool {
        !std::mem::replace(&mut self.lock().told_both_fail, true)
    }

    /// The state for the next host, if it has changed since it was asked for.
    pub(super) fn changed_record(&self) -> Option<CanaryRecord> {
        let mut progress = self.lock();
        if !std::mem::take(&mut progress.is_changed) {
            return None;
        }
        let (current, hash) = (self.current.id.0, self.canary.hash.clone());
        let mut record = CanaryRecord::new(current, hash, self.stages.clone(), self.began);
        record.stage = progress.stage;
        record.is_held = progress.is_held;
        record.crashes = self.crashes;
        record.counts = progress.counts.clone();
        Some(record)
    }

    /// The runs that have not ended, each with its generation.
    pub(super) fn open_runs(&self) -> Vec<(String, Arc<Generation>)> {
        let progress = self.lock();
        let open = progress.counts.open_runs();
        open.map(|(run, lane)| (run.to_owned(), self.generation(lane).clone()))
            .collect()
    }

    /// The open runs of the canary, which move when it is taken back.
    pub(super) fn moving_runs(&self) -> MovingRuns {
        self.lock().counts.moving()
    }

    /// The canary as the outside sees it. `end`: its end, unless it goes on.
    pub(super) fn summary(&self, end: Option<CanaryEnd>) -> CanarySummary {
        let progress = self.lock();
        let evidence = progress.counts.evidence();
        let evidence = evidence.map(|(function, signal, evidence)| SignalEvidence {
            function: function.to_owned(),
            signal,
            canary: evidence.of(Lane::Canary),
            current: evidence.of(Lane::Current),
            e_value: evidence.e_value(),
        });
        CanarySummary {
            state: match &end {
                None if progress.is_held => CanaryState::Held,
                None => CanaryState::Running,
                Some(end) if end.is_promotion() => CanaryState::Promoted,
                Some(_) => CanaryState::TakenBack,
            },
            generation: self.canary.id,
            current: self.current.id,
            share: Some(self.share_in(progress.stage)),
            stages: Some(self.stages.clone()),
            began: Some(self.began),
            ended_runs: LaneTallies {
                canary: progress.counts.ended(Lane::Canary),
                current: progress.counts.ended(Lane::Current),
            },
            least: self.terms.options.least,
            wanted_e_value: self.terms.wanted(),
            evidence: evidence.collect(),
            end,
        }
    }

    fn lock(&self) -> MutexGuard<'_, TrialProgress> {
        // A panicked holder leaves counts that are still counts.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A decision of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanaryCommand {
    /// The canary serves all runs from now on.
    Promote,
    /// The canary gets no further run.
    Abort,
    /// The canary goes on until a person decides, unless it fails.
    Hold,
}

/// The reason why a decision is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CanaryRefusal {
    #[error("no canary is on")]
    NoneIsOn,
    #[error("the host is ending")]
    Ending,
    #[error("another host of the project is taking over")]
    HandedOver,
}

/// The state of a canary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CanaryState {
    Running,
    /// The canary waits for a person.
    Held,
    Promoted,
    TakenBack,
    /// A state that only another version knows.
    #[default]
    #[serde(other)]
    Unknown,
}

impl CanaryState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Held => "held",
            Self::Promoted => "promoted",
            Self::TakenBack => "taken_back",
            Self::Unknown => "unknown",
        }
    }
}

/// The end of a canary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum CanaryEnd {
    /// The canary is worse.
    Failed(Grounds),
    /// Enough runs ended well.
    Passed,
    /// The time was up: nothing bad was seen, and not enough good.
    TimeUp(Doubt),
    /// A person said so.
    Promoted,
    Aborted,
    /// A newer reload made another canary.
    Replaced {
        generation: GenerationId,
    },
    /// Another generation took over.
    Superseded {
        generation: GenerationId,
    },
    /// The code on the disk is that of the current generation again.
    Reverted,
    /// Hosts died while the canary was on.
    HostsDied {
        hosts: u32,
    },
}

impl CanaryEnd {
    /// Tells whether the canary serves all runs from then on.
    #[must_use]
    pub const fn is_promotion(&self) -> bool {
        matches!(self, Self::Passed | Self::TimeUp(_) | Self::Promoted)
    }

    /// The end for a person, as the rest of a sentence after "because".
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Failed(Grounds {
                function,
                signal,
                canary,
                current,
                e_value,
                slow_step,
                error,
            }) => {
                let signal = signal.words();
                let canary = format!("{} of {}", canary.bad, canary.total);
                let current = format!("{} of {}", current.bad, current.total);
                let more = match (slow_step, error) {
                    (Some(slow), _) => format!("; {}", slow.words()),
                    (None, Some(error)) => format!("; most often {error}"),
                    (None, None) => String::new(),
                };
                format!("{function} is worse: {signal} {canary}, before {current} (e-value {e_value:.0}){more}")
            }
            Self::Passed => "enough of its runs ended, and none looks worse".to_owned(),
            Self::TimeUp(doubt) => format!("its time was up; {}", doubt.words()),
            Self::Promoted => "a person promoted it".to_owned(),
            Self::Aborted => "a person aborted it".to_owned(),
            Self::Replaced { generation } => format!("generation {generation} is a newer canary"),
            Self::Superseded { generation } => format!("generation {generation} took over"),
            Self::Reverted => "the code on the disk is that of the current generation again".to_owned(),
            Self::HostsDied { hosts } => format!("{hosts} hosts died while it was on"),
        }
    }
}

/// A canary as the outside sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CanarySummary {
    pub state: CanaryState,
    pub generation: GenerationId,
    /// The generation that serves all other runs.
    pub current: GenerationId,
    pub share: Option<Share>,
    /// The shares that the canary gets one after the other.
    pub stages: Option<Stages>,
    pub began: Option<Timestamp>,
    /// The runs that ended, and how many of them failed.
    pub ended_runs: LaneTallies,
    /// The number of the canary's runs that must have ended before it can pass.
    pub least: u32,
    /// The e-value from which on a line of the evidence fails the canary.
    pub wanted_e_value: f64,
    pub evidence: Vec<SignalEvidence>,
    pub end: Option<CanaryEnd>,
}

impl CanarySummary {
    /// The canary for a person, in one sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let Self {
            generation, current, ..
        } = self;
        let Some(end) = &self.end else {
            let share = self
                .share
                .map_or_else(|| "a part".to_owned(), |share| share.to_string());
            let held = match self.state {
                CanaryState::Held => "; held: it waits for `baton canary promote` or `abort`",
                _ => "",
            };
            let (ended, least) = (self.ended_runs.canary.total, self.least);
            let stages = match &self.stages {
                Some(stages) if stages.gets_no_runs() => {
                    return format!(
                        "generation {generation} gets no run by itself, {current} serves all: `baton invoke FUNCTION \
                         --generation canary` runs a function in it{held}"
                    );
                }
                Some(stages) if stages.share(1).is_some() => format!(" ({stages})"),
                _ => String::new(),
            };
            return format!(
                "generation {generation} gets {share} of the new runs{stages}, {current} the others; {ended} of its \
                 runs ended, {least} are wanted{held}"
            );
        };
        let because = end.words();
        match self.state {
            CanaryState::Promoted => format!("promoted: generation {generation} serves all runs, since {because}"),
            _ => format!("taken back: the old code serves all runs, since {because}"),
        }
    }

    /// Tells whether a person should look: the canary is on, or failed.
    #[must_use]
    pub const fn wants_attention(&self) -> bool {
        matches!(
            self.end,
            None | Some(CanaryEnd::Failed(_) | CanaryEnd::HostsDied { .. })
        )
    }
}

/// Tallies of both generations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LaneTallies {
    pub canary: Tally,
    pub current: Tally,
}

/// The evidence of one function and signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignalEvidence {
    pub function: String,
    pub signal: CanarySignal,
    pub canary: Tally,
    pub current: Tally,
    pub e_value: f64,
}
