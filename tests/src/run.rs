//! One run of a function as the executor remembers it, and the call request
//! that follows from that memory (inngest/inngest: `pkg/execution/driver`).

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::op::{Op, step_id};

/// Makes run ids differ within one test.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// The executor's knowledge of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// App and function, `app-function`.
    pub function: String,
    /// Shaped like the ULIDs of real runs.
    pub id: String,
    /// Counts from 0 and starts again with each step that ends well.
    pub attempt: u32,
    /// Retries + 1.
    pub max_attempts: u32,
    /// The execution version: -1 until the first 206 pins it.
    pub version: i64,
    event: Value,
    steps: Vec<(String, Value)>,
    planned: bool,
}

impl Run {
    /// A run of `function` (`app-function`) that has just begun, on the event `app/function`.
    #[must_use]
    pub fn of(function: &str) -> Self {
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let event = json!({
            "id": format!("01JEVENT00000000000000{number:04}"),
            "name": function.replacen('-', "/", 1),
            "data": {},
            "ts": 1_760_000_000_000_u64,
        });
        Self {
            function: function.to_owned(),
            id: format!("01JRUN0000000000000000{number:04}"),
            attempt: 0,
            max_attempts: 3,
            version: -1,
            event,
            steps: Vec::new(),
            planned: false,
        }
    }

    /// The name of the event that triggered it.
    #[must_use]
    pub fn on(mut self, event: &str) -> Self {
        self.event["name"] = event.into();
        self
    }

    /// The data of the event that triggered it.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.event["data"] = data;
        self
    }

    /// The attempt of the next call, of three at most.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Has every step planned, not run: the executor asks for that once a function has steps in
    /// parallel (`disable_immediate_execution`).
    #[must_use]
    pub fn planned(mut self) -> Self {
        self.planned = true;
        self
    }

    /// Puts an op's outcome into the state, in the shape the executor keeps it:
    /// `{"data":…}`, `{"error":…}`, `null` for a sleep, the event or `null` for
    /// a wait.
    pub fn memoise(&mut self, id: &str, outcome: Value) {
        self.steps.retain(|(known, _)| known != id);
        self.steps.push((id.to_owned(), outcome));
    }

    /// Puts an outcome into the state as [`Run::memoise`] does, by the step's name.
    #[must_use]
    pub fn remembering(mut self, step: &str, outcome: Value) -> Self {
        self.memoise(&step_id(step), outcome);
        self
    }

    /// Tells whether the outcome of a step is known.
    #[must_use]
    pub fn knows(&self, op: &Op) -> bool {
        self.steps.iter().any(|(known, _)| known == op.id())
    }

    /// Has every step planned from now on, as after a plan.
    pub(crate) fn force_step_plan(&mut self) {
        self.planned = true;
    }

    /// The request's body for a call of `step` (`step`, or the hashed id of a
    /// planned step).
    pub(crate) fn body(&self, step: &str, dispatch: &Dispatch) -> Value {
        let steps: serde_json::Map<_, _> = self.steps.iter().cloned().collect();
        let stack: Vec<_> = self.steps.iter().map(|(id, _)| id).collect();
        json!({
            "event": self.event,
            "events": [self.event],
            "steps": steps,
            "defers": {},
            "ctx": {
                "fn_id": "b2f9a2a6-5f5c-4d55-9d43-0c8f6bb3f3a1",
                "run_id": self.id,
                "env": "",
                "step_id": step,
                "attempt": self.attempt,
                "max_attempts": self.max_attempts,
                "stack": { "stack": stack, "current": stack.len() },
                "qi_id": dispatch.job,
                "job_id": dispatch.job,
                "request_id": dispatch.request,
                "generation_id": 1,
                "disable_immediate_execution": self.planned,
                "use_api": false,
            },
            "version": self.version,
            "use_api": false,
        })
    }
}

/// The ids of one dispatch.
pub(crate) struct Dispatch {
    pub(crate) request: String,
    pub(crate) job: String,
}

impl Dispatch {
    pub(crate) fn next() -> Self {
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        Self {
            request: format!("01JREQUEST000000000000{number:04}"),
            job: format!("01JJOB0000000000000000{number:04}"),
        }
    }
}
