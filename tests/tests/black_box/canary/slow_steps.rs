//! Steps that take longer than they did.

use harness::Baton;
use serde_json::{Value, json};

use super::{begin, canary, counted, end_run, new_run, project, write};

/// More runs than a canary needs while the current generation's first 20 say how long steps take.
const SETTINGS: &str = "[canary]\nleast = 60\n";

/// A function whose step waits for so many milliseconds.
fn waits(ms: u32) -> String {
    format!("return await step.run(\"charge\", () => new Promise((done) => setTimeout(() => done(VERSION), {ms})));")
}

/// Has runs end, several at a time, until the canary is over or so many have ended.
async fn end_many(baton: &Baton, attempts: u32, most: usize) -> Value {
    for _ in 0..most / 8 {
        let next = || end_run(baton, new_run(attempts));
        tokio::join!(next(), next(), next(), next(), next(), next(), next(), next());
        let now = canary(baton).await;
        if !now["end"].is_null() {
            return now;
        }
    }
    canary(baton).await
}

#[tokio::test]
async fn code_whose_step_is_twice_as_slow_is_taken_back() {
    for attempts in [1, 3] {
        let project = project(&waits(250));
        project.write("baton.toml", SETTINGS);
        let baton = Baton::start(&project).ready().await;
        write(&project, &waits(500), "2");
        let generation = begin(&baton, 40).await;
        let over = end_many(&baton, attempts, 400).await;
        assert_eq!(
            (&over["end"]["by"], &over["end"]["signal"]),
            (&json!("failed"), &json!("slow")),
            "{over:#}"
        );
        assert!(counted(&over, "slow") <= 40, "{over:#}");
        let slow = &over["end"]["slow_step"];
        assert_eq!(slow["name"], "charge", "{over:#}");
        let (took, usual) = (
            slow["ms"].as_u64().expect("a time"),
            slow["usual_ms"].as_u64().expect("a time"),
        );
        assert!(took >= 500 && (250..took).contains(&usual), "{over:#}");
        let line = baton
            .wait_for("canary taken back", json!({ "generation": generation }))
            .await;
        let because = line.json["because"].as_str().unwrap_or_default();
        assert!(because.contains("runs with a slow step"), "{because}");
        assert!(because.contains("step \"charge\" took"), "{because}");
        assert_eq!(end_run(&baton, new_run(attempts)).await, json!("1"));
    }
}

#[tokio::test]
async fn a_function_without_steps_is_compared_by_its_call() {
    let body = |ms| format!("await new Promise((done) => setTimeout(done, {ms})); return VERSION;");
    let project = project(&body(250));
    project.write("baton.toml", SETTINGS);
    let baton = Baton::start(&project).ready().await;
    write(&project, &body(500), "2");
    begin(&baton, 40).await;
    let over = end_many(&baton, 3, 400).await;
    assert_eq!(over["end"]["signal"], "slow", "{over:#}");
    assert_eq!(over["end"]["slow_step"]["name"], "", "{over:#}");
}

#[tokio::test]
async fn steps_that_take_as_long_are_no_evidence() {
    let project = project(&waits(100));
    project.write("baton.toml", SETTINGS);
    let baton = Baton::start(&project).ready().await;
    write(&project, &waits(100), "2");
    begin(&baton, 40).await;
    let over = end_many(&baton, 3, 400).await;
    assert_eq!(over["end"]["by"], "passed", "{over:#}");
    assert!(counted(&over, "slow") > 0, "the steps were compared: {over:#}");
}
