//! The steps that runs have, so that a canary that is taken back tells how many results the old code will not ask for.
//!
//! The SDK does not say which results it ignores. So a step counts as unknown to the old code when none of its runs had
//! it while the canary was on.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::Lane;

/// The most steps of each lane that are remembered.
const MOST_STEPS: usize = 20_000;

/// A step of a function: the beginning of a hash of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
struct StepKey(u64);

impl StepKey {
    fn of(function: &str, step: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(function.as_bytes()).update(&[0]).update(step.as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
        Self(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// The steps that any run of the current generation had, and those that each open run of the canary had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct KnownSteps {
    current: HashSet<StepKey>,
    canary: HashMap<String, Vec<StepKey>>,
    /// The number of the steps in `canary`.
    of_canary: usize,
}

impl KnownSteps {
    /// Notes the steps of an answer.
    pub(super) fn note(&mut self, (run, function): (&str, &str), lane: Lane, steps: &[String]) {
        let steps = steps.iter().map(|step| StepKey::of(function, step));
        match lane {
            Lane::Current => {
                let room = MOST_STEPS.saturating_sub(self.current.len());
                self.current.extend(steps.take(room));
            }
            Lane::Canary => {
                let room = MOST_STEPS.saturating_sub(self.of_canary);
                let known = self.canary.entry(run.to_owned()).or_default();
                for step in steps.take(room) {
                    if !known.contains(&step) {
                        known.push(step);
                        self.of_canary += 1;
                    }
                }
            }
        }
    }

    /// Forgets a run that has ended.
    pub(super) fn forget(&mut self, run: &str) {
        self.of_canary -= self.canary.remove(run).map_or(0, |steps| steps.len());
    }

    /// Counts the steps of a run of the canary that no run of the current generation had.
    pub(super) fn unknown(&self, run: &str) -> usize {
        let steps = self.canary.get(run).into_iter().flatten();
        steps.filter(|step| !self.current.contains(step)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::{KnownSteps, Lane, MOST_STEPS};

    fn ids(steps: &[&str]) -> Vec<String> {
        steps.iter().map(|step| (*step).to_owned()).collect()
    }

    #[test]
    fn a_step_is_unknown_that_no_run_of_the_old_code_had() {
        let mut steps = KnownSteps::default();
        steps.note(("1", "f"), Lane::Canary, &ids(&["a", "b"]));
        steps.note(("1", "f"), Lane::Canary, &ids(&["b", "c"]));
        assert_eq!(steps.unknown("1"), 3);
        steps.note(("2", "f"), Lane::Current, &ids(&["a"]));
        steps.note(("3", "g"), Lane::Current, &ids(&["b"]));
        assert_eq!(steps.unknown("1"), 2);
        steps.forget("1");
        steps.forget("1");
        assert_eq!((steps.unknown("1"), steps.of_canary), (0, 0));
    }

    #[test]
    fn only_so_many_steps_are_remembered() {
        let mut steps = KnownSteps::default();
        for lane in [Lane::Canary, Lane::Current] {
            for step in 0..=MOST_STEPS / 100 {
                let many: Vec<_> = (0..100).map(|of| format!("{step} {of}")).collect();
                steps.note((&step.to_string(), "f"), lane, &many);
            }
        }
        assert_eq!((steps.of_canary, steps.current.len()), (MOST_STEPS, MOST_STEPS));
    }
}
