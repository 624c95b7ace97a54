//! What user code says, and what it is told: lines of the log that name the call, stray errors that
//! disturb nothing, and the events of a generation's end.

use harness::{Baton, Line, Project, Run, mismatch};
use serde_json::{Value, json};

use crate::calls::{gated, start, version_of};

/// Says something in every way that loses the call easily, and leaves errors behind.
const TALKS: &str = r#"import { exec } from "node:child_process";
import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
console.log("said while loading", { answer: 42 });
export const talks = inngest.createFunction(
  { id: "talks", retries: 1, triggers: [{ event: "fixture/talks" }], checkpointing: false },
  async () => {
    console.log("said at once");
    await new Promise((go) => setTimeout(go, 1));
    console.warn("said after an await");
    setTimeout(() => console.error("said in a timer"), 1);
    exec("echo", () => console.info("said in a child's callback"));
    Promise.reject(new Error("left behind"));
    setTimeout(() => {
      throw new Error("thrown in a timer");
    }, 1);
    return "talked";
  },
);
"#;

#[tokio::test]
async fn every_line_and_every_stray_error_names_its_call() {
    let project = Project::new();
    project.write("functions/talks.ts", TALKS);
    let baton = Baton::dev(&project).ready().await;
    baton
        .wait_for(
            "said while loading { answer: 42 }",
            json!({ "isolate": "generation-1" }),
        )
        .await;
    let run = Run::of("fixture-talks");
    let answer = start(&baton, &run).answer(&baton).await;
    assert_eq!(answer.json(), "talked", "{answer}");

    let of_the_call = |level: &str| -> Value {
        json!({ "level": level, "isolate": "generation-1", "function": "fixture-talks", "run": run.id, "step": "step" })
    };
    for (level, text) in [
        ("INFO", "said at once"),
        ("WARN", "said after an await"),
        ("ERROR", "said in a timer"),
        ("INFO", "said in a child's callback"),
    ] {
        baton.wait_for(text, of_the_call(level)).await;
    }
    // What a timer throws reaches the host after the timer's call was left: only the isolate is known.
    let of_the_isolate = json!({ "level": "ERROR", "isolate": "generation-1" });
    for (what, line, whose) in [
        ("left behind", 13, of_the_call("ERROR")),
        ("thrown in a timer", 15, of_the_isolate),
    ] {
        let place = format!("functions/talks.ts:{line}:");
        let told = |found: &Line| {
            found.message().contains(what)
                && found.message().contains(&place)
                && mismatch(&found.json, &whose).is_none()
        };
        baton.stderr().wait_for_line(what, told).await;
    }
    assert_eq!(version_of(&baton, "version").await, "1", "nothing else is disturbed");
}

/// Hears of its generation's end.
const HEARS: &str = r#"globalThis.addEventListener("baton:draining", () => console.log("heard that it drains"));
globalThis.addEventListener("beforeunload", () => console.log("heard that it ends"));
"#;

#[tokio::test]
async fn a_generation_is_told_that_it_drains_and_then_that_it_ends() {
    let project = Project::new();
    project.write("functions/hears.ts", HEARS);
    let baton = Baton::dev(&project).ready().await;
    let gate = project.gate("call");
    let running = start(&baton, &gated(&gate));
    baton.in_flight(1, 1).await;
    project.set_version("2");
    let _ = baton.reload().await.activated();
    let old = json!({ "isolate": "generation-1" });
    baton.wait_for("heard that it drains", old.clone()).await;
    assert!(!running.is_finished());
    gate.open();
    assert_eq!(running.version(&baton).await, "1");
    baton.wait_for("heard that it ends", old).await;
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
}
