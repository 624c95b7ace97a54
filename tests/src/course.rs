//! The course of a run: the executor's decisions between two calls, whatever carries the calls
//! (inngest/inngest: `pkg/execution/executor`). It memoises the outcomes of steps, plans, counts attempts, and tells
//! which call is next.

use serde_json::{Value, json};

use crate::op::Op;
use crate::run::Run;

/// The number of calls that a run may take before it counts as endless.
const MOST_CALLS: usize = 50;

/// The function that returns the outcome of a driven run's sleep, wait or invocation: the state
/// that the executor would keep for the op.
pub type Drive<'a> = &'a (dyn Fn(&Op) -> Value + Sync);

/// The outcome of one call.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The function has returned.
    Returned,
    /// The function asks for these ops.
    Asked {
        ops: Vec<Op>,
        /// The version that the answer pins, where it has one.
        version: Option<i64>,
    },
    /// The call failed.
    Failed {
        /// Tells whether another attempt is allowed.
        again: bool,
    },
}

/// The executor's next action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It calls the function once more.
    Call,
    /// It calls the function once more: the last call failed.
    Retry,
    /// The run has ended.
    End,
}

/// A run on its way.
#[derive(Debug)]
pub(crate) struct Course {
    run: Run,
    planned: Vec<Op>,
    target: Option<Op>,
    seen: Vec<Op>,
    calls: usize,
}

impl Course {
    pub(crate) fn of(run: Run) -> Self {
        Self {
            run,
            planned: Vec::new(),
            target: None,
            seen: Vec::new(),
            calls: 0,
        }
    }

    /// Returns the planned step that the next call is for; without one it is for the function from its beginning.
    pub(crate) fn next_call(&mut self) -> Option<Op> {
        self.calls += 1;
        assert!(
            self.calls <= MOST_CALLS,
            "no end to the run of {} after {MOST_CALLS} calls: {:#?}",
            self.run.function,
            self.seen
        );
        self.target = self.planned.pop();
        self.target.clone()
    }

    /// Takes the outcome of the call that was the last one to begin.
    pub(crate) fn take(&mut self, outcome: Outcome, drive: Drive<'_>) -> Next {
        let (ops, version) = match outcome {
            Outcome::Returned => return Next::End,
            Outcome::Failed { again } if again && self.run.attempt + 1 < self.run.max_attempts => {
                self.run.attempt += 1;
                self.planned.extend(self.target.clone());
                return Next::Retry;
            }
            Outcome::Failed { .. } => return Next::End,
            Outcome::Asked { ops, version } => (ops, version),
        };
        if self.run.version == -1 {
            self.run.version = version.unwrap_or_else(|| panic!("an unfinished answer without a version: {ops:#?}"));
        }
        self.seen.extend(ops.iter().cloned());
        if ops.iter().any(|op| op.code() == "RunComplete") {
            return Next::End;
        }
        if ops.len() > 1 {
            self.run.force_step_plan();
        }
        let mut next = Next::Call;
        for op in ops {
            match op.code() {
                "StepRun" | "Step" => {
                    self.run.memoise(op.id(), json!({ "data": op.data() }));
                    self.run.attempt = 0;
                }
                "StepError" if self.run.attempt + 1 < self.run.max_attempts => {
                    self.run.attempt += 1;
                    self.planned.extend(self.target.clone());
                    next = Next::Retry;
                }
                "StepError" | "StepFailed" => {
                    self.run.memoise(op.id(), json!({ "error": op.0["error"] }));
                    self.run.attempt = 0;
                }
                "StepPlanned" => self.planned.push(op),
                _ => {
                    let outcome = drive(&op);
                    self.run.memoise(op.id(), outcome);
                }
            }
        }
        let Self { planned, run, .. } = self;
        planned.retain(|op| !run.knows(op));
        next
    }

    /// Takes steps that the function reported beside its answers, as checkpoints do.
    pub(crate) fn take_checkpoint(&mut self, ops: impl IntoIterator<Item = Op>) {
        for op in ops {
            if matches!(op.code(), "StepRun" | "Step") && !self.run.knows(&op) {
                self.run.memoise(op.id(), json!({ "data": op.data() }));
            }
        }
    }

    pub(crate) fn run(&self) -> &Run {
        &self.run
    }

    /// Every op on the way, in order.
    pub(crate) fn into_ops(self) -> Vec<Op> {
        self.seen
    }
}
