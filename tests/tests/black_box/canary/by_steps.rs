//! A canary whose share rises in steps.

use harness::{Baton, Project};
use serde_json::{Value, json};

use super::{GOOD, THROWS, canary, end_run, end_runs, new_run, project, write};
use crate::supervisor::kill_host;

const STEPS: &str = "[canary]\nleast = 4\nsteps = [20, 60]\n";

async fn begin(project: &Project, body: &str) -> Baton {
    let baton = Baton::start(project).ready().await;
    write(project, body, "2");
    // With the table in `baton.toml` each reload is a canary.
    let report = baton.reload().await;
    assert_eq!(
        (report.status(), &report.body["share"]),
        ("canary", &json!(20)),
        "{}",
        report.body
    );
    baton
}

/// Has runs end until the share is that, and returns the canary then.
async fn until_share(baton: &Baton, share: u8) -> Value {
    for _ in 0..400 {
        let now = canary(baton).await;
        assert_eq!(now["end"], Value::Null, "{now:#}");
        if now["share"] == share {
            return now;
        }
        end_run(baton, new_run(1)).await;
    }
    panic!("the share stays: {:#}", canary(baton).await);
}

#[tokio::test]
async fn each_step_wants_runs_of_its_own_and_the_last_one_promotes() {
    let project = project(GOOD);
    project.write("baton.toml", STEPS);
    let baton = begin(&project, GOOD).await;
    let raised = until_share(&baton, 60).await;
    assert_eq!(raised["stages"], json!([20, 60]));
    let ended = raised["ended_runs"]["canary"]["total"].as_u64().expect("a number");
    assert!(ended >= 4, "{raised:#}");
    baton
        .wait_for("canary gets more runs", json!({ "share": "60 %" }))
        .await;

    // The step is the same after an upgrade.
    let upgraded = baton.upgrade(&[]).await;
    assert_eq!(upgraded.code, Some(0), "{upgraded}");
    baton
        .status_when("the canary to be on again", |status| status.0["canary"]["share"] == 60)
        .await;
    assert_eq!(canary(&baton).await["end"], Value::Null);

    // So it is after a crash.
    kill_host(&baton).await;
    baton
        .status_when("the canary to be on once more", |status| {
            status.0["canary"]["share"] == 60
        })
        .await;

    let over = end_runs(&baton, 1).await;
    assert_eq!(
        (&over["state"], &over["end"]["by"]),
        (&json!("promoted"), &json!("passed")),
        "{over:#}"
    );
    assert!(
        over["ended_runs"]["canary"]["total"].as_u64() >= Some(ended + 4),
        "{over:#}"
    );
}

#[tokio::test]
async fn code_that_breaks_in_a_later_step_is_taken_back() {
    let project = project(GOOD);
    project.write("baton.toml", STEPS);
    // The fifth run of the new code and each one after it throw.
    let counts =
        format!("globalThis.runs = (globalThis.runs ?? 0) + 1; if (globalThis.runs > 4) {{ {THROWS} }} {GOOD}");
    let baton = begin(&project, &counts).await;
    until_share(&baton, 60).await;
    let over = end_runs(&baton, 1).await;
    assert_eq!(
        (&over["state"], &over["end"]["by"]),
        (&json!("taken_back"), &json!("failed")),
        "{over:#}"
    );
}
