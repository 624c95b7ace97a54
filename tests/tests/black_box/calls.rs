//! Calls of the fixture's functions that answer with the version of the code that served them, and calls
//! that last until a test ends them.

use harness::http::{Answer, Lost, Sent};
use harness::{Baton, Door, Executor, Gate, Project, Run};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A call that runs.
pub(crate) struct Running {
    task: JoinHandle<Result<Answer, Lost>>,
}

impl Running {
    /// Tells whether its answer is there.
    pub(crate) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for its answer; a call that gets none fails the test.
    pub(crate) async fn answer(self, baton: &Baton) -> Answer {
        let answer = self.task.await.expect("the caller lives");
        answer.unwrap_or_else(|lost| panic!("a call was lost: {lost}\n{}", baton.stderr().tail()))
    }

    /// Waits for the version of the code that served the call.
    pub(crate) async fn version(self, baton: &Baton) -> Value {
        version_in(&self.answer(baton).await)
    }
}

/// Starts a call from the run's beginning.
pub(crate) fn start(baton: &Baton, run: &Run) -> Running {
    let (executor, run) = (baton.executor(), run.clone());
    let task = tokio::spawn(async move { executor.discover(&run).await });
    Running { task }
}

/// Returns a run whose step runs a child process until `gate` is open.
pub(crate) fn gated(gate: &Gate) -> Run {
    Run::of("fixture-gated").with_data(json!({ "gate": gate.path() }))
}

/// Returns a module that is not loaded before `gate` is open.
pub(crate) fn slow_to_load(gate: &Gate) -> String {
    format!(
        "import {{ untilThereIs }} from \"../lib/work\";\nawait untilThereIs({:?});\n",
        gate.path()
    )
}

/// Calls a function that answers soon, and returns the version of the code that served the call.
pub(crate) async fn version_of(baton: &Baton, function: &str) -> Value {
    let run = Run::of(&format!("fixture-{function}"));
    start(baton, &run).version(baton).await
}

/// Returns the version in the answer of a function, or of its step.
pub(crate) fn version_in(answer: &Answer) -> Value {
    let body = answer.json();
    match answer.status {
        200 => body["version"].clone(),
        206 => body[0]["data"]["version"].clone(),
        _ => panic!("a failed call: {answer}"),
    }
}

/// A function whose runs fail for good when a call is refused.
const DUE: &str = r#"import { inngest } from "../lib/client";
export const due = inngest.createFunction(
  { id: "due", retries: 0, checkpointing: false, triggers: [{ event: "fixture/due" }] },
  async ({ event }) => ({ number: event.data.number }),
);
"#;

/// The first calls of six runs that have no second attempt, on their way to a host that may not be
/// running.
pub(crate) struct DueCalls(Vec<Sent>);

impl DueCalls {
    /// Makes a project with the function that the runs call.
    pub(crate) fn project() -> Project {
        let project = Project::new();
        project.write("functions/due.ts", DUE);
        project
    }

    /// Sends the calls; a call that is refused fails the test.
    pub(crate) async fn send(door: &Door) -> Self {
        let mut sent = Vec::new();
        for number in 0..6 {
            let mut run = Run::of("fixture-due").with_data(json!({ "number": number }));
            run.max_attempts = 1;
            let call = Executor::new(door.clone()).request(&run, "step");
            sent.push(call.write(door).await);
        }
        Self(sent)
    }

    /// Checks that each call gets its own answer.
    pub(crate) async fn all_end(self) {
        for (number, sent) in self.0.into_iter().enumerate() {
            let (status, body) = sent.answer().await;
            let body: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {status} {body}"));
            assert_eq!((status, body), (200, json!({ "number": number })));
        }
    }
}
