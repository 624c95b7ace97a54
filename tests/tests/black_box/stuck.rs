//! User code that keeps its thread does not silence the host (README, promise 6): it is named, another
//! isolate takes the calls, and the next generation serves as if nothing were. So it is where many calls
//! keep it in turns.

use harness::process::Cores;
use harness::{Baton, Project, Run, deadline, mismatch};
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

/// One that spins until a file is there, one that waits for a child process, and one whose child tells on which cores it may
/// run.
const HOLDS: &str = r#"import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
const fn = (id: string, run: (data: any) => unknown) =>
  inngest.createFunction(
    { id, retries: 1, triggers: [{ event: `fixture/${id}` }], checkpointing: false },
    async ({ event }) => run(event.data),
  );
export const functions = [
  fn("spins", ({ until }) => {
    while (!existsSync(until));
  }),
  fn("spinsAndStarts", ({ until, told }) => {
    while (!existsSync(until));
    const script = `while [ ! -e ${told} ]; do sleep 0.05; done; exec cat /proc/self/status`;
    return execFileSync("/bin/sh", ["-c", script]).toString();
  }),
  fn("sleeps", () => void execFileSync("sleep", ["1000"])),
  fn("asks", () => execFileSync("cat", ["/proc/self/status"]).toString()),
];
"#;

async fn holding() -> (Project, Baton) {
    let project = Project::new();
    project.write("functions/holds.ts", HOLDS);
    let baton = Baton::dev(&project)
        .argument("--isolates=2")
        .env("BATON_LOG", "info,js_runtime::isolate::cores=debug")
        .ready()
        .await;
    (project, baton)
}

const KEEP_OFF: &str = "isolates keep off the cores that others hold";

/// Waits until the threads whose name begins like this may run on these cores, in any order.
async fn run_on(baton: &Baton, name: &str, wanted: &[&Cores]) {
    let of = || Cores::of_threads(baton.pid(), name);
    let sorted = |mut cores: Vec<Cores>| {
        cores.sort();
        cores
    };
    let wanted = sorted(wanted.iter().map(|cores| (*cores).clone()).collect());
    let what = format!("threads {name}… on {wanted:?}");
    let context = || format!("{:?}", of());
    deadline::until(&what, context, async || (sorted(of()) == wanted).then_some(())).await;
}

#[tokio::test]
async fn while_an_isolate_spins_the_other_sleeps_on_a_core_without_it_and_its_children_have_all() {
    let (project, baton) = holding().await;
    let two = Cores::two_for(baton.pid());
    let mut log = baton.stderr().from_the_beginning();
    let until = project.root().join("until");
    let spinning = start(&baton, &Run::of("fixture-spins").with_data(json!({ "until": until })));
    log.wait_for(KEEP_OFF, &json!({})).await;
    assert_eq!(version_of(&baton, "version").await, "1");
    let helpers = Cores::of_threads(baton.pid(), "V8 DefaultWorke");
    let held = helpers.first().expect("V8's helpers");
    let free = Cores(two.0.difference(&held.0).copied().collect());
    assert_eq!((held.0.len(), free.0.len()), (1, 1), "{helpers:?}");
    assert!(helpers.iter().all(|helper| helper == held), "{helpers:?}");
    run_on(&baton, "generation-1", &[held, &free]).await;

    let child = start(&baton, &Run::of("fixture-asks")).answer(&baton).await;
    assert_eq!(child.status, 200, "{child}");
    assert_eq!(Cores::in_status(child.json().as_str().expect("a text")), two);

    project.write("until", "");
    assert_eq!(spinning.answer(&baton).await.status, 200);
    log.wait_for("isolates run on every core again", &json!({})).await;
    run_on(&baton, "generation-1", &[&two, &two]).await;
    run_on(&baton, "V8 DefaultWorke", &vec![&two; helpers.len()]).await;
}

#[tokio::test]
async fn what_one_that_spun_has_started_is_given_all_cores() {
    let (project, baton) = holding().await;
    let two = Cores::two_for(baton.pid());
    let mut log = baton.stderr().from_the_beginning();
    let [until, told] = ["until", "told"].map(|name| project.root().join(name));
    let run = Run::of("fixture-spinsAndStarts").with_data(json!({ "until": until, "told": told }));
    let spinning = start(&baton, &run);
    log.wait_for(KEEP_OFF, &json!({})).await;
    project.write("until", "");
    log.wait_for("isolates run on every core again", &json!({})).await;
    project.write("told", "");
    let child = spinning.answer(&baton).await;
    assert_eq!(child.status, 200, "{child}");
    assert_eq!(Cores::in_status(child.json().as_str().expect("a text")), two);
}

#[tokio::test]
async fn one_that_waits_for_a_child_process_holds_no_core() {
    let (_project, baton) = holding().await;
    let _two = Cores::two_for(baton.pid());
    let _sleeping = start(&baton, &Run::of("fixture-sleeps"));
    baton.wait_for("isolate blocked", json!({})).await;
    assert_eq!(version_of(&baton, "version").await, "1");
    assert_eq!(baton.stderr().count(KEEP_OFF, &json!({})), 0);
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
