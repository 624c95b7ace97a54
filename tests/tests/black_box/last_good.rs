//! Last known good: a host that starts on code that does not load serves the code that was served
//! last. A host can also go back to code that an earlier host served.

use std::fs;

use harness::{Baton, Cli, Project, mismatch};
use serde_json::json;

use crate::calls::version_of;

/// Serves version `good` until it is kept on the disk, and ends the host.
async fn served_once(project: &Project, good: &str) {
    project.set_version(good);
    let mut baton = Baton::dev(project).env("BATON_LOG", "debug").ready().await;
    assert_eq!(version_of(&baton, "version").await, good);
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
}

fn break_code(project: &Project) {
    project.write("lib/version.ts", "export const VERSION = ;\n");
}

#[tokio::test]
async fn a_host_that_starts_on_broken_code_serves_the_last_good_one_and_says_so() {
    let project = Project::new();
    served_once(&project, "good").await;
    break_code(&project);
    let baton = Baton::dev(&project).watching("files").ready().await;
    assert_eq!(version_of(&baton, "version").await, "good");
    let ready = baton.get("/-/ready").await;
    let expected = json!({ "ready": true, "generation": 3, "reason": null, "last_good": true });
    assert_eq!(mismatch(&ready.json(), &expected), None);
    let status = baton.status().await;
    assert_eq!(status.generation(3)["reason"], "last_good", "{status:?}");
    assert_eq!(status.generation(3)["restored_from"], 1, "{status:?}");
    assert_eq!(status.0["source"]["newer_than_loaded"], true);
    assert_eq!(status.0["source"]["last_rejected"]["error"]["kind"], "syntax");
    let cli = Cli::within(project.scratch()).env("BATON_STATE_DIR", project.state_dir());
    let told = cli.baton(&["status"]).await;
    assert!(
        told.stdout.contains("since the code on the disk cannot be served"),
        "{told}"
    );

    project.set_version("mended");
    baton.wait_for("generation activated", json!({ "generation": 4 })).await;
    assert_eq!(version_of(&baton, "version").await, "mended");
    let ready = baton.get("/-/ready").await;
    assert_eq!(ready.json()["last_good"], false);
}

#[tokio::test]
async fn the_last_good_one_serves_also_without_its_packages() {
    let project = Project::new();
    served_once(&project, "good").await;
    fs::remove_file(project.root().join("node_modules")).expect("the link to the packages");
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(version_of(&baton, "version").await, "good");
    assert_eq!(baton.get("/-/ready").await.json()["last_good"], true);
}

#[tokio::test]
async fn a_damaged_store_is_told_and_not_served() {
    let project = Project::new();
    served_once(&project, "good").await;
    let files = project.state_dir().join("kept/files");
    for file in fs::read_dir(&files).expect("what was kept").flatten() {
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        if text.contains("\"good\"") {
            fs::write(file.path(), text.replace("good", "evil")).expect("a damaged file");
        }
    }
    break_code(&project);
    let baton = Baton::dev(&project).listening().await;
    baton
        .wait_for(
            "cannot use a kept generation: it is damaged",
            json!({ "generation": 1 }),
        )
        .await;
    baton.wait_for("generation rejected", json!({ "kind": "syntax" })).await;
    assert_eq!(baton.get("/-/ready").await.json()["reason"], "rejected");
    project.set_version("mended");
    let _ = baton.reload().await.activated();
    assert_eq!(version_of(&baton, "version").await, "mended");
}

/// A host that is killed while it writes its sources to the disk leaves a store that the next host can
/// read: a complete generation, old or new.
#[tokio::test]
async fn slow_a_host_that_is_killed_while_it_keeps_leaves_a_whole_generation() {
    let project = Project::new();
    served_once(&project, "0").await;
    for round in 1..=12_u32 {
        project.set_version("0");
        let mut baton = Baton::dev(&project).ready().await;
        let first = version_of(&baton, "version").await;
        // Each round adds more modules, so that there is always something to write.
        for edit in 0..round {
            project.write(
                &format!("functions/more-{round}-{edit}.ts"),
                format!("export const n = {edit};\n"),
            );
            project.set_version(&format!("{round}.{edit}"));
            let _ = baton.reload().await.activated();
        }
        baton.signal("KILL").await;
        let _ = baton.ended().await;
        break_code(&project);
        let mut next = Baton::dev(&project).ready().await;
        let served = version_of(&next, "version").await;
        let served = served.as_str().expect("a version").to_owned();
        let whole = first == served.as_str() || served == "0" || served.starts_with(&format!("{round}."));
        assert!(whole, "round {round} serves {served}");
        next.signal("KILL").await;
        let _ = next.ended().await;
    }
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_costs_the_feature_and_no_call() {
    let project = Project::new();
    fs::create_dir_all(project.state_dir()).expect("a state folder");
    // A file is at the place where Baton needs a folder.
    fs::write(project.state_dir().join("kept"), "").expect("a file in the way");
    let baton = Baton::dev(&project).ready().await;
    let warned = "cannot keep the generation on the disk: a host that starts on broken code will not have it";
    baton.wait_for(warned, json!({ "generation": 1 })).await;
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    assert_eq!(version_of(&baton, "version").await, "2");
}

#[tokio::test]
async fn a_rollback_stays_until_the_disk_changes_also_while_files_are_watched() {
    let project = Project::new();
    let baton = Baton::dev(&project).watching("files").ready().await;
    project.set_version("bad idea");
    baton.wait_for("generation activated", json!({ "generation": 2 })).await;
    let cli = Cli::within(project.scratch()).env("BATON_STATE_DIR", project.state_dir());
    let told = cli.baton(&["rollback"]).await;
    assert_eq!(told.code, Some(0), "{told}");
    assert!(told.stdout.contains("with the code of generation 1"), "{told}");
    assert_eq!(version_of(&baton, "version").await, "1");
    // The file is saved again with the same text, which is no change.
    project.set_version("bad idea");
    fs::write(project.root().join("lib/version.ts"), project.read("lib/version.ts")).expect("a save");
    project.write("functions/marker.ts", "export const marker = 1;\n");
    // A load may have begun while the files were written, and may be given up for a newer one.
    baton
        .status_when("the disk is served again", |status| status.current() > 3)
        .await;
    assert_eq!(version_of(&baton, "version").await, "bad idea", "the disk changed");
    let told = cli.baton(&["rollback", "99"]).await;
    told.refuses(1, &["generation 99 is not kept"]);
}

#[tokio::test]
async fn a_rollback_reaches_behind_a_restart() {
    let project = Project::new();
    served_once(&project, "before").await;
    project.set_version("after");
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(baton.status().await.current(), 2, "numbers go on");
    let answer = baton.rollback(Some(1)).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.json()["restored_from"], 1, "{answer}");
    assert_eq!(version_of(&baton, "version").await, "before");
}

#[tokio::test]
async fn code_that_throws_at_the_start_is_tried_again_without_being_asked() {
    let project = Project::new();
    let gate = project.gate("database");
    project.write(
        "functions/needy.ts",
        format!(
            "import {{ existsSync }} from \"node:fs\";\n\
             if (!existsSync({:?})) throw new Error(\"the database is not up yet\");\n",
            gate.path()
        ),
    );
    let baton = Baton::dev(&project).listening().await;
    baton
        .wait_for("generation rejected", json!({ "kind": "evaluate" }))
        .await;
    gate.open();
    baton.wait_for("generation activated", json!({ "generation": 2 })).await;
    assert_eq!(version_of(&baton, "version").await, "1");
}
