//! The comparison of two plans for one run: that of the code that serves, and that of new code.

use serde::{Deserialize, Serialize};

use super::replayed_plan::ReplayedPlan;

/// The most names of steps that are told of one plan.
const MOST_NAMES: usize = 10;

/// The outcome of comparing two plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    Same,
    Differs(PlanDifference),
    /// Nothing can be said, for this reason.
    Incomparable(String),
}

/// The difference that new code makes to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PlanDifference {
    /// The run goes on with other steps: the names of the steps that one plan has and the other has not.
    OtherSteps { before: Vec<String>, after: Vec<String> },
    /// The run ends where it goes on with these steps in the code that serves.
    Ends { before: Vec<String> },
    /// The run goes on with these steps where it ends in the code that serves.
    GoesOn { after: Vec<String> },
    /// The new code throws outside steps.
    Throws { error: String },
    /// The new code does not have the function.
    FunctionGone,
}

/// Compares the plans of one run for the same memoised steps.
#[must_use]
pub fn compare(before: ReplayedPlan, after: ReplayedPlan) -> Comparison {
    use ReplayedPlan::{Ends, Steps, Throws, Unknown};
    match (before, after) {
        (Unknown(reason), _) | (_, Unknown(reason)) => Comparison::Incomparable(reason),
        (Throws(error), _) => {
            Comparison::Incomparable(format!("the code that serves throws outside steps, too: {error}"))
        }
        (Ends | Steps(_), Throws(error)) => Comparison::Differs(PlanDifference::Throws { error }),
        (Ends, Ends) => Comparison::Same,
        (Steps(before), Ends) => Comparison::Differs(PlanDifference::Ends {
            before: names(before.into_values()),
        }),
        (Ends, Steps(after)) => Comparison::Differs(PlanDifference::GoesOn {
            after: names(after.into_values()),
        }),
        (Steps(before), Steps(after)) => {
            if before.keys().eq(after.keys()) {
                return Comparison::Same;
            }
            let only = |one: &std::collections::BTreeMap<String, String>, other: &std::collections::BTreeMap<_, _>| {
                let only = one.iter().filter(|(id, _)| !other.contains_key(*id));
                names(only.map(|(_, name)| name.clone()))
            };
            Comparison::Differs(PlanDifference::OtherSteps {
                before: only(&before, &after),
                after: only(&after, &before),
            })
        }
    }
}

fn names(names: impl Iterator<Item = String>) -> Vec<String> {
    names.take(MOST_NAMES).collect()
}

#[cfg(test)]
mod tests {
    use super::{Comparison, PlanDifference, compare};
    use crate::replay::replayed_plan::ReplayedPlan;

    fn steps(names: &[&str]) -> ReplayedPlan {
        let steps = names.iter().map(|name| (format!("hash of {name}"), (*name).to_owned()));
        ReplayedPlan::Steps(steps.collect())
    }

    fn check(before: ReplayedPlan, after: ReplayedPlan, expected: PlanDifference) {
        assert_eq!(compare(before, after), Comparison::Differs(expected));
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn equal_plans_are_the_same() {
        assert_eq!(compare(steps(&["a", "b"]), steps(&["b", "a"])), Comparison::Same);
        assert_eq!(compare(steps(&[]), steps(&[])), Comparison::Same);
        assert_eq!(compare(ReplayedPlan::Ends, ReplayedPlan::Ends), Comparison::Same);
    }

    #[test]
    fn a_difference_tells_the_steps_that_differ() {
        check(
            steps(&["charge", "mail"]),
            steps(&["charge-card", "mail"]),
            PlanDifference::OtherSteps {
                before: owned(&["charge"]),
                after: owned(&["charge-card"]),
            },
        );
        check(
            steps(&["a"]),
            steps(&["a", "b"]),
            PlanDifference::OtherSteps {
                before: Vec::new(),
                after: owned(&["b"]),
            },
        );
        check(
            steps(&["a"]),
            ReplayedPlan::Ends,
            PlanDifference::Ends { before: owned(&["a"]) },
        );
        check(
            ReplayedPlan::Ends,
            steps(&["a"]),
            PlanDifference::GoesOn { after: owned(&["a"]) },
        );
        let error = || "TypeError: no".to_owned();
        check(
            steps(&["a"]),
            ReplayedPlan::Throws(error()),
            PlanDifference::Throws { error: error() },
        );
    }

    #[test]
    fn code_that_throws_already_and_unknown_plans_are_not_compared() {
        let throws = || ReplayedPlan::Throws("Error: x".to_owned());
        let unknown = || ReplayedPlan::Unknown("no answer".to_owned());
        for (before, after) in [
            (throws(), steps(&["a"])),
            (throws(), throws()),
            (unknown(), steps(&["a"])),
            (steps(&["a"]), unknown()),
        ] {
            assert!(matches!(compare(before, after), Comparison::Incomparable(_)));
        }
    }
}
