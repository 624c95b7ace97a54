//! The outcomes of the runs that began while a canary is on, by function and signal, in both lanes.
//!
//! A run counts once for each signal: as bad with its first bad call, as good when it ends without one. So a run that is
//! tried again and again is one failure, and a run that still goes on is none.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::error_counts::ErrorCounts;
use super::known_steps::KnownSteps;
use super::step_times::{StepBounds, StepPace};
use super::{CallEffect, CallReport, Evidence, Lane, SlowStep, Tally};

/// The most runs that are followed. Beyond that new runs stay in the current generation and are not counted.
const MOST_RUNS: usize = 10_000;

/// A kind of outcome that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CanarySignal {
    /// The run failed for good.
    RunFailed,
    /// An attempt of the run failed.
    AttemptFailed,
    /// An isolate ended under a call of the run.
    IsolateDied,
    /// A step of the run took longer than is usual in the current generation.
    Slow,
}

impl CanarySignal {
    pub const ALL: [Self; 4] = [Self::RunFailed, Self::AttemptFailed, Self::IsolateDied, Self::Slow];

    /// The signal as a person reads it, of runs.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::RunFailed => "runs that failed",
            Self::AttemptFailed => "runs with a failed attempt",
            Self::IsolateDied => "runs whose isolate died",
            Self::Slow => "runs with a slow step",
        }
    }
}

/// The outcomes of a function's runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct FunctionCounts {
    run_failed: Evidence,
    attempt_failed: Evidence,
    isolate_died: Evidence,
    slow: Evidence,
    /// The newest slow step of the canary.
    slow_step: Option<SlowStep>,
    /// The errors of the canary.
    errors: ErrorCounts,
}

impl FunctionCounts {
    const fn of(&self, signal: CanarySignal) -> &Evidence {
        match signal {
            CanarySignal::RunFailed => &self.run_failed,
            CanarySignal::AttemptFailed => &self.attempt_failed,
            CanarySignal::IsolateDied => &self.isolate_died,
            CanarySignal::Slow => &self.slow,
        }
    }
}

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OpenRun {
    function: String,
    lane: Lane,
    #[serde(default)]
    attempt_failed: bool,
    #[serde(default)]
    isolate_died: bool,
    #[serde(default)]
    pace: RunPace,
}

/// The pace of a run's steps so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RunPace {
    /// None of its steps had a bound.
    #[default]
    Unknown,
    Usual,
    Slow,
}

/// The runs of a canary that is taken back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MovingRuns {
    pub runs: usize,
    /// Their steps that no run of the current generation had.
    pub unknown_steps: usize,
}

/// The outcomes of all runs: see the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunCounts {
    functions: BTreeMap<String, FunctionCounts>,
    open: HashMap<String, OpenRun>,
    bounds: StepBounds,
    steps: KnownSteps,
}

impl RunCounts {
    /// Follows a run from its first call on. False when too many runs are followed.
    #[must_use]
    pub fn begin(&mut self, run: &str, function: &str, lane: Lane) -> bool {
        if self.open.len() >= MOST_RUNS {
            return false;
        }
        let open = OpenRun {
            function: function.to_owned(),
            lane,
            attempt_failed: false,
            isolate_died: false,
            pace: RunPace::Unknown,
        };
        self.open.insert(run.to_owned(), open);
        true
    }

    /// The lane of a run that is followed.
    #[must_use]
    pub fn lane(&self, run: &str) -> Option<Lane> {
        self.open.get(run).map(|open| open.lane)
    }

    /// The runs that have not ended, each with its lane.
    pub fn open_runs(&self) -> impl Iterator<Item = (&str, Lane)> {
        self.open.iter().map(|(run, open)| (run.as_str(), open.lane))
    }

    /// Counts the open runs of the canary, and their steps that no run of the current generation had.
    #[must_use]
    pub fn moving(&self) -> MovingRuns {
        let canary = self.open.iter().filter(|(_, open)| open.lane == Lane::Canary);
        canary.fold(MovingRuns::default(), |moving, (run, _)| MovingRuns {
            runs: moving.runs + 1,
            unknown_steps: moving.unknown_steps + self.steps.unknown(run),
        })
    }

    /// Notes a call. True when the run has ended with it.
    pub fn note(&mut self, run: &str, report: impl Into<CallReport>) -> bool {
        let CallReport {
            effect,
            steps,
            times,
            error,
        } = report.into();
        let Some(open) = self.open.get_mut(run) else {
            return false;
        };
        let (is_failure, is_death, ends_run) = match effect {
            CallEffect::Postponed => return false,
            CallEffect::Done { ends_run } => (false, false, ends_run),
            CallEffect::Failed { ends_run } => (true, false, ends_run),
            CallEffect::Died { ends_run } => (true, true, ends_run),
        };
        let lane = open.lane;
        self.steps.note((run, &open.function), lane, &steps);
        let counts = self.functions.entry(open.function.clone()).or_default();
        for time in &times {
            match (self.bounds.compare(&open.function, lane, time), open.pace) {
                (StepPace::Unknown, _) => {}
                (StepPace::Usual, pace) => open.pace = pace.max(RunPace::Usual),
                (StepPace::Slow(slow), pace) => {
                    if pace != RunPace::Slow {
                        counts.slow.observe(lane, true);
                    }
                    open.pace = RunPace::Slow;
                    if lane == Lane::Canary {
                        counts.slow_step = Some(slow);
                    }
                }
            }
        }
        if let Some(error) = error.filter(|_| lane == Lane::Canary) {
            counts.errors.note(error);
        }
        if is_failure && !std::mem::replace(&mut open.attempt_failed, true) {
            counts.attempt_failed.observe(lane, true);
        }
        if is_death && !std::mem::replace(&mut open.isolate_died, true) {
            counts.isolate_died.observe(lane, true);
        }
        if ends_run {
            counts.run_failed.observe(lane, is_failure);
            if !open.attempt_failed {
                counts.attempt_failed.observe(lane, false);
            }
            if !open.isolate_died {
                counts.isolate_died.observe(lane, false);
            }
            if open.pace == RunPace::Usual {
                counts.slow.observe(lane, false);
            }
            self.open.remove(run);
            self.steps.forget(run);
        }
        ends_run
    }

    /// The evidence of each function and signal.
    pub fn evidence(&self) -> impl Iterator<Item = (&str, CanarySignal, &Evidence)> {
        let functions = self.functions.iter();
        functions.flat_map(|(id, counts)| CanarySignal::ALL.map(|signal| (id.as_str(), signal, counts.of(signal))))
    }

    /// The error that the canary threw most often in a function.
    #[must_use]
    pub fn most_frequent_error(&self, function: &str) -> Option<&str> {
        self.functions.get(function)?.errors.most_frequent()
    }

    /// The newest slow step of the canary in a function.
    #[must_use]
    pub fn slow_step(&self, function: &str) -> Option<&SlowStep> {
        self.functions.get(function)?.slow_step.as_ref()
    }

    /// The runs of a lane that have ended, and how many of them failed.
    #[must_use]
    pub fn ended(&self, lane: Lane) -> Tally {
        self.functions.values().fold(Tally::default(), |sum, counts| {
            let Tally { bad, total } = counts.run_failed.of(lane);
            Tally {
                bad: sum.bad.saturating_add(bad),
                total: sum.total.saturating_add(total),
            }
        })
    }

    /// The runs of a function in a lane that have ended, or failed an attempt.
    #[must_use]
    pub fn seen(&self, function: &str, lane: Lane) -> Tally {
        let counts = self.functions.get(function);
        counts.map_or_else(Tally::default, |counts| counts.attempt_failed.of(lane))
    }
}

#[cfg(test)]
mod tests {
    use super::{CanarySignal, MOST_RUNS, RunCounts};
    use crate::canary::{CallEffect, Lane, Tally};

    const GOES_ON: CallEffect = CallEffect::Failed { ends_run: false };
    const DONE: CallEffect = CallEffect::Done { ends_run: true };

    fn tally(counts: &RunCounts, signal: CanarySignal) -> Tally {
        let mut evidence = counts.evidence();
        let found = evidence.find(|(function, found, _)| *function == "f" && *found == signal);
        found.map_or_else(Tally::default, |(_, _, evidence)| evidence.of(Lane::Canary))
    }

    #[test]
    fn a_run_counts_once_however_often_it_is_tried() {
        let mut counts = RunCounts::default();
        assert!(counts.begin("1", "f", Lane::Canary));
        assert!(!counts.note("1", GOES_ON));
        assert!(!counts.note("1", GOES_ON));
        assert_eq!(tally(&counts, CanarySignal::AttemptFailed), Tally { bad: 1, total: 1 });
        assert_eq!(
            tally(&counts, CanarySignal::RunFailed),
            Tally::default(),
            "it may still end well"
        );
        assert!(counts.note("1", DONE));
        assert_eq!(tally(&counts, CanarySignal::AttemptFailed), Tally { bad: 1, total: 1 });
        assert_eq!(tally(&counts, CanarySignal::RunFailed), Tally { bad: 0, total: 1 });
        assert_eq!(tally(&counts, CanarySignal::IsolateDied), Tally { bad: 0, total: 1 });
        assert!(!counts.note("1", DONE), "it is over");
        assert_eq!(counts.ended(Lane::Canary), Tally { bad: 0, total: 1 });
        assert_eq!(counts.ended(Lane::Current), Tally::default());
    }

    #[test]
    fn a_death_is_a_failed_attempt_too_and_a_postponed_call_is_nothing() {
        let mut counts = RunCounts::default();
        assert!(counts.begin("1", "f", Lane::Canary));
        assert!(!counts.note("1", CallEffect::Postponed));
        assert_eq!(tally(&counts, CanarySignal::AttemptFailed), Tally::default());
        assert!(counts.note("1", CallEffect::Died { ends_run: true }));
        for signal in [
            CanarySignal::RunFailed,
            CanarySignal::AttemptFailed,
            CanarySignal::IsolateDied,
        ] {
            assert_eq!(tally(&counts, signal), Tally { bad: 1, total: 1 }, "{signal:?}");
        }
    }

    #[test]
    fn runs_whose_beginning_was_not_seen_are_not_counted_nor_are_too_many_followed() {
        let mut counts = RunCounts::default();
        assert!(!counts.note("unknown", DONE));
        assert_eq!(counts, RunCounts::default());
        for run in 0..MOST_RUNS {
            assert!(counts.begin(&run.to_string(), "f", Lane::Current));
        }
        assert!(!counts.begin("more", "f", Lane::Canary));
        assert_eq!(counts.lane("more"), None);
        assert!(counts.note("7", DONE));
        assert!(counts.begin("more", "f", Lane::Canary));
        assert_eq!(counts.lane("more"), Some(Lane::Canary));
    }
}
