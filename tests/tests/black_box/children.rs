//! Child processes end with the isolate that started them, and a shell's own children with it,
//! whichever way the isolate ends. Children that were made to live on do live on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Baton, Launch, Project, Run, deadline};
use serde_json::{Value, json};

use crate::calls::{start, version_of};

/// A function that starts processes that never end, in every way that asks for a shell, and then
/// ends or goes on as its event says.
const STARTS: &str = r#"import { exec, execFile, spawn } from "node:child_process";
import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
export const starts = inngest.createFunction(
  { id: "starts", retries: 1, triggers: [{ event: "fixture/starts" }], checkpointing: false },
  async ({ event: { data } }) => {
    const forever = `tail -f ${data.file}`;
    const children = [
      exec(`${forever} & ${forever}`),
      spawn(`${forever}; true`, { shell: true, stdio: "inherit" }),
      execFile(`${forever}; true`, { shell: "/bin/sh" } as object),
      spawn("sh", ["-c", `${forever}; true`]),
      spawn("tail", ["-f", data.file]),
    ];
    const left = exec(`${forever} &`);
    await new Promise((then) => left.on("exit", then));
    await Promise.all(children.map((child) => new Promise((then) => (child.pid ? then(0) : child.on("spawn", then)))));
    const all: unknown[] = [];
    while (data.then === "memory") all.push(new Array(1000).fill({})), await null;
    while (data.then === "spin");
    if (data.then === "exit") process.exit(1);
    return "started";
  },
);
export const leaves = inngest.createFunction(
  { id: "leaves", retries: 1, triggers: [{ event: "fixture/leaves" }], checkpointing: false },
  async ({ event: { data } }) => {
    const daemon = spawn(`sleep 600; : ${data.file}`, { shell: true, detached: true, stdio: "inherit" });
    daemon.unref();
    return daemon.pid;
  },
);
"#;

/// A function that does the same by the module `bun`; it ends when its event says so.
const BUN_STARTS: &str = r#"import { $, spawn } from "bun";
import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
export const starts = inngest.createFunction(
  { id: "bun-starts", retries: 1, triggers: [{ event: "fixture/bun-starts" }], checkpointing: false },
  async ({ event: { data } }) => {
    if (data.then === "exit") process.exit(1);
    const forever = `tail -f ${data.file}; true`;
    spawn(["sh", "-c", forever], { stdout: "ignore" });
    $`sh -c ${forever}`.quiet().run();
    $`tail -f ${data.file} | cat`.quiet().run();
    return "started";
  },
);
"#;

/// The number of processes that are started: the shells, their commands, and the two processes
/// without a shell.
const STARTED: usize = 11;

fn project() -> (Project, PathBuf) {
    let project = Project::new();
    project.write("functions/starts.ts", STARTS);
    let file = project.scratch().join("watched");
    fs::write(&file, "").expect("a file");
    (project, file)
}

/// Returns the number of processes that have the file among their arguments.
fn processes_with(file: &Path) -> usize {
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    let arguments = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    arguments
        .filter(|arguments| String::from_utf8_lossy(arguments).contains(&file.display().to_string()))
        .count()
}

async fn until_there_are(count: usize, file: &Path) {
    let what = format!("{count} processes");
    let found = || async { (processes_with(file) == count).then_some(()) };
    deadline::until(&what, || format!("there are {}", processes_with(file)), found).await;
}

/// Returns a run of `starts`; `then` is its action after it has started its children.
fn run(file: &Path, then: &str) -> Run {
    Run::of("fixture-starts").with_data(json!({ "file": file, "then": then }))
}

#[tokio::test]
async fn a_retired_generation_leaves_no_process() {
    let (project, file) = project();
    let baton = Baton::dev(&project).ready().await;
    let answer = start(&baton, &run(&file, "return")).answer(&baton).await;
    assert_eq!(answer.json(), "started", "{answer}");
    until_there_are(STARTED, &file).await;
    let _ = baton.reload_with("?force=1").await.activated();
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
    until_there_are(0, &file).await;
}

/// Checks that the isolate ends while its call runs, and that the call's children do not outlive
/// it.
async fn ends(launch: impl FnOnce(Launch) -> Launch, then: &str) {
    let (project, file) = project();
    let baton = launch(Baton::dev(&project)).ready().await;
    let running = start(&baton, &run(&file, then));
    let answer = running.answer(&baton).await;
    assert_eq!(answer.status, 500, "{answer}");
    until_there_are(0, &file).await;
    assert_eq!(version_of(&baton, "version").await, "1");
}

#[tokio::test]
async fn an_isolate_that_is_terminated_leaves_no_process() {
    ends(|launch| launch.argument("--call-timeout=2s"), "spin").await;
}

#[tokio::test]
async fn an_isolate_that_exits_leaves_no_process() {
    ends(|launch| launch, "exit").await;
}

#[tokio::test]
async fn an_isolate_that_runs_out_of_memory_leaves_no_process() {
    ends(|launch| launch.argument("--heap-limit=96"), "memory").await;
}

/// Processes that a test leaves on purpose; they end with the value.
struct Daemon(Value);

impl Drop for Daemon {
    fn drop(&mut self) {
        // The signal goes to the process's group.
        let _ = Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", self.0)])
            .status();
    }
}

#[tokio::test]
async fn a_detached_child_lives_on_and_does_not_hold_its_generation() {
    let (project, file) = project();
    let baton = Baton::dev(&project).ready().await;
    let run = Run::of("fixture-leaves").with_data(json!({ "file": file }));
    let daemon = Daemon(start(&baton, &run).answer(&baton).await.json());
    until_there_are(1, &file).await;
    let _ = baton.reload_with("?force=1").await.activated();
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
    assert_eq!(processes_with(&file), 1, "{} lives", daemon.0);
}

#[tokio::test]
async fn what_the_module_bun_started_ends_with_the_isolate() {
    let project = Project::new();
    project.write("functions/bun-starts.ts", BUN_STARTS);
    let file = project.scratch().join("watched");
    fs::write(&file, "").expect("a file");
    let run = |then: &str| Run::of("fixture-bun-starts").with_data(json!({ "file": file, "then": then }));
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(start(&baton, &run("nothing")).answer(&baton).await.json(), "started");
    until_there_are(5, &file).await;
    let _ = start(&baton, &run("exit")).answer(&baton).await;
    until_there_are(0, &file).await;
}
