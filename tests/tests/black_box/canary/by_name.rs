//! A run that a person has executed by the generation of their choice.

use harness::http::Call;
use harness::{Baton, Cli, Finished, Project};
use serde_json::{Value, json};

use super::{GOOD, begin, canary, end_run, new_run, project, tell, write};

async fn invoke(project: &Project, generation: &str) -> Finished {
    invoke_function(project, "tried", generation).await
}

async fn invoke_function(project: &Project, function: &str, generation: &str) -> Finished {
    let cli = Cli::within(project.root()).env("BATON_STATE_DIR", project.state_dir());
    cli.baton(&["invoke", function, "--json", "--generation", generation])
        .await
}

/// The output of the run, which is the last line.
fn output(finished: &Finished) -> Value {
    assert_eq!(finished.code, Some(0), "{finished}");
    let last = finished.stdout.lines().last().expect("a line");
    serde_json::from_str::<Value>(last).expect("JSON")["output"].clone()
}

#[tokio::test]
async fn a_canary_without_a_share_runs_what_it_is_asked_to_and_waits_for_a_person() {
    let project = project(GOOD);
    project.write("baton.toml", "[canary]\nleast = 1\nwithin = \"1s\"\n");
    let baton = Baton::start(&project).ready().await;
    write(&project, GOOD, "2");
    let added = std::fs::read_to_string(project.functions().join("tried.ts")).expect("the function");
    project.write("functions/added.ts", added.replace("tried", "added"));
    let generation = begin(&baton, 0).await;
    for _ in 0..20 {
        assert_eq!(end_run(&baton, new_run(1)).await, json!("1"));
    }
    assert_eq!(output(&invoke(&project, "canary").await), json!("2"));
    assert_eq!(output(&invoke(&project, "1").await), json!("1"));
    let only_there = invoke_function(&project, "added", "canary").await;
    assert_eq!(output(&only_there), json!("2"));
    let unknown = invoke_function(&project, "added", "1").await;
    assert_eq!(unknown.code, Some(2), "{unknown}");
    let now = canary(&baton).await;
    assert_eq!(
        (&now["state"], &now["end"], &now["ended_runs"]["canary"]["total"]),
        (&json!("held"), &Value::Null, &json!(0)),
        "{now:#}"
    );
    assert_eq!(tell(&baton, "promote").await, 200);
    assert_eq!(baton.status().await.current(), generation);

    let refused = invoke(&project, "canary").await;
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(
        refused.stdout.contains("no generation \\\"canary\\\" is live"),
        "{refused}"
    );
}

#[tokio::test]
async fn nobody_but_a_command_on_this_machine_names_a_generation() {
    let project = project(GOOD);
    let baton = Baton::start(&project).ready().await;
    write(&project, GOOD, "2");
    begin(&baton, 0).await;
    let request = baton.executor().request(&new_run(1), "step");
    let named: Call = request.header("baton-generation", "canary");
    let answer = named.answer(&baton.door()).await;
    assert_eq!((answer.status, answer.json()), (200, json!("1")), "{answer}");
}

#[tokio::test]
async fn without_a_running_host_no_generation_can_be_named() {
    let project = project(GOOD);
    let finished = Cli::within(project.root())
        .baton(&["invoke", "tried", "--generation", "canary"])
        .await;
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.stderr.contains("no host of this project runs"), "{finished}");
    let wrong = Cli::within(project.root())
        .baton(&["invoke", "tried", "--generation", "newest"])
        .await;
    assert_eq!(wrong.code, Some(2), "{wrong}");
    assert!(wrong.stderr.contains("expected `canary` or the number"), "{wrong}");
}
