//! The outcome of the replays of a reload, typed and in words.

use std::fmt::{self, Display, Formatter};

use js_runtime_api::Warning;
use serde::{Deserialize, Serialize};

use super::comparison::{Comparison, PlanDifference};
use crate::lint::LIVE_RUNS;

/// The most reasons that are told of runs that are not compared.
const MOST_REASONS: usize = 5;
/// The reason that stands for all beyond those.
const OTHER_REASONS: &str = "other reasons";

/// The outcome of the replays of a reload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayReport {
    /// The number of live runs of which the host has the newest call.
    pub live: usize,
    /// The number of runs that were compared.
    pub compared: usize,
    /// The functions with runs that the new code would disturb.
    pub disturbed: Vec<DisturbedFunction>,
    pub not_compared: Vec<UncomparedRuns>,
}

/// A function with runs that the new code would disturb.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisturbedFunction {
    pub function: String,
    /// The number of its runs that would be disturbed.
    pub runs: usize,
    /// The newest one of these runs.
    pub run: String,
    /// The difference that the new code makes to that run.
    pub difference: PlanDifference,
}

/// Runs that are not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncomparedRuns {
    pub reason: String,
    pub runs: usize,
}

impl ReplayReport {
    /// Counts a comparison.
    pub(super) fn add(&mut self, function: &str, run: &str, comparison: Comparison) {
        match comparison {
            Comparison::Same => self.compared += 1,
            Comparison::Incomparable(reason) => self.leave_out(&reason, 1),
            Comparison::Differs(difference) => {
                self.compared += 1;
                match self.disturbed.iter_mut().find(|known| known.function == function) {
                    Some(known) => known.runs += 1,
                    None => self.disturbed.push(DisturbedFunction {
                        function: function.to_owned(),
                        runs: 1,
                        run: run.to_owned(),
                        difference,
                    }),
                }
            }
        }
    }

    /// Counts runs that are not compared.
    pub(super) fn leave_out(&mut self, reason: &str, runs: usize) {
        if runs == 0 {
            return;
        }
        let is_full = self.not_compared.len() >= MOST_REASONS;
        let is_known = self.not_compared.iter().any(|known| known.reason == reason);
        let reason = if is_full && !is_known { OTHER_REASONS } else { reason };
        match self.not_compared.iter_mut().find(|known| known.reason == reason) {
            Some(known) => known.runs += runs,
            None => self.not_compared.push(UncomparedRuns {
                reason: reason.to_owned(),
                runs,
            }),
        }
    }

    /// The number of runs that the new code would disturb.
    #[must_use]
    pub fn disturbed_runs(&self) -> usize {
        self.disturbed.iter().map(|function| function.runs).sum()
    }

    /// Returns the report in words, a line each; none where no run is live.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let live = self.live;
        let disturbed = self.disturbed_runs();
        let mut lines = Vec::new();
        if disturbed > 0 {
            let functions: Vec<_> = self.disturbed.iter().map(ToString::to_string).collect();
            lines.push(format!(
                "{disturbed} of {live} live runs would plan other steps: {}",
                functions.join(", ")
            ));
        } else if self.compared > 0 {
            lines.push(format!(
                "{} of {live} live runs were replayed: they would plan the same steps",
                self.compared
            ));
        }
        let not_compared = self.not_compared.iter();
        lines.extend(
            not_compared.map(|UncomparedRuns { reason, runs }| format!("{runs} run(s) cannot be compared: {reason}")),
        );
        lines
    }

    /// Returns the warning about the runs that the new code would disturb, if there are such.
    #[must_use]
    pub fn warning(&self) -> Option<Warning> {
        let first = self.disturbed.first()?;
        Some(Warning {
            code: LIVE_RUNS.into(),
            function: Some(first.function.clone()),
            message: self.lines().into_iter().next()?,
            file: None,
            line: None,
            help: Some(
                "Keep the ids and the order of the steps until these runs have ended, or give the changed function \
                 another id."
                    .to_owned(),
            ),
        })
    }
}

impl Display for DisturbedFunction {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            function,
            run,
            difference,
            ..
        } = self;
        write!(formatter, "{function} (run {run}: {difference})")
    }
}

impl Display for PlanDifference {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherSteps { before, after } => {
                write!(formatter, "{} → {}", quoted(before), quoted(after))
            }
            Self::Ends { before } => write!(formatter, "{} → the run ends", quoted(before)),
            Self::GoesOn { after } => write!(formatter, "the run ends → {}", quoted(after)),
            Self::Throws { error } => write!(formatter, "the new code throws outside steps: {error}"),
            Self::FunctionGone => formatter.write_str("the function is gone"),
        }
    }
}

fn quoted(names: &[String]) -> String {
    if names.is_empty() {
        return "no step".to_owned();
    }
    let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{Comparison, MOST_REASONS, PlanDifference, ReplayReport};
    use crate::lint::{self, LIVE_RUNS};

    fn renamed() -> Comparison {
        Comparison::Differs(PlanDifference::OtherSteps {
            before: vec!["charge".to_owned()],
            after: vec!["charge-card".to_owned()],
        })
    }

    #[test]
    fn a_report_tells_runs_functions_and_one_example_of_each() {
        let mut report = ReplayReport {
            live: 5,
            ..ReplayReport::default()
        };
        report.add("shop-charge", "01B", renamed());
        report.add("shop-charge", "01A", renamed());
        report.add("shop-old", "01C", Comparison::Differs(PlanDifference::FunctionGone));
        report.add("shop-mail", "01D", Comparison::Same);
        report.add("shop-mail", "01E", Comparison::Incomparable("the reason".to_owned()));
        assert_eq!((report.compared, report.disturbed_runs()), (4, 3));
        assert_eq!(
            report.lines(),
            [
                "3 of 5 live runs would plan other steps: shop-charge (run 01B: \"charge\" → \"charge-card\"), \
                 shop-old (run 01C: the function is gone)",
                "1 run(s) cannot be compared: the reason",
            ]
        );
        assert_eq!(report.warning().unwrap().code, LIVE_RUNS);
        assert_eq!(lint::parse_code(LIVE_RUNS), Ok(LIVE_RUNS), "the warning can be denied");
    }

    #[test]
    fn runs_that_go_on_as_before_are_no_warning_and_no_runs_are_no_words() {
        let mut report = ReplayReport::default();
        assert!(report.lines().is_empty());
        report.live = 1;
        report.add("shop-mail", "01D", Comparison::Same);
        assert_eq!(
            report.lines(),
            ["1 of 1 live runs were replayed: they would plan the same steps"]
        );
        assert_eq!(report.warning(), None);
    }

    #[test]
    fn the_number_of_reasons_is_bounded() {
        let mut report = ReplayReport::default();
        for reason in 0..20 {
            report.leave_out(&reason.to_string(), 1);
            report.leave_out("0", 1);
            report.leave_out("none", 0);
        }
        assert_eq!(report.not_compared.len(), MOST_REASONS + 1);
        assert_eq!(report.not_compared.iter().map(|left| left.runs).sum::<usize>(), 40);
    }
}
