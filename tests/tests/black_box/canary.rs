//! Canaries: new code gets a part of the new runs, and the host decides by what becomes of them.

mod by_name;
mod by_steps;
mod connect;
mod courses;
mod of_a_release;
mod slow_steps;
mod through_the_gate;

use harness::{Baton, Cli, Project, Run, deadline};
use serde_json::{Value, json};

use crate::supervisor::kill_host;

/// The bodies of the function that is tried.
pub(crate) const GOOD: &str = "return VERSION;";
pub(crate) const THROWS: &str = "throw new Error(`broken by ${VERSION}`);";
const EXITS: &str = "process.exit(1);";
const STEPS: &str = "const all: string[] = [];
    for (const name of [\"one\", \"two\", \"three\"]) all.push(await step.run(name, () => VERSION));
    return all;";

/// Makes a project with one function.
pub(crate) fn project(body: &str) -> Project {
    let project = Project::new();
    std::fs::remove_dir_all(project.functions()).expect("a folder of functions");
    write(&project, body, "1");
    project
}

pub(crate) fn write(project: &Project, body: &str, version: &str) {
    let text = format!(
        r#"import {{ inngest }} from "../lib/client";
const VERSION = "{version}";
export const tried = inngest.createFunction(
  {{ id: "tried", retries: 2, checkpointing: false, triggers: [{{ event: "fixture/tried" }}] }},
  async ({{ step }}) => {{
    {body}
  }},
);
"#
    );
    project.write("functions/tried.ts", text);
}

pub(crate) async fn begin(baton: &Baton, share: u8) -> u64 {
    let report = baton.reload_with(&format!("?canary={share}")).await;
    assert_eq!(report.status(), "canary", "{}", report.body);
    assert_eq!(report.body["share"], share, "{}", report.body);
    report.generation()
}

async fn canary(baton: &Baton) -> Value {
    let answer = baton.admin("GET", "/-/canary").answer(&baton.door()).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

pub(crate) async fn tell(baton: &Baton, command: &str) -> u16 {
    let call = baton.admin("POST", &format!("/-/canary/{command}"));
    call.answer(&baton.door()).await.status
}

fn new_run(attempts: u32) -> Run {
    let mut run = Run::of("fixture-tried");
    run.max_attempts = attempts;
    run
}

/// Has a run executed to its end, as the executor does: a failed attempt is made again while there are attempts.
async fn end_run(baton: &Baton, mut run: Run) -> Value {
    loop {
        let answer = baton.executor().discover(&run).await.expect("an answer");
        if answer.status == 206 {
            let ops = answer.json();
            run.memoise(
                ops[0]["id"].as_str().expect("a step"),
                json!({ "data": ops[0]["data"] }),
            );
            continue;
        }
        let is_over = answer.status == 200 || answer.header("x-inngest-no-retry") == Some("true");
        if is_over || run.attempt + 1 == run.max_attempts {
            return answer.json();
        }
        run.attempt += 1;
    }
}

/// Has runs end until the canary is over.
pub(crate) async fn end_runs(baton: &Baton, attempts: u32) -> Value {
    for _ in 0..1500 {
        let now = canary(baton).await;
        if !now["end"].is_null() {
            return now;
        }
        end_run(baton, new_run(attempts)).await;
    }
    panic!("no verdict: {:#}\n{}", canary(baton).await, baton.stderr().tail());
}

/// The runs of the canary that a signal has counted.
fn counted(canary: &Value, signal: &str) -> u64 {
    let evidence = canary["evidence"].as_array().expect("a list");
    let found = evidence.iter().find(|line| line["signal"] == signal);
    found.expect("the signal")["canary"]["total"]
        .as_u64()
        .expect("a number")
}

#[tokio::test]
async fn code_that_always_throws_is_taken_back_after_five_of_its_runs_at_most() {
    for attempts in [1, 3] {
        let project = project(GOOD);
        let baton = Baton::start(&project).ready().await;
        write(&project, THROWS, "2");
        let generation = begin(&baton, 2).await;
        assert_eq!(baton.status().await.state(generation), "canary");
        let over = end_runs(&baton, attempts).await;
        assert_eq!(
            (&over["state"], &over["end"]["by"]),
            (&json!("taken_back"), &json!("failed")),
            "{over:#}"
        );
        assert!((2..=5).contains(&counted(&over, "attempt_failed")), "{over:#}");
        let line = baton
            .wait_for("canary taken back", json!({ "generation": generation }))
            .await;
        let because = line.json["because"].as_str().unwrap_or_default();
        assert!(because.starts_with("fixture-tried is worse: runs"), "{because}");
        assert!(because.contains("most often Error: broken by 2 (at "), "{because}");
        baton
            .wait_for("generation retired", json!({ "generation": generation }))
            .await;
        assert_eq!(baton.status().await.current(), 1);
        assert_eq!(end_run(&baton, new_run(attempts)).await, json!("1"));
    }
}

#[tokio::test]
async fn code_that_kills_its_isolate_is_taken_back_after_two_runs() {
    for attempts in [1, 3] {
        let project = project(GOOD);
        let baton = Baton::start(&project).ready().await;
        write(&project, EXITS, "2");
        begin(&baton, 20).await;
        let over = end_runs(&baton, attempts).await;
        assert_eq!(over["end"]["signal"], "isolate_died", "{over:#}");
        assert_eq!(counted(&over, "isolate_died"), 2, "{over:#}");
        assert_eq!(end_run(&baton, new_run(attempts)).await, json!("1"));
    }
}

#[tokio::test]
async fn code_that_is_as_good_is_promoted() {
    for attempts in [1, 3] {
        let project = project(GOOD);
        project.write("baton.toml", "[canary]\nleast = 5\nshare = 30\n");
        let baton = Baton::start(&project).ready().await;
        write(&project, GOOD, "2");
        // With the table in `baton.toml` each reload is a canary.
        let report = baton.reload().await;
        assert_eq!(
            (report.status(), &report.body["share"]),
            ("canary", &json!(30)),
            "{}",
            report.body
        );
        let over = end_runs(&baton, attempts).await;
        assert_eq!(
            (&over["state"], &over["end"]["by"]),
            (&json!("promoted"), &json!("passed")),
            "{over:#}"
        );
        assert_eq!(baton.status().await.current(), report.generation());
        assert_eq!(end_run(&baton, new_run(attempts)).await, json!("2"));
        baton.wait_for("generation retired", json!({ "generation": 1 })).await;
        write(&project, GOOD, "3");
        assert_eq!(baton.reload_with("?canary=off").await.activated(), 3);
    }
}

#[tokio::test]
async fn a_canary_that_changes_a_configuration_says_so_and_may_be_denied() {
    let more_retries = |project: &Project| {
        let file = project.functions().join("tried.ts");
        let text = std::fs::read_to_string(&file).expect("the function");
        std::fs::write(&file, text.replace("retries: 2", "retries: 3")).expect("a write");
    };
    let warned = project(GOOD);
    let baton = Baton::start(&warned).ready().await;
    more_retries(&warned);
    let report = baton.reload_with("?canary=10").await;
    assert_eq!(report.status(), "canary", "{}", report.body);
    let warning = &report.body["warnings"][0];
    assert_eq!(warning["code"], "configuration_unsplit", "{}", report.body);
    let message = warning["message"].as_str().unwrap_or_default();
    assert!(message.contains("fixture-tried (retries)"), "{message}");

    let denying = project(GOOD);
    denying.write("baton.toml", "deny = [\"configuration_unsplit\"]\n");
    let baton = Baton::start(&denying).ready().await;
    more_retries(&denying);
    let report = baton.reload_with("?canary=10").await;
    assert_eq!((report.http, report.status()), (422, "rejected"), "{}", report.body);
    assert_eq!(baton.reload_with("?canary=off").await.status(), "activated");
}

#[tokio::test]
async fn when_both_fail_there_is_no_verdict() {
    for attempts in [1, 3] {
        let project = project(THROWS);
        project.write("baton.toml", "[canary]\nleast = 1\nshare = 30\n");
        let baton = Baton::start(&project).ready().await;
        write(&project, THROWS, "2");
        let generation = begin(&baton, 30).await;
        for _ in 0..40 {
            end_run(&baton, new_run(attempts)).await;
        }
        let now = canary(&baton).await;
        assert_eq!(
            (&now["state"], &now["end"]),
            (&json!("running"), &Value::Null),
            "{now:#}"
        );
        assert!(counted(&now, "run_failed") >= 3, "{now:#}");
        let told = json!({ "generation": generation, "function": "fixture-tried" });
        baton
            .wait_for(
                "most runs fail in both generations: there is no verdict on the canary",
                told,
            )
            .await;
        assert_eq!(tell(&baton, "abort").await, 200);
        assert_eq!(canary(&baton).await["end"]["by"], "aborted");
        assert_eq!(tell(&baton, "abort").await, 409, "none is on");
    }
}

#[tokio::test]
async fn no_run_executes_steps_in_two_generations() {
    let project = project(STEPS);
    let baton = Baton::start(&project).ready().await;
    write(&project, STEPS, "2");
    begin(&baton, 50).await;
    assert_eq!(tell(&baton, "hold").await, 200);
    let mut runs = Vec::new();
    for _ in 0..16 {
        let mut run = new_run(3);
        let first = baton.executor().discover(&run).await.expect("an answer").json();
        run.memoise(
            first[0]["id"].as_str().expect("a step"),
            json!({ "data": first[0]["data"] }),
        );
        runs.push((run, first[0]["data"].clone()));
    }
    for version in ["1", "2"] {
        assert!(runs.iter().any(|(_, first)| first == version), "{runs:?}");
    }
    let (after, before) = runs.split_at(8);
    for (run, first) in before {
        assert_eq!(end_run(&baton, run.clone()).await, json!(vec![first; 3]));
    }
    assert_eq!(tell(&baton, "promote").await, 200);
    assert_eq!(canary(&baton).await["end"]["by"], "promoted");
    assert_eq!(
        end_run(&baton, new_run(3)).await,
        json!(vec!["2"; 3]),
        "new runs begin on the new code"
    );
    for (run, first) in after {
        assert_eq!(
            end_run(&baton, run.clone()).await,
            json!(vec![first; 3]),
            "where it began"
        );
    }
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
}

#[tokio::test]
async fn a_newer_reload_replaces_the_canary_and_the_same_code_changes_nothing() {
    let project = project(GOOD);
    let baton = Baton::start(&project).ready().await;
    write(&project, THROWS, "2");
    let first = begin(&baton, 10).await;
    assert_eq!(baton.reload().await.status(), "unchanged", "the canary has this code");
    assert_eq!(canary(&baton).await["generation"], first);
    write(&project, GOOD, "3");
    let report = baton.reload().await;
    assert_eq!(
        (report.status(), &report.body["current"]),
        ("canary", &json!(1)),
        "{}",
        report.body
    );
    assert!(report.generation() > first);
    baton
        .wait_for("generation retired", json!({ "generation": first }))
        .await;
    // The code of the current generation is no canary of itself.
    write(&project, GOOD, "1");
    assert_eq!(baton.reload().await.status(), "unchanged");
    assert_eq!(canary(&baton).await["end"]["by"], "reverted");
}

#[tokio::test]
async fn a_canary_goes_on_after_an_upgrade_and_a_crash_and_not_after_a_second_crash() {
    let project = project(GOOD);
    let baton = Baton::start(&project).ready().await;
    write(&project, GOOD, "2");
    begin(&baton, 50).await;
    for _ in 0..8 {
        end_run(&baton, new_run(3)).await;
    }
    let before = canary(&baton).await;
    assert!(counted(&before, "run_failed") > 0, "{before:#}");
    let is_on_again = async |crashes: &str| {
        let what = format!("a canary after {crashes}");
        let context = || baton.stderr().tail();
        deadline::until(&what, context, async || {
            let now = canary(&baton).await;
            (now["state"] == "running").then_some(now)
        })
        .await
    };
    let finished = baton.upgrade(&[]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    let upgraded = is_on_again("an upgrade").await;
    assert_eq!(upgraded["evidence"], before["evidence"], "the counts go on");
    assert_eq!(upgraded["began"], before["began"]);

    kill_host(&baton).await;
    let again = is_on_again("a crash").await;
    assert_eq!(again["evidence"], before["evidence"]);

    kill_host(&baton).await;
    let line = baton.wait_for("canary taken back", json!({})).await;
    assert_eq!(line.json["because"], "2 hosts died while it was on", "{line:?}");
    assert_eq!(end_run(&baton, new_run(3)).await, json!("1"), "the old code serves");
}

#[tokio::test]
async fn a_person_sees_the_canary_and_decides_on_the_command_line() {
    let project = project(GOOD);
    let baton = Baton::start(&project).ready().await;
    let cli = Cli::within(project.root()).env("BATON_STATE_DIR", project.state_dir());
    let finished = cli.baton(&["canary"]).await;
    assert_eq!(
        (finished.code, &*finished.stdout),
        (Some(0), "no canary is on\n"),
        "{finished}"
    );
    let finished = cli.baton(&["canary", "promote"]).await;
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.stderr.contains("no canary is on"), "{finished}");
    let finished = cli.baton(&["reload", "--canary", "100"]).await;
    assert_eq!(finished.code, Some(2), "{finished}");
    write(&project, GOOD, "2");
    let finished = cli.baton(&["reload", "--canary", "25"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(
        finished
            .stdout
            .contains("generation 2 gets 25 % of the new runs, 1 serves the others"),
        "{finished}"
    );
    let finished = cli.baton(&["status"]).await;
    assert!(finished.stdout.contains("canary: generation 2 gets 25 %"), "{finished}");
    let metrics = baton.get("/-/metrics").await.text();
    assert!(metrics.contains("baton_canary{state=\"running\"} 1"), "{metrics}");
    let finished = cli.baton(&["canary", "promote"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(
        finished.stdout.starts_with("promoted: generation 2 serves all runs"),
        "{finished}"
    );
    assert_eq!(baton.status().await.current(), 2);
}

#[tokio::test]
async fn a_host_for_development_has_no_canaries() {
    let project = project(GOOD);
    let baton = Baton::dev(&project).ready().await;
    let call = baton.admin("PUT", "/api/reload?canary=10");
    let answer = call.answer(&baton.door()).await;
    assert_eq!(answer.status, 409, "{answer}");
    assert_eq!(
        answer.json()["error"]["message"],
        "baton dev has no canaries",
        "{answer}"
    );
}
