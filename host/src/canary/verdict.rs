//! The verdict on a canary, decided from what was counted and from the time that has passed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CanaryOptions, CanarySignal, Lane, RunCounts, SlowStep, Tally};

/// The number of runs whose isolates die that is enough to fail a canary while none dies in the current generation.
const DEATHS: u32 = 2;
/// The number of runs of each lane from which on "most of them fail" means something.
const MOSTLY_FROM: u32 = 3;
/// An e-value from which on a canary looks too bad to pass, although not bad enough to fail.
const SUSPICIOUS: f64 = 10.0;

/// The terms on which a canary is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    pub options: CanaryOptions,
    /// The number of functions that both generations have.
    pub functions: usize,
    /// Those of them that the canary's code changed.
    pub changed: Vec<String>,
}

impl Terms {
    /// The e-value from which on one function and signal fail the canary: α is shared by all of them.
    #[must_use]
    pub fn wanted(&self) -> f64 {
        let tests = self.functions.max(1).saturating_mul(CanarySignal::ALL.len());
        f64::from(u32::try_from(tests).unwrap_or(u32::MAX)) / self.options.alpha.value()
    }
}

/// The verdict on a canary.
#[derive(Debug, Clone, PartialEq)]
pub enum CanaryVerdict {
    /// More is to be seen before the canary passes.
    Open(Doubt),
    /// The canary is worse.
    Fail(Grounds),
    /// Enough runs ended in this stage, and none of the signals is suspicious.
    Pass,
    /// The time is up, and the canary has neither failed nor passed.
    Inconclusive(Doubt),
}

/// The grounds on which a canary failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grounds {
    pub function: String,
    pub signal: CanarySignal,
    pub canary: Tally,
    pub current: Tally,
    pub e_value: f64,
    /// The step that was slow in the canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_step: Option<SlowStep>,
    /// The error that the canary threw most often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The reason why a canary did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "doubt", rename_all = "snake_case")]
pub enum Doubt {
    /// Too few of its runs have ended.
    TooFewRuns { ended: u32, least: u32 },
    /// None of the runs was of these functions, whose code changed.
    Unseen { functions: Vec<String> },
    /// Most runs of this function fail in both generations: the reason is elsewhere.
    BothFail { function: String },
    /// The runs of this function look worse, and may be by chance.
    Suspicious { function: String },
}

impl Doubt {
    /// The doubt for a person.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::TooFewRuns { ended, least } => format!("{ended} of its runs have ended, {least} are wanted"),
            Self::Unseen { functions } => format!("no run was of {}, whose code changed", functions.join(", ")),
            Self::BothFail { function } => format!("most runs of {function} fail in both generations"),
            Self::Suspicious { function } => format!("runs of {function} look worse, and may be by chance"),
        }
    }

    /// Tells whether there is more to the doubt than a lack of runs: the canary is not promoted by time then.
    #[must_use]
    pub const fn is_grave(&self) -> bool {
        matches!(self, Self::BothFail { .. } | Self::Suspicious { .. })
    }
}

/// Judges a canary. `ended_before`: the number of its runs that had ended before its present stage; `elapsed`: the time
/// since the stage began.
#[must_use]
pub fn decide(counts: &RunCounts, terms: &Terms, ended_before: u32, elapsed: Duration) -> CanaryVerdict {
    if let Some(grounds) = grounds(counts, terms) {
        return CanaryVerdict::Fail(grounds);
    }
    match doubt(counts, terms, ended_before) {
        None => CanaryVerdict::Pass,
        Some(doubt) if elapsed >= terms.options.within => CanaryVerdict::Inconclusive(doubt),
        Some(doubt) => CanaryVerdict::Open(doubt),
    }
}

fn grounds(counts: &RunCounts, terms: &Terms) -> Option<Grounds> {
    let wanted = terms.wanted();
    counts.evidence().find_map(|(function, signal, evidence)| {
        let (canary, current) = (evidence.of(Lane::Canary), evidence.of(Lane::Current));
        let is_deadly = signal == CanarySignal::IsolateDied && canary.bad >= DEATHS && current.bad == 0;
        (is_deadly || evidence.e_value() >= wanted).then(|| Grounds {
            function: function.to_owned(),
            signal,
            canary,
            current,
            e_value: evidence.e_value(),
            slow_step: counts
                .slow_step(function)
                .filter(|_| signal == CanarySignal::Slow)
                .cloned(),
            error: counts
                .most_frequent_error(function)
                .filter(|_| matches!(signal, CanarySignal::RunFailed | CanarySignal::AttemptFailed))
                .map(str::to_owned),
        })
    })
}

fn doubt(counts: &RunCounts, terms: &Terms, ended_before: u32) -> Option<Doubt> {
    for (function, signal, evidence) in counts.evidence() {
        let (canary, current) = (evidence.of(Lane::Canary), evidence.of(Lane::Current));
        let mostly = |tally: Tally| tally.total >= MOSTLY_FROM && tally.is_mostly_bad();
        // Steps that are slow in both generations speak neither for the canary nor against it.
        if signal != CanarySignal::Slow && mostly(canary) && mostly(current) {
            let function = function.to_owned();
            return Some(Doubt::BothFail { function });
        }
        let is_broken = signal == CanarySignal::RunFailed && canary.bad > 0 && canary.is_mostly_bad();
        // The first steps of the current generation say what is slow, and are not compared: evidence is late.
        let is_slow = signal == CanarySignal::Slow && mostly(canary) && !mostly(current);
        if is_broken || is_slow || evidence.e_value() >= SUSPICIOUS {
            let function = function.to_owned();
            return Some(Doubt::Suspicious { function });
        }
    }
    let ended = counts.ended(Lane::Canary).total.saturating_sub(ended_before);
    let least = terms.options.least;
    if ended < least {
        return Some(Doubt::TooFewRuns { ended, least });
    }
    let unseen = |function: &&String| counts.seen(function, Lane::Canary).total == 0;
    let functions: Vec<_> = terms.changed.iter().filter(unseen).cloned().collect();
    (!functions.is_empty()).then_some(Doubt::Unseen { functions })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CanaryVerdict, Doubt, Terms, decide};
    use crate::canary::{CallEffect, CallReport, CanaryOptions, CanarySignal, Lane, RunCounts};
    use crate::wire::StepTime;

    const GOOD: CallEffect = CallEffect::Done { ends_run: true };
    const BAD: CallEffect = CallEffect::Failed { ends_run: true };
    const DEATH: CallEffect = CallEffect::Died { ends_run: true };
    const SOON: Duration = Duration::from_secs(1);

    fn terms() -> Terms {
        Terms {
            options: CanaryOptions::default(),
            functions: 4,
            changed: vec!["f".to_owned()],
        }
    }

    /// Has runs end, nine of the current generation before each of the canary.
    fn counts(function: &str, canary: &[CallEffect], current: CallEffect) -> RunCounts {
        let mut counts = RunCounts::default();
        let mut end = |run: String, lane, outcome| {
            assert!(counts.begin(&run, function, lane));
            counts.note(&run, outcome);
        };
        for (block, outcome) in canary.iter().enumerate() {
            for run in 0..9 {
                end(format!("{block}-{run}"), Lane::Current, current);
            }
            end(format!("{block}"), Lane::Canary, *outcome);
        }
        counts
    }

    #[test]
    fn a_function_that_always_throws_is_found_within_five_runs() {
        let found = (1..=5).find_map(|runs| {
            let counts = counts("f", &vec![BAD; runs], GOOD);
            match decide(&counts, &terms(), 0, SOON) {
                CanaryVerdict::Fail(grounds) => Some((runs, grounds)),
                _ => None,
            }
        });
        let (runs, grounds) = found.unwrap();
        assert!(runs >= 3, "not by the first one: {runs}");
        assert_eq!((grounds.function.as_str(), grounds.current.bad), ("f", 0));
        assert!(grounds.e_value >= terms().wanted());
    }

    #[test]
    fn two_deaths_are_enough_unless_isolates_die_in_both() {
        assert!(matches!(
            decide(&counts("f", &[DEATH], GOOD), &terms(), 0, SOON),
            CanaryVerdict::Open(_)
        ));
        let CanaryVerdict::Fail(grounds) = decide(&counts("f", &[DEATH, DEATH], GOOD), &terms(), 0, SOON) else {
            panic!("two deaths");
        };
        assert_eq!(grounds.signal, CanarySignal::IsolateDied);
        assert!(matches!(
            decide(&counts("f", &[DEATH, DEATH], DEATH), &terms(), 0, SOON),
            CanaryVerdict::Open(_)
        ));
    }

    #[test]
    fn a_canary_whose_steps_are_slow_does_not_pass_before_there_is_evidence() {
        let mut counts = RunCounts::default();
        let mut end = |run: String, lane, ms| {
            assert!(counts.begin(&run, "f", lane));
            let took = StepTime {
                step: "s".to_owned(),
                name: "charge".to_owned(),
                took: Duration::from_millis(ms),
            };
            let report = CallReport {
                times: vec![took],
                ..GOOD.into()
            };
            counts.note(&run, report);
        };
        // The current generation's runs say how long the step takes, and there are no more of them.
        for run in 0..20 {
            end(format!("old {run}"), Lane::Current, 250);
        }
        for run in 0..20 {
            end(format!("new {run}"), Lane::Canary, 500);
        }
        let function = "f".to_owned();
        assert_eq!(
            decide(&counts, &terms(), 0, SOON),
            CanaryVerdict::Open(Doubt::Suspicious { function })
        );
    }

    #[test]
    fn the_runs_of_earlier_stages_do_not_count_for_the_present_one() {
        let counts = counts("f", &[GOOD; 30], GOOD);
        let few = CanaryVerdict::Open(Doubt::TooFewRuns { ended: 19, least: 20 });
        assert_eq!(decide(&counts, &terms(), 11, SOON), few);
        assert_eq!(decide(&counts, &terms(), 10, SOON), CanaryVerdict::Pass);
    }

    #[test]
    fn enough_good_runs_pass_and_too_few_do_not() {
        assert_eq!(
            decide(&counts("f", &[GOOD; 20], GOOD), &terms(), 0, SOON),
            CanaryVerdict::Pass
        );
        assert!(matches!(
            decide(&counts("f", &[GOOD; 19], GOOD), &terms(), 0, SOON),
            CanaryVerdict::Open(_)
        ));
        let late = decide(&counts("f", &[GOOD; 19], GOOD), &terms(), 0, terms().options.within);
        assert_eq!(
            late,
            CanaryVerdict::Inconclusive(Doubt::TooFewRuns { ended: 19, least: 20 })
        );
    }

    #[test]
    fn code_whose_changed_function_was_never_triggered_does_not_pass() {
        let counts = counts("other", &[GOOD; 40], GOOD);
        assert!(matches!(decide(&counts, &terms(), 0, SOON), CanaryVerdict::Open(_)));
        let CanaryVerdict::Inconclusive(doubt) = decide(&counts, &terms(), 0, terms().options.within) else {
            panic!("silence is no pass");
        };
        assert_eq!(
            doubt,
            Doubt::Unseen {
                functions: vec!["f".to_owned()]
            }
        );
        assert!(!doubt.is_grave());
    }

    #[test]
    fn generations_that_both_fail_get_no_verdict_and_no_promotion() {
        let counts = counts("f", &[BAD; 60], BAD);
        assert!(matches!(decide(&counts, &terms(), 0, SOON), CanaryVerdict::Open(_)));
        let CanaryVerdict::Inconclusive(doubt) = decide(&counts, &terms(), 0, terms().options.within) else {
            panic!("neither is better");
        };
        assert!(doubt.is_grave(), "{doubt:?}");
    }

    #[test]
    fn a_canary_most_of_whose_runs_fail_does_not_pass_however_few_are_wanted() {
        let mut few = terms();
        few.options.least = 1;
        for current in [GOOD, BAD] {
            let verdict = decide(&counts("f", &[BAD], current), &few, 0, SOON);
            assert!(matches!(verdict, CanaryVerdict::Open(_)), "{verdict:?}");
        }
        assert_eq!(decide(&counts("f", &[GOOD], GOOD), &few, 0, SOON), CanaryVerdict::Pass);
    }

    #[test]
    fn more_tests_want_more_evidence_each() {
        let mut more = terms();
        more.functions = 40;
        assert!((terms().wanted() - 1600.0).abs() < 1e-6);
        assert!((more.wanted() - 16_000.0).abs() < 1e-6);
    }
}
