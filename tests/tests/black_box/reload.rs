//! The effect of a reload on calls: a running call stays with its generation,
//! the next call gets the new code, and the retirement of a generation is
//! reported (README, promises 1, 4 and 5).

use harness::{Baton, Project, Run, Sdk, mismatch, step_id};
use serde_json::{Value, json};

use crate::calls::{gated, start, version_of};

/// Checks item 2 of the issue, for one SDK.
async fn a_call_stays_with_its_generation(sdk: Sdk) {
    let project = Project::of(sdk);
    let baton = Baton::dev(&project).ready().await;
    let run = Run::of("fixture-slow");

    let running = start(&baton, &run);
    let calls = baton.in_flight(1, 1).await;
    let shown = json!({ "run": run.id, "attempt": 0 });
    assert_eq!(mismatch(&calls[0], &shown), None, "{calls:#?}");
    let function = calls[0]["function"].as_str().unwrap_or_default();
    assert!(function.ends_with("slow"), "{calls:#?}");

    project.set_version("2");
    let report = baton.reload().await;
    assert_eq!(report.activated(), 2);
    assert_eq!(report.body["previous"], 1, "{report}");
    let draining = json!([{ "generation": 1, "in_flight": 1 }]);
    assert_eq!(mismatch(&report.body["draining"], &draining), None, "{report}");

    let status = baton.status().await;
    assert_eq!((status.current(), status.state(1)), (2, "draining"), "{:#}", status.0);
    assert_eq!(status.in_flight(1).len(), 1, "{:#}", status.0);

    assert_eq!(
        version_of(&baton, "version").await,
        "2",
        "a call meanwhile gets the new code"
    );
    assert!(!running.is_finished(), "the call that runs is not disturbed");

    let answer = running.answer(&baton).await;
    let step = json!([{ "op": "StepRun", "id": step_id("work"), "data": { "version": "1" } }]);
    assert_eq!(answer.status, 206, "{answer}");
    assert_eq!(
        mismatch(&answer.json(), &step),
        None,
        "it ends with the old code: {answer}"
    );

    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
    baton
        .status_when("generation 1 is retired", |status| status.state(1) == "retired")
        .await;
}

#[tokio::test]
async fn a_step_of_three_seconds_ends_with_the_code_it_began_with_under_inngest_4() {
    a_call_stays_with_its_generation(Sdk::V4).await;
}

#[tokio::test]
async fn a_step_of_three_seconds_ends_with_the_code_it_began_with_under_inngest_3() {
    a_call_stays_with_its_generation(Sdk::V3).await;
}

#[tokio::test]
async fn a_generation_outlives_several_reloads_while_its_call_runs() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let gate = project.gate("first");
    let running = start(&baton, &gated(&gate));
    baton.in_flight(1, 1).await;

    for version in ["2", "3", "4"] {
        project.set_version(version);
        let _ = baton.reload().await.activated();
    }
    // The generations without a call are gone, the generation with a call is
    // not.
    baton.wait_for("generation retired", json!({ "generation": 2 })).await;
    baton.wait_for("generation retired", json!({ "generation": 3 })).await;
    let status = baton.status().await;
    assert_eq!((status.current(), status.state(1)), (4, "draining"), "{:#}", status.0);

    gate.open();
    assert_eq!(running.version(&baton).await, "1");
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
}

#[tokio::test]
async fn a_reload_can_wait_until_the_old_generation_is_drained() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let gate = project.gate("drain");
    let running = start(&baton, &gated(&gate));
    baton.in_flight(1, 1).await;

    project.set_version("2");
    let sent = baton
        .admin("PUT", "/api/reload?wait=drained")
        .write(&baton.door())
        .await;
    let reload = tokio::spawn(sent.answer());
    baton
        .status_when("generation 1 drains", |status| status.state(1) == "draining")
        .await;
    assert_eq!(version_of(&baton, "version").await, "2", "the swap does not wait");
    assert!(!reload.is_finished(), "the reload waits");

    gate.open();
    assert_eq!(running.version(&baton).await, "1");
    let (status, body) = reload.await.expect("the reload's answer");
    assert_eq!(status, 200, "{body}");
    assert_eq!(baton.status().await.state(1), "retired");
}

#[tokio::test]
async fn the_events_tell_a_reload_as_it_happens() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let mut events = baton.events().await;
    let gate = project.gate("story");
    let running = start(&baton, &gated(&gate));
    baton.in_flight(1, 1).await;

    project.set_version("2");
    let _ = baton.reload().await.activated();
    let generation = |number: u64, state: &str| json!({ "generation": number, "state": state });
    events.next("generation", &generation(2, "loading")).await;
    events.next("generation", &generation(2, "current")).await;
    gate.open();
    let _ = running.answer(&baton).await;
    events.next("generation", &generation(1, "retired")).await;

    let seen = |name: &str, data: &Value| {
        events
            .seen
            .iter()
            .any(|event| event.name == name && mismatch(&event.data, data).is_none())
    };
    assert!(seen("generation", &generation(1, "draining")), "{:#?}", events.seen);
    let report = json!({ "status": "activated", "generation": 2 });
    assert!(seen("reload", &report), "{:#?}", events.seen);

    project.write("functions/broken.ts", "export const broken = ;\n");
    assert_eq!(baton.reload().await.status(), "rejected");
    events
        .next(
            "reload",
            &json!({ "status": "rejected", "error": { "kind": "syntax" } }),
        )
        .await;
}

#[tokio::test]
async fn the_log_tells_of_each_generation() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let line = baton.wait_for("generation activated", json!({ "generation": 1 })).await;
    assert!(
        line.json["functions"].as_u64().is_some_and(|count| count >= 19),
        "{}",
        line.text
    );
    assert!(
        line.json["timestamp"].is_string() && line.json["level"].is_string(),
        "{}",
        line.text
    );

    project.write("functions/broken.ts", "export const broken = ;\n");
    let _ = baton.reload().await;
    let rejected = json!({ "kind": "syntax", "line": 1 });
    let line = baton.wait_for("generation rejected", rejected).await;
    let file = line.json["file"].as_str().unwrap_or_default();
    assert!(file.ends_with("functions/broken.ts"), "{}", line.text);

    project.remove("functions/broken.ts");
    project.set_version("2");
    let number = baton.reload().await.activated();
    baton
        .wait_for("generation activated", json!({ "generation": number }))
        .await;
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
    for line in baton.stderr().lines() {
        assert!(line.json.is_object(), "a line that is no JSON: {:?}", line.text);
    }
}

#[tokio::test]
async fn many_calls_of_one_generation_all_end_with_its_code() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let gate = project.gate("many");
    let running: Vec<_> = (0..8).map(|_| start(&baton, &gated(&gate))).collect();
    baton.in_flight(1, 8).await;

    project.set_version("2");
    let report = baton.reload().await;
    let draining = json!([{ "generation": 1, "in_flight": 8 }]);
    assert_eq!(mismatch(&report.body["draining"], &draining), None, "{report}");
    assert_eq!(version_of(&baton, "brisk").await, "2");

    gate.open();
    for call in running {
        assert_eq!(call.version(&baton).await, "1");
    }
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
}
