//! What Inngest's executor gets when it calls functions through Baton: exactly
//! what the SDK answers under Node (`reference/inngest-protocol.md` §1), for
//! both majors of the SDK. Every expectation here also holds with
//! `tests/reference/baton`, the SDK under Node without any Baton.

use harness::{ANY, Answer, Baton, Executor, FakeInngest, Project, Run, Sdk, mismatch, step_id};
use serde_json::{Value, json};

/// What an answer has to be.
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

/// Compares an answer of the SDK with what it has to be.
#[track_caller]
fn check(sdk: Sdk, sentence: &str, answer: &Answer, mut expected: Expected) {
    let ident = match sdk {
        Sdk::V4 => "inngest-js:v4.24.0",
        Sdk::V3 => "inngest-js:v3.54.2",
    };
    // Without it the executor takes the answer for somebody else's (§5).
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
    _project: Project,
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
            _project: project,
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

// ---- GET -------------------------------------------------------------------

async fn introspection(sdk: Sdk) {
    let scene = Scene::with(sdk).await;
    let answer = scene.executor.introspect().await;
    // 19 functions and the failure handler of one of them.
    let body = json!({
        "function_count": 20,
        "has_event_key": false,
        "has_signing_key": false,
        "mode": "dev",
        "schema_version": "2024-05-24",
    });
    check(sdk, "GET introspects", &answer, expected(200, body));
}

#[tokio::test]
async fn a_get_introspects_inngest_4() {
    introspection(Sdk::V4).await;
}

#[tokio::test]
async fn a_get_introspects_inngest_3() {
    introspection(Sdk::V3).await;
}

// ---- PUT -------------------------------------------------------------------

async fn registration(sdk: Sdk) {
    let scene = Scene::with(sdk).await;

    let answer = scene.executor.sync().await;
    let body = json!({ "message": "Successfully registered", "modified": true });
    check(sdk, "PUT registers at Inngest", &answer, expected(200, body));
    assert_eq!(answer.header("x-inngest-sync-kind"), Some("out_of_band"), "{answer}");

    let received = scene.inngest.registration_of("fixture").await;
    let url = format!("http://127.0.0.1:{}/api/inngest", scene.baton.port());
    let registered = json!({
        "appName": "fixture",
        "deployType": "ping",
        "sdk": format!("js:v{}", sdk.version()),
        "url": url,
        "v": "0.1",
    });
    assert_eq!(mismatch(&received.body, &registered), None, "{:#}", received.body);
    assert_eq!(
        received.headers.get("x-inngest-sync-kind").map(|kind| kind.as_bytes()),
        Some(b"out_of_band".as_slice())
    );
    check_functions(sdk, &url, &received.body["functions"]);

    let answer = scene.executor.sync_in_band().await;
    let body = json!({
        "app_id": "fixture",
        "inspection": { "function_count": 20, "mode": "dev" },
        "sdk": format!("js:v{}", sdk.version()),
        "url": url,
    });
    check(
        sdk,
        "PUT in band answers with the functions",
        &answer,
        expected(200, body),
    );
    assert_eq!(answer.header("x-inngest-sync-kind"), Some("in_band"), "{answer}");
    check_functions(sdk, &url, &answer.json()["functions"]);
}

/// The configuration of the functions as Inngest gets it.
#[track_caller]
fn check_functions(sdk: Sdk, url: &str, functions: &Value) {
    let functions = functions.as_array().expect("functions");
    assert_eq!(functions.len(), 20, "{functions:#?}");
    let runtime = |id: &str| json!({ "type": "http", "url": format!("{url}?fnId={id}&stepId=step") });
    for wanted in [
        json!({
            "id": "fixture-one-step",
            "triggers": [{ "event": "fixture/one-step" }],
            "steps": { "step": {
                "id": "step",
                "name": "step",
                "runtime": runtime("fixture-one-step"),
                "retries": { "attempts": 2 },
            }},
        }),
        json!({
            "id": "fixture-daily",
            "name": "The daily digest",
            "triggers": [{ "cron": "TZ=Europe/Berlin 0 7 * * *" }, { "event": "fixture/daily.now" }],
            "steps": { "step": { "retries": { "attempts": 1 } } },
            "concurrency": [{ "limit": 2, "key": "event.data.tenant" }],
            "timeouts": { "finish": "30m" },
            "cancel": [{
                "event": "fixture/daily.cancelled",
                "if": "async.data.id == event.data.id",
            }],
        }),
        json!({
            "id": "fixture-guarded-failure",
            "triggers": [{
                "event": "inngest/function.failed",
                "expression": "event.data.function_id == 'fixture-guarded'",
            }],
            "steps": { "step": {
                "runtime": runtime("fixture-guarded-failure"),
                "retries": { "attempts": 1 },
            }},
        }),
    ] {
        let id = &wanted["id"];
        let found = functions.iter().find(|function| &function["id"] == id);
        let found = found.unwrap_or_else(|| panic!("{sdk:?}: {id} is not registered"));
        assert_eq!(mismatch(found, &wanted), None, "{sdk:?}: {found:#}");
    }
}

#[tokio::test]
async fn a_put_registers_the_functions_of_inngest_4() {
    registration(Sdk::V4).await;
}

#[tokio::test]
async fn a_put_registers_the_functions_of_inngest_3() {
    registration(Sdk::V3).await;
}

// ---- POST: steps -----------------------------------------------------------

async fn steps(sdk: Sdk) {
    let scene = Scene::with(sdk).await;
    let greeting = json!({ "data": "Hello Ada" });
    let one_step = || run_of("one-step").with_data(json!({ "name": "Ada" }));

    scene
        .check(
            "one step is run at once and comes back as StepRun",
            one_step(),
            expected(206, json!([op("StepRun", "greet", greeting.clone())])),
        )
        .await;
    scene
        .check(
            "a step whose outcome is known is not run again, the function's answer is a 200",
            one_step().remembering("greet", greeting.clone()),
            expected(200, json!({ "greeting": "Hello Ada" })),
        )
        .await;
    scene
        .check(
            "a step that is to be planned is not run",
            one_step().planned(),
            expected(206, json!([op("StepPlanned", "greet", json!({ "data": null }))])),
        )
        .await;
    scene
        .check_step(
            "a planned step is run when it is called by its id",
            one_step().planned(),
            "greet",
            expected(206, json!([op("StepRun", "greet", greeting)])),
        )
        .await;
    scene
        .check(
            "steps in parallel are planned together",
            run_of("parallel"),
            expected(
                206,
                json!([
                    op("StepPlanned", "left", json!({})),
                    op("StepPlanned", "right", json!({}))
                ]),
            ),
        )
        .await;
    scene
        .check_step(
            "one of the steps in parallel is run by itself",
            run_of("parallel").planned(),
            "right",
            expected(206, json!([op("StepRun", "right", json!({ "data": "r" }))])),
        )
        .await;
    scene
        .check(
            "a function without steps answers at once",
            run_of("version"),
            expected(200, json!({ "version": "1" })),
        )
        .await;
}

#[tokio::test]
async fn steps_of_inngest_4_are_run_and_planned() {
    steps(Sdk::V4).await;
}

#[tokio::test]
async fn steps_of_inngest_3_are_run_and_planned() {
    steps(Sdk::V3).await;
}

// ---- POST: what a function waits for ---------------------------------------

async fn waits(sdk: Sdk) {
    let scene = Scene::with(sdk).await;

    scene
        .check(
            "a sleep is asked for by its duration",
            run_of("nap"),
            expected(206, json!([op("Sleep", "short-nap", json!({ "name": "2s" }))])),
        )
        .await;
    scene
        .check(
            "after a sleep the function goes on",
            run_of("nap").remembering("short-nap", Value::Null),
            expected(200, json!("rested")),
        )
        .await;
    let wait = json!({
        "name": "fixture/approved",
        "opts": { "timeout": "1h", "if": "async.data.id == event.data.id" },
    });
    scene
        .check(
            "waitForEvent names the event, the condition and the timeout",
            run_of("approval").with_data(json!({ "id": 7 })),
            expected(206, json!([op("WaitForEvent", "wait-for-approval", wait)])),
        )
        .await;
    let event = json!({ "name": "fixture/approved", "data": { "id": 7, "by": "Grace" } });
    scene
        .check(
            "the event that came is what the wait answers",
            run_of("approval").remembering("wait-for-approval", event),
            expected(200, json!({ "by": "Grace" })),
        )
        .await;
    scene
        .check(
            "a wait that timed out answers null",
            run_of("approval").remembering("wait-for-approval", Value::Null),
            expected(200, json!({ "by": null })),
        )
        .await;
    let invoke = json!({ "opts": {
        "function_id": "fixture-one-step",
        "payload": { "data": { "name": "Ada" } },
        "timeout": "1h",
    }});
    scene
        .check(
            "invoke names the function and its data",
            run_of("caller"),
            expected(206, json!([op("InvokeFunction", "call-one-step", invoke)])),
        )
        .await;
    scene
        .check(
            "what the invoked function returned is what invoke answers",
            run_of("caller").remembering("call-one-step", json!({ "data": { "greeting": "Hello Ada" } })),
            expected(200, json!({ "answer": { "greeting": "Hello Ada" } })),
        )
        .await;

    scene
        .check(
            "sendEvent sends to Inngest and comes back as a step",
            run_of("notify"),
            expected(
                206,
                json!([op("StepRun", "tell", json!({ "data": { "ids": [ANY, ANY] } }))]),
            ),
        )
        .await;
    let sent = scene.inngest.events();
    let told = |n| json!({ "name": "fixture/told", "data": { "n": n } });
    assert_eq!(mismatch(&json!(sent), &json!([told(1), told(2)])), None, "{sent:#?}");
}

#[tokio::test]
async fn sleeps_waits_invocations_and_events_of_inngest_4_are_asked_for() {
    waits(Sdk::V4).await;
}

#[tokio::test]
async fn sleeps_waits_invocations_and_events_of_inngest_3_are_asked_for() {
    waits(Sdk::V3).await;
}

// ---- POST: errors ----------------------------------------------------------

async fn errors(sdk: Sdk) {
    let scene = Scene::with(sdk).await;
    let thrown = json!({ "error": { "name": "TypeError", "message": "boom in a step", "stack": ANY } });

    scene
        .check(
            "a step that throws may be tried again",
            run_of("failing-step"),
            expected(206, json!([op("StepError", "explode", thrown.clone())])).no_retry("false"),
        )
        .await;
    scene
        .check(
            "on the last attempt it has failed",
            run_of("failing-step").attempt(2),
            // v3 leaves the header alone; the executor goes by the opcode.
            expected(206, json!([op("StepFailed", "explode", thrown)])).no_retry(if sdk == Sdk::V4 {
                "true"
            } else {
                "false"
            }),
        )
        .await;
    let error = json!({ "name": "Error", "message": "boom to be caught", "stack": "" });
    scene
        .check(
            "the function can catch the error of a step that has failed",
            run_of("caught-step").remembering("explode", json!({ "error": error })),
            expected(200, json!({ "caught": "boom to be caught" })),
        )
        .await;
    let thrown = json!({
        "name": "RangeError",
        "message": "boom outside of steps",
        "stack": ANY,
        "__serialized": true,
    });
    scene
        .check(
            "a function that throws may be tried again",
            run_of("failing-function"),
            expected(500, thrown.clone()).no_retry("false").retry_after(None),
        )
        .await;
    scene
        .check(
            "unless it was the last attempt, which v3 leaves to the executor to know",
            run_of("failing-function").attempt(2),
            match sdk {
                Sdk::V4 => expected(400, thrown).no_retry("true"),
                Sdk::V3 => expected(500, thrown).no_retry("false"),
            },
        )
        .await;
    scene
        .check(
            "or the error says that it is final",
            run_of("non-retriable"),
            expected(400, json!({ "message": "never again" })).no_retry("true"),
        )
        .await;
    scene
        .check(
            "an error can say when to try again",
            run_of("retry-after"),
            expected(500, json!({ "message": "in a while" }))
                .no_retry("false")
                .retry_after(Some("30")),
        )
        .await;
}

#[tokio::test]
async fn errors_of_inngest_4_say_whether_to_try_again() {
    errors(Sdk::V4).await;
}

#[tokio::test]
async fn errors_of_inngest_3_say_whether_to_try_again() {
    errors(Sdk::V3).await;
}

#[tokio::test]
async fn a_step_error_points_to_the_line_of_the_typescript_source() {
    for sdk in [Sdk::V4, Sdk::V3] {
        let scene = Scene::with(sdk).await;
        let answer = scene
            .executor
            .discover(&run_of("failing-step"))
            .await
            .expect("an answer");
        let stack = answer.json()[0]["error"]["stack"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let source = scene._project.read("functions/errors.ts");
        let line = 1 + source
            .lines()
            .take_while(|line| !line.contains("boom in a step"))
            .count();
        let place = format!("functions/errors.ts:{line}:");
        assert!(stack.contains(&place), "{sdk:?}: {place} is not in the stack:\n{stack}");
    }
}

// ---- POST: whole runs ------------------------------------------------------

async fn whole_runs(sdk: Sdk) {
    let scene = Scene::with(sdk).await;
    let resume = |op: &harness::Op| match op.code() {
        "Sleep" => Value::Null,
        "WaitForEvent" => json!({ "name": op.0["name"], "data": { "by": "Grace" } }),
        "InvokeFunction" => json!({ "data": "invoked" }),
        _ => panic!("an op that this run should not have: {op:?}"),
    };
    for (function, answer) in [
        ("one-step", json!({ "greeting": "Hello Ada" })),
        ("two-steps", json!({ "first": 1, "second": 2 })),
        ("parallel", json!({ "both": "lr" })),
        ("caught-step", json!({ "caught": "boom to be caught" })),
        ("nap", json!("rested")),
        ("approval", json!({ "by": "Grace" })),
        ("caller", json!({ "answer": "invoked" })),
        ("notify", json!({ "sent": 2 })),
    ] {
        for run in [run_of(function), run_of(function).planned()] {
            let run = run.with_data(json!({ "name": "Ada", "id": 7 }));
            let finish = scene.executor.drive(run, &resume).await;
            assert_eq!(finish.value(), answer, "{sdk:?}: {function}: {:?}", finish.codes());
        }
    }
    for (function, message) in [
        ("failing-step", "boom in a step"),
        ("failing-function", "boom outside of steps"),
    ] {
        let finish = scene.executor.drive(run_of(function), &resume).await;
        assert!(finish.answer.status >= 400, "{sdk:?}: {function}: {}", finish.answer);
        assert_eq!(finish.answer.json()["message"], message, "{sdk:?}: {function}");
    }
}

#[tokio::test]
async fn runs_of_inngest_4_come_to_their_end() {
    whole_runs(Sdk::V4).await;
}

#[tokio::test]
async fn runs_of_inngest_3_come_to_their_end() {
    whole_runs(Sdk::V3).await;
}

// ---- POST: checkpointing, the default of v4 --------------------------------

#[tokio::test]
async fn with_checkpointing_one_call_runs_all_steps_and_tells_inngest_of_each() {
    let scene = Scene::with(Sdk::V4).await;
    let run = run_of("two-steps");
    let complete = json!({
        "op": "RunComplete",
        "id": step_id("complete"),
        "data": { "first": 1, "second": 2 },
    });
    scene
        .check(
            "one call runs both steps and completes the run",
            run.clone(),
            expected(206, json!([complete])),
        )
        .await;

    let told: Vec<_> = scene.inngest.checkpoints(&run.id).into_iter().map(|c| c.body).collect();
    let step = |name, data| {
        json!({
            "run_id": run.id,
            "fn_id": ANY,
            "qi_id": ANY,
            "steps": [op("StepRun", name, json!({ "data": data }))],
        })
    };
    let wanted = json!([step("first", 1), step("second", 2)]);
    assert_eq!(mismatch(&json!(told), &wanted), None, "{told:#?}");
}

#[tokio::test]
async fn without_checkpoints_the_steps_of_inngest_4_come_back_one_by_one() {
    let inngest = FakeInngest::answering_checkpoints_with(500).await;
    let scene = Scene::talking_to(Sdk::V4, inngest).await;
    scene
        .check(
            "Inngest takes no checkpoint, so the step is handed back",
            run_of("two-steps"),
            expected(206, json!([op("StepRun", "first", json!({ "data": 1 }))])),
        )
        .await;
    scene
        .check(
            "a later attempt comes back after its first good step",
            run_of("two-steps")
                .attempt(1)
                .remembering("first", json!({ "data": 1 })),
            expected(206, json!([op("StepRun", "second", json!({ "data": 2 }))])),
        )
        .await;
}

#[tokio::test]
async fn a_stale_dispatch_ends_the_call_of_inngest_4_and_must_not_be_retried() {
    let inngest = FakeInngest::answering_checkpoints_with(409).await;
    let scene = Scene::talking_to(Sdk::V4, inngest).await;
    scene
        .check(
            "Inngest says that it has dispatched the run again",
            run_of("two-steps"),
            expected(400, json!({ "name": "StaleDispatchError" })).no_retry("true"),
        )
        .await;
}

// ---- what the SDK refuses --------------------------------------------------

#[tokio::test]
async fn what_the_sdk_refuses_is_refused_in_its_own_words() {
    for sdk in [Sdk::V4, Sdk::V3] {
        let scene = Scene::with(sdk).await;
        let door = scene.baton.door();

        let answer = scene.executor.discover(&run_of("nothing-like-this")).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 500, "{answer}");
        let words = match sdk {
            Sdk::V4 => "Function \\\"fixture-nothing-like-this\\\" was not found",
            Sdk::V3 => "No function ID found",
        };
        assert!(answer.text().contains(words), "{sdk:?}: {answer}");
        assert!(answer.header("x-inngest-sdk").is_some(), "{answer}");
        assert_eq!(answer.header("x-inngest-no-retry"), None, "{answer}");

        let answer = harness::http::Call::new("DELETE", "/api/inngest").answer(&door).await;
        let body = json!({ "message": ANY });
        assert_eq!(answer.status, 405, "{answer}");
        assert_eq!(mismatch(&answer.json(), &body), None, "{answer}");
        assert!(answer.header("x-inngest-sdk").is_some(), "{answer}");
    }
}

#[tokio::test]
async fn a_call_with_a_body_that_is_no_json_is_an_error_and_nothing_more() {
    // The handler of v4 rejects here instead of answering: the host must.
    for sdk in [Sdk::V4, Sdk::V3] {
        let scene = Scene::with(sdk).await;
        let call = scene.executor.request(&run_of("one-step"), "step").body("{ no JSON");
        let answer = call.answer(&scene.baton.door()).await;
        assert!(answer.status >= 400, "{sdk:?}: {answer}");
        let next = run_of("version");
        scene
            .check(
                "the next call is served",
                next,
                expected(200, json!({ "version": "1" })),
            )
            .await;
    }
}

#[tokio::test]
async fn the_failure_handler_is_called_as_a_function_of_its_own() {
    for sdk in [Sdk::V4, Sdk::V3] {
        let scene = Scene::with(sdk).await;
        let error = json!({ "name": "Error", "message": "it broke", "stack": "" });
        let failed = json!({
            "function_id": "fixture-guarded",
            "run_id": "01JFAILED000000000000000000",
            "error": error,
            "event": { "name": "fixture/guarded", "data": {} },
        });
        let handled = json!({ "handled": "it broke" });
        scene
            .check(
                "the handler gets the error",
                run_of("guarded-failure").with_data(failed),
                match sdk {
                    Sdk::V4 => expected(206, json!([{ "op": "RunComplete", "data": handled }])),
                    Sdk::V3 => expected(200, handled),
                },
            )
            .await;
    }
}

// ---- the way through Baton -------------------------------------------------

#[tokio::test]
async fn the_answer_is_plain_when_the_caller_would_take_gzip() {
    // The executor offers gzip; whether it is used is the host's business, but
    // then the header has to say so.
    let scene = Scene::with(Sdk::V4).await;
    let answer = scene.executor.discover(&run_of("version")).await.expect("an answer");
    match answer.header("content-encoding") {
        Some("gzip") => assert!(answer.body.starts_with(&[0x1f, 0x8b]), "{answer}"),
        None => assert_eq!(answer.json(), json!({ "version": "1" })),
        Some(other) => panic!("nobody asked for {other}"),
    }
}

#[tokio::test]
async fn bodies_of_almost_four_mebibytes_come_through_whole() {
    let scene = Scene::with(Sdk::V4).await;
    let length = 4 * 1024 * 1024 - 8 * 1024;
    // The event is in the body twice: as `event` and in `events`.
    let text = "x".repeat(length / 2);
    let run = run_of("measure").with_data(json!({ "text": text }));
    scene
        .check(
            "a large event arrives",
            run,
            expected(200, json!({ "length": length / 2 })),
        )
        .await;
}
