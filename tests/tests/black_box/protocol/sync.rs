//! `GET` and `PUT`: introspection and registration (§1.1, §1.2).

use harness::{Sdk, mismatch};
use serde_json::{Value, json};

use super::{Scene, check, expected};

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
