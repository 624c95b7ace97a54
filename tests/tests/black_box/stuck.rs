//! User code that keeps its thread does not silence the host (README, promise 6): Baton names the code,
//! another isolate takes the calls, and the next generation serves as usual. The same holds if many
//! calls keep the thread in turns.

use harness::{Baton, Project, Run, Status, deadline, mismatch};
use serde_json::json;

use crate::calls::{start, version_of};

/// A function that spins for ever, one that computes for a while, and one that waits for a child process
/// as `execSync` does.
const STUCK: &str = r#"import { execFileSync } from "node:child_process";
import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
export const spin = inngest.createFunction(
  { id: "spin", retries: 1, triggers: [{ event: "fixture/spin" }] },
  async () => {
    for (;;);
  },
);
export const burn = inngest.createFunction(
  { id: "burn", retries: 1, triggers: [{ event: "fixture/burn" }] },
  async () => {
    const until = performance.now() + 50;
    while (performance.now() < until);
    return "burnt";
  },
);
export const callsBack = inngest.createFunction(
  { id: "calls-back", retries: 1, triggers: [{ event: "fixture/calls-back" }], checkpointing: false },
  async ({ event }) => execFileSync("curl", ["-sS", event.data.url]).toString(),
);
"#;

fn project() -> Project {
    let project = Project::new();
    project.write("functions/stuck.ts", STUCK);
    project
}

#[tokio::test]
async fn a_blocked_isolate_is_named_and_another_one_takes_the_calls() {
    let project = project();
    let baton = Baton::dev(&project).argument("--isolates=2").ready().await;
    let run = Run::of("fixture-spin");
    let spinning = start(&baton, &run);
    let who = json!({ "generation": 1, "isolate": 0, "function": "fixture-spin", "run": run.id });
    baton.wait_for("isolate blocked", who).await;
    for _ in 0..10 {
        assert_eq!(version_of(&baton, "version").await, "1");
    }
    let status = baton.status().await;
    let isolates = status.generation(1)["isolates"].as_array().expect("isolates").clone();
    assert_eq!(isolates.len(), 2, "{isolates:#?}");
    assert_eq!(isolates[0]["calls"], 1, "{isolates:#?}");
    assert!(
        isolates[0]["blocked_ms"].as_u64().is_some_and(|ms| ms >= 1000),
        "{isolates:#?}"
    );
    assert_eq!(isolates[1]["blocked_ms"], 0, "{isolates:#?}");
    assert!(!spinning.is_finished());
}

#[tokio::test]
async fn each_isolate_whose_thread_is_held_gets_a_stand_in() {
    let project = project();
    let baton = Baton::dev(&project).ready().await;
    let mut spinning = Vec::new();
    for held in 1..=3 {
        spinning.push(start(&baton, &Run::of("fixture-spin")));
        let taken = format!("{held} spinning calls that isolates have begun");
        baton
            .status_when(&taken, |status| {
                status.in_flight(1).len() == held && status.generation(1)["queued"] == 0
            })
            .await;
        assert_eq!(version_of(&baton, "version").await, "1");
    }
    let each_has_one = |status: &Status| {
        let isolates = status.generation(1)["isolates"].as_array().cloned().unwrap_or_default();
        let calls: Vec<_> = isolates.iter().map(|isolate| isolate["calls"].clone()).collect();
        calls == [1, 1, 1, 0]
    };
    baton
        .status_when("a spinning call in each isolate but the last", each_has_one)
        .await;
    assert!(spinning.iter().all(|call| !call.is_finished()));
}

#[tokio::test]
async fn where_calls_wait_for_busy_isolates_another_one_takes_them_too() {
    let project = project();
    let baton = Baton::dev(&project).argument("--isolates=2").ready().await;
    let calls: Vec<_> = (0..100).map(|_| start(&baton, &Run::of("fixture-burn"))).collect();
    let second = json!({ "generation": 1, "isolates": 2 });
    baton.wait_for("another isolate takes calls", second).await;
    for call in calls {
        let answer = call.answer(&baton).await;
        assert_eq!(answer.status, 206, "{answer}");
        assert_eq!(answer.json()[0]["data"], "burnt", "{answer}");
    }
    assert_eq!(baton.stderr().count("isolate blocked", &json!({})), 0);
}

#[tokio::test]
async fn with_every_isolate_spinning_the_host_answers_and_the_next_generation_serves() {
    let project = project();
    let baton = Baton::dev(&project).argument("--isolates=2").ready().await;
    let spinning = [
        start(&baton, &Run::of("fixture-spin")),
        start(&baton, &Run::of("fixture-spin")),
    ];
    baton.wait_for("isolate blocked", json!({ "isolate": 0 })).await;
    baton.wait_for("isolate blocked", json!({ "isolate": 1 })).await;
    let waiting = start(&baton, &Run::of("fixture-version"));
    baton.in_flight(1, 3).await;

    assert_eq!(baton.get("/-/live").await.status, 200);
    let ready = baton.get("/-/ready").await;
    let reason = json!({ "ready": false, "reason": "isolates_blocked" });
    assert_eq!(mismatch(&ready.json(), &reason), None, "{ready}");
    let metrics = baton.get("/-/metrics").await.text();
    for line in [
        "baton_isolates{generation=\"1\",state=\"blocked\"} 2",
        "baton_calls_queued{generation=\"1\"} 1",
        "baton_calls_in_flight{generation=\"1\"} 3",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert_eq!(baton.status().await.generation(1)["queued"], 1);

    project.remove("functions/stuck.ts");
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    assert_eq!(version_of(&baton, "version").await, "2");
    assert_eq!(baton.get("/-/ready").await.status, 200);
    assert_eq!(baton.status().await.state(1), "draining");
    assert!(spinning.iter().all(|call| !call.is_finished()));
    assert!(!waiting.is_finished(), "it belongs to the generation that took it");
}

#[tokio::test]
async fn a_call_that_comes_back_from_inside_a_blocked_step_is_served_by_another_isolate() {
    let project = project();
    let baton = Baton::dev(&project).argument("--isolates=2").ready().await;
    let url = format!("http://127.0.0.1:{}/api/inngest", baton.port());
    let run = Run::of("fixture-calls-back").with_data(json!({ "url": url }));
    let answer = start(&baton, &run).answer(&baton).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert!(answer.text().contains("function_count"), "{answer}");
    let free = || async {
        let status = baton.status().await;
        let isolates = status.generation(1)["isolates"].as_array().cloned().unwrap_or_default();
        isolates.iter().all(|isolate| isolate["blocked_ms"] == 0).then_some(())
    };
    deadline::until("the isolate is free again", || baton.stderr().tail(), free).await;
}

#[tokio::test]
async fn a_call_that_drains_for_too_long_is_cut_and_inngest_told_to_try_again() {
    let project = project();
    let baton = Baton::dev(&project).argument("--drain-timeout=1s").ready().await;
    let spinning = start(&baton, &Run::of("fixture-spin"));
    baton.in_flight(1, 1).await;
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);

    let answer = spinning.answer(&baton).await;
    assert_eq!(answer.status, 500, "{answer}");
    assert_eq!(answer.header("x-inngest-no-retry"), Some("false"), "{answer}");
    assert_eq!(answer.header("retry-after"), Some("1"), "{answer}");
    assert!(answer.header("x-inngest-sdk").is_some(), "{answer}");
    let cut = json!({ "generation": 1, "function": "fixture-spin" });
    baton
        .wait_for("call cut: its generation drained for too long", cut)
        .await;
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
    assert_eq!(version_of(&baton, "version").await, "2");
}

#[tokio::test]
async fn a_call_that_takes_too_long_costs_its_isolate_and_inngest_is_told_to_try_again() {
    let project = project();
    let baton = Baton::dev(&project).argument("--call-timeout=1s").ready().await;
    let answer = start(&baton, &Run::of("fixture-spin")).answer(&baton).await;
    assert_eq!(answer.status, 500, "{answer}");
    assert_eq!(answer.header("x-inngest-no-retry"), Some("false"), "{answer}");
    let who = json!({ "generation": 1, "function": "fixture-spin" });
    baton.wait_for("isolate ended for a call that took too long", who).await;
    assert_eq!(version_of(&baton, "version").await, "1");
    assert_eq!(baton.status().await.current(), 1);
}
