//! `--inspect`: a debugger attaches to the code as it was written, and follows reloads (docs/debugging.md).

use harness::http::Call;
use harness::{Baton, Debugger, Door, Project, Run};
use serde_json::{Value, json};

use crate::calls::{Running, start, version_of};

/// The line with `side * side`.
const LINE: u32 = 12;
const DEBUGGED: &str = r#"import { Inngest } from "inngest";
interface Shape {
  side: number;
}
type Unused = {
  name: string;
};
const inngest = new Inngest({ id: "fixture" });
const area = (shape: Shape): number => {
  const side: number = shape.side;
  // Here:
  const result: number = side * side;
  return result;
};
export const debugged = inngest.createFunction(
  { id: "debugged", retries: 1, checkpointing: false, triggers: [{ event: "fixture/debugged" }] },
  async ({ event }) => ({ area: area(event.data as Shape) }),
);
"#;

fn project() -> Project {
    let project = Project::new();
    project.write("functions/debugged.ts", DEBUGGED);
    project
}

/// Returns the port that debuggers attach to.
async fn port(baton: &Baton) -> u16 {
    let line = "debuggers may attach: use chrome://inspect, or an editor as for Node";
    let line = baton.wait_for(line, json!({})).await;
    let address = line.json["address"]
        .as_str()
        .and_then(|address| address.strip_prefix("127.0.0.1:"));
    address
        .and_then(|port| port.parse().ok())
        .expect("a port of the loopback")
}

async fn attached(port: u16) -> Debugger {
    let mut debugger = Debugger::attach(port, "current", None).await.expect("an open door");
    debugger.ask("Runtime.enable", json!({})).await;
    debugger.ask("Debugger.enable", json!({})).await;
    debugger.break_at("functions/debugged.ts", LINE).await;
    debugger
}

fn call(baton: &Baton, side: u32) -> Running {
    start(baton, &Run::of("fixture-debugged").with_data(json!({ "side": side })))
}

async fn paused(debugger: &mut Debugger) -> Value {
    debugger.event("Debugger.paused", |_| true).await
}

#[tokio::test]
async fn a_breakpoint_in_typescript_is_hit_stepped_from_and_resumed_and_again_after_a_reload() {
    let project = project();
    // None of these limits ends code that is paused.
    let limits = ["--call-timeout=1s", "--drain-timeout=1s", "--inspect=0"];
    let launch = limits
        .into_iter()
        .fold(Baton::dev(&project), |launch, limit| launch.argument(limit));
    let baton = launch.ready().await;
    let port = port(&baton).await;
    let mut debugger = attached(port).await;
    let running = call(&baton, 3);
    let stopped = paused(&mut debugger).await;
    assert_eq!(debugger.value(&stopped, "side").await, 3);

    // The pause is longer than the time after which an isolate counts as blocked, and longer than either
    // limit.
    let since = baton.status().await.0["uptime_s"].as_u64().expect("seconds");
    let later = |status: &harness::Status| status.0["uptime_s"].as_u64() >= Some(since + 4);
    let status = baton.status_when("three seconds of being paused", later).await;
    let isolates = status.generation(1)["isolates"].clone();
    assert_eq!(isolates.as_array().map(Vec::len), Some(1), "{isolates:#}");
    assert_eq!(
        (&isolates[0]["paused"], &isolates[0]["blocked_ms"]),
        (&json!(true), &json!(0)),
        "{isolates:#}"
    );

    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    assert_eq!(
        version_of(&baton, "version").await,
        "2",
        "the new generation serves beside it"
    );
    let since = baton.status().await.0["uptime_s"].as_u64().expect("seconds");
    let later = |status: &harness::Status| status.0["uptime_s"].as_u64() >= Some(since + 3);
    let status = baton.status_when("longer than it may drain", later).await;
    assert_eq!(status.generation(1)["state"], "draining", "{:#}", status.0);
    assert!(!running.is_finished(), "it is paused still");

    debugger.ask("Debugger.stepOver", json!({})).await;
    let stepped = paused(&mut debugger).await;
    assert_eq!(debugger.value(&stepped, "result").await, 9);
    debugger.ask("Debugger.resume", json!({})).await;
    let answer = running.answer(&baton).await;
    assert_eq!(answer.json()["area"], 9, "{answer}");
    assert_eq!(debugger.closed().await, 1012, "come again, for the next generation");
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;

    let mut debugger = attached(port).await;
    let running = call(&baton, 4);
    let stopped = paused(&mut debugger).await;
    assert_eq!(debugger.value(&stopped, "side").await, 4);
    let status = baton.status().await;
    assert_eq!(status.in_flight(2).len(), 1, "{:#}", status.0);
    debugger.ask("Debugger.resume", json!({})).await;
    assert_eq!(running.answer(&baton).await.json()["area"], 16);
    let text = baton.stderr().text();
    for wrong in ["isolate blocked", "isolate ended for", "call cut"] {
        assert!(!text.contains(wrong), "{wrong}: {text}");
    }
}

#[tokio::test]
async fn what_was_paused_goes_on_when_the_debugger_goes_or_the_host_is_told_to_end() {
    let project = project();
    let mut baton = Baton::dev(&project).argument("--inspect=0").ready().await;
    let port = port(&baton).await;
    let mut debugger = attached(port).await;
    let running = call(&baton, 5);
    paused(&mut debugger).await;
    drop(debugger);
    assert_eq!(running.answer(&baton).await.json()["area"], 25);
    baton.wait_for("debugger detached", json!({ "generation": 1 })).await;

    let mut debugger = attached(port).await;
    let running = call(&baton, 6);
    paused(&mut debugger).await;
    baton.signal("TERM").await;
    baton
        .wait_for("ending: no new calls are taken, calls in flight finish", json!({}))
        .await;
    debugger.ask("Debugger.resume", json!({})).await;
    assert_eq!(
        running.answer(&baton).await.json()["area"],
        36,
        "the host waited for it"
    );
    drop(debugger);
    assert_eq!(baton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn debuggers_are_listed_as_node_does_and_web_pages_are_refused() {
    let project = project();
    let baton = Baton::dev(&project).argument("--inspect=0").ready().await;
    let port = port(&baton).await;
    let door = Door::Tcp(([127, 0, 0, 1], port).into());
    let list = Call::new("GET", "/json/list").answer(&door).await.json();
    assert_eq!(list[0]["id"], "current", "{list:#}");
    assert_eq!(list[0]["type"], "node", "{list:#}");
    assert_eq!(
        list[0]["webSocketDebuggerUrl"],
        format!("ws://127.0.0.1:{port}/current"),
        "{list:#}"
    );
    assert_eq!(list[1]["id"], "1-0", "{list:#}");
    let version = Call::new("GET", "/json/version").answer(&door).await.json();
    assert!(
        version["Browser"]
            .as_str()
            .is_some_and(|browser| browser.starts_with("baton/")),
        "{version}"
    );

    for (header, value) in [("origin", "https://evil.example"), ("host", "evil.example")] {
        let refused = Call::new("GET", "/json/list").header(header, value).answer(&door).await;
        assert_eq!(refused.status, 403, "{header}: {refused}");
    }
    assert!(
        Debugger::attach(port, "current", Some("http://127.0.0.1:3000"))
            .await
            .is_err(),
        "a page"
    );
    assert!(Debugger::attach(port, "9-0", None).await.is_err(), "no such generation");
    let from_chrome = Debugger::attach(port, "1-0", Some("devtools://devtools")).await;
    let mut from_chrome = from_chrome.unwrap_or_else(|error| panic!("DevTools: {error}"));
    let sum = from_chrome
        .ask("Runtime.evaluate", json!({ "expression": "1 + 1" }))
        .await;
    assert_eq!(sum["result"]["value"], 2, "{sum:#}");

    let taken = Baton::dev(&Project::new())
        .argument(format!("--inspect={port}"))
        .to_the_end()
        .await;
    assert_eq!(taken.code, Some(1), "{taken:?}");
    assert!(
        taken.stderr.contains(&format!("port {port} is in use by baton")),
        "{taken:?}"
    );
    let without = Baton::dev(&Project::new()).ready().await;
    assert!(
        !without.stderr().text().contains("debuggers may attach"),
        "only where it is asked for"
    );
}
