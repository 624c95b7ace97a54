//! The course of a run, folded from its reports into one result. Pure.

use serde_json::{Map, Value, json};

/// The most steps, waits and events that are kept of a run.
const MOST_ENTRIES: usize = 200;

/// The reports of a run so far.
#[derive(Debug, Default)]
pub(super) struct AgentRun {
    steps: Vec<Value>,
    notes: Vec<Value>,
    left_out: usize,
    waiting: Vec<(String, Value)>,
    result: Option<Value>,
}

impl AgentRun {
    /// Adds a report, one line of `POST /-/invoke`.
    pub(super) fn add(&mut self, report: &Value) {
        match report["type"].as_str() {
            Some("step") => self.step(fields(
                report,
                &[
                    "step",
                    "kind",
                    "status",
                    "attempt",
                    "generation",
                    "ms",
                    "output",
                    "error",
                    "retry_in_ms",
                ],
            )),
            Some("retry") => {
                let mut entry = fields(report, &["attempt", "generation", "ms", "error", "retry_in_ms"]);
                entry.insert("function threw, tried again".to_owned(), Value::Bool(true));
                self.step(entry);
            }
            Some("waiting") => {
                let id = report["id"].as_str().unwrap_or_default().to_owned();
                self.waiting
                    .push((id, fields(report, &["step", "kind", "for", "until"]).into()));
            }
            Some("waited") => {
                self.waiting.retain(|(id, _)| report["id"] != **id);
                self.step(fields(report, &["step", "kind", "ms", "output", "error"]));
            }
            Some("event") => self.note(fields(report, &["event", "begins"]).into()),
            Some("note") => self.note(report["message"].clone()),
            Some("result") => {
                self.result = Some(fields(report, &["function", "status", "output", "error", "reason", "ms"]).into());
            }
            _ => {}
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.result.is_some()
    }

    /// Tells whether the run completed.
    pub(super) fn is_completed(&self) -> bool {
        self.result
            .as_ref()
            .is_some_and(|result| result["status"] == "completed")
    }

    /// Returns the result; of a run that was not waited for, with what it waits for.
    pub(super) fn told(self) -> Value {
        let unfinished = json!({
            "status": "unfinished",
            "waits_for": self.waiting.into_iter().map(|(_, wait)| wait).collect::<Vec<Value>>(),
            "help": "It was stopped. Give a longer timeout_s, or leave skip_sleep out.",
        });
        let mut told = self.result.unwrap_or(unfinished);
        if let Value::Object(told) = &mut told {
            told.insert("steps".to_owned(), Value::Array(self.steps));
            if !self.notes.is_empty() {
                told.insert("notes".to_owned(), Value::Array(self.notes));
            }
            if self.left_out > 0 {
                told.insert("left_out".to_owned(), Value::from(self.left_out));
            }
        }
        told
    }

    fn step(&mut self, entry: Map<String, Value>) {
        if self.steps.len() < MOST_ENTRIES {
            self.steps.push(Value::Object(entry));
        } else {
            self.left_out += 1;
        }
    }

    fn note(&mut self, note: Value) {
        if self.notes.len() < MOST_ENTRIES {
            self.notes.push(note);
        } else {
            self.left_out += 1;
        }
    }
}

/// Returns those fields of a report that are there. The function is among them when the run is within another one.
fn fields(report: &Value, names: &[&str]) -> Map<String, Value> {
    let is_inner = report["depth"].as_u64().is_some_and(|depth| depth > 0);
    let names = is_inner.then_some("function").into_iter().chain(names.iter().copied());
    let there = names.filter_map(|name| {
        Some((
            name.to_owned(),
            report.get(name).filter(|value| !value.is_null())?.clone(),
        ))
    });
    there.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::AgentRun;

    #[test]
    fn a_run_is_told_with_its_steps_and_its_end() {
        let mut course = AgentRun::default();
        for report in [
            json!({"type": "run", "run": "R", "function": "app-a", "depth": 0}),
            json!({"type": "step", "run": "R", "function": "app-a", "depth": 0, "step": "greet", "id": "x", "kind": null,
                   "status": "completed", "attempt": 0, "max_attempts": 4, "generation": 2, "ms": 1.5, "output": "hi"}),
            json!({"type": "waiting", "depth": 0, "step": "nap", "id": "n", "kind": "sleep", "for": null}),
            json!({"type": "waited", "depth": 0, "step": "nap", "id": "n", "kind": "sleep", "ms": 0.0, "output": null}),
            json!({"type": "step", "function": "app-b", "depth": 1, "step": "inner", "status": "failed", "error": {"message": "no"}}),
            json!({"type": "note", "message": "a note"}),
        ] {
            course.add(&report);
            assert!(!course.is_over());
        }
        course
            .add(&json!({"type": "result", "function": "app-a", "status": "completed", "output": {"n": 1}, "ms": 7.0}));
        assert!(course.is_over() && course.is_completed());
        assert_eq!(
            course.told(),
            json!({"function": "app-a", "status": "completed", "output": {"n": 1}, "ms": 7.0, "notes": ["a note"], "steps": [
                {"step": "greet", "status": "completed", "attempt": 0, "generation": 2, "ms": 1.5, "output": "hi"},
                {"step": "nap", "kind": "sleep", "ms": 0.0},
                {"function": "app-b", "step": "inner", "status": "failed", "error": {"message": "no"}}]})
        );
    }

    #[test]
    fn a_run_that_was_stopped_tells_its_waits() {
        let mut course = AgentRun::default();
        course.add(&json!({"type": "waiting", "depth": 0, "step": "approval", "id": "a", "kind": "event", "for": "demo/approved"}));
        let told = course.told();
        assert_eq!(told["status"], "unfinished");
        assert_eq!(
            told["waits_for"],
            json!([{"step": "approval", "kind": "event", "for": "demo/approved"}])
        );
    }

    #[test]
    fn a_run_of_many_steps_is_bounded() {
        let mut course = AgentRun::default();
        for _ in 0..1000 {
            course.add(&json!({"type": "step", "step": "again", "status": "completed"}));
        }
        let told = course.told();
        assert_eq!(
            (told["steps"].as_array().unwrap().len(), &told["left_out"]),
            (200, &json!(800))
        );
    }
}
