//! The steps that runs have, so that a canary that is taken back tells how many results the old code will not ask for.
//!
//! The SDK does not say which results it ignores. So a step counts as unknown to the old code when none of its runs had
//! it while the canary was on.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::Lane;

/// The most steps of each lane that are remembered.
const MOST_STEPS: usize = 20_000;

/// The hashed ids of steps: those that any run of the current generation had, by function, and those of the open runs
/// of the canary, by run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct KnownSteps {
    current: BTreeMap<String, HashSet<String>>,
    canary: HashMap<String, Vec<String>>,
}

impl KnownSteps {
    /// Notes the steps of an answer.
    pub(super) fn note(&mut self, (run, function): (&str, &str), lane: Lane, steps: Vec<String>) {
        match lane {
            Lane::Current => {
                let room = MOST_STEPS.saturating_sub(self.current.values().map(HashSet::len).sum());
                let known = self.current.entry(function.to_owned()).or_default();
                let news = steps.into_iter().filter(|step| !known.contains(step)).take(room);
                let news: Vec<_> = news.collect();
                known.extend(news);
            }
            Lane::Canary => {
                let room = MOST_STEPS.saturating_sub(self.canary.values().map(Vec::len).sum());
                let known = self.canary.entry(run.to_owned()).or_default();
                for step in steps.into_iter().take(room) {
                    if !known.contains(&step) {
                        known.push(step);
                    }
                }
            }
        }
    }

    /// Forgets a run that has ended.
    pub(super) fn forget(&mut self, run: &str) {
        self.canary.remove(run);
    }

    /// Counts the steps of a run of the canary that no run of the current generation had.
    pub(super) fn unknown(&self, run: &str, function: &str) -> usize {
        let known = self.current.get(function);
        let is_unknown = |step: &&String| known.is_none_or(|known| !known.contains(*step));
        self.canary.get(run).into_iter().flatten().filter(is_unknown).count()
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
        steps.note(("1", "f"), Lane::Canary, ids(&["a", "b"]));
        steps.note(("1", "f"), Lane::Canary, ids(&["b", "c"]));
        assert_eq!(steps.unknown("1", "f"), 3);
        steps.note(("2", "f"), Lane::Current, ids(&["a"]));
        steps.note(("3", "g"), Lane::Current, ids(&["b"]));
        assert_eq!(steps.unknown("1", "f"), 2);
        steps.forget("1");
        assert_eq!(steps.unknown("1", "f"), 0);
    }

    #[test]
    fn only_so_many_steps_are_remembered() {
        let mut steps = KnownSteps::default();
        for lane in [Lane::Canary, Lane::Current] {
            for step in 0..=MOST_STEPS / 100 {
                let many: Vec<_> = (0..100).map(|of| format!("{step} {of}")).collect();
                steps.note(("1", "f"), lane, many);
            }
        }
        assert_eq!(steps.canary.values().map(Vec::len).sum::<usize>(), MOST_STEPS);
        assert_eq!(
            steps
                .current
                .values()
                .map(std::collections::HashSet::len)
                .sum::<usize>(),
            MOST_STEPS
        );
    }
}
