//! The answers that Inngest's executor gets when it calls functions through
//! Baton: exactly the SDK's answers under Node (see `tests/reference`), for
//! both majors of the SDK. Every expectation here also holds with
//! `tests/reference/baton.mjs`, the SDK under Node without any Baton.

mod calls;
mod errors;
mod runs;
mod sync;
mod way_through;

use harness::{Answer, Baton, Executor, FakeInngest, Project, Run, Sdk, mismatch, step_id};
use serde_json::{Value, json};

/// The expected answer.
struct Expected {
    status: u16,
    /// A `None` says that the header must not be there.
    headers: Vec<(&'static str, Option<&'static str>)>,
    body: Value,
}

fn expected(status: u16, body: Value) -> Expected {
    Expected {
        status,
        headers: vec![("x-inngest-sdk-handled", Some("true"))],
        body,
    }
}

impl Expected {
    fn no_retry(mut self, value: &'static str) -> Self {
        self.headers.push(("x-inngest-no-retry", Some(value)));
        self
    }

    fn retry_after(mut self, value: Option<&'static str>) -> Self {
        self.headers.push(("retry-after", value));
        self
    }
}

/// Compares an answer of the SDK with the expected one.
#[track_caller]
fn check(sdk: Sdk, sentence: &str, answer: &Answer, mut expected: Expected) {
    let ident = match sdk {
        Sdk::V4 => "inngest-js:v4.24.0",
        Sdk::V3 => "inngest-js:v3.54.2",
    };
    // Without this header the executor takes the answer for another program's
    // (§5).
    expected.headers.push(("x-inngest-sdk", Some(ident)));
    if answer.status == 206 {
        // The executor pins the run to the version of the first 206 (§2).
        let version = if sdk == Sdk::V4 { "2" } else { "1" };
        expected.headers.push(("x-inngest-req-version", Some(version)));
    }
    assert_eq!(answer.status, expected.status, "{sdk:?}: {sentence}: {answer}");
    for (name, value) in expected.headers {
        assert_eq!(answer.header(name), value, "{sdk:?}: {sentence}: {name}: {answer}");
    }
    if let Some(difference) = mismatch(&answer.json(), &expected.body) {
        panic!("{sdk:?}: {sentence}: {difference}: {answer}");
    }
}

/// A fixture served by Baton, with an Inngest to talk to.
struct Scene {
    sdk: Sdk,
    inngest: FakeInngest,
    executor: Executor,
    baton: Baton,
    project: Project,
}

impl Scene {
    async fn with(sdk: Sdk) -> Self {
        Self::talking_to(sdk, FakeInngest::start().await).await
    }

    async fn talking_to(sdk: Sdk, inngest: FakeInngest) -> Self {
        let project = Project::of(sdk);
        let baton = Baton::dev(&project).inngest(&inngest).ready().await;
        Self {
            sdk,
            inngest,
            executor: baton.executor(),
            baton,
            project,
        }
    }

    /// Calls the function from its beginning and compares the answer.
    async fn check(&self, sentence: &str, run: Run, expected: Expected) {
        let answer = self.executor.discover(&run).await;
        let answer = answer.unwrap_or_else(|lost| panic!("{sentence}: {lost}"));
        check(self.sdk, sentence, &answer, expected);
    }

    /// Calls one planned step of the function and compares the answer.
    async fn check_step(&self, sentence: &str, run: Run, step: &str, expected: Expected) {
        let answer = self.executor.call_step(&run, &step_id(step)).await;
        let answer = answer.unwrap_or_else(|lost| panic!("{sentence}: {lost}"));
        check(self.sdk, sentence, &answer, expected);
    }
}

/// An op as the executor gets it.
fn op(code: &str, step: &str, more: Value) -> Value {
    let mut op = json!({ "op": code, "id": step_id(step), "displayName": step });
    for (key, value) in more.as_object().expect("fields of an op") {
        op[key] = value.clone();
    }
    op
}

fn run_of(function: &str) -> Run {
    Run::of(&format!("fixture-{function}"))
}
