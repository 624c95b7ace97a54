//! User code that never lets go of its thread does not silence the host, and the next generation
//! serves as if nothing were (README, promise 6).

use harness::{Baton, Project, Run};

use crate::calls::{start, version_of};

/// A function that spins for ever.
const SPIN: &str = r#"import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
export const spin = inngest.createFunction(
  { id: "spin", retries: 1, triggers: [{ event: "fixture/spin" }] },
  async () => {
    for (;;);
  },
);
"#;

#[tokio::test]
async fn an_endless_loop_silences_neither_the_host_nor_the_next_generation() {
    let project = Project::new();
    project.write("functions/spin.ts", SPIN);
    let baton = Baton::dev(&project).ready().await;
    let spinning = start(&baton, &Run::of("fixture-spin"));
    baton.in_flight(1, 1).await;

    assert_eq!(baton.get("/-/live").await.status, 200);
    assert_eq!(baton.get("/-/ready").await.status, 200);
    assert_eq!(baton.get("/-/metrics").await.status, 200);
    project.remove("functions/spin.ts");
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    assert_eq!(version_of(&baton, "version").await, "2");
    assert_eq!(baton.status().await.state(1), "draining");
    assert!(!spinning.is_finished());
}

#[tokio::test]
async fn a_call_that_drains_for_too_long_is_cut_and_inngest_told_to_try_again() {
    let project = Project::new();
    project.write("functions/spin.ts", SPIN);
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
    let cut = serde_json::json!({ "generation": 1, "function": "fixture-spin" });
    baton
        .wait_for("call cut: its generation drained for too long", cut)
        .await;
    baton
        .wait_for("generation retired", serde_json::json!({ "generation": 1 }))
        .await;
    assert_eq!(version_of(&baton, "version").await, "2");
}
