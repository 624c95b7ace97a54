//! The functions that have to complete in new code before it gets a run.

use harness::{Baton, Cli, Gate, Project, deadline};
use serde_json::{Value, json};

use super::{GOOD, canary, end_run, new_run, project, write};
use crate::supervisor::{is_kept, kill_host};

/// Makes a project whose canaries run the function `smoke` first, which writes down each of its steps.
fn gated_project(settings: &str) -> Project {
    let project = project(GOOD);
    project.write(
        "baton.toml",
        format!("{settings}\n[canary]\nshare = 50\ngate = [\"smoke\"]\n"),
    );
    write_gate(&project, "return 1;");
    project
}

fn write_gate(project: &Project, body: &str) {
    let log = project.root().join("gate.log");
    let text = format!(
        r#"import {{ appendFileSync }} from "node:fs";
import {{ inngest }} from "../lib/client";
const note = (line: string) => appendFileSync({log:?}, `${{line}}\n`);
export const smoke = inngest.createFunction(
  {{ id: "smoke", retries: 1, checkpointing: false, triggers: [{{ event: "fixture/smoke" }}] }},
  async ({{ step, attempt }}) => {{
    {body}
  }},
);
"#
    );
    project.write("functions/smoke.ts", text);
}

/// The lines that the gate's function has written.
fn noted(project: &Project) -> Vec<String> {
    let text = std::fs::read_to_string(project.root().join("gate.log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Reloads code that does not pass, and returns the error.
async fn refused(baton: &Baton, project: &Project) -> Value {
    write(project, GOOD, "2");
    let report = baton.reload().await;
    assert_eq!(report.status(), "rejected", "{}", report.body);
    assert_eq!(report.body["error"]["kind"], "gate", "{}", report.body);
    assert!(report.body["error"]["help"].is_string(), "{}", report.body);
    assert_eq!(end_run(baton, new_run(1)).await, json!("1"), "the old code serves");
    let status = baton.status().await;
    assert_eq!(status.0["canary"], Value::Null, "{status:?}");
    report.body["error"].clone()
}

#[tokio::test]
async fn code_that_passes_gets_its_runs_and_passes_once() {
    let project = gated_project("");
    let baton = Baton::start(&project).ready().await;
    assert_eq!(noted(&project), [""; 0], "the first generation has no gate");
    write_gate(
        &project,
        "const first = await step.run(\"first\", () => { note(\"first\"); return 1; });
    await step.sleep(\"a day\", \"1d\");
    await step.run(\"second\", () => {
      note(`second ${first} ${attempt}`);
      if (attempt === 0) throw new Error(\"once\");
    });
    return first;",
    );
    let report = baton.reload().await;
    assert_eq!(report.status(), "canary", "{}", report.body);
    assert_eq!(report.body["gate"], json!(["smoke"]), "{}", report.body);
    let passed = ["first", "second 1 0", "second 1 1"];
    assert_eq!(noted(&project), passed);
    let told = json!({ "generation": report.generation(), "function": "smoke" });
    baton.wait_for("function of the gate completed", told).await;
    let now = canary(&baton).await;
    assert_eq!(now["ended_runs"]["canary"]["total"], 0, "runs of the gate do not count");

    // The host after this one resumes a canary that has passed.
    let upgraded = baton.upgrade(&[]).await;
    assert_eq!(upgraded.code, Some(0), "{upgraded}");
    baton
        .status_when("the canary to be on again", |status| status.0["canary"]["share"] == 50)
        .await;
    assert_eq!(noted(&project), passed);
}

#[tokio::test]
async fn code_that_throws_in_the_gate_is_rejected_with_the_place() {
    let project = gated_project("");
    let baton = Baton::start(&project).ready().await;
    write_gate(&project, "note(\"tried\"); throw new TypeError(\"no card\");");
    let error = refused(&baton, &project).await;
    assert_eq!(
        error["message"],
        "the function \"smoke\" of the gate failed: TypeError: no card"
    );
    assert_eq!(
        (&error["file"], &error["line"]),
        (&json!("functions/smoke.ts"), &json!(7))
    );
    let frame = error["frame"].as_str().unwrap_or_default();
    assert!(
        frame.contains("> 7 |     note(\"tried\"); throw new TypeError"),
        "{frame}"
    );
    assert_eq!(noted(&project), ["tried", "tried"], "it has a retry");

    // A command shows it, and code without a canary has no gate.
    let cli = Cli::within(project.root()).env("BATON_STATE_DIR", project.state_dir());
    let told = cli.baton(&["reload", "--force"]).await;
    assert_eq!(told.code, Some(1), "{told}");
    assert!(told.stderr.contains("at functions/smoke.ts:7:"), "{told}");
    assert!(told.stderr.contains("Mend the code and reload"), "{told}");
    let at_once = baton.reload_with("?canary=off").await;
    assert_eq!(at_once.status(), "activated", "{}", at_once.body);
    assert_eq!(end_run(&baton, new_run(1)).await, json!("2"));
}

#[tokio::test]
async fn code_without_the_function_is_rejected_with_the_names_that_it_has() {
    let project = gated_project("");
    let baton = Baton::start(&project).ready().await;
    std::fs::remove_file(project.functions().join("smoke.ts")).expect("the gate's function");
    let error = refused(&baton, &project).await;
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains("there is no function \"smoke\""), "{message}");
    let help = error["help"].as_str().unwrap_or_default();
    assert!(help.ends_with("The project has: tried"), "{help}");
}

#[tokio::test]
async fn code_that_ends_its_isolate_in_the_gate_is_rejected() {
    let project = gated_project("");
    let baton = Baton::start(&project).ready().await;
    write_gate(&project, "process.exit(3);");
    let error = refused(&baton, &project).await;
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        message.ends_with("ended its isolate: user code called process.exit(3)"),
        "{message}"
    );
    assert_eq!(error["file"], "functions/smoke.ts", "{error:#}");
}

#[tokio::test]
async fn code_that_does_not_come_to_an_end_in_the_gate_is_rejected_within_the_limit_of_a_load() {
    let project = gated_project("load_timeout = \"10s\"");
    let baton = Baton::start(&project).ready().await;
    for endless in ["for (;;);", "await new Promise(() => {});"] {
        write_gate(&project, &format!("note(\"began\"); {endless}"));
        let error = refused(&baton, &project).await;
        let message = error["message"].as_str().unwrap_or_default();
        assert!(
            message.contains("not passed within 10s: the function \"smoke\""),
            "{message}"
        );
    }
}

/// Waits until the gate's function has begun so many times.
async fn has_begun(project: &Project, times: usize) {
    let begun = async || (noted(project).len() == times).then_some(());
    deadline::until("the gate's function begins", String::new, begun).await;
}

/// A host that follows one that died in the gate, and asks once more. The gate's function ends when the gate opens.
async fn after_a_death() -> (Project, Gate, Baton) {
    let project = gated_project("");
    let gate = project.gate("smoke");
    let baton = Baton::start(&project).ready().await;
    is_kept(&project, 1).await;
    write(&project, GOOD, "2");
    write_gate(
        &project,
        &format!(
            "note(\"began\");
    const {{ existsSync }} = await import(\"node:fs\");
    while (!existsSync({:?})) await new Promise((done) => setTimeout(done, 20));",
            gate.path()
        ),
    );
    let (reload, door) = (baton.admin("PUT", "/api/reload"), baton.door());
    // Nobody answers it: the host dies.
    tokio::spawn(async move { drop(reload.send(&door).await) });
    has_begun(&project, 1).await;
    kill_host(&baton).await;
    has_begun(&project, 2).await;
    (project, gate, baton)
}

#[tokio::test]
async fn a_host_that_dies_in_the_gate_is_followed_by_one_that_serves_the_old_code_and_asks_once_more() {
    let (_project, gate, baton) = after_a_death().await;
    assert_eq!(end_run(&baton, new_run(1)).await, json!("1"));
    gate.open();
    baton
        .status_when("the canary to be on", |status| status.0["canary"]["state"] == "running")
        .await;
}

#[tokio::test]
async fn code_in_whose_gate_two_hosts_die_is_taken_back() {
    let (project, _gate, baton) = after_a_death().await;
    kill_host(&baton).await;
    let status = baton
        .status_when("the canary to be over", |status| {
            status.0["canary"]["end"]["by"] == "hosts_died"
        })
        .await;
    assert_eq!(status.0["canary"]["state"], "taken_back", "{status:?}");
    assert_eq!(end_run(&baton, new_run(1)).await, json!("1"));
    assert_eq!(noted(&project).len(), 2);
}
