//! Work beside calls, such as the job of a queue: a generation, or a host, that ends lets its code finish
//! that work.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use harness::{Baton, Gate, Project, Run, Status, deadline, send_signal};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::behaviours::runtime::Runtime;
use crate::calls::{gated, start, version_of};

/// The beginning of a module that keeps the event loop alive, as a consumer's connection does.
const BEGINNING: &str = r#"import { appendFileSync, existsSync } from "node:fs";
const note = (text) => appendFileSync(NOTES, `${text}\n`);
setInterval(() => {}, 60_000);
async function finish() {
  while (!existsSync(GATE)) await new Promise((resolve) => setTimeout(resolve, 10));
  note("finished");
}
"#;

/// Code that finishes a job at SIGTERM, then exits.
const FINISHES_AND_EXITS: &str =
    r#"process.on("SIGTERM", (signal) => (note(signal), void finish().then(() => process.exit(0))));"#;

/// A project with a module that works beside calls.
struct Worker {
    project: Project,
    /// The gate that opens once the work may be finished.
    gate: Gate,
    notes: PathBuf,
}

impl Worker {
    fn doing(code: &str) -> Self {
        let project = Project::new();
        let (gate, notes) = (project.gate("finish"), project.scratch().join("notes"));
        std::fs::write(&notes, "").expect("a file");
        let constants = format!("const NOTES = {notes:?}, GATE = {:?};\n", gate.path());
        project.write("functions/beside.js", format!("{BEGINNING}{constants}{code}\n"));
        Self { project, gate, notes }
    }

    fn noted(&self) -> String {
        std::fs::read_to_string(&self.notes).expect("notes")
    }

    async fn has_noted(&self, baton: &Baton, text: &str) {
        let context = || format!("{:?}\n{}", self.noted(), baton.stderr().tail());
        let poll = || async { (self.noted() == text).then_some(()) };
        deadline::until(&format!("the notes {text:?}"), context, poll).await;
    }

    /// Has another generation take the place of the first one.
    async fn superseded(&self, baton: &Baton) {
        self.project.set_version("2");
        assert_eq!(baton.reload().await.activated(), 2);
    }
}

fn finishes_for<'a>(event: &'a str, isolates: usize) -> impl Fn(&Status) -> bool + 'a {
    move |status| {
        let all = status.generation(1)["isolates"].as_array().cloned().unwrap_or_default();
        all.len() == isolates && all.iter().all(|isolate| isolate["finishes_for"] == event)
    }
}

async fn retired(baton: &Baton) {
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
}

#[tokio::test]
async fn a_generation_hears_sigterm_once_it_is_superseded_and_stays_until_its_handler_exits() {
    let worker = Worker::doing(FINISHES_AND_EXITS);
    let baton = Baton::dev(&worker.project).ready().await;
    worker.superseded(&baton).await;
    let status = baton.status_when("a handler to run", finishes_for("SIGTERM", 1)).await;
    assert_eq!(status.generation(1)["state"], "draining", "{:#}", status.0);
    assert_eq!(worker.noted(), "SIGTERM\n");
    assert_eq!(version_of(&baton, "version").await, "2");
    worker.gate.open();
    retired(&baton).await;
    assert_eq!(worker.noted(), "SIGTERM\nfinished\n");
    let log = baton.stderr().text();
    assert!(!log.contains("isolate ended") && !log.contains("uncaught"), "{log}");
    assert_eq!(
        version_of(&baton, "version").await,
        "2",
        "the exit ends that isolate alone"
    );
}

#[tokio::test]
async fn tsx_lets_the_same_code_finish_before_it_starts_it_again() {
    let worker = Worker::doing(&format!("{FINISHES_AND_EXITS}\nnote(\"begun\");"));
    let mut peer = Runtime::Node.program();
    peer.arg(crate::compat::tsx()).args(["watch", "functions/beside.js"]);
    peer.current_dir(worker.project.root()).stdin(Stdio::piped());
    peer.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut peer = peer.spawn().expect("a peer that starts");
    let noted = async |wanted: &str| {
        let poll = || async { (worker.noted() == wanted).then_some(()) };
        deadline::until(&format!("the notes {wanted:?}"), || worker.noted(), poll).await;
    };
    noted("begun\n").await;
    // A key has the same effect as an edit; the peer might not watch for edits yet.
    let mut keys = peer.stdin.take().expect("its standard input");
    keys.write_all(b"\n").await.expect("a key that is pressed");
    noted("begun\nSIGTERM\n").await;
    worker.gate.open();
    noted("begun\nSIGTERM\nfinished\nbegun\n").await;
    // The peer ends with the process that it has started.
    send_signal("TERM", peer.id().expect("a peer that runs")).await;
    let ended = deadline::within("the end of the peer", || worker.noted(), peer.wait()).await;
    ended.expect("its exit status");
    noted("begun\nSIGTERM\nfinished\nbegun\nSIGTERM\nfinished\n").await;
}

#[tokio::test]
async fn a_handler_that_exits_at_once_cuts_no_call() {
    let worker = Worker::doing(r#"process.on("SIGTERM", () => (note("exits"), process.exit(1)));"#);
    let baton = Baton::dev(&worker.project).ready().await;
    let call = worker.project.gate("call");
    let running = start(&baton, &gated(&call));
    baton.in_flight(1, 1).await;
    worker.superseded(&baton).await;
    assert_eq!(version_of(&baton, "version").await, "2");
    assert_eq!(worker.noted(), "", "the handler waits for the call");
    call.open();
    assert_eq!(running.version(&baton).await, "1");
    retired(&baton).await;
    assert_eq!(worker.noted(), "exits\n");
}

#[tokio::test]
async fn a_host_that_ends_has_its_code_hear_sigterm_and_finish() {
    let worker = Worker::doing(FINISHES_AND_EXITS);
    let mut baton = Baton::start(&worker.project).ready().await;
    baton.signal("TERM").await;
    worker.has_noted(&baton, "SIGTERM\n").await;
    baton
        .wait_for(
            "user code finishes work before its generation goes",
            json!({ "generation": 1, "work": "SIGTERM" }),
        )
        .await;
    assert!(baton.is_running());
    worker.gate.open();
    assert_eq!(baton.ended().await.code(), Some(0));
    assert_eq!(worker.noted(), "SIGTERM\nfinished\n");
}

#[tokio::test]
async fn a_second_signal_to_the_host_ends_what_its_code_finishes() {
    let worker = Worker::doing(FINISHES_AND_EXITS);
    let mut baton = Baton::dev(&worker.project).ready().await;
    baton.signal("INT").await;
    worker.has_noted(&baton, "SIGTERM\n").await;
    baton.signal("INT").await;
    assert_eq!(baton.ended().await.code(), Some(0));
    assert_eq!(worker.noted(), "SIGTERM\n");
}

#[tokio::test]
async fn the_host_before_an_upgrade_lets_its_code_finish() {
    let worker = Worker::doing(FINISHES_AND_EXITS);
    let baton = Baton::start(&worker.project).ready().await;
    let old = baton.host().await;
    let upgraded = baton.upgrade(&[]).await;
    assert_eq!(upgraded.code, Some(0), "{upgraded}");
    worker.has_noted(&baton, "SIGTERM\n").await;
    assert_ne!(baton.host().await, old);
    worker.gate.open();
    baton.wait_for("host ended", json!({ "host": old })).await;
    assert_eq!(worker.noted(), "SIGTERM\nfinished\n");
}

#[tokio::test]
async fn each_isolate_of_a_generation_hears_it() {
    let worker = Worker::doing(FINISHES_AND_EXITS);
    worker.project.write(
        "functions/spin.ts",
        r#"import { existsSync } from "node:fs";
import { inngest } from "../lib/client";
export const spin = inngest.createFunction(
  { id: "spin", retries: 1, triggers: [{ event: "fixture/spin" }], checkpointing: false },
  async ({ event }) => {
    while (!existsSync(event.data.gate));
  },
);
"#,
    );
    let baton = Baton::dev(&worker.project).argument("--isolates=2").ready().await;
    let call = worker.project.gate("call");
    let spinning = start(
        &baton,
        &Run::of("fixture-spin").with_data(json!({ "gate": call.path() })),
    );
    baton.wait_for("another isolate takes calls", json!({})).await;
    worker.superseded(&baton).await;
    call.open();
    assert_eq!(spinning.answer(&baton).await.status, 200);
    baton
        .status_when("both isolates to finish", finishes_for("SIGTERM", 2))
        .await;
    assert_eq!(worker.noted(), "SIGTERM\nSIGTERM\n");
    worker.gate.open();
    retired(&baton).await;
    assert_eq!(worker.noted(), "SIGTERM\nSIGTERM\nfinished\nfinished\n");
}

#[tokio::test]
async fn handlers_that_return_promises_need_not_exit_and_those_of_sigint_stand_in() {
    for (code, heard) in [
        (r#"process.on("SIGTERM", async () => note("term"));"#, "term\n"),
        (r#"process.once("SIGINT", async (signal) => note(signal));"#, "SIGINT\n"),
        (
            r#"Deno.addSignalListener("SIGTERM", async () => note("deno"));"#,
            "deno\n",
        ),
        (
            r#"process.on("SIGTERM", () => process.exit()); process.on("exit", () => note("exit"));"#,
            "exit\n",
        ),
        // Packages that clean up do this: they send the signal again once nobody listens.
        (
            r#"process.once("SIGTERM", () => (note("clean"), process.kill(process.pid, "SIGTERM")));"#,
            "clean\n",
        ),
        (
            r#"const handler = () => note("never"); process.on("SIGTERM", handler); process.off("SIGTERM", handler);"#,
            "",
        ),
    ] {
        let worker = Worker::doing(code);
        let baton = Baton::dev(&worker.project).ready().await;
        worker.superseded(&baton).await;
        retired(&baton).await;
        assert_eq!(worker.noted(), heard, "{code}");
    }
}

#[tokio::test]
async fn what_handlers_fail_with_is_told_and_holds_nothing() {
    let worker = Worker::doing(
        r#"process.on("SIGTERM", async () => { throw new Error("the first broke"); });
process.on("SIGTERM", async () => note("second"));
addEventListener("baton:draining", (event) => event.waitUntil(Promise.reject(new Error("the event broke"))));"#,
    );
    let baton = Baton::dev(&worker.project).ready().await;
    worker.superseded(&baton).await;
    retired(&baton).await;
    assert_eq!(worker.noted(), "second\n");
    let log = baton.stderr().text();
    for told in [
        "Unhandled rejection: Error: the first broke",
        "Unhandled rejection: Error: the event broke",
    ] {
        assert!(log.contains(told), "{told}\n{log}");
    }
}

#[tokio::test]
async fn a_handler_that_never_ends_is_cut_at_the_deadline() {
    let worker = Worker::doing(r#"process.on("SIGTERM", () => note("heard"));"#);
    let baton = Baton::dev(&worker.project).argument("--drain-timeout=2s").ready().await;
    let began = Instant::now();
    worker.superseded(&baton).await;
    let line = json!({ "generation": 1, "level": "WARN" });
    baton
        .wait_for("generation ended: its code did not finish in time", line)
        .await;
    retired(&baton).await;
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(worker.noted(), "heard\n");
}

#[tokio::test]
async fn listeners_that_spin_are_ended() {
    for code in [
        r#"process.on("SIGTERM", () => { for (;;); });"#,
        r#"addEventListener("baton:draining", () => { for (;;); });"#,
        r#"addEventListener("beforeunload", () => { for (;;); });"#,
        r#"process.on("exit", () => { for (;;); });"#,
    ] {
        let worker = Worker::doing(code);
        let baton = Baton::dev(&worker.project).argument("--drain-timeout=1s").ready().await;
        worker.superseded(&baton).await;
        retired(&baton).await;
        assert_eq!(version_of(&baton, "version").await, "2", "{code}");
    }
}

#[tokio::test]
async fn slow_a_listener_that_spins_does_not_keep_a_host_that_ends() {
    let worker = Worker::doing(r#"addEventListener("beforeunload", () => { for (;;); });"#);
    let mut baton = Baton::dev(&worker.project).ready().await;
    baton.signal("TERM").await;
    baton
        .wait_for(
            "isolate ended: its code did not finish after its last call",
            json!({ "generation": 1 }),
        )
        .await;
    assert_eq!(baton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_signal_that_code_sends_to_itself_reaches_its_handlers() {
    let worker = Worker::doing(
        r#"const heard = () => new Promise((resolve) => process.once("SIGUSR2", resolve));
export const signals = (await import("../lib/client.ts")).inngest.createFunction(
  { id: "signals", retries: 0, triggers: [{ event: "fixture/signals" }], checkpointing: false },
  async () => {
    const first = heard();
    process.kill(process.pid, "SIGUSR2");
    const told = [await first];
    const second = heard();
    Deno.kill(Deno.pid, "SIGUSR2");
    return [...told, await second];
  },
);"#,
    );
    let baton = Baton::dev(&worker.project).ready().await;
    let answer = start(&baton, &Run::of("fixture-signals")).answer(&baton).await;
    assert_eq!(answer.json(), json!(["SIGUSR2", "SIGUSR2"]), "{answer}");
}
