//! The times that steps take, and the bounds beyond which a step is slow.
//!
//! A bound comes from the first executions of a step in the current generation while the canary is on, and then stays:
//! both lanes are measured alike. So the outcomes "slow" and "not slow" are streams of their own for the test, however
//! the step's times are distributed, and a bound that is off by chance finds less, but accuses nobody.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Lane;
use crate::wire::StepTime;

/// The number of executions that a bound comes from.
const LEARNED_FROM: usize = 20;
/// The place of the 95th percentile among them, the fastest first: one of them may be slow by chance.
const USUAL_AT: usize = LEARNED_FROM - 2;
/// The time beyond the usual that is not yet slow: code that is new to an isolate has it, and a busy machine.
const SLACK_MS: u32 = 10;
/// The most steps with a bound, over all functions. Times of more steps are not compared.
const MOST_STEPS: usize = 2000;

impl StepTime {
    /// The time of the call in which the function returned.
    #[must_use]
    pub const fn of_return(took: Duration) -> Self {
        Self {
            step: String::new(),
            name: String::new(),
            took,
        }
    }

    /// The time in milliseconds.
    fn ms(&self) -> u32 {
        u32::try_from(self.took.as_millis()).unwrap_or(u32::MAX)
    }
}

/// A comparison of a step's time with its bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepPace {
    /// There is no bound yet.
    Unknown,
    Usual,
    Slow(SlowStep),
}

/// An execution of a step that took longer than is usual.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowStep {
    /// The name of the step; empty for the call in which the function returned.
    pub name: String,
    pub ms: u32,
    /// The time that 95 % of the executions in the current generation do not exceed.
    pub usual_ms: u32,
}

impl SlowStep {
    /// The execution for a person.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { name, ms, usual_ms } = self;
        let step = match name.as_str() {
            "" => "its last call".to_owned(),
            name => format!("step {name:?}"),
        };
        format!("{step} took {ms} ms, before at most {usual_ms} ms in 95 % of the cases")
    }
}

/// The bounds of the steps: see the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepBounds(HashMap<String, HashMap<String, StepBound>>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StepBound {
    /// The times so far, in milliseconds.
    Learning(Vec<u32>),
    /// The usual time, in milliseconds.
    Known(u32),
}

impl StepBounds {
    /// Compares a step's time with its bound, or learns from the time while there is no bound.
    pub fn compare(&mut self, function: &str, lane: Lane, time: &StepTime) -> StepPace {
        let ms = time.ms();
        let known = self.0.get(function).and_then(|steps| steps.get(&time.step));
        if let Some(StepBound::Known(usual_ms)) = known {
            let usual_ms = *usual_ms;
            if ms <= usual_ms.saturating_add(usual_ms / 4).saturating_add(SLACK_MS) {
                return StepPace::Usual;
            }
            let name = time.name.clone();
            return StepPace::Slow(SlowStep { name, ms, usual_ms });
        }
        let has_room = known.is_some() || self.0.values().map(HashMap::len).sum::<usize>() < MOST_STEPS;
        if lane == Lane::Current && has_room {
            let steps = self.0.entry(function.to_owned()).or_default();
            let bound = steps.entry(time.step.clone());
            bound.or_insert(StepBound::Learning(Vec::new())).learn(ms);
        }
        StepPace::Unknown
    }
}

impl StepBound {
    fn learn(&mut self, ms: u32) {
        let Self::Learning(times) = self else {
            return;
        };
        times.push(ms);
        times.sort_unstable();
        if times.len() >= LEARNED_FROM
            && let Some(usual) = times.get(USUAL_AT)
        {
            *self = Self::Known(*usual);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LEARNED_FROM, MOST_STEPS, SlowStep, StepBounds, StepPace};
    use crate::canary::Lane;
    use crate::wire::StepTime;

    fn time(step: &str, ms: u64) -> StepTime {
        StepTime {
            step: step.to_owned(),
            name: "charge".to_owned(),
            took: Duration::from_millis(ms),
        }
    }

    #[test]
    fn a_bound_is_learned_from_the_current_generation_and_stays() {
        let mut bounds = StepBounds::default();
        for ms in 0..20 {
            let slow = bounds.compare("f", Lane::Canary, &time("a", 5000));
            assert_eq!(slow, StepPace::Unknown, "the canary sets no bound");
            let ms = if ms == 7 { 9000 } else { 100 + ms };
            assert_eq!(bounds.compare("f", Lane::Current, &time("a", ms)), StepPace::Unknown);
        }
        for lane in [Lane::Canary, Lane::Current] {
            assert_eq!(bounds.compare("f", lane, &time("a", 158)), StepPace::Usual);
            let StepPace::Slow(slow) = bounds.compare("f", lane, &time("a", 200)) else {
                panic!("119 ms are usual: one of twenty may be slow by chance");
            };
            assert_eq!((slow.ms, slow.usual_ms), (200, 119));
        }
        assert_eq!(bounds.compare("f", Lane::Current, &time("b", 1)), StepPace::Unknown);
        assert_eq!(bounds.compare("g", Lane::Current, &time("a", 1)), StepPace::Unknown);
    }

    #[test]
    fn a_few_milliseconds_more_are_not_slow() {
        let mut bounds = StepBounds::default();
        for _ in 0..LEARNED_FROM {
            bounds.compare("f", Lane::Current, &time("a", 0));
        }
        assert_eq!(bounds.compare("f", Lane::Canary, &time("a", 10)), StepPace::Usual);
        assert_ne!(bounds.compare("f", Lane::Canary, &time("a", 11)), StepPace::Usual);
    }

    #[test]
    fn only_so_many_steps_have_bounds() {
        let mut bounds = StepBounds::default();
        for step in 0..MOST_STEPS + 5 {
            bounds.compare("f", Lane::Current, &time(&step.to_string(), 1));
        }
        assert_eq!(bounds.0["f"].len(), MOST_STEPS);
        for _ in 0..LEARNED_FROM {
            bounds.compare("f", Lane::Current, &time("0", 1));
        }
        assert_eq!(
            bounds.compare("f", Lane::Current, &time("0", 1)),
            StepPace::Usual,
            "a step that has its place is learned"
        );
    }

    #[test]
    fn a_slow_step_is_told_with_its_name_or_as_the_last_call() {
        let slow = |name: &str| {
            let (ms, usual_ms) = (400, 190);
            let name = name.to_owned();
            SlowStep { name, ms, usual_ms }.words()
        };
        assert_eq!(
            slow("charge"),
            "step \"charge\" took 400 ms, before at most 190 ms in 95 % of the cases"
        );
        assert!(slow("").starts_with("its last call took 400 ms"));
    }
}
