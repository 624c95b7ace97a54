//! One run as Inngest's executor conducts it: answers in, effects out.
//!
//! ```text
//!   begin ─▶ discovery call ─┬─ 200, RunComplete ──────────────▶ ended: completed
//!                  ▲         ├─ a step ran ───▶ memoised ──┐
//!                  │         ├─ steps planned ─▶ a call of each, side by side ─▶ memoised ─┐
//!                  │         ├─ sleep, wait, invoke, request ─▶ resolved ─▶ memoised ─────┤
//!                  │         ├─ threw ─▶ the same call again, or for good: ended: failed   │
//!                  └─────────┴─────────────────────────────────────────────────────────────┘
//! ```
//!
//! The machine never does IO and has no clock. It follows inngest/inngest, `pkg/execution/executor`:
//!
//! - A step that throws for the last time is memoised as an error, and the function sees it.
//! - Once more than one op came at a time, steps are planned and not run at once
//!   (`disable_immediate_execution`). Version 2 discovers again when all of them have ended, unless
//!   they race; version 1 after each of them.
//! - Two discoveries never run at a time: a step that ends meanwhile leads to another discovery.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::moment::Moment;
use super::op::{Op, Step, Wait};

/// The most steps that Inngest lets a run have.
const MOST_STEPS: usize = 1000;

/// A call to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdkCall {
    pub target: CallTarget,
    /// The number of the attempt, from 0.
    pub attempt: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallTarget {
    /// A call that runs the function from its beginning, past the memoised steps.
    Discovery,
    /// A call that runs a step which was planned.
    Step(Step),
}

impl CallTarget {
    /// The `stepId` that the call carries.
    #[must_use]
    pub fn step_id(&self) -> &str {
        match self {
            Self::Discovery => "step",
            Self::Step(step) => &step.id,
        }
    }
}

/// The time at which a call is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delay {
    /// A time that grows with each attempt; `attempt` is the one that failed.
    BackOff { attempt: u32 },
    /// The moment that the code says (`RetryAfterError`).
    Until(Moment),
}

/// A thing to do. The effects of one answer are done in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Call {
        call: SdkCall,
        delay: Option<Delay>,
    },
    /// The wait of a step begins; its outcome goes to [`Machine::resolved`].
    Begin {
        step: Step,
        wait: Wait,
    },
    /// A step's attempt has ended.
    Tell {
        step: Step,
        attempt: u32,
        ending: StepEnding,
    },
    /// The function threw outside of its steps, and is called again.
    FunctionThrew {
        attempt: u32,
        error: Value,
        delay: Delay,
    },
    /// Something that people should know.
    Note(String),
    /// The last effect: the run has ended.
    End(RunOutcome),
}

/// The end of an attempt of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepEnding {
    Done(Value),
    Again { error: Value, delay: Delay },
    Failed(Value),
}

/// The end of the run.
#[derive(Debug, Clone, PartialEq)]
pub enum RunOutcome {
    Completed(Value),
    Failed(Value),
}

/// The executor's memory of a run.
#[derive(Debug, Clone)]
pub struct Machine {
    max_attempts: u32,
    /// The outcomes of steps by hashed id, in the order in which the steps ended.
    memory: Vec<(String, Value)>,
    /// The execution version; -1 until the SDK has chosen one.
    version: i64,
    /// Has every step planned before it runs.
    plan_first: bool,
    plan_only: bool,
    /// The steps that are planned or waited for, and that have not ended.
    open: BTreeMap<String, Step>,
    /// The steps that must all end before the next discovery.
    group: BTreeSet<String>,
    discovery: Discovery,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Discovery {
    Idle,
    Running,
    /// A discovery runs, and something has ended that the discovery does not know of.
    RunningAndOutdated,
}

impl Machine {
    /// Makes the machine for a run of a function that may be tried so many times.
    #[must_use]
    pub const fn new(max_attempts: u32) -> Self {
        Self {
            max_attempts,
            memory: Vec::new(),
            version: -1,
            plan_first: false,
            plan_only: false,
            open: BTreeMap::new(),
            group: BTreeSet::new(),
            discovery: Discovery::Idle,
            ended: false,
        }
    }

    /// Has every step planned before it runs, so that another may run it.
    #[must_use]
    pub const fn planning_first(mut self, plan_first: bool) -> Self {
        self.plan_first = plan_first;
        self
    }

    #[must_use]
    pub fn begin(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.discover(&mut effects);
        effects
    }

    /// Returns the outcomes of steps by hashed id, in the order in which the steps ended.
    #[must_use]
    pub fn memory(&self) -> &[(String, Value)] {
        &self.memory
    }

    #[must_use]
    pub const fn version(&self) -> i64 {
        self.version
    }

    #[must_use]
    pub const fn plan_only(&self) -> bool {
        self.plan_first || self.plan_only
    }

    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// Returns the effects of the answer to a call.
    #[must_use]
    pub fn answered(&mut self, call: &SdkCall, answer: Answer) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.ended {
            return effects;
        }
        match answer {
            Answer::Returned(value) => self.end(RunOutcome::Completed(value), &mut effects),
            Answer::Failed { error, again, after } => self.threw(call, error, again, after, &mut effects),
            Answer::Ops { version, ops, after } => self.asked(call, version, ops, after, &mut effects),
        }
        effects
    }

    /// Returns the effects of the end of a wait. `outcome` has the form of the state: `null` for a sleep or a
    /// timeout, an event, `{"data":…}` or `{"error":…}`.
    #[must_use]
    pub fn resolved(&mut self, id: &str, outcome: Value) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !self.ended {
            self.memoise(id, outcome, &mut effects);
        }
        effects
    }

    fn threw(&mut self, call: &SdkCall, error: Value, again: bool, after: Option<Moment>, effects: &mut Vec<Effect>) {
        let attempt = call.attempt;
        if !again || attempt + 1 >= self.max_attempts {
            return self.end(RunOutcome::Failed(error), effects);
        }
        let delay = delay(attempt, after);
        effects.push(match &call.target {
            CallTarget::Discovery => Effect::FunctionThrew {
                attempt,
                error,
                delay: delay.clone(),
            },
            CallTarget::Step(step) => Effect::Tell {
                step: step.clone(),
                attempt,
                ending: StepEnding::Again {
                    error,
                    delay: delay.clone(),
                },
            },
        });
        effects.push(again_of(call, delay));
    }

    fn asked(
        &mut self,
        call: &SdkCall,
        version: Option<i64>,
        ops: Vec<Op>,
        after: Option<Moment>,
        effects: &mut Vec<Effect>,
    ) {
        if self.version == -1 {
            self.version = version.unwrap_or(-1);
        }
        let known = |op: &Op| op.step().is_some_and(|step| self.open.contains_key(&step.id));
        let is_target = |op: &Op| op.step().is_some_and(|step| call.target.step_id() == step.id);
        // Each discovery tells of the steps that are under way.
        let mut ops: Vec<Op> = ops.into_iter().filter(|op| is_target(op) || !known(op)).collect();
        self.group_steps(&ops);
        // The ops that are under way come first: the end of a step may be the thing that they wait for.
        ops.sort_by_key(|op| matches!(op, Op::Ran { .. } | Op::Threw { .. }));
        let outdated = self.discovery == Discovery::RunningAndOutdated;
        let mut retried = false;
        if call.target == CallTarget::Discovery {
            self.discovery = Discovery::Idle;
        }
        for op in ops {
            match op {
                Op::Returned(value) => return self.end(RunOutcome::Completed(value), effects),
                Op::Ran { step, data } => {
                    effects.push(Effect::Tell {
                        step: step.clone(),
                        attempt: call.attempt,
                        ending: StepEnding::Done(data.clone()),
                    });
                    self.memoise(&step.id, json!({ "data": data }), effects);
                }
                Op::Threw { step, error, again } if again && call.attempt + 1 < self.max_attempts => {
                    threw_again(call, step, error, after.clone(), effects);
                    retried = true;
                }
                Op::Threw { step, error, .. } => {
                    effects.push(Effect::Tell {
                        step: step.clone(),
                        attempt: call.attempt,
                        ending: StepEnding::Failed(error.clone()),
                    });
                    self.memoise(&step.id, json!({ "error": error }), effects);
                }
                Op::Planned(step) => {
                    self.open.insert(step.id.clone(), step.clone());
                    effects.push(Effect::Call {
                        call: SdkCall {
                            target: CallTarget::Step(step),
                            attempt: 0,
                        },
                        delay: None,
                    });
                }
                Op::Waits { step, wait } => {
                    self.open.insert(step.id.clone(), step.clone());
                    effects.push(Effect::Begin { step, wait });
                }
                Op::Rediscover => self.discover(effects),
                Op::Lazy { code } => effects.push(Effect::Note(format!("{code} is left to Inngest: nothing is done"))),
                Op::Unknown { code } => {
                    let message = format!("the SDK asks for {code:?}, which `baton invoke` does not know");
                    return self.end(RunOutcome::Failed(answer::error("UnknownOp", &message)), effects);
                }
            }
        }
        if call.target == CallTarget::Discovery {
            if retried {
                self.discovery = Discovery::Running;
            } else if outdated && self.discovery == Discovery::Idle {
                self.discover(effects);
            }
        }
        let over = self.open.is_empty() && self.discovery == Discovery::Idle && !retried && !self.ended;
        if over {
            let message = "the function neither ends nor waits: its promise waits for something that is not a step";
            self.end(RunOutcome::Failed(answer::error("NothingToDo", message)), effects);
        }
    }

    /// Has steps only planned, once several steps came at a time. Unless the steps race, the function is asked again
    /// when all of them are done.
    fn group_steps(&mut self, ops: &[Op]) {
        let lazy = |op: &Op| matches!(op, Op::Lazy { .. });
        if ops.iter().filter(|op| !lazy(op)).count() > 1 {
            self.plan_only = true;
            let steps: Vec<&Step> = ops.iter().filter_map(Op::step).collect();
            if self.version >= 2 && !steps.iter().any(|step| step.race) {
                self.group.extend(steps.iter().map(|step| step.id.clone()));
            }
        }
    }

    fn memoise(&mut self, id: &str, outcome: Value, effects: &mut Vec<Effect>) {
        self.open.remove(id);
        self.group.remove(id);
        self.memory.retain(|(known, _)| known != id);
        self.memory.push((id.to_owned(), outcome));
        if self.memory.len() > MOST_STEPS {
            let message = format!("the run has more than {MOST_STEPS} steps, the most that Inngest allows");
            return self.end(RunOutcome::Failed(answer::error("TooManySteps", &message)), effects);
        }
        if !self.group.is_empty() {
            return;
        }
        if self.open.is_empty() && self.version >= 2 {
            self.plan_only = false;
        }
        self.discover(effects);
    }

    fn discover(&mut self, effects: &mut Vec<Effect>) {
        if self.ended {
            return;
        }
        self.discovery = match self.discovery {
            Discovery::Idle => {
                effects.push(Effect::Call {
                    call: SdkCall {
                        target: CallTarget::Discovery,
                        attempt: 0,
                    },
                    delay: None,
                });
                Discovery::Running
            }
            Discovery::Running | Discovery::RunningAndOutdated => Discovery::RunningAndOutdated,
        };
    }

    fn end(&mut self, outcome: RunOutcome, effects: &mut Vec<Effect>) {
        if !self.ended {
            self.ended = true;
            effects.push(Effect::End(outcome));
        }
    }
}

fn delay(attempt: u32, after: Option<Moment>) -> Delay {
    after.map_or(Delay::BackOff { attempt }, Delay::Until)
}

/// Tells that a step threw, and has the step tried again.
fn threw_again(call: &SdkCall, step: Step, error: Value, after: Option<Moment>, effects: &mut Vec<Effect>) {
    let delay = delay(call.attempt, after);
    effects.push(Effect::Tell {
        step,
        attempt: call.attempt,
        ending: StepEnding::Again {
            error,
            delay: delay.clone(),
        },
    });
    effects.push(again_of(call, delay));
}

fn again_of(call: &SdkCall, delay: Delay) -> Effect {
    Effect::Call {
        call: SdkCall {
            target: call.target.clone(),
            attempt: call.attempt + 1,
        },
        delay: Some(delay),
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
