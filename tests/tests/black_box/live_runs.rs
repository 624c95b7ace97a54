//! Replays of live runs at a reload: they tell which runs new code would disturb, and have no side effect.

use harness::{Baton, Cli, Project, Run, Sdk, step_id};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const SDKS: [Sdk; 2] = [Sdk::V3, Sdk::V4];
/// A function of two steps and a sleep.
const CHARGE: &str = r#"await step.run("prepare", () => note("prepare"));
    await step.run("charge", () => note("charge"));
    await step.sleep("pause", "1h");"#;

/// Makes a project with one function, which notes the steps that run in the file `ran`.
fn project(sdk: Sdk, body: &str) -> Project {
    let project = Project::without_functions(sdk);
    let client = "import { Inngest } from \"inngest\";\nexport const inngest = new Inngest({ id: \"fixture\" });\n";
    project.write("lib/client.ts", client);
    write(&project, sdk, "charge", body);
    project
}

fn write(project: &Project, sdk: Sdk, function: &str, body: &str) {
    let trigger = format!("{{ event: \"fixture/{function}\" }}");
    let options = match sdk {
        Sdk::V3 => format!("{{ id: \"{function}\", retries: 2 }}, {trigger}"),
        _ => format!("{{ id: \"{function}\", retries: 2, checkpointing: false, triggers: [{trigger}] }}"),
    };
    let text = format!(
        r#"import {{ appendFileSync, writeFileSync }} from "node:fs";
import {{ connect }} from "node:net";
import {{ spawnSync }} from "node:child_process";
import {{ inngest }} from "../lib/client";
const ran = "{ran}";
const note = (step: string) => appendFileSync(ran, step + "\n");
export const charge = inngest.createFunction({options}, async ({{ step }}: any) => {{
    void [writeFileSync, connect, spawnSync];
    {body}
}});
"#,
        ran = ran(project).display()
    );
    project.write("functions/charge.ts", text);
}

fn ran(project: &Project) -> std::path::PathBuf {
    project.scratch().join("ran")
}

fn read_ran(project: &Project) -> String {
    std::fs::read_to_string(ran(project)).unwrap_or_default()
}

fn cli(project: &Project) -> Cli {
    Cli::within(project.scratch()).env("BATON_STATE_DIR", project.state_dir())
}

/// Has a run execute its first step, and asks for the second one to be planned: the run is live.
async fn begin_run(baton: &Baton) -> Run {
    let mut run = Run::of("fixture-charge");
    let answer = baton.executor().discover(&run).await.expect("an answer");
    let ops = answer.json();
    assert_eq!((&ops[0]["op"], answer.status), (&json!("StepRun"), 206), "{answer}");
    run.version = answer
        .header("x-inngest-req-version")
        .and_then(|version| version.parse().ok())
        .expect("a version");
    run.memoise(&step_id("prepare"), json!({ "data": null }));
    let run = run.planned();
    let answer = baton.executor().discover(&run).await.expect("an answer");
    assert_eq!(answer.json()[0]["op"], "StepPlanned", "{answer}");
    run
}

async fn dry_run(baton: &Baton) -> Value {
    let report = baton.reload_with("?dry_run=1").await;
    assert_eq!(report.status(), "checked", "{}", report.body);
    report.body["replay"].clone()
}

#[tokio::test]
async fn code_that_plans_the_same_steps_disturbs_no_run() {
    for sdk in SDKS {
        let project = project(sdk, CHARGE);
        let baton = Baton::start(&project).ready().await;
        begin_run(&baton).await;
        write(
            &project,
            sdk,
            "charge",
            &CHARGE.replace("note(\"charge\")", "note(\"other\")"),
        );
        let replay = dry_run(&baton).await;
        let expected = json!({ "live": 1, "compared": 1, "disturbed": [], "not_compared": [] });
        assert_eq!(replay, expected, "{}", baton.stderr().tail());
    }
}

#[tokio::test]
async fn a_renamed_step_is_told_with_both_names_and_no_step_runs() {
    for sdk in SDKS {
        let project = project(sdk, CHARGE);
        let baton = Baton::start(&project).ready().await;
        let run = begin_run(&baton).await;
        assert_eq!(read_ran(&project), "prepare\n");
        write(
            &project,
            sdk,
            "charge",
            &CHARGE.replace("\"charge\"", "\"charge-card\""),
        );
        let replay = dry_run(&baton).await;
        let difference = json!({ "kind": "other_steps", "before": ["charge"], "after": ["charge-card"] });
        let expected = json!([{ "function": "fixture-charge", "runs": 1, "run": run.id, "difference": difference }]);
        assert_eq!(replay["disturbed"], expected, "{replay:#}\n{}", baton.stderr().tail());
        assert_eq!(baton.status().await.current(), 1, "a check activates nothing");
        assert_eq!(read_ran(&project), "prepare\n", "a replay runs no step");

        let told = cli(&project).baton(&["reload", "--dry-run"]).await;
        assert_eq!(told.code, Some(0), "{told}");
        let line = format!(
            "1 of 1 live runs would plan other steps: fixture-charge (run {}: \"charge\" → \"charge-card\")",
            run.id
        );
        assert!(told.stdout.contains(&line), "{told}");

        assert_eq!(baton.reload().await.activated(), 4);
        let pattern = json!({ "generation": 4, "runs": 1, "live": 1 });
        baton.wait_for("live runs would plan other steps", pattern).await;
        assert_eq!(read_ran(&project), "prepare\n", "a replay runs no step");
    }
}

#[tokio::test]
async fn a_denied_reload_that_would_disturb_live_runs_is_rejected() {
    let project = project(Sdk::V4, CHARGE);
    project.write("baton.toml", "deny = [\"live_runs\"]\n");
    let baton = Baton::start(&project).ready().await;
    begin_run(&baton).await;
    write(
        &project,
        Sdk::V4,
        "charge",
        &CHARGE.replace("\"charge\"", "\"charge-card\""),
    );
    let report = baton.reload().await;
    assert_eq!(
        (report.status(), report.generation()),
        ("rejected", 1),
        "{}",
        report.body
    );
    let message = report.body["error"]["message"].as_str().expect("a message");
    assert!(
        message.contains("live_runs") && message.contains("charge-card"),
        "{message}"
    );

    write(
        &project,
        Sdk::V4,
        "charge",
        &CHARGE.replace("note(\"charge\")", "note(\"other\")"),
    );
    let report = baton.reload().await;
    assert_eq!(report.status(), "activated", "{}", report.body);
    assert_eq!(report.body["replay"]["compared"], 1, "{}", report.body);
}

#[tokio::test]
async fn a_run_whose_function_is_gone_or_ends_earlier_is_told() {
    let project = project(Sdk::V4, CHARGE);
    let baton = Baton::start(&project).ready().await;
    begin_run(&baton).await;
    write(&project, Sdk::V4, "charge", "await step.run(\"prepare\", () => 1);");
    let replay = dry_run(&baton).await;
    let ends = json!({ "kind": "ends", "before": ["charge"] });
    assert_eq!(replay["disturbed"][0]["difference"], ends, "{replay:#}");

    write(&project, Sdk::V4, "charge", "throw new TypeError(\"not here\");");
    let replay = dry_run(&baton).await;
    let difference = &replay["disturbed"][0]["difference"];
    assert_eq!(difference["kind"], "throws", "{replay:#}");
    assert!(
        difference["error"]
            .as_str()
            .is_some_and(|error| error.contains("not here"))
    );

    write(&project, Sdk::V4, "refund", CHARGE);
    let replay = dry_run(&baton).await;
    assert_eq!(
        replay["disturbed"][0]["difference"]["kind"], "function_gone",
        "{replay:#}"
    );
}

#[tokio::test]
async fn a_run_that_has_ended_is_not_replayed() {
    let project = project(Sdk::V4, "await step.run(\"prepare\", () => 1);");
    let baton = Baton::start(&project).ready().await;
    let mut run = Run::of("fixture-charge");
    baton.executor().discover(&run).await.expect("an answer");
    run.memoise(&step_id("prepare"), json!({ "data": 1 }));
    let answer = baton.executor().discover(&run).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer}");
    write(&project, Sdk::V4, "charge", CHARGE);
    assert_eq!(dry_run(&baton).await, Value::Null);
}

/// Code that reaches outside beside its steps, each line in a way of its own.
const REACHES: [&str; 5] = [
    "writeFileSync(ran + \"-beside\", \"x\");",
    "await fetch(\"http://127.0.0.1:PORT/beside\").catch(() => null);",
    "await new Promise((over) => connect(PORT, \"127.0.0.1\").on(\"error\", over).on(\"connect\", over));",
    "try { spawnSync(\"touch\", [ran + \"-beside\"]); } catch {}",
    "try { (Deno as any).removeSync(ran); } catch {}",
];

#[tokio::test]
async fn code_beside_steps_reaches_nothing_in_a_replay() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    for sdk in SDKS {
        let project = project(sdk, CHARGE);
        let baton = Baton::start(&project).ready().await;
        begin_run(&baton).await;
        for reaches in REACHES {
            let body = format!("{}\n{CHARGE}", reaches.replace("PORT", &port));
            write(&project, sdk, "charge", &body);
            let replay = dry_run(&baton).await;
            let reason = &replay["not_compared"][0]["reason"];
            assert!(
                reason.as_str().is_some_and(|reason| reason.contains("reaches outside")),
                "{reaches}: {replay:#}\n{}",
                baton.stderr().tail()
            );
            assert_eq!(replay["compared"], 0, "{reaches}");
            assert_eq!(read_ran(&project), "prepare\n", "{reaches}");
            assert!(!project.scratch().join("ran-beside").exists(), "{reaches}");
        }
        // Code that reaches outside while it is evaluated does not do so for a replay.
        write(&project, sdk, "charge", CHARGE);
        let text = project.read("functions/charge.ts");
        project.write(
            "functions/charge.ts",
            format!("{text}\nappendFileSync(ran + \"-loads\", \"x\");\n"),
        );
        let replay = dry_run(&baton).await;
        let reason = replay["not_compared"][0]["reason"].as_str().unwrap_or_default();
        assert!(
            reason.contains("cannot be loaded where nothing leaves the isolate"),
            "{replay:#}"
        );
        let loads = std::fs::read_to_string(project.scratch().join("ran-loads")).expect("the load of the check");
        assert_eq!(loads, "x");
    }
    let nobody = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(nobody.is_err(), "a replay has connected");
}
