//! The commands that talk to a running host (README): they find it from any
//! folder of the project, have exit codes, and print JSON for programs.

use std::process::Stdio;

use harness::{Baton, Cli, Project, baton_binary, deadline, mismatch};
use serde_json::json;

use crate::calls::{gated, start};

/// Returns commands that find the host by its state folder.
fn cli(project: &Project) -> Cli {
    Cli::within(project.scratch()).env("BATON_STATE_DIR", project.state_dir())
}

#[tokio::test]
async fn commands_find_the_host_from_any_folder_of_its_project() {
    let project = Project::new();
    let home = project.scratch().join("home");
    let baton = Baton::dev(&project).default_state_dir(&home).ready().await;

    for folder in [project.root(), project.functions(), project.root().join("lib")] {
        let cli = Cli::within(&folder).env("XDG_STATE_HOME", &home);
        let finished = cli.baton(&["status", "--json"]).await;
        assert_eq!(finished.code, Some(0), "in {}: {finished}", folder.display());
        assert_eq!(finished.json()["current"], 1, "{finished}");
    }
    project.set_version("2");
    let cli = Cli::within(project.functions()).env("XDG_STATE_HOME", &home);
    let finished = cli.baton(&["reload"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    assert_eq!(baton.status().await.current(), 2);
}

#[tokio::test]
async fn commands_find_the_host_by_its_state_folder() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let state_dir = project.state_dir();
    let state_dir = state_dir.to_str().expect("a path that is text");

    let finished = cli(&project).baton(&["status", "--json"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    assert_eq!(finished.json()["current"], 1, "{finished}");

    let outside = Cli::within(project.scratch());
    let finished = outside.baton(&["reload", "--force", "--state-dir", state_dir]).await;
    assert_eq!(finished.code, Some(0), "no token has to be given: {finished}");
    assert_eq!(baton.status().await.current(), 2);
}

/// The reader of a pipe may go, as `head` does when it has enough lines.
#[tokio::test]
async fn an_answer_that_nobody_reads_to_its_end_is_no_failure() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let state = project.state_dir();
    for arguments in [&["config"][..], &["status"], &["status", "--watch"], &["reload"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = tokio::process::Command::new(baton_binary());
        command.args(arguments).arg("--state-dir").arg(&state);
        command.current_dir(project.root()).stdin(Stdio::null());
        command.stdout(writer).stderr(Stdio::piped()).kill_on_drop(true);
        let ended = command.spawn().expect("a command that runs").wait_with_output();
        let output = deadline::within("the end of the command", || baton.stderr().tail(), ended).await;
        let output = output.expect("what it says");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{arguments:?}");
    }
}

#[tokio::test]
async fn every_setting_is_told_with_the_place_that_says_so() {
    let project = Project::new();
    project.write(
        "baton.toml",
        "load_timeout = \"9s\"\n[env]\nsecret_command = \"echo TOKEN=hunter2\"\n",
    );
    let cli = Cli::within(project.root()).env("BATON_HOLD", "7m");
    let finished = cli.baton(&["config", "--json", "--port", "4711"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    let settings = finished.json()["settings"].clone();
    let told = |setting: &str| {
        let all = settings.as_array().expect("settings");
        let mut one = all.iter().find(|one| one["setting"] == setting).expect(setting).clone();
        let fields = one.as_object_mut().expect("an object");
        fields.remove("help");
        fields.remove("setting");
        one
    };
    assert_eq!(told("port"), json!({"value": "4711", "from": "flag", "flag": "--port"}));
    assert_eq!(
        told("hold"),
        json!({"value": "7m", "from": "variable", "variable": "BATON_HOLD"})
    );
    assert_eq!(
        told("load_timeout"),
        json!({"value": "9s", "from": "baton.toml", "line": 1})
    );
    assert_eq!(told("drain_timeout"), json!({"value": "2h", "from": "default"}));
    let text = cli.baton(&["config"]).await.to_string();
    assert!(text.contains("baton.toml:3") && !text.contains("hunter2"), "{text}");

    project.write("baton.toml", "load_timeout = \"soon\"\n");
    let inside = Cli::within(project.root());
    inside.baton(&["config"]).await.refuses(78, &["load_timeout"]);
}

#[tokio::test]
async fn without_a_host_the_commands_say_how_to_start_one() {
    let project = Project::new();
    let home = project.scratch().join("home");
    for command in ["status", "reload"] {
        let nobody = cli(&project).baton(&[command]).await;
        nobody.refuses(1, &["baton dev"]);
        let inside = Cli::within(project.functions()).env("XDG_STATE_HOME", &home);
        inside.baton(&[command]).await.refuses(1, &["baton dev"]);
        let outside = Cli::within(project.scratch()).env("XDG_STATE_HOME", &home);
        outside.baton(&[command]).await.refuses(1, &[]);
    }
}

#[tokio::test]
async fn a_host_that_was_killed_is_no_host() {
    let project = Project::new();
    let mut baton = Baton::dev(&project).ready().await;
    baton.signal("KILL").await;
    let _ = baton.ended().await;
    cli(&project).baton(&["status"]).await.refuses(1, &["baton dev"]);
}

#[tokio::test]
async fn status_shows_what_is_live_to_people_and_to_programs() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let finished = cli(&project).baton(&["status", "--json"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    let shown = json!({
        "current": 1,
        "generations": [{ "id": 1, "state": "current", "in_flight": [] }],
    });
    assert_eq!(mismatch(&finished.json(), &shown), None, "{finished}");
    let asked = baton.status().await.0;
    assert_eq!(finished.json()["functions"], asked["functions"], "{finished}");

    let finished = cli(&project).baton(&["status"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.stdout.to_lowercase().contains("generation 1"), "{finished}");
    assert!(
        serde_json::from_str::<serde_json::Value>(&finished.stdout).is_err(),
        "{finished}"
    );
}

#[tokio::test]
async fn reload_prints_what_happened() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;

    let finished = cli(&project).baton(&["reload"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.stdout.to_lowercase().contains("generation 1"), "{finished}");

    project.set_version("2");
    let finished = cli(&project).baton(&["reload"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.stdout.to_lowercase().contains("generation 2"), "{finished}");

    project.set_version("3");
    let finished = cli(&project).baton(&["reload", "--json"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    let report = json!({ "status": "activated", "generation": 3, "previous": 2 });
    assert_eq!(mismatch(&finished.json(), &report), None, "{finished}");
    assert_eq!(baton.status().await.current(), 3);
}

#[tokio::test]
async fn a_rejected_reload_shows_the_line_and_exits_with_1() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    project.write("functions/broken.ts", "type Gone = 1;\n\nexport const broken = ;\n");

    let finished = cli(&project).baton(&["reload"]).await;
    finished.refuses(1, &["functions/broken.ts:3", "export const broken = ;"]);

    let finished = cli(&project).baton(&["reload", "--json"]).await;
    assert_eq!(finished.code, Some(1), "{finished}");
    let report = json!({ "status": "rejected", "error": { "kind": "syntax", "line": 3 } });
    assert_eq!(mismatch(&finished.json(), &report), None, "{finished}");

    let finished = cli(&project).baton(&["reload", "--dry-run", "--json"]).await;
    assert_eq!(finished.code, Some(1), "{finished}");
    assert_eq!(finished.json()["status"], "rejected", "{finished}");
    assert_eq!(baton.status().await.current(), 1);
}

#[tokio::test]
async fn a_dry_run_only_checks_and_force_reloads_the_same_code() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;

    project.set_version("2");
    let finished = cli(&project).baton(&["reload", "--dry-run", "--json"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    assert_eq!(finished.json()["status"], "checked", "{finished}");
    assert_eq!(baton.status().await.current(), 1);

    project.set_version("1");
    let finished = cli(&project).baton(&["reload", "--force", "--json"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    assert_eq!(finished.json()["status"], "activated", "{finished}");
    assert!(baton.status().await.current() > 1);
}

#[tokio::test]
async fn reload_can_wait_until_the_old_generation_is_drained() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let gate = project.gate("drain");
    let running = start(&baton, &gated(&gate));
    baton.in_flight(1, 1).await;

    project.set_version("2");
    let mut reload = cli(&project).spawn(&["reload", "--wait"]);
    baton
        .status_when("generation 1 drains", |status| status.state(1) == "draining")
        .await;
    assert_eq!(reload.try_wait().expect("its state"), None, "it waits");

    gate.open();
    assert_eq!(running.version(&baton).await, "1");
    let code = harness::deadline::within("the end of the reload", String::new, reload.wait()).await;
    assert_eq!(code.expect("its exit status").code(), Some(0));
    assert_eq!(baton.status().await.state(1), "retired");
}

#[tokio::test]
async fn every_command_has_help_with_an_example() {
    let project = Project::new();
    let cli = Cli::within(project.root());
    for command in ["dev", "start", "invoke", "reload", "status"] {
        let finished = cli.baton(&[command, "--help"]).await;
        assert_eq!(finished.code, Some(0), "{command}: {finished}");
        let (_, example) = finished.stdout.split_once("Example").unwrap_or_default();
        assert!(example.contains(&format!("baton {command} ")), "{command}: {finished}");
    }
}
