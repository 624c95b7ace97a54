//! The options of a reload: only to check, to reload without a change, to roll
//! back; and the reload's answer (docs/http.md).

use harness::{Baton, Cli, Project, mismatch};
use serde_json::{Value, json};

use crate::calls::{slow_to_load, version_of};

#[tokio::test]
async fn a_reload_without_a_change_leaves_everything_as_it_is() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let before = baton.status().await;

    let report = baton.reload().await;
    assert_eq!(
        (report.http, report.status(), report.generation()),
        (200, "unchanged", 1),
        "{report}"
    );
    let after = baton.status().await;
    assert_eq!(after.current(), 1, "{:#}", after.0);
    assert_eq!(after.generation(1)["hash"], before.generation(1)["hash"]);
}

#[tokio::test]
async fn an_edit_that_is_taken_back_before_the_reload_is_no_change() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let original = project.read("lib/version.ts");
    project.set_version("2");
    project.write("lib/version.ts", &original);
    assert_eq!(baton.reload().await.status(), "unchanged");
}

#[tokio::test]
async fn a_forced_reload_makes_a_new_generation_of_the_same_code() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let hash = baton.status().await.generation(1)["hash"].clone();

    let report = baton.reload_with("?force=1").await;
    assert_eq!(report.activated(), 2);
    assert_eq!(report.body["hash"], hash, "{report}");
    assert_eq!(version_of(&baton, "version").await, "1");
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
}

#[tokio::test]
async fn a_dry_run_checks_the_new_code_and_changes_nothing() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;

    project.set_version("2");
    let report = baton.reload_with("?dry_run=1").await;
    assert_eq!((report.http, report.status()), (200, "checked"), "{report}");
    let status = baton.status().await;
    assert_eq!((status.current(), status.state(1)), (1, "current"), "{:#}", status.0);
    assert_eq!(version_of(&baton, "version").await, "1");

    project.write("functions/broken.ts", "export const broken = ;\n");
    let report = baton.reload_with("?dry_run=1").await;
    assert_eq!((report.http, report.status()), (422, "rejected"), "{report}");
    assert_eq!(report.error()["kind"], "syntax", "{report}");
    let status = baton.status().await;
    assert_eq!(status.current(), 1, "{:#}", status.0);
    assert_eq!(status.0["source"]["last_rejected"], Value::Null, "{:#}", status.0);

    project.remove("functions/broken.ts");
    let _ = baton.reload().await.activated();
    assert_eq!(version_of(&baton, "version").await, "2");
}

#[tokio::test]
async fn a_reload_says_which_functions_came_went_and_changed() {
    let project = Project::new();
    project.write("functions/extra.ts", function("extra", 1));
    project.write("functions/passing.ts", function("passing", 1));
    let baton = Baton::dev(&project).ready().await;

    project.remove("functions/passing.ts");
    project.write("functions/arriving.ts", function("arriving", 1));
    project.write("functions/extra.ts", function("extra", 3));
    let report = baton.reload().await;
    let _ = report.activated();

    let functions = &report.body["functions"];
    let has = |list: &str, id: &str| {
        let ids = functions[list].as_array().expect("a list of ids");
        ids.iter().any(|entry| entry.as_str().unwrap_or_default().ends_with(id))
    };
    assert!(has("added", "arriving"), "{report}");
    assert!(has("removed", "passing"), "{report}");
    assert!(has("changed", "extra"), "{report}");
    assert!(!has("added", "extra") && !has("removed", "extra"), "{report}");
    assert!(!has("changed", "one-step"), "{report}");

    let status = baton.status().await;
    let ids = status.0["functions"].as_array().expect("functions");
    let count = functions["count"].as_u64().expect("a count");
    assert_eq!(ids.len() as u64, count, "{:#}", status.0);
    let extra = ids
        .iter()
        .find(|f| f["id"].as_str().unwrap_or_default().ends_with("extra"));
    let extra = extra.expect("the function is in the status");
    let shown = json!({ "app": "fixture", "retries": 3, "triggers": [{ "event": "fixture/extra" }] });
    assert_eq!(mismatch(extra, &shown), None, "{extra:#}");
}

fn function(id: &str, retries: u32) -> String {
    format!(
        r#"import {{ inngest }} from "../lib/client";
export const it = inngest.createFunction(
  {{ id: "{id}", retries: {retries}, checkpointing: false, triggers: [{{ event: "fixture/{id}" }}] }},
  async () => "{id}",
);
"#
    )
}

#[tokio::test]
async fn reloads_that_come_while_one_runs_are_one_reload_after_it() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let mut events = baton.events().await;

    let gate = project.gate("load");
    project.write("functions/slow-to-load.ts", slow_to_load(&gate));
    project.set_version("2");
    let first = baton.admin("PUT", "/api/reload").write(&baton.door()).await;
    events
        .next("generation", &json!({ "generation": 2, "state": "loading" }))
        .await;

    // The first reload has read its files by now or will do so. This edit comes
    // while it runs, and every later request must get the edit.
    project.set_version("3");
    let mut later = Vec::new();
    for _ in 0..9 {
        later.push(baton.admin("PUT", "/api/reload").write(&baton.door()).await);
    }
    let meanwhile = baton.status().await;
    assert_eq!(meanwhile.current(), 1, "nothing is swapped before it is loaded");
    assert_eq!(
        version_of(&baton, "version").await,
        "1",
        "the old code serves meanwhile"
    );

    gate.open();
    let (status, body) = first.answer().await;
    assert_eq!(status, 200, "{body}");
    for sent in later {
        let (status, body) = sent.answer().await;
        assert_eq!(status, 200, "{body}");
    }
    assert_eq!(version_of(&baton, "version").await, "3", "the latest edit serves");
    let newest = baton.status().await.newest();
    assert!(
        newest <= 3,
        "ten reloads made {} generations, not two at most",
        newest - 1
    );
}

#[tokio::test]
async fn a_rollback_makes_the_old_code_current_under_a_new_number() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;

    let answer = baton.rollback(None).await;
    assert_eq!(answer.status, 200, "{answer}");
    let status = baton.status().await;
    assert_eq!(status.current(), 3, "{:#}", status.0);
    let shown = json!({ "state": "current", "reason": "rollback" });
    assert_eq!(mismatch(status.generation(3), &shown), None, "{:#}", status.0);
    assert_eq!(version_of(&baton, "version").await, "1");

    let answer = baton.rollback(Some(2)).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(baton.status().await.current(), 4);
    assert_eq!(version_of(&baton, "version").await, "2");
}

#[tokio::test]
async fn a_rollback_to_a_generation_that_never_was_is_refused() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let answer = baton.rollback(Some(4711)).await;
    assert!((400..500).contains(&answer.status), "{answer}");
    let message = answer.json()["error"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(message.contains("4711"), "{answer}");
    assert_eq!(baton.status().await.current(), 1);
}

/// The text of a module that never finishes.
const HANGS: &str = "await new Promise((resolve) => setTimeout(resolve, 3_600_000));\nexport {};\n";

#[tokio::test]
async fn a_load_that_hangs_is_told_of_and_given_up_for_a_newer_edit_however_long_it_has_run() {
    let project = Project::new();
    let baton = Baton::dev(&project).watching("files").ready().await;
    let mut log = baton.stderr().from_the_beginning();
    project.write("functions/hangs.ts", HANGS);
    let hangs = json!({ "stage": "evaluating functions/hangs.ts and its imports" });
    log.wait_for("the load is slow", &hangs).await;
    // The load of this text begins, and takes long too.
    project.write("functions/hangs.ts", format!("// again\n{HANGS}"));
    log.wait_for("the load is slow", &hangs).await;
    let status = baton.status().await;
    let generations = status.0["generations"].as_array().expect("generations").iter();
    let mut stages = generations.filter_map(|generation| generation["load_stage"].as_str());
    assert_eq!(stages.next(), hangs["stage"].as_str(), "{:#}", status.0);
    project.write("functions/hangs.ts", "export {};\n");
    log.wait_for("generation activated", &json!({})).await;
    assert_eq!(baton.stderr().count("generation rejected", &json!({})), 0);
}

#[tokio::test]
async fn a_reload_that_is_asked_for_gives_up_a_load_that_hangs_and_says_meanwhile_what_it_waits_for() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    project.write("functions/hangs.ts", HANGS);
    let cli = Cli::within(project.scratch()).env("BATON_STATE_DIR", project.state_dir());
    let mut waiting = cli.start(&["reload"]);
    waiting
        .says("is still loading: evaluating functions/hangs.ts and its imports")
        .await;
    project.write("functions/hangs.ts", "export {};\n");
    let report = baton.reload().await;
    assert_eq!(report.status(), "activated", "{report}");
    let told = waiting.finished().await;
    assert_eq!(
        told.code,
        Some(0),
        "whoever waited for the one waits for the other: {told}"
    );
    assert!(told.stdout.contains("activated"), "{told}");
}
