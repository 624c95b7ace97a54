//! `POST`: functions that throw, and requests that the SDK refuses (§1.4).

use harness::http::Call;
use harness::{ANY, Sdk, mismatch};
use serde_json::json;

use super::{Scene, expected, op, run_of};

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
            // v3 does not change the header; the executor goes by the opcode.
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
        let source = scene.project.read("functions/errors.ts");
        let line = 1 + source
            .lines()
            .take_while(|line| !line.contains("boom in a step"))
            .count();
        let place = format!("functions/errors.ts:{line}:");
        assert!(stack.contains(&place), "{sdk:?}: {place} is not in the stack:\n{stack}");
    }
}

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

        let answer = Call::new("DELETE", "/api/inngest").answer(&door).await;
        let body = json!({ "message": ANY });
        assert_eq!(answer.status, 405, "{answer}");
        assert_eq!(mismatch(&answer.json(), &body), None, "{answer}");
        assert!(answer.header("x-inngest-sdk").is_some(), "{answer}");
    }
}

#[tokio::test]
async fn a_call_with_a_body_that_is_no_json_is_an_error_and_nothing_more() {
    // The handler of v4 rejects here instead of answering, so the host must
    // answer.
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
