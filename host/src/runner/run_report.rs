//! The reports of runs while they go on. `baton invoke --json` prints each of them as a line, and `POST /-/invoke` sends
//! them, which `baton mcp` reads.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A report, which is one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RunReport {
    /// A run begins.
    Run {
        #[serde(flatten)]
        of: RunLabel,
        origin: RunOrigin,
        event: Value,
    },
    /// An attempt of a step has ended.
    Step {
        #[serde(flatten)]
        of: RunLabel,
        step: String,
        id: String,
        /// The kind that the SDK gives the step, such as `step.sendEvent`; `null` for a plain `step.run`.
        kind: Option<String>,
        status: StepStatus,
        /// The number of the attempt, from 0.
        attempt: u32,
        max_attempts: u32,
        /// The generation whose code ran the step.
        generation: Option<u64>,
        ms: f64,
        /// Tells that a mock answered and that the step's code did not run.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        mocked: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_in_ms: Option<u64>,
    },
    /// The function threw outside of its steps and is called again.
    Retry {
        #[serde(flatten)]
        of: RunLabel,
        attempt: u32,
        max_attempts: u32,
        generation: Option<u64>,
        ms: f64,
        error: Value,
        retry_in_ms: u64,
    },
    /// A step waits.
    Waiting {
        #[serde(flatten)]
        of: RunLabel,
        step: String,
        id: String,
        kind: WaitKind,
        /// The thing that the step waits for: an event's or signal's name, a function's id, a URL.
        #[serde(rename = "for")]
        what: Option<String>,
        until: Option<Timestamp>,
    },
    /// The wait of a step has ended: its thing has come, or the time is over (`output` is `null`).
    Waited {
        #[serde(flatten)]
        of: RunLabel,
        step: String,
        id: String,
        kind: WaitKind,
        ms: f64,
        /// Tells that a mock answered and that nothing was waited for.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        mocked: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Value>,
    },
    /// An event was sent: by the functions, or as it was asked for.
    Event { event: Value, begins: Vec<String> },
    /// Something that people should know.
    Note { message: String },
    /// A run has ended.
    Ended {
        #[serde(flatten)]
        of: RunLabel,
        origin: RunOrigin,
        #[serde(flatten)]
        ending: RunEnding,
        ms: f64,
    },
    /// The last line: the outcome of the invocation. With several functions it is the outcome of the first function
    /// that did not complete, else of the first.
    Result {
        function: String,
        #[serde(flatten)]
        ending: RunEnding,
        ms: f64,
    },
}

/// The run that a line is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLabel {
    pub run: String,
    /// `<app>-<function>`.
    pub function: String,
    /// The depth of the run: 0 for an invoked function, one more for each run that is within another.
    pub depth: usize,
}

/// The reason why a run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOrigin {
    /// The run was asked for.
    Asked,
    /// A step invokes the function.
    Invoked,
    /// An event triggers the function.
    Delivered,
    /// The function's `onFailure`.
    OnFailure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    Completed,
    /// The step is tried again.
    Retrying,
    /// The step has failed for good: the function sees the error.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitKind {
    Sleep,
    Event,
    Signal,
    Invoke,
    Http,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RunEnding {
    Completed { output: Value },
    Failed { error: Value },
    Cancelled { reason: String },
}

impl RunEnding {
    #[must_use]
    pub const fn is_completed(&self) -> bool {
        matches!(self, Self::Completed { .. })
    }
}
