//! `POST`: steps that run or are planned, and the waits of a function (§1.4, §1.6).

use harness::{ANY, Sdk, mismatch};
use serde_json::{Value, json};

use super::{Scene, expected, op, run_of};

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
