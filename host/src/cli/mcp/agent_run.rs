//! The course of a run, folded from its reports into one result. Pure.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::runner::run_report::{RunEnding, RunLabel, RunReport, StepStatus, WaitKind};

/// The most steps, waits and events that are kept of a run.
const MOST_ENTRIES: usize = 200;

/// The reports of a run so far.
#[derive(Debug, Default)]
pub(super) struct AgentRun {
    steps: Vec<AgentEntry<StepEntry>>,
    notes: Vec<NoteEntry>,
    left_out: usize,
    waits: Vec<UnfinishedWait>,
    result: Option<RunResult>,
}

/// An entry as the agent reads it, with the function whose run is within the run of another.
#[derive(Debug, Serialize)]
struct AgentEntry<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    #[serde(flatten)]
    what: T,
}

/// A thing that a run did.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum StepEntry {
    Attempt {
        step: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        status: StepStatus,
        #[serde(flatten)]
        of: AttemptFields,
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_in_ms: Option<u64>,
    },
    Throw {
        #[serde(rename = "function threw, tried again")]
        threw: bool,
        #[serde(flatten)]
        of: AttemptFields,
        error: Value,
        retry_in_ms: u64,
    },
    Wait {
        step: String,
        kind: WaitKind,
        ms: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Value>,
    },
}

#[derive(Debug, Serialize)]
struct AttemptFields {
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    ms: f64,
}

/// A wait that has not ended.
#[derive(Debug)]
struct UnfinishedWait {
    /// The id of the step.
    id: String,
    entry: AgentEntry<WaitEntry>,
}

#[derive(Debug, Serialize)]
struct WaitEntry {
    step: String,
    kind: WaitKind,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum NoteEntry {
    Event { event: Value, begins: Vec<String> },
    Message(String),
}

#[derive(Debug, Serialize)]
struct RunResult {
    function: String,
    #[serde(flatten)]
    ending: RunEnding,
    ms: f64,
}

impl AgentRun {
    /// Adds a report, one line of `POST /-/invoke`.
    pub(super) fn add(&mut self, report: RunReport) {
        match report {
            RunReport::Step {
                of,
                step,
                kind,
                status,
                attempt,
                generation,
                ms,
                output,
                error,
                retry_in_ms,
                ..
            } => self.step(
                of,
                StepEntry::Attempt {
                    step,
                    kind,
                    status,
                    of: AttemptFields {
                        attempt,
                        generation,
                        ms,
                    },
                    output,
                    error,
                    retry_in_ms,
                },
            ),
            RunReport::Retry {
                of,
                attempt,
                generation,
                ms,
                error,
                retry_in_ms,
                ..
            } => self.step(
                of,
                StepEntry::Throw {
                    threw: true,
                    of: AttemptFields {
                        attempt,
                        generation,
                        ms,
                    },
                    error,
                    retry_in_ms,
                },
            ),
            RunReport::Waiting {
                of,
                step,
                id,
                kind,
                what,
                until,
            } => {
                let what = WaitEntry {
                    step,
                    kind,
                    what,
                    until,
                };
                let entry = entry(of, what);
                self.waits.push(UnfinishedWait { id, entry });
            }
            RunReport::Waited {
                of,
                step,
                id,
                kind,
                ms,
                output,
                error,
                ..
            } => {
                self.waits.retain(|wait| wait.id != id);
                self.step(
                    of,
                    StepEntry::Wait {
                        step,
                        kind,
                        ms,
                        output,
                        error,
                    },
                );
            }
            RunReport::Event { event, begins } => self.note(NoteEntry::Event { event, begins }),
            RunReport::Note { message } => self.note(NoteEntry::Message(message)),
            RunReport::Result { function, ending, ms } => self.result = Some(RunResult { function, ending, ms }),
            RunReport::Run { .. } | RunReport::Ended { .. } => {}
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.result.is_some()
    }

    /// Tells whether the run completed.
    pub(super) fn is_completed(&self) -> bool {
        self.result.as_ref().is_some_and(|result| result.ending.is_completed())
    }

    /// Returns the result; of a run that was not waited for, with what it waits for.
    pub(super) fn told(self) -> Value {
        let mut told = match self.result {
            Some(result) => json!(result),
            None => json!({
                "status": "unfinished",
                "waits_for": self.waits.iter().map(|wait| json!(wait.entry)).collect::<Vec<Value>>(),
                "help": "It was stopped. Give a longer timeout_s, or leave skip_sleep out.",
            }),
        };
        told["steps"] = json!(self.steps);
        if !self.notes.is_empty() {
            told["notes"] = json!(self.notes);
        }
        if self.left_out > 0 {
            told["left_out"] = json!(self.left_out);
        }
        told
    }

    fn step(&mut self, of: RunLabel, step: StepEntry) {
        if self.steps.len() < MOST_ENTRIES {
            self.steps.push(entry(of, step));
        } else {
            self.left_out += 1;
        }
    }

    fn note(&mut self, note: NoteEntry) {
        if self.notes.len() < MOST_ENTRIES {
            self.notes.push(note);
        } else {
            self.left_out += 1;
        }
    }
}

fn entry<T>(of: RunLabel, what: T) -> AgentEntry<T> {
    let function = (of.depth > 0).then_some(of.function);
    AgentEntry { function, what }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::AgentRun;
    use crate::runner::run_report::{RunEnding, RunLabel, RunOrigin, RunReport, StepStatus, WaitKind};

    fn label(function: &str, depth: usize) -> RunLabel {
        RunLabel {
            run: "R".to_owned(),
            function: function.to_owned(),
            depth,
        }
    }

    fn step(of: RunLabel, step: &str, status: StepStatus, output: Option<Value>, error: Option<Value>) -> RunReport {
        RunReport::Step {
            of,
            step: step.to_owned(),
            id: "x".to_owned(),
            kind: None,
            status,
            attempt: 0,
            max_attempts: 4,
            generation: Some(2),
            ms: 1.5,
            mocked: false,
            output,
            error,
            retry_in_ms: None,
        }
    }

    fn waiting(step: &str, kind: WaitKind, what: Option<&str>) -> RunReport {
        RunReport::Waiting {
            of: label("app-a", 0),
            step: step.to_owned(),
            id: step.to_owned(),
            kind,
            what: what.map(str::to_owned),
            until: None,
        }
    }

    /// Returns a report as the host writes it and an agent's server reads it.
    fn sent(report: &RunReport) -> RunReport {
        let line = serde_json::to_string(report).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    #[test]
    fn a_run_is_told_with_its_steps_and_its_end() {
        let mut course = AgentRun::default();
        for report in [
            RunReport::Run {
                of: label("app-a", 0),
                origin: RunOrigin::Asked,
                event: json!({"name": "demo/a"}),
            },
            step(
                label("app-a", 0),
                "greet",
                StepStatus::Completed,
                Some(json!("hi")),
                None,
            ),
            waiting("nap", WaitKind::Sleep, None),
            RunReport::Waited {
                of: label("app-a", 0),
                step: "nap".to_owned(),
                id: "nap".to_owned(),
                kind: WaitKind::Sleep,
                ms: 0.0,
                mocked: false,
                output: Some(Value::Null),
                error: None,
            },
            step(
                label("app-b", 1),
                "inner",
                StepStatus::Failed,
                None,
                Some(json!({"message": "no"})),
            ),
            RunReport::Retry {
                of: label("app-a", 0),
                attempt: 1,
                max_attempts: 4,
                generation: None,
                ms: 2.0,
                error: json!({"message": "boom"}),
                retry_in_ms: 500,
            },
            RunReport::Ended {
                of: label("app-b", 1),
                origin: RunOrigin::Invoked,
                ending: RunEnding::Completed { output: Value::Null },
                ms: 3.0,
            },
            RunReport::Event {
                event: json!({"name": "demo/b"}),
                begins: vec!["app-b".to_owned()],
            },
            RunReport::Note {
                message: "a note".to_owned(),
            },
        ] {
            course.add(sent(&report));
            assert!(!course.is_over());
        }
        course.add(sent(&RunReport::Result {
            function: "app-a".to_owned(),
            ending: RunEnding::Completed {
                output: json!({"n": 1}),
            },
            ms: 7.0,
        }));
        assert!(course.is_over() && course.is_completed());
        assert_eq!(
            course.told(),
            json!({
                "function": "app-a", "status": "completed", "output": {"n": 1}, "ms": 7.0,
                "notes": [{"event": {"name": "demo/b"}, "begins": ["app-b"]}, "a note"],
                "steps": [
                    {"step": "greet", "status": "completed", "attempt": 0, "generation": 2, "ms": 1.5, "output": "hi"},
                    {"step": "nap", "kind": "sleep", "ms": 0.0},
                    {"function": "app-b", "step": "inner", "status": "failed", "attempt": 0, "generation": 2, "ms": 1.5,
                     "error": {"message": "no"}},
                    {"function threw, tried again": true, "attempt": 1, "ms": 2.0, "error": {"message": "boom"}, "retry_in_ms": 500},
                ],
            })
        );
    }

    #[test]
    fn a_run_that_was_stopped_tells_its_waits() {
        let mut course = AgentRun::default();
        course.add(sent(&waiting("approval", WaitKind::Event, Some("demo/approved"))));
        let told = course.told();
        assert_eq!(told["status"], "unfinished");
        assert_eq!(
            told["waits_for"],
            json!([{"step": "approval", "kind": "event", "for": "demo/approved"}])
        );
    }

    #[test]
    fn a_run_that_fails_or_is_cancelled_did_not_complete() {
        for (ending, reason) in [
            (
                RunEnding::Failed {
                    error: json!({"message": "no"}),
                },
                json!({"status": "failed", "error": {"message": "no"}}),
            ),
            (
                RunEnding::Cancelled {
                    reason: "an event".to_owned(),
                },
                json!({"status": "cancelled", "reason": "an event"}),
            ),
        ] {
            let mut course = AgentRun::default();
            let function = "app-a".to_owned();
            course.add(sent(&RunReport::Result {
                function,
                ending,
                ms: 1.0,
            }));
            assert!(course.is_over() && !course.is_completed());
            let told = course.told();
            for (name, value) in reason.as_object().unwrap() {
                assert_eq!(&told[name], value);
            }
        }
    }

    #[test]
    fn a_run_of_many_steps_is_bounded() {
        let mut course = AgentRun::default();
        for _ in 0..1000 {
            course.add(step(label("app-a", 0), "again", StepStatus::Completed, None, None));
        }
        let told = course.told();
        assert_eq!(
            (told["steps"].as_array().unwrap().len(), &told["left_out"]),
            (200, &json!(800))
        );
    }
}
