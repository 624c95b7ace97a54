//! Whole runs, from the first call to the answer of the function, and the
//! checkpoints with which v4 makes one call of many (§1.7).

use harness::{ANY, FakeInngest, Op, Sdk, mismatch, step_id};
use serde_json::{Value, json};

use super::{Scene, expected, op, run_of};

async fn whole_runs(sdk: Sdk) {
    let scene = Scene::with(sdk).await;
    let resume = |op: &Op| match op.code() {
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
