//! What a reload does, and what it leaves alone: the call that runs stays with
//! its generation, the next one gets the new code (DESIGN §2, promises 1, 3, 4
//! and 5; §3.3, §5.1).

use std::sync::Arc;

use harness::http::{Answer, Lost};
use harness::{Baton, Gate, Project, Run, Sdk, mismatch, step_id};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Calls a function of the fixture that answers with its version.
async fn version_of(baton: &Baton, function: &str) -> Value {
    let run = Run::of(&format!("fixture-{function}"));
    let answer = baton
        .executor()
        .discover(&run)
        .await
        .unwrap_or_else(|lost| panic!("{lost}"));
    version_in(&answer)
}

/// The version in the answer of a function, or of its step.
fn version_in(answer: &Answer) -> Value {
    let body = answer.json();
    match answer.status {
        200 => body["version"].clone(),
        206 => body[0]["data"]["version"].clone(),
        _ => panic!("a failed call: {answer}"),
    }
}

/// Starts a call that lasts; what it answers comes later.
fn start(baton: &Baton, run: &Run) -> JoinHandle<Result<Answer, Lost>> {
    let executor = baton.executor();
    let run = run.clone();
    tokio::spawn(async move { executor.discover(&run).await })
}

async fn finish(call: JoinHandle<Result<Answer, Lost>>) -> Answer {
    call.await
        .expect("the caller lives")
        .unwrap_or_else(|lost| panic!("{lost}"))
}

fn gated(gate: &Gate) -> Run {
    Run::of("fixture-gated").with_data(json!({ "gate": gate.path() }))
}

/// Item 2 of the issue, for one SDK.
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

    let answer = finish(running).await;
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
    // Those without a call are gone, the one with a call is not.
    baton.wait_for("generation retired", json!({ "generation": 2 })).await;
    baton.wait_for("generation retired", json!({ "generation": 3 })).await;
    let status = baton.status().await;
    assert_eq!((status.current(), status.state(1)), (4, "draining"), "{:#}", status.0);

    gate.open();
    assert_eq!(version_in(&finish(running).await), "1");
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
}

#[tokio::test]
async fn a_reload_without_a_change_leaves_everything_as_it_is() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let before = baton.status().await;

    let report = baton.reload().await;
    assert_eq!(
        (report.http, report.status(), report.generation()),
        (200, "unchanged", 1),
        "{report}"
    );
    let after = baton.status().await;
    assert_eq!(after.current(), 1, "{:#}", after.0);
    assert_eq!(after.generation(1)["hash"], before.generation(1)["hash"]);
}

#[tokio::test]
async fn an_edit_that_is_taken_back_before_the_reload_is_no_change() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let original = project.read("lib/version.ts");
    project.set_version("2");
    project.write("lib/version.ts", &original);
    assert_eq!(baton.reload().await.status(), "unchanged");
}

#[tokio::test]
async fn a_forced_reload_makes_a_new_generation_of_the_same_code() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let hash = baton.status().await.generation(1)["hash"].clone();

    let report = baton.reload_with("?force=1").await;
    assert_eq!(report.activated(), 2);
    assert_eq!(report.body["hash"], hash, "{report}");
    assert_eq!(version_of(&baton, "version").await, "1");
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
}

#[tokio::test]
async fn a_dry_run_checks_the_new_code_and_changes_nothing() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;

    project.set_version("2");
    let report = baton.reload_with("?dry_run=1").await;
    assert_eq!((report.http, report.status()), (200, "checked"), "{report}");
    let status = baton.status().await;
    assert_eq!((status.current(), status.state(1)), (1, "current"), "{:#}", status.0);
    assert_eq!(version_of(&baton, "version").await, "1");

    project.write("functions/broken.ts", "export const broken = ;\n");
    let report = baton.reload_with("?dry_run=1").await;
    assert_eq!((report.http, report.status()), (422, "rejected"), "{report}");
    assert_eq!(report.error()["kind"], "syntax", "{report}");
    let status = baton.status().await;
    assert_eq!(status.current(), 1, "{:#}", status.0);
    assert_eq!(status.0["source"]["last_rejected"], Value::Null, "{:#}", status.0);

    project.remove("functions/broken.ts");
    let _ = baton.reload().await.activated();
    assert_eq!(version_of(&baton, "version").await, "2");
}

#[tokio::test]
async fn a_reload_says_which_functions_came_went_and_changed() {
    let project = Project::new();
    project.write("functions/extra.ts", function("extra", 1));
    project.write("functions/passing.ts", function("passing", 1));
    let baton = Baton::dev(&project).ready().await;

    project.remove("functions/passing.ts");
    project.write("functions/arriving.ts", function("arriving", 1));
    project.write("functions/extra.ts", function("extra", 3));
    let report = baton.reload().await;
    let _ = report.activated();

    let functions = &report.body["functions"];
    let has = |list: &str, id: &str| {
        let ids = functions[list].as_array().expect("a list of ids");
        ids.iter().any(|entry| entry.as_str().unwrap_or_default().ends_with(id))
    };
    assert!(has("added", "arriving"), "{report}");
    assert!(has("removed", "passing"), "{report}");
    assert!(has("changed", "extra"), "{report}");
    assert!(!has("added", "extra") && !has("removed", "extra"), "{report}");
    assert!(!has("changed", "one-step"), "{report}");

    let status = baton.status().await;
    let ids = status.0["functions"].as_array().expect("functions");
    let count = functions["count"].as_u64().expect("a count");
    assert_eq!(ids.len() as u64, count, "{:#}", status.0);
    let extra = ids
        .iter()
        .find(|f| f["id"].as_str().unwrap_or_default().ends_with("extra"));
    let extra = extra.expect("the function is in the status");
    let shown = json!({ "app": "fixture", "retries": 3, "triggers": [{ "event": "fixture/extra" }] });
    assert_eq!(mismatch(extra, &shown), None, "{extra:#}");
}

fn function(id: &str, retries: u32) -> String {
    format!(
        r#"import {{ inngest }} from "../lib/client";
export const it = inngest.createFunction(
  {{ id: "{id}", retries: {retries}, checkpointing: false, triggers: [{{ event: "fixture/{id}" }}] }},
  async () => "{id}",
);
"#
    )
}

/// A module that is not loaded before its gate is open: it holds a reload in
/// the middle for as long as a test wants.
fn slow_to_load(gate: &Gate) -> String {
    format!(
        "import {{ untilThereIs }} from \"../lib/work\";\nawait untilThereIs({:?});\n",
        gate.path()
    )
}

#[tokio::test]
async fn reloads_that_come_while_one_runs_are_one_reload_after_it() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let mut events = baton.events().await;

    let gate = project.gate("load");
    project.write("functions/slow-to-load.ts", slow_to_load(&gate));
    project.set_version("2");
    let first = baton.admin("PUT", "/api/reload").write(&baton.door()).await;
    events
        .next("generation", &json!({ "generation": 2, "state": "loading" }))
        .await;

    // The first has read its files by now or will do so; this edit comes while
    // it runs, and who asks from here on must get it.
    project.set_version("3");
    let mut later = Vec::new();
    for _ in 0..9 {
        later.push(baton.admin("PUT", "/api/reload").write(&baton.door()).await);
    }
    let meanwhile = baton.status().await;
    assert_eq!(meanwhile.current(), 1, "nothing is swapped before it is loaded");
    assert_eq!(
        version_of(&baton, "version").await,
        "1",
        "the old code serves meanwhile"
    );

    gate.open();
    let (status, body) = first.answer().await;
    assert_eq!(status, 200, "{body}");
    for sent in later {
        let (status, body) = sent.answer().await;
        assert_eq!(status, 200, "{body}");
    }
    assert_eq!(version_of(&baton, "version").await, "3", "the latest edit serves");
    let newest = baton.status().await.newest();
    assert!(
        newest <= 3,
        "ten reloads made {} generations, not two at most",
        newest - 1
    );
}

#[tokio::test]
async fn a_rollback_makes_the_old_code_current_under_a_new_number() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;

    let answer = baton.rollback(None).await;
    assert_eq!(answer.status, 200, "{answer}");
    let status = baton.status().await;
    assert_eq!(status.current(), 3, "{:#}", status.0);
    let shown = json!({ "state": "current", "reason": "rollback" });
    assert_eq!(mismatch(status.generation(3), &shown), None, "{:#}", status.0);
    assert_eq!(version_of(&baton, "version").await, "1");

    let answer = baton.rollback(Some(2)).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(baton.status().await.current(), 4);
    assert_eq!(version_of(&baton, "version").await, "2");
}

#[tokio::test]
async fn a_rollback_to_a_generation_that_never_was_is_refused() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let answer = baton.rollback(Some(4711)).await;
    assert!((400..500).contains(&answer.status), "{answer}");
    let message = answer.json()["error"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(message.contains("4711"), "{answer}");
    assert_eq!(baton.status().await.current(), 1);
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
    assert_eq!(version_in(&finish(running).await), "1");
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
    let _ = finish(running).await;
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
    let baton = Arc::new(Baton::dev(&project).ready().await);
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
        assert_eq!(version_in(&finish(call).await), "1");
    }
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
}
