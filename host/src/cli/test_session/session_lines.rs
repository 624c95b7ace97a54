//! The lines that tests and their session exchange: one JSON object each.
//!
//! | from | line | what |
//! |---|---|---|
//! | tests | `{"type":"run","run":1,"function":"hello","data":{},"steps":{"charge":{"output":1}}}` | begins a run |
//! | tests | `{"type":"answer","question":1,"reply":{"output":{}}}` | answers a question |
//! | tests | `{"type":"send","run":1,"event":{"name":"a"}}` | sends an event to the run |
//! | tests | `{"type":"advance","run":1,"ms":1000,"id":1}` | advances the run's time |
//! | tests | `{"type":"cancel","run":1}` | stops the run |
//! | session | `{"type":"ready","functions":["app-hello"]}` | the project is loaded |
//! | session | `{"type":"rejected","message":"…"}` | it cannot be loaded; the last line |
//! | session | `{"type":"report","run":1,"report":{"type":"step",…}}` | a line of `baton invoke --json` |
//! | session | `{"type":"question","run":1,"question":1,"step":"charge",…}` | asks for a step's outcome |
//! | session | `{"type":"refused","run":1,"message":"…"}` | there is no such function |
//! | session | `{"type":"advanced","id":1}` | the time is advanced, and what followed from it is done |
//! | session | `{"type":"malformed","message":"…"}` | a line was not understood |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::runner::run_report::RunReport;

/// A line of the tests.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Line {
    Run(RunLine),
    Answer { question: u64, reply: ReplyLine },
    Send { run: u64, event: Value },
    Advance { run: u64, ms: u64, id: u64 },
    Cancel { run: u64 },
}

/// The order of a run. The test chooses its number.
#[derive(Debug, Deserialize)]
pub(super) struct RunLine {
    pub(super) run: u64,
    #[serde(default)]
    pub(super) function: Option<String>,
    #[serde(default)]
    pub(super) event: Option<String>,
    #[serde(default)]
    pub(super) data: Option<Value>,
    #[serde(default)]
    pub(super) events: Vec<Value>,
    #[serde(default)]
    pub(super) steps: BTreeMap<String, MockLine>,
    #[serde(default)]
    pub(super) skip_sleep: bool,
    #[serde(default)]
    pub(super) deliver: bool,
    #[serde(default)]
    pub(super) retry_delay_ms: u64,
}

/// The mock of a step.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MockLine {
    Output(Value),
    Error(Value),
    /// `{"asked":null}`: a function of the test answers.
    Asked(()),
}

/// The reply to a question.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReplyLine {
    Output(Value),
    Error(Value),
}

/// A line of the session.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum SessionLine {
    Ready {
        functions: Vec<String>,
    },
    Rejected {
        message: String,
    },
    Report {
        run: u64,
        report: RunReport,
    },
    Question {
        run: u64,
        question: u64,
        function: String,
        /// The step's id.
        step: String,
        name: String,
        attempt: u32,
        opts: Value,
    },
    Refused {
        run: u64,
        message: String,
    },
    Advanced {
        id: u64,
    },
    Malformed {
        message: String,
    },
}

impl SessionLine {
    /// Writes the line, with its end.
    pub(super) fn line(&self) -> String {
        // All of it can be written: keys are text.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}
