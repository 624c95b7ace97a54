//! Runs against a made-up SDK.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::catalogue::{Catalogue, CatalogueFunction};
use super::mocks::{Mock, MockQuestion, Mocks, Oracle, Reply};
use super::op::HttpRequest;
use super::run_report::{RunEnding, RunOrigin, RunReport, StepStatus};
use super::sdk::{GenerationAnswer, LostAnswer, Sdk};
use super::sdk_request::SdkRequest;
use super::session::{Options, Order, Script, Session};
use crate::net::HttpAnswer;

/// The answers of the SDK: `(status, ops or value)`, by the function and its memoised steps.
type Answers = dyn Fn(&str, &Value) -> (u16, Value) + Send + Sync;

struct FakeSdk {
    answers: Box<Answers>,
    bodies: Mutex<Vec<Value>>,
}

impl Sdk for FakeSdk {
    fn call(&self, request: SdkRequest) -> BoxFuture<'static, Result<GenerationAnswer, LostAnswer>> {
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let function = request.path.split("fnId=").nth(1).unwrap().split('&').next().unwrap();
        let (status, answer) = (self.answers)(function, &body);
        self.bodies.lock().unwrap().push(body);
        let raw = HttpAnswer {
            status,
            headers: vec![
                ("x-inngest-sdk".to_owned(), "fake".to_owned()),
                ("x-inngest-req-version".to_owned(), "2".to_owned()),
            ],
            body: answer.to_string().into_bytes(),
        };
        async move {
            Ok(GenerationAnswer {
                raw,
                generation: Some(7),
            })
        }
        .boxed()
    }

    fn fetch(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpAnswer, LostAnswer>> {
        async move {
            Ok(HttpAnswer {
                status: 203,
                headers: Vec::new(),
                body: request.url.into_bytes(),
            })
        }
        .boxed()
    }
}

fn functions() -> Vec<CatalogueFunction> {
    let functions = json!([
        {"id": "app-main", "app": "app", "triggers": [{"event": "main"}], "retries": 1,
         "config": {"cancel": [{"event": "stop"}]}},
        {"id": "app-other", "app": "app", "triggers": [{"event": "other"}], "retries": 0},
        {"id": "app-main-failure", "app": "app", "triggers": [{"event": "inngest/function.failed"}], "retries": 0},
    ]);
    serde_json::from_value(functions).unwrap()
}

struct Conducted {
    ending: RunEnding,
    reports: Vec<RunReport>,
    bodies: Vec<Value>,
}

impl Conducted {
    fn functions(&self) -> Vec<(&str, RunOrigin)> {
        let runs = self.reports.iter().filter_map(|report| match report {
            RunReport::Run { of, origin, .. } => Some((of.function.as_str(), *origin)),
            _ => None,
        });
        runs.collect()
    }
}

async fn conduct(
    unsent: Vec<Value>,
    deliver: bool,
    answers: impl Fn(&str, &Value) -> (u16, Value) + Send + Sync + 'static,
) -> Conducted {
    let script = Script {
        unsent,
        ..Script::default()
    };
    conduct_script(script, deliver, answers).await
}

async fn conduct_script(
    script: Script,
    deliver: bool,
    answers: impl Fn(&str, &Value) -> (u16, Value) + Send + Sync + 'static,
) -> Conducted {
    let sdk = Arc::new(FakeSdk {
        answers: Box::new(answers),
        bodies: Mutex::default(),
    });
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let options = Options {
        skip_sleep: true,
        retry_delay: Duration::ZERO,
        deliver,
        reached: true,
    };
    let catalogue = Catalogue::new(functions());
    let order = Order {
        function: catalogue.named("main").unwrap().clone(),
        event: Session::event("main", json!({"id": 7})),
        origin: RunOrigin::Asked,
        depth: 0,
        busy: None,
    };
    let stop = CancellationToken::new();
    let (session, deliveries) = Session::new(sdk.clone(), catalogue, options, script, sender, stop);
    let (_, ending) = session.conduct(vec![order], deliveries).await;
    let mut reports = Vec::new();
    while let Ok(report) = receiver.try_recv() {
        reports.push(report);
    }
    let bodies = sdk.bodies.lock().unwrap().clone();
    Conducted {
        ending,
        reports,
        bodies,
    }
}

/// Makes the answers of a function that asks for one op, and then returns the content of the state about that op.
fn once(op: Value) -> impl Fn(&str, &Value) -> (u16, Value) + Send + Sync + 'static {
    move |function, body| match function {
        "app-main" => match body["steps"].get("x") {
            Some(outcome) => (200, outcome.clone()),
            None => (206, json!([op])),
        },
        _ => (200, json!({"by": function, "data": body["event"]["data"]})),
    }
}

async fn check_outcome(op: Value, unsent: Vec<Value>, expected: Value) {
    let conducted = conduct(unsent, false, once(op)).await;
    let RunEnding::Completed { output } = &conducted.ending else {
        panic!("{:?}", conducted.ending)
    };
    assert!(
        has(output, &expected),
        "{output} is not {expected}: {:#?}",
        conducted.reports
    );
}

/// Tells whether `found` has at least the expected values.
fn has(found: &Value, expected: &Value) -> bool {
    match expected {
        Value::Object(fields) => fields.iter().all(|(name, value)| has(&found[name], value)),
        other => found == other,
    }
}

#[tokio::test]
async fn each_wait_comes_to_what_the_state_holds_for_it() {
    let sleep = json!({"op": "Sleep", "id": "x", "name": "1d"});
    check_outcome(sleep, Vec::new(), Value::Null).await;
    let wait = json!({"op": "WaitForEvent", "id": "x", "name": "go",
                      "opts": {"timeout": "1h", "if": "async.data.id == event.data.id"}});
    check_outcome(wait.clone(), Vec::new(), Value::Null).await;
    let other = json!({"name": "go", "data": {"id": 8}});
    let right = json!({"name": "go", "data": {"id": 7}});
    check_outcome(wait.clone(), vec![other.clone()], Value::Null).await;
    check_outcome(wait, vec![other, right.clone()], right).await;
    let invoke =
        |id: &str| json!({"op": "InvokeFunction", "id": "x", "opts": {"function_id": id, "payload": {"data": 1}}});
    let answered = json!({"data": {"by": "app-other", "data": 1}});
    check_outcome(invoke("app-other"), Vec::new(), answered).await;
    let unknown = json!({"error": {"name": "Error"}});
    check_outcome(invoke("app-nobody"), Vec::new(), unknown).await;
    let fetch = json!({"op": "Gateway", "id": "x", "opts": {"url": "http://a", "method": "GET"}});
    let fetched = json!({"data": {"status_code": 203, "body": "http://a"}});
    check_outcome(fetch, Vec::new(), fetched).await;
    let signal = json!({"op": "WaitForSignal", "id": "x", "opts": {"signal": "s", "timeout": "1h"}});
    check_outcome(signal, Vec::new(), Value::Null).await;
}

#[tokio::test]
async fn the_generation_of_each_step_is_told() {
    let conducted = conduct(Vec::new(), false, once(json!({"op": "StepRun", "id": "x", "data": 1}))).await;
    let told = conducted.reports.iter().any(|report| {
        matches!(
            report,
            RunReport::Step {
                generation: Some(7),
                status: StepStatus::Completed,
                ..
            }
        )
    });
    assert!(told, "{:?}", conducted.reports);
    assert_eq!(conducted.bodies[1]["steps"]["x"], json!({"data": 1}));
    assert_eq!(conducted.bodies[1]["version"], 2);
    assert!(
        conducted.bodies[0]["ctx"].get("fn_id").is_none(),
        "or the SDK checkpoints"
    );
}

#[tokio::test]
async fn what_fails_for_good_has_its_failure_handler_run() {
    let conducted = conduct(Vec::new(), false, |function, body| match function {
        "app-main" => (500, json!({"name": "Error", "message": "boom"})),
        _ => (200, body["event"]["data"]["error"]["message"].clone()),
    })
    .await;
    assert!(matches!(&conducted.ending, RunEnding::Failed { error } if error["message"] == "boom"));
    let expected = [
        ("app-main", RunOrigin::Asked),
        ("app-main-failure", RunOrigin::OnFailure),
    ];
    assert_eq!(conducted.functions(), expected);
    let attempts: Vec<&Value> = conducted.bodies.iter().map(|body| &body["ctx"]["attempt"]).collect();
    assert_eq!(attempts, [0, 1, 0]);
}

#[tokio::test]
async fn an_event_that_cancels_is_sent_once_the_run_waits() {
    let sleep = json!({"op": "Sleep", "id": "x", "name": "1d"});
    let conducted = conduct(vec![json!({"name": "stop", "data": {}})], false, once(sleep)).await;
    assert!(
        matches!(conducted.ending, RunEnding::Cancelled { .. }),
        "{:?}",
        conducted.ending
    );
}

#[tokio::test]
async fn an_event_that_nothing_waits_for_is_told_of() {
    let step = json!({"op": "StepRun", "id": "x"});
    let conducted = conduct(vec![json!({"name": "gone", "data": {}})], false, once(step)).await;
    let told = conducted
        .reports
        .iter()
        .any(|report| matches!(report, RunReport::Note { message } if message.contains("gone")));
    assert!(told, "{:?}", conducted.reports);
}

#[tokio::test]
async fn a_step_with_a_mock_is_planned_and_never_called() {
    let op = json!({"op": "StepPlanned", "id": "x", "displayName": "charge", "userland": {"id": "charge"}});
    let check = async |mock: Mock, expected: Value| {
        let script = Script {
            mocks: Mocks::new([("charge".to_owned(), mock)].into(), None),
            ..Script::default()
        };
        let conducted = conduct_script(script, false, once(op.clone())).await;
        let RunEnding::Completed { output } = &conducted.ending else {
            panic!("{:?}", conducted.ending)
        };
        assert_eq!(output, &expected);
        for body in &conducted.bodies {
            assert_eq!(body["ctx"]["step_id"], "step", "no call of the step itself");
            assert_eq!(body["ctx"]["disable_immediate_execution"], true);
        }
        let told = |report: &RunReport| {
            matches!(
                report,
                RunReport::Step {
                    mocked: true,
                    generation: None,
                    ..
                }
            )
        };
        assert!(conducted.reports.iter().any(told), "{:?}", conducted.reports);
    };
    check(Mock::Output(json!({"ok": true})), json!({"data": {"ok": true}})).await;
    let error = json!({"name": "Error", "message": "no"});
    check(Mock::Error(error.clone()), json!({"error": error})).await;
}

#[tokio::test]
async fn a_wait_with_a_mock_is_over_at_once() {
    let op =
        json!({"op": "WaitForEvent", "id": "x", "name": "go", "displayName": "decision", "opts": {"timeout": "1h"}});
    let mock = Mock::Output(json!({"data": {"n": 1}}));
    let script = Script {
        mocks: Mocks::new([("decision".to_owned(), mock)].into(), None),
        ..Script::default()
    };
    let conducted = conduct_script(script, false, once(op)).await;
    let RunEnding::Completed { output } = &conducted.ending else {
        panic!("{:?}", conducted.ending)
    };
    assert!(has(output, &json!({"name": "go", "data": {"n": 1}})), "{output}");
}

/// An oracle that fails at the first attempt.
struct Second;

impl Oracle for Second {
    fn ask(&self, question: MockQuestion) -> BoxFuture<'static, Reply> {
        let reply = match question.attempt {
            0 => Err(json!({"name": "Error", "message": "busy"})),
            attempt => Ok(json!(attempt)),
        };
        std::future::ready(reply).boxed()
    }
}

#[tokio::test]
async fn a_mock_that_is_asked_for_may_fail_and_is_asked_again() {
    let op = json!({"op": "StepPlanned", "id": "x", "displayName": "charge"});
    let script = Script {
        mocks: Mocks::new([("charge".to_owned(), Mock::Asked)].into(), Some(Arc::new(Second))),
        ..Script::default()
    };
    let conducted = conduct_script(script, false, once(op)).await;
    assert_eq!(
        conducted.ending,
        RunEnding::Completed {
            output: json!({"data": 1})
        }
    );
    let statuses = conducted.reports.iter().filter_map(|report| match report {
        RunReport::Step { status, .. } => Some(*status),
        _ => None,
    });
    assert_eq!(
        statuses.collect::<Vec<_>>(),
        [StepStatus::Retrying, StepStatus::Completed]
    );
}
