//! Calls of the fixture's functions that answer with the version of the code
//! that served them, and calls that last until a test lets them end.

use harness::http::{Answer, Lost};
use harness::{Baton, Gate, Run};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A call that runs.
pub(crate) struct Running {
    task: JoinHandle<Result<Answer, Lost>>,
}

impl Running {
    /// Whether its answer is there.
    pub(crate) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Its answer; a call that got none fails the test.
    pub(crate) async fn answer(self, baton: &Baton) -> Answer {
        let answer = self.task.await.expect("the caller lives");
        answer.unwrap_or_else(|lost| panic!("a call was lost: {lost}\n{}", baton.stderr().tail()))
    }

    /// The version of the code that served it.
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

/// A run whose step runs a child process until `gate` is open.
pub(crate) fn gated(gate: &Gate) -> Run {
    Run::of("fixture-gated").with_data(json!({ "gate": gate.path() }))
}

/// A module that is not loaded before `gate` is open.
pub(crate) fn slow_to_load(gate: &Gate) -> String {
    format!(
        "import {{ untilThereIs }} from \"../lib/work\";\nawait untilThereIs({:?});\n",
        gate.path()
    )
}

/// Calls a function that answers soon; the version of the code that served it.
pub(crate) async fn version_of(baton: &Baton, function: &str) -> Value {
    let run = Run::of(&format!("fixture-{function}"));
    start(baton, &run).version(baton).await
}

/// The version in the answer of a function, or of its step.
pub(crate) fn version_in(answer: &Answer) -> Value {
    let body = answer.json();
    match answer.status {
        200 => body["version"].clone(),
        206 => body[0]["data"]["version"].clone(),
        _ => panic!("a failed call: {answer}"),
    }
}
