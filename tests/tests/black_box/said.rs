//! The output of user code, and the events that it gets: lines of the log that name the call, stray errors that
//! disturb nothing, and the events of a generation's end.

use harness::{Baton, Line, Project, Run, mismatch};
use serde_json::{Value, json};

use crate::calls::{gated, start, version_of};

/// A function that writes output in every way that loses the call easily.
const TALKS: &str = r#"import { exec, spawn } from "node:child_process";
import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
console.log("said while loading", { answer: 42 });
export const talks = inngest.createFunction(
  { id: "talks", retries: 1, triggers: [{ event: "fixture/talks" }], checkpointing: false },
  async () => {
    console.log("said at once");
    await new Promise((go) => setTimeout(go, 1));
    console.warn("said after an await");
    setTimeout(() => console.error("said in a timer"), 1);
    exec("echo", () => console.info("said in a child's callback"));
    spawn("echo").stdout.on("data", () => console.info("said in a listener of a child's stream"));
    return "talked";
  },
);
"#;

/// Returns the fields of a log line that belong to the call.
fn of_the_call(run: &Run, level: &str) -> Value {
    json!({ "level": level, "isolate": "generation-1", "function": run.function, "run": run.id, "step": "step" })
}

#[tokio::test]
async fn every_line_names_its_call() {
    let project = Project::new();
    project.write("functions/talks.ts", TALKS);
    let baton = Baton::dev(&project).ready().await;
    baton
        .wait_for(
            "said while loading { answer: 42 }",
            json!({ "isolate": "generation-1" }),
        )
        .await;
    let run = Run::of("fixture-talks");
    let answer = start(&baton, &run).answer(&baton).await;
    assert_eq!(answer.json(), "talked", "{answer}");
    for (level, text) in [
        ("INFO", "said at once"),
        ("WARN", "said after an await"),
        ("ERROR", "said in a timer"),
        ("INFO", "said in a child's callback"),
        ("INFO", "said in a listener of a child's stream"),
    ] {
        baton.wait_for(text, of_the_call(&run, level)).await;
    }
}

/// A function that leaves errors behind, each thrown on a line of its own, which its message names.
const LEAVES: &str = r#"import { exec, spawn } from "node:child_process";
import * as timers from "node:timers";
import { promisify } from "node:util";
import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
interface Unused {}
export const leaves = inngest.createFunction(
  { id: "leaves", retries: 1, triggers: [{ event: "fixture/leaves" }], checkpointing: false },
  async () => {
    Promise.reject(new Error("on line 10"));
    setTimeout(() => { throw new Error("on line 11"); }, 1);
    timers.setTimeout(() => { throw new Error("on line 12"); }, 1);
    const interval = setInterval(() => { clearInterval(interval); throw new Error("on line 13"); }, 1);
    setImmediate(() => { throw new Error("on line 14"); });
    queueMicrotask(() => { throw new Error("on line 15"); });
    process.nextTick(() => { throw new Error("on line 16"); });
    exec("echo", () => { throw new Error("on line 17"); });
    spawn("echo").on("exit", () => { throw new Error("on line 18"); });
    spawn("echo").stdout.on("data", () => { throw new Error("on line 19"); });
    spawn("echo").stdout.on("end", () => { throw new Error("on line 20"); }).resume();
    spawn("/does/not/exist").on("error", () => { throw new Error("on line 21"); });
    return [await promisify(setTimeout)(1, "promised"), timers.setTimeout === setTimeout];
  },
);
"#;

#[tokio::test]
async fn every_stray_error_names_its_call_and_its_place() {
    let project = Project::new();
    project.write("functions/leaves.ts", LEAVES);
    let baton = Baton::dev(&project).ready().await;
    let run = Run::of("fixture-leaves");
    let answer = start(&baton, &run).answer(&baton).await;
    assert_eq!(answer.json(), json!(["promised", true]), "{answer}");
    let whose = of_the_call(&run, "ERROR");
    for line in 10..=21 {
        let what = format!("Error: on line {line}\n");
        let place = format!("functions/leaves.ts:{line}:");
        let told = |found: &Line| {
            let message = found.message();
            message.contains(&what) && message.contains(&place) && mismatch(&found.json, &whose).is_none()
        };
        baton.stderr().wait_for_line(&what, told).await;
    }
    assert_eq!(version_of(&baton, "version").await, "1", "nothing else is disturbed");
}

/// A function with listeners for the errors that it leaves behind, as error reporters have them.
const REPORTS: &str = r#"import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
const inBoth = (told: string) => (console.info(told), alerts.push(told));
const alerts: string[] = [];
let told = () => {};
process.on("unhandledRejection", (reason) => { inBoth(`rejection: ${(reason as Error).message}`); });
process.on("uncaughtException", (error, origin) => { inBoth(`${origin}: ${error.message}`); told(); });
globalThis.addEventListener("unhandledrejection", (event) => {
  if (event.reason === "of the web") event.preventDefault();
});
export const reports = inngest.createFunction(
  { id: "reports", retries: 1, triggers: [{ event: "fixture/reports" }], checkpointing: false },
  async () => {
    void Promise.reject(new Error("the mail was not sent"));
    void Promise.reject("of the web");
    await new Promise<void>((resolve) => {
      told = resolve;
      setTimeout(() => { throw new Error("the timer broke"); }, 1);
    });
    process.once("unhandledRejection", () => { throw new Error("the listener broke"); });
    await new Promise<void>((resolve) => {
      told = resolve;
      void Promise.reject(new Error("the second mail was not sent"));
    });
    process.removeAllListeners("uncaughtException").removeAllListeners("unhandledRejection");
    process.once("uncaughtException", () => { throw new Error("the last listener broke"); });
    setTimeout(() => { throw new Error("the last timer broke"); }, 1);
    return alerts;
  },
);
"#;

#[tokio::test]
async fn a_stray_error_that_a_listener_hears_is_not_logged_as_one() {
    let project = Project::new();
    project.write("functions/reports.ts", REPORTS);
    let baton = Baton::dev(&project).ready().await;
    let run = Run::of("fixture-reports");
    let answer = start(&baton, &run).answer(&baton).await;
    let heard = [
        "rejection: the mail was not sent",
        "uncaughtException: the timer broke",
        "rejection: the second mail was not sent",
        "uncaughtException: the listener broke",
    ];
    assert_eq!(answer.json(), json!(heard), "{answer}");
    for told in heard {
        baton.wait_for(told, of_the_call(&run, "INFO")).await;
    }
    // The listener breaks, so nothing has handled the timer's error.
    for message in ["the last listener broke", "the last timer broke"] {
        let logged = format!("Uncaught error: Error: {message}\n");
        let told = |found: &Line| {
            found.message().starts_with(&logged) && mismatch(&found.json, &of_the_call(&run, "ERROR")).is_none()
        };
        baton.stderr().wait_for_line(&logged, told).await;
    }
    let lines = baton.stderr().lines();
    let stray = lines
        .iter()
        .filter(|line| line.message().starts_with("Unh") || line.message().starts_with("Unc"));
    assert_eq!(stray.count(), 2, "what a listener has heard is not logged again");
    assert_eq!(version_of(&baton, "version").await, "1", "the isolate lives on");
}

/// A function that writes in the ways that Node's streams accept; the last line has no end.
const WRITES: &str = r#"import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
export const writes = inngest.createFunction(
  { id: "writes", retries: 1, triggers: [{ event: "fixture/writes" }], checkpointing: false },
  async () => {
    const { stdout, stderr } = process;
    const returned = stdout.write("one\nand ");
    await new Promise((then) => stdout.write("two\n\n", "utf8", then));
    stderr.write(Buffer.from("thr\u{e9}e\r\n"));
    stdout.write("666f7572", "hex");
    console.log("after four");
    stdout.write("€".repeat(3).concat("\n"));
    stderr.write("never ended");
    return [returned, stdout.isTTY ?? false, stdout.columns ?? null, stdout.writable];
  },
);
"#;

#[tokio::test]
async fn what_is_written_to_the_standard_streams_becomes_lines_that_name_their_call() {
    let project = Project::new();
    project.write("functions/writes.ts", WRITES);
    let baton = Baton::dev(&project).ready().await;
    let run = Run::of("fixture-writes");
    let answer = start(&baton, &run).answer(&baton).await;
    assert_eq!(answer.json(), json!([true, false, null, true]), "{answer}");
    let mut whose = of_the_call(&run, "INFO");
    whose["stream"] = json!("stderr");
    baton.wait_for("never ended", whose.clone()).await;

    whose.as_object_mut().expect("fields").remove("stream");
    let lines = baton.stderr().lines();
    let of_the_call = lines.iter().filter(|line| mismatch(&line.json, &whose).is_none());
    let said: Vec<_> = of_the_call
        .map(|line| (line.json["stream"].as_str().unwrap_or("console"), line.message()))
        .collect();
    let expected = [
        ("stdout", "one"),
        ("stdout", "and two"),
        ("stdout", ""),
        ("stderr", "thr\u{e9}e"),
        ("stdout", "four"),
        ("console", "after four"),
        ("stdout", "€€€"),
        ("stderr", "never ended"),
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_line_without_end_is_not_lost_with_its_isolate() {
    let project = Project::new();
    let writes = WRITES.replace("return [", "process.exit(1);\n    return [");
    project.write("functions/writes.ts", writes);
    let baton = Baton::dev(&project).ready().await;
    let run = Run::of("fixture-writes");
    assert_eq!(start(&baton, &run).answer(&baton).await.status, 500);
    baton.wait_for("never ended", of_the_call(&run, "INFO")).await;
}

/// A function that writes past `process.stdout`, and has children that do the same; one of the children blocks the
/// isolate.
const BYPASSES: &str = r#"import { execSync, spawn, spawnSync } from "node:child_process";
import { writeSync } from "node:fs";
import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
export const bypasses = inngest.createFunction(
  { id: "bypasses", retries: 1, triggers: [{ event: "fixture/bypasses" }], checkpointing: false },
  async ({ event }) => {
    writeSync(1, "by number 1\n");
    writeSync(2, "by number 2\n");
    Deno.stdout.writeSync(new TextEncoder().encode("by Deno\n"));
    const exits = (child: any) => new Promise((then) => child.on("exit", then));
    await exits(spawn("echo", ["by a child that inherits"], { stdio: "inherit" }));
    await exits(spawn("sh", ["-c", "echo by a crossed child >&2"], { stdio: ["ignore", 2, 1] }));
    await exits(spawn("echo", ["by a child that is piped"], { stdio: ["ignore", process.stdout, "ignore"] }));
    spawnSync("echo", ["by a child that blocks"], { stdio: [0, 1, 2] });
    const { gate } = event.data;
    execSync(`echo a question without end; printf '? ' >&2; until test -e ${gate}; do sleep 0.05; done`, { stdio: "inherit" });
    return "done";
  },
);
"#;

#[tokio::test]
async fn nothing_reaches_the_hosts_own_streams_raw() {
    let project = Project::new();
    project.write("functions/bypasses.ts", BYPASSES);
    let output = project.scratch().join("output");
    let baton = Baton::dev(&project).output(&output).ready().await;
    let gate = project.gate("execSync");
    let run = Run::of("fixture-bypasses").with_data(json!({ "gate": gate.path() }));
    let running = start(&baton, &run);
    for (stream, text) in [
        ("stdout", "by number 1"),
        ("stderr", "by number 2"),
        ("stdout", "by Deno"),
        ("stdout", "by a child that inherits"),
        ("stdout", "by a crossed child"),
        ("stdout", "by a child that is piped"),
        ("stdout", "by a child that blocks"),
        ("stdout", "a question without end"),
        ("stderr", "? "),
    ] {
        let whose = json!({ "level": "INFO", "isolate": "generation-1", "stream": stream, "target": "user" });
        baton.wait_for(text, whose).await;
    }
    assert!(!running.is_finished(), "the isolate is blocked still");
    gate.open();
    assert_eq!(running.answer(&baton).await.json(), "done");
    let raw: Vec<_> = baton
        .stderr()
        .lines()
        .into_iter()
        .filter(|line| line.json.is_null())
        .collect();
    assert!(raw.is_empty(), "{raw:#?}");
    assert_eq!(std::fs::read_to_string(output).expect("its standard output"), "");
}

/// Code that listens for its generation's end.
const HEARS: &str = r#"globalThis.addEventListener("baton:draining", () => console.log("heard that it drains"));
globalThis.addEventListener("beforeunload", () => console.log("heard that it ends"));
"#;

#[tokio::test]
async fn a_generation_is_told_that_it_drains_and_then_that_it_ends() {
    let project = Project::new();
    project.write("functions/hears.ts", HEARS);
    let baton = Baton::dev(&project).ready().await;
    let gate = project.gate("call");
    let running = start(&baton, &gated(&gate));
    baton.in_flight(1, 1).await;
    project.set_version("2");
    let _ = baton.reload().await.activated();
    let old = json!({ "isolate": "generation-1" });
    baton.wait_for("heard that it drains", old.clone()).await;
    assert!(!running.is_finished());
    gate.open();
    assert_eq!(running.version(&baton).await, "1");
    baton.wait_for("heard that it ends", old).await;
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
}

/// Writes a module that works beside calls, and finishes that work before its generation goes: it waits until
/// there is a file, and then writes another. Returns the path of the other file.
fn finishes(project: &Project, gate: &harness::Gate) -> std::path::PathBuf {
    let done = project.scratch().join("done");
    let text = format!(
        r#"import {{ existsSync, appendFileSync }} from "node:fs";
async function finish() {{
  while (!existsSync({:?})) await new Promise((resolve) => setTimeout(resolve, 10));
  appendFileSync({done:?}, "done\n");
}}
globalThis.addEventListener("baton:draining", (event) => event.waitUntil(finish()));
// What nothing can settle any more holds nothing.
globalThis.addEventListener("baton:draining", (event) => event.waitUntil(new Promise(() => {{}})));
"#,
        gate.path()
    );
    project.write("functions/finishes.ts", text);
    done
}

#[tokio::test]
async fn a_generation_stays_until_its_code_has_finished_what_it_waits_for_and_shows_that() {
    let project = Project::new();
    let gate = project.gate("finish");
    let done = finishes(&project, &gate);
    let baton = Baton::dev(&project).ready().await;
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    assert_eq!(version_of(&baton, "version").await, "2");
    let finishing = |status: &harness::Status| status.generation(1)["isolates"][0]["finishing"] == true;
    let status = baton.status_when("generation 1 to finish something", finishing).await;
    assert_eq!(status.generation(1)["state"], "draining", "{:#}", status.0);
    assert!(!done.exists());
    gate.open();
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
    assert_eq!(std::fs::read_to_string(done).expect("what it finished"), "done\n");
}

#[tokio::test]
async fn a_host_that_ends_lets_its_code_finish_what_it_waits_for() {
    let project = Project::new();
    let gate = project.gate("finish");
    let done = finishes(&project, &gate);
    let mut baton = Baton::start(&project).ready().await;
    baton.signal("TERM").await;
    baton
        .wait_for("ending: no new calls are taken, calls in flight finish", json!({}))
        .await;
    assert!(baton.is_running() && !done.exists());
    gate.open();
    assert_eq!(baton.ended().await.code(), Some(0));
    assert_eq!(std::fs::read_to_string(done).expect("what it finished"), "done\n");
}
