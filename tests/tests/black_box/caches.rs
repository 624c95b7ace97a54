//! The files that Baton makes of a project's files outlive the process (docs/operations.md, Caches).
//! They cost nobody anything: neither when they are damaged, nor when they are deleted, nor when there are none.

use std::fs;
use std::path::PathBuf;

use harness::{Baton, Launch, Line, Project};
use serde_json::json;

use crate::calls::version_of;

const COUNTS: &str = "caches on the disk";

fn counting(launch: Launch) -> Launch {
    launch.env("BATON_LOG", "warn,host=info,js_runtime=debug")
}

/// Returns the line with two counts of a host's first generation: the things that it took from the disk, and those
/// that it had to make.
async fn counts(baton: &Baton) -> Line {
    baton.wait_for(COUNTS, json!({})).await
}

fn number(line: &Line, name: &str) -> u64 {
    line.json[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {}", line.text))
}

fn file(project: &Project) -> PathBuf {
    project.code_cache().join("1.sqlite")
}

async fn serve_and_end(project: &Project) -> Line {
    let mut baton = counting(Baton::dev(project)).ready().await;
    assert_eq!(version_of(&baton, "version").await, "1");
    let line = counts(&baton).await;
    baton.signal("TERM").await;
    assert!(baton.ended().await.success());
    line
}

#[tokio::test]
async fn a_second_host_makes_nothing_again_that_the_first_one_made() {
    let project = Project::new();
    let first = serve_and_end(&project).await;
    // Files that read the same share V8's code: the second one may find what was made for the first.
    assert!(number(&first, "hits") < 5, "{}", first.text);
    assert!(number(&first, "misses") > 50, "{}", first.text);

    let second = serve_and_end(&project).await;
    assert!(number(&second, "hits") > 50, "{}", second.text);
    for none in ["misses", "damaged", "rejected"] {
        assert_eq!(number(&second, none), 0, "{none}: {}", second.text);
    }

    // Baton makes everything of the changed module anew, and nothing of the others.
    project.edit("functions/versioned.ts", "Answers at once", "Answers");
    let third = serve_and_end(&project).await;
    assert!((1..=5).contains(&number(&third, "misses")), "{}", third.text);
    assert!(number(&third, "hits") > 50, "{}", third.text);
}

#[tokio::test]
async fn what_was_written_before_a_host_was_killed_is_there_for_the_next_one() {
    let project = Project::new();
    let mut baton = counting(Baton::dev(&project)).ready().await;
    // The caches are written once the load is over.
    baton.wait_for("caches were written", json!({})).await;
    baton.signal("KILL").await;
    let _ = baton.ended().await;
    let next = serve_and_end(&project).await;
    assert!(number(&next, "hits") > 0, "{}", next.text);
    assert_eq!(
        (number(&next, "damaged"), number(&next, "rejected")),
        (0, 0),
        "{}",
        next.text
    );
}

#[tokio::test]
async fn a_damaged_cache_changes_no_answer_and_is_written_again() {
    let project = Project::new();
    serve_and_end(&project).await;
    let good = fs::read(file(&project)).expect("the caches");
    let mut scratched = good.clone();
    for (at, byte) in scratched.iter_mut().enumerate() {
        if at % 1000 > 990 {
            *byte = !*byte;
        }
    }
    for damaged in [&good[..good.len() / 3], b"no database at all", &scratched] {
        fs::write(file(&project), damaged).expect("a damaged file");
        let found = serve_and_end(&project).await;
        assert!(number(&found, "misses") > 0, "{}", found.text);
        // After at most two more starts all of the cache is there again.
        serve_and_end(&project).await;
        let again = serve_and_end(&project).await;
        assert_eq!(number(&again, "misses"), 0, "{}", again.text);
    }
}

#[tokio::test]
async fn a_cache_that_is_deleted_while_a_host_runs_is_made_again_by_it() {
    let project = Project::new();
    serve_and_end(&project).await;
    let mut baton = Baton::dev(&project).ready().await;
    fs::remove_dir_all(project.code_cache()).expect("the caches are deleted");
    project.set_version("2");
    assert_eq!(baton.reload().await.status(), "activated");
    assert_eq!(version_of(&baton, "version").await, "2");
    baton.signal("TERM").await;
    assert!(baton.ended().await.success());
    assert!(file(&project).exists(), "the next host finds what this one made since");
}

#[tokio::test]
async fn hosts_of_several_projects_share_one_cache_at_once() {
    let projects = [Project::new(), Project::new(), Project::new()];
    let cache = projects[0].code_cache();
    for round in ["first", "second"] {
        let launch = |project| counting(Baton::dev(project).env("BATON_CODE_CACHE", &cache)).ready();
        let (one, two, three) = tokio::join!(launch(&projects[0]), launch(&projects[1]), launch(&projects[2]));
        for mut baton in [one, two, three] {
            assert_eq!(version_of(&baton, "version").await, "1");
            let line = counts(&baton).await;
            if round == "second" {
                assert_eq!(number(&line, "misses"), 0, "{}", line.text);
            }
            baton.signal("TERM").await;
            assert!(baton.ended().await.success());
            let warned: Vec<_> = baton.stderr().lines();
            let warned = warned
                .iter()
                .filter(|line| line.message().starts_with("caches are not stored"));
            assert_eq!(warned.count(), 0);
        }
    }
}

#[tokio::test]
async fn without_a_place_for_caches_a_host_says_so_once_and_serves() {
    let project = Project::new();
    // This keeps root out, too, who may write everywhere.
    fs::write(project.code_cache(), "a file where the folder should be").expect("a file");
    let baton = Baton::dev(&project).ready().await;
    let line = baton
        .wait_for(
            "caches are not stored on the disk: each start makes them again",
            json!({}),
        )
        .await;
    let error = line.json["error"].as_str().unwrap_or_default();
    assert!(error.contains(&*project.code_cache().to_string_lossy()), "{error}");
    assert_eq!(version_of(&baton, "version").await, "1");
    project.set_version("2");
    assert_eq!(baton.reload().await.status(), "activated");
    assert_eq!(version_of(&baton, "version").await, "2");
    let lines = baton.stderr().lines();
    let said = lines
        .iter()
        .filter(|line| line.message().starts_with("caches are not stored"));
    assert_eq!(said.count(), 1);
}

#[tokio::test]
async fn caches_that_are_switched_off_leave_nothing_behind() {
    let project = Project::new();
    let mut baton = Baton::dev(&project).env("BATON_CODE_CACHE", "off").ready().await;
    assert_eq!(version_of(&baton, "version").await, "1");
    baton.signal("TERM").await;
    assert!(baton.ended().await.success());
    assert!(!project.code_cache().exists());
}
