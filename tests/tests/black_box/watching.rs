//! Files that change are noticed, however they are saved: there is exactly one new generation with
//! the saved text, or none if nothing changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use harness::{Baton, Project, Run};
use serde_json::json;

use crate::calls::{start, version_of};

/// Returns the text that `set_version` writes.
fn version(number: &str) -> String {
    format!("export const VERSION = {number:?};\n")
}

async fn watching(project: &Project) -> Baton {
    let baton = Baton::dev(project).watching("files").ready().await;
    settled(&baton, project).await;
    baton
}

/// Waits until files are watched for certain: a change right after the start may come before the
/// watching.
async fn settled(baton: &Baton, project: &Project) {
    project.set_version("settled");
    baton.wait_for("generation activated", json!({ "generation": 2 })).await;
    assert_eq!(version_of(baton, "version").await, "settled");
}

/// Checks that a save became generation 3, and that nothing else came of it: the next change
/// becomes 4.
async fn led_to_one_generation(baton: &Baton, project: &Project, wanted: &str) {
    baton.wait_for("generation activated", json!({ "generation": 3 })).await;
    assert_eq!(version_of(baton, "version").await, wanted);
    assert_next_is(baton, project, 4).await;
}

/// Checks that the next change becomes this generation, so that none was made in between.
async fn assert_next_is(baton: &Baton, project: &Project, generation: u64) {
    project.write("functions/marker.ts", "export const marker = 1;\n");
    let line = baton
        .stderr()
        .wait_for_line("the marker's generation", |line| {
            let number = line.json["generation"].as_u64();
            line.message() == "generation activated" && number.is_some_and(|number| number >= generation)
        })
        .await;
    assert_eq!(line.json["generation"], generation, "{}", baton.stderr().tail());
    let status = baton.status().await;
    assert_eq!(status.newest(), generation, "{status:?}");
}

#[tokio::test]
async fn a_file_written_in_place() {
    let project = Project::new();
    let baton = watching(&project).await;
    fs::write(project.root().join("lib/version.ts"), version("in place")).unwrap();
    led_to_one_generation(&baton, &project, "in place").await;
}

#[tokio::test]
async fn a_file_renamed_into_its_place() {
    let project = Project::new();
    let baton = watching(&project).await;
    project.write("lib/version.ts", version("renamed"));
    led_to_one_generation(&baton, &project, "renamed").await;
}

#[tokio::test]
async fn what_the_settings_include_leads_to_a_generation_and_what_they_ignore_does_not() {
    let project = Project::new();
    let settings = "[watch]\ninclude = [\"prompts/**/*.md\"]\nignore = [\"lib/ignored.ts\"]\n";
    project.write("baton.toml", settings);
    project.write("prompts/a.md", "one");
    project.write("lib/ignored.ts", "export const ignored = 1;\n");
    project.write("functions/ignores.ts", "export { ignored } from \"../lib/ignored\";\n");
    let baton = watching(&project).await;
    let becomes = async |generation: u64| {
        let wanted = json!({ "generation": generation });
        baton.wait_for("generation activated", wanted).await;
    };
    project.write("prompts/deep/b.md", "new");
    becomes(3).await;
    project.write("prompts/a.md", "two");
    becomes(4).await;
    fs::remove_file(project.root().join("prompts/deep/b.md")).unwrap();
    becomes(5).await;
    project.write("prompts/a.txt", "no");
    project.write("lib/ignored.ts", "export const ignored = 2;\n");
    assert_next_is(&baton, &project, 6).await;
}

#[tokio::test]
async fn a_file_saved_as_vim_does_with_a_backup() {
    let project = Project::new();
    let baton = watching(&project).await;
    let file = project.root().join("lib/version.ts");
    let backup = project.root().join("lib/version.ts~");
    fs::write(project.root().join("lib/4913"), "").unwrap();
    fs::remove_file(project.root().join("lib/4913")).unwrap();
    fs::rename(&file, &backup).unwrap();
    fs::write(&file, version("by vim")).unwrap();
    fs::remove_file(&backup).unwrap();
    led_to_one_generation(&baton, &project, "by vim").await;
}

#[tokio::test]
async fn a_file_that_is_deleted_and_made_again() {
    let project = Project::new();
    let baton = watching(&project).await;
    fs::remove_file(project.root().join("lib/version.ts")).unwrap();
    fs::write(project.root().join("lib/version.ts"), version("again")).unwrap();
    led_to_one_generation(&baton, &project, "again").await;
}

#[tokio::test]
async fn a_folder_that_is_deleted_and_made_again() {
    let project = Project::new();
    let baton = watching(&project).await;
    let (lib, copy) = (project.root().join("lib"), project.scratch().join("copy"));
    copied(&lib, &copy);
    fs::write(copy.join("version.ts"), version("a new folder")).unwrap();
    fs::remove_dir_all(&lib).unwrap();
    fs::rename(&copy, &lib).unwrap();
    // Between the two operations Baton may have looked at a project without the folder.
    baton
        .stderr()
        .wait_for_line("the new folder's generation", |line| {
            line.message() == "generation activated" && line.json["generation"].as_u64() > Some(2)
        })
        .await;
    assert_eq!(version_of(&baton, "version").await, "a new folder");
    fs::write(lib.join("version.ts"), version("in the new folder")).unwrap();
    let served = || async { (version_of(&baton, "version").await == "in the new folder").then_some(()) };
    harness::deadline::until("an edit in it is noticed", || baton.stderr().tail(), served).await;
}

#[tokio::test]
async fn a_link_to_a_file_that_is_made_to_lead_elsewhere() {
    let project = Project::new();
    let (one, two) = (project.scratch().join("one.ts"), project.scratch().join("two.ts"));
    fs::write(&one, version("settled")).unwrap();
    fs::write(&two, version("two")).unwrap();
    let baton = Baton::dev(&project).watching("files").ready().await;
    let file = project.root().join("lib/version.ts");
    swap_link(&project, &one, &file);
    baton.wait_for("generation activated", json!({ "generation": 2 })).await;
    swap_link(&project, &two, &file);
    led_to_one_generation(&baton, &project, "two").await;
}

#[tokio::test]
async fn a_link_to_the_whole_project_that_is_made_to_lead_elsewhere() {
    let project = Project::new();
    let (one, two) = (project.scratch().join("release-1"), project.scratch().join("release-2"));
    copied(&project.root(), &one);
    copied(&project.root(), &two);
    fs::write(two.join("lib/version.ts"), version("release 2")).unwrap();
    fs::remove_dir_all(project.root()).unwrap();
    symlink(&one, project.root()).unwrap();
    let baton = Baton::dev(&project).watching("files").ready().await;
    assert_eq!(version_of(&baton, "version").await, "1");
    swap_link(&project, &two, &project.root());
    baton.wait_for("generation activated", json!({ "generation": 2 })).await;
    assert_eq!(version_of(&baton, "version").await, "release 2");
}

#[tokio::test]
async fn a_checkout_that_changes_two_hundred_files() {
    let project = Project::new();
    let write_all = |number: usize| {
        let mut imports = String::new();
        for module in 0..200 {
            project.write(
                &format!("lib/many/m{module}.ts"),
                format!("export const v = {number};\n"),
            );
            imports += &format!("import {{ v as v{module} }} from \"./m{module}\";\n");
        }
        let sum = (0..200)
            .map(|module| format!("v{module}"))
            .collect::<Vec<_>>()
            .join(" + ");
        project.write("lib/many/index.ts", format!("{imports}export const sum = {sum};\n"));
    };
    write_all(1);
    project.write(
        "lib/version.ts",
        "import { sum } from \"./many\";\nexport const VERSION = String(sum);\n",
    );
    git(&project, &["init", "-q"]);
    git(&project, &["add", "lib"]);
    git(&project, &["commit", "-qm", "one"]);
    git(&project, &["checkout", "-qb", "two"]);
    write_all(2);
    git(&project, &["commit", "-qam", "two"]);
    let baton = Baton::dev(&project).watching("files").ready().await;
    assert_eq!(version_of(&baton, "version").await, "400");
    project.write("functions/settled.ts", "export const settled = 1;\n");
    baton.wait_for("generation activated", json!({ "generation": 2 })).await;

    git(&project, &["checkout", "-q", "-"]);
    let served = || async { (version_of(&baton, "version").await == "200").then_some(()) };
    harness::deadline::until("the other branch serves", || baton.stderr().tail(), served).await;
    let activated = |line: &&harness::Line| line.message() == "generation activated";
    let lines = baton.stderr().lines();
    assert_eq!(lines.iter().filter(activated).count(), 3, "{}", baton.stderr().tail());
    assert_eq!(rejected(&baton), 0, "{}", baton.stderr().tail());
}

#[tokio::test]
async fn a_package_that_is_installed_anew() {
    let project = Project::new();
    for number in ["1.0.0", "2.0.0"] {
        let folder = format!("packages/dep-{number}");
        let package = json!({ "name": "dep", "version": number, "main": "index.js" });
        project.write(&format!("{folder}/package.json"), package.to_string());
        project.write(
            &format!("{folder}/index.js"),
            format!("exports.version = {number:?};\n"),
        );
        npm(&project.root().join(&folder), &["pack", "--silent"]);
    }
    project.write(
        "lib/tools/package.json",
        json!({ "name": "tools", "private": true }).to_string(),
    );
    let tools = project.root().join("lib/tools");
    let install = |number: &str| {
        let package = format!("../../packages/dep-{number}/dep-{number}.tgz");
        npm(
            &tools,
            &["install", "--offline", "--silent", "--no-audit", "--no-fund", &package],
        );
    };
    install("1.0.0");
    project.write(
        "lib/tools/index.ts",
        "import dep from \"dep\";\nexport default dep.version as string;\n",
    );
    project.write(
        "lib/version.ts",
        "import version from \"./tools\";\nexport const VERSION = version;\n",
    );
    let baton = Baton::dev(&project).watching("files").ready().await;
    assert_eq!(version_of(&baton, "version").await, "1.0.0");
    project.write("functions/settled.ts", "export const settled = 1;\n");
    baton.wait_for("generation activated", json!({ "generation": 2 })).await;

    npm(&tools, &["install", "--offline", "--silent", "--no-audit", "--no-fund"]);
    assert_next_is(&baton, &project, 3).await;

    install("2.0.0");
    let served = || async { (version_of(&baton, "version").await == "2.0.0").then_some(()) };
    harness::deadline::until("the new package serves", || baton.stderr().tail(), served).await;
    let lines = baton.stderr().lines();
    let activated = lines.iter().filter(|line| line.message() == "generation activated");
    assert_eq!(activated.count(), 4, "{}", baton.stderr().tail());
}

#[tokio::test]
async fn what_reads_as_before_leads_to_no_generation() {
    let project = Project::new();
    let baton = watching(&project).await;
    project.set_version("settled");
    fs::write(project.root().join("lib/version.ts"), version("settled")).unwrap();
    let file = fs::File::options()
        .append(true)
        .open(project.root().join("lib/version.ts"));
    file.unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    fs::write(project.root().join("lib/notes.txt"), "nobody reads this").unwrap();
    fs::write(project.root().join("functions/.hello.ts.swp"), "nor this").unwrap();
    assert_next_is(&baton, &project, 3).await;
}

#[tokio::test]
async fn new_and_removed_modules() {
    let project = Project::new();
    let baton = watching(&project).await;
    let more = project.read("functions/versioned.ts");
    assert!(more.contains("\"version\""), "{more}");
    project.write("functions/deeper/still/more.ts", "export const more = 1;\n");
    baton.wait_for("generation activated", json!({ "generation": 3 })).await;
    project.write("functions/deeper/still/broken.ts", "export const = 1;\n");
    baton.wait_for("generation rejected", json!({ "kind": "syntax" })).await;
    project.remove("functions/deeper/still/broken.ts");
    baton.wait_for("the code on the disk serves again", json!({})).await;
    fs::remove_dir_all(project.root().join("functions/deeper")).unwrap();
    baton.wait_for("generation activated", json!({ "generation": 5 })).await;
    assert_eq!(version_of(&baton, "version").await, "settled");
}

#[tokio::test]
async fn what_a_rejected_load_looked_for_is_watched_too() {
    let project = Project::new();
    let baton = watching(&project).await;
    project.write(
        "lib/version.ts",
        "import { late } from \"../elsewhere/late\";\nexport const VERSION = late;\n",
    );
    baton
        .wait_for("generation rejected", json!({ "kind": "resolve" }))
        .await;
    assert_eq!(version_of(&baton, "version").await, "settled");
    project.write("elsewhere/late.ts", "export const late = \"found\";\n");
    let served = || async { (version_of(&baton, "version").await == "found").then_some(()) };
    harness::deadline::until("what was missing is noticed", || baton.stderr().tail(), served).await;
}

#[tokio::test]
async fn files_that_nobody_tells_about_are_looked_at() {
    let project = Project::new();
    let baton = Baton::dev(&project).watching("files").argument("--poll").ready().await;
    settled(&baton, &project).await;
    fs::write(project.root().join("lib/version.ts"), version("looked at")).unwrap();
    led_to_one_generation(&baton, &project, "looked at").await;
}

/// Returns the memory of a process that is not on the disk, in KiB.
fn resident(pid: u32) -> f64 {
    let shown = std::process::Command::new("ps")
        .args(["-o", "rss=", "-p", &pid.to_string()])
        .output();
    let text = String::from_utf8(shown.expect("ps").stdout).expect("text");
    text.trim().parse().expect("a number")
}

/// The test saves a thousand times, as fast as the disk takes the files: the last save serves, and
/// no call fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_a_thousand_saves_fail_no_call_and_the_last_one_serves() {
    let project = Project::new();
    let baton = watching(&project).await;
    let before = resident(baton.pid());
    let (executor, stop) = (
        baton.executor(),
        std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)),
    );
    let calling = tokio::spawn({
        let stop = stop.clone();
        async move {
            let mut answered = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = executor.discover(&Run::of("fixture-version")).await.expect("an answer");
                assert_eq!(answer.status, 200, "{answer}");
                answered += 1;
            }
            answered
        }
    });
    let file = project.root().join("lib/version.ts");
    tokio::task::spawn_blocking(move || {
        for save in 0..1000 {
            fs::write(&file, version(&format!("save {save}"))).unwrap();
        }
    })
    .await
    .unwrap();
    let served = || async { (version_of(&baton, "version").await == "save 999").then_some(()) };
    harness::deadline::until("the last save serves", || baton.stderr().tail(), served).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(calling.await.expect("no call failed") > 0);
    let one = || async {
        let status = baton.status().await;
        let live = status.0["generations"].as_array().expect("generations").iter();
        let live = live.filter(|generation| !generation["isolates"].as_array().is_none_or(Vec::is_empty));
        (live.count() == 1).then_some(())
    };
    harness::deadline::until("one generation is left", || baton.stderr().tail(), one).await;
    let after = resident(baton.pid());
    assert!(after < before * 2.0, "{before} KiB before, {after} KiB after");
}

#[tokio::test]
async fn with_git_ref_only_another_commit_is_served() {
    let project = Project::new();
    git(&project, &["init", "-q"]);
    git(&project, &["add", "lib", "functions", "package.json"]);
    git(&project, &["commit", "-qm", "one"]);
    let baton = Baton::start(&project).watching("git-ref").ready().await;
    assert_eq!(baton.status().await.0["watch"], "git-ref");
    project.set_version("saved");
    project.set_version("committed");
    git(&project, &["commit", "-qam", "two"]);
    baton.wait_for("generation activated", json!({ "generation": 2 })).await;
    assert_eq!(version_of(&baton, "version").await, "committed");
}

#[tokio::test]
async fn a_dirty_tree_is_refused_where_only_clean_ones_are_served() {
    let project = Project::new();
    git(&project, &["init", "-q"]);
    git(&project, &["add", "lib", "functions", "package.json"]);
    git(&project, &["commit", "-qm", "one"]);
    let baton = Baton::start(&project)
        .watching("git-ref")
        .argument("--require-clean")
        .ready()
        .await;
    project.set_version("committed");
    git(&project, &["add", "lib"]);
    project.set_version("and changed");
    git(&project, &["commit", "-qm", "two"]);
    let refused = "another commit is checked out, with files that differ from it: it is not served";
    baton.wait_for(refused, json!({})).await;
    assert_eq!(version_of(&baton, "version").await, "1");
    git(&project, &["checkout", "-q", "lib"]);
    git(&project, &["commit", "-q", "--allow-empty", "-m", "three"]);
    baton.wait_for("generation activated", json!({ "generation": 2 })).await;
    assert_eq!(version_of(&baton, "version").await, "committed");
}

#[tokio::test]
async fn what_is_in_flight_finishes_on_its_code_while_files_change() {
    let project = Project::new();
    let baton = watching(&project).await;
    let gate = project.gate("finish");
    let running = start(&baton, &crate::calls::gated(&gate));
    baton.in_flight(2, 1).await;
    project.set_version("newer");
    baton.wait_for("generation activated", json!({ "generation": 3 })).await;
    assert_eq!(version_of(&baton, "version").await, "newer");
    gate.open();
    assert_eq!(running.version(&baton).await, "settled");
}

fn rejected(baton: &Baton) -> usize {
    let lines = baton.stderr().lines();
    lines
        .iter()
        .filter(|line| line.message() == "generation rejected")
        .count()
}

fn swap_link(project: &Project, target: &Path, link: &Path) {
    let draft = project.scratch().join("draft-link");
    symlink(target, &draft).unwrap();
    fs::rename(&draft, link).unwrap();
}

fn copied(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-R").arg(from).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()));
}

fn git(project: &Project, arguments: &[&str]) {
    let ended = Command::new("git")
        .args([
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@example.com",
            "-c",
            "core.fsync=none",
        ])
        .args(arguments)
        .current_dir(project.root())
        .status();
    assert!(ended.is_ok_and(|status| status.success()), "git {arguments:?}");
}

fn npm(folder: &Path, arguments: &[&str]) {
    let ended = Command::new("npm")
        .args(arguments)
        .current_dir(folder)
        .stdout(std::process::Stdio::null())
        .status();
    assert!(ended.is_ok_and(|status| status.success()), "npm {arguments:?}");
}
