//! Threads and processes beside a function's own thread, and the interfaces below it: worker threads, processes of
//! Node, native addons, and Deno's own interface.

use std::process::Command;

#[cfg(target_os = "linux")]
use harness::deadline;
use harness::{Baton, Project};
use serde_json::json;

use crate::typescript::{returned, returning};

/// Code for the first sign of a worker: a message, an error, or its end.
const FIRST: &str = r#"import { Worker } from "node:worker_threads";
const first = (worker: Worker) => new Promise<any>((resolve) => {
  worker.once("message", resolve);
  worker.once("error", (error: any) => resolve({ error: error.code ?? error.message }));
  worker.once("exit", (code) => resolve({ exit: code }));
});"#;

#[tokio::test]
async fn a_worker_thread_runs_typescript_with_the_projects_packages() {
    let project = Project::new();
    let worker = r#"import { parentPort, workerData } from "node:worker_threads";
import { z } from "zod";
import { VERSION } from "../lib/version";
enum Kind { Worker = "worker" }
parentPort!.on("message", (n: unknown) => {
  parentPort!.postMessage({ n: z.number().parse(n) * workerData.by, version: VERSION, kind: Kind.Worker });
  new Int32Array(workerData.shared)[0] = 7;
});
"#;
    project.write("workers/double.ts", worker);
    project.write(
        "workers/web.ts",
        "self.onmessage = (event: MessageEvent<number>) => self.postMessage(event.data + 1);\n",
    );
    let beginning = format!(
        r#"{FIRST}
const shared = new SharedArrayBuffer(4);
async function all() {{
  const double = new Worker(new URL("../workers/double.ts", import.meta.url), {{ workerData: {{ by: 2, shared }} }});
  double.postMessage(21);
  const doubled = await first(double);
  await double.terminate();
  const web = new globalThis.Worker(new URL("../workers/web.ts", import.meta.url), {{ type: "module" }});
  const next = await new Promise((resolve) => {{
    web.onmessage = (event) => resolve(event.data);
    web.postMessage(1);
  }});
  web.terminate();
  const evaluate = (code: string) => first(new Worker(code, {{ eval: true }}));
  return [doubled, new Int32Array(shared)[0], next, await evaluate("throw new Error('lost')"), await evaluate("process.exit(3)")];
}}"#
    );
    project.write("functions/shape.ts", returning(&beginning, "await all()"));
    let baton = Baton::dev(&project).ready().await;
    let doubled = |version: &str| json!({ "n": 42, "version": version, "kind": "worker" });
    let rest = [json!(7), json!(2), json!({ "error": "lost" }), json!({ "exit": 3 })];
    let [shared, next, lost, exit] = rest;
    assert_eq!(returned(&baton).await, json!([doubled("1"), shared, next, lost, exit]));

    project.edit("workers/double.ts", "\"worker\"", "\"edited\"");
    project.set_version("2");
    let _ = baton.reload().await.activated();
    let value = returned(&baton).await;
    assert_eq!(
        value[0],
        json!({ "n": 42, "version": "2", "kind": "edited" }),
        "a worker's files are code"
    );
}

#[tokio::test]
async fn a_worker_that_is_out_of_memory_ends_alone() {
    let project = Project::new();
    let beginning = format!(
        "{FIRST}\nconst limits = {{ eval: true, resourceLimits: {{ maxOldGenerationSizeMb: 32 }} }};\n\
         const code = \"const a = []; while (true) a.push(new Array(1e5).fill(1.5))\";"
    );
    project.write(
        "functions/shape.ts",
        returning(&beginning, "await first(new Worker(code, limits))"),
    );
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(returned(&baton).await, json!({ "error": "ERR_WORKER_OUT_OF_MEMORY" }));
    assert_eq!(baton.status().await.current(), 1);
}

/// The test lists threads as Linux does.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn workers_end_with_the_isolate_that_started_them_also_where_they_spin() {
    let threads = |baton: &Baton| {
        let list = std::fs::read_dir(format!("/proc/{}/task", baton.pid())).expect("the threads of a running Baton");
        let names = list
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names
            .filter(|name| name.starts_with("WorkerId") || name.starts_with("worker-"))
            .count()
    };
    let project = Project::new();
    let beginning = format!(
        "{FIRST}\nconst workers = [\"while (true);\", \"Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)\",\n\
         \"setInterval(() => {{}}, 1000)\"].map((code) => new Worker(`require(\"node:worker_threads\").parentPort.postMessage(1); ${{code}}`, {{ eval: true }}));\n\
         const online = await Promise.all(workers.map(first));"
    );
    project.write("functions/shape.ts", returning(&beginning, "online"));
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(returned(&baton).await, json!([1, 1, 1]));
    assert_eq!(threads(&baton), 3, "the test knows its workers by their names");

    project.write("functions/shape.ts", returning("", "\"without workers\""));
    let _ = baton.reload_with("?wait=drained").await.activated();
    deadline::until(
        "the end of the workers",
        || baton.stderr().tail(),
        async || (threads(&baton) == 0).then_some(()),
    )
    .await;
    assert_eq!(returned(&baton).await, "without workers");
}

#[tokio::test]
async fn fork_runs_node_and_says_so_where_there_is_none() {
    let project = Project::new();
    let child = "process.on(\"message\", (message) => process.send({ message, here: typeof Deno }, () => process.disconnect()));\n";
    project.write("lib/child.mjs", child);
    let beginning = r#"import { fork, execFileSync } from "node:child_process";
import cluster from "node:cluster";
import { createServer } from "node:net";
const child = () => {
  const child = fork(new URL("../lib/child.mjs", import.meta.url));
  try {
    child.send("never", createServer());
  } catch (error) {
    child.send((error as NodeJS.ErrnoException).code!);
  }
  return new Promise((resolve) => child.once("message", resolve).once("exit", (code) => resolve({ exit: code })));
};
const clustered = () => new Promise((resolve) => cluster.fork().on("exit", resolve));"#;
    let expression = "[await child(), await clustered(), String(execFileSync(process.execPath, [\"-p\", \"1+1\"]))]";
    project.write("functions/shape.ts", returning(beginning, expression));
    let baton = Baton::dev(&project).ready().await;
    let value = returned(&baton).await;
    assert_eq!(
        value,
        json!([{ "message": "ERR_INVALID_HANDLE_TYPE", "here": "undefined" }, 1, "2\n"])
    );
    let is_told = |text: &'static str| move |line: &harness::Line| line.message().contains(text);
    let _ = baton
        .stderr()
        .wait_for_line("why there is no cluster", is_told("Baton has no node:cluster"))
        .await;

    let project = Project::new();
    project.write("functions/shape.ts", returning(beginning, "await child()"));
    let baton = Baton::dev(&project).env("PATH", "/nowhere").ready().await;
    assert_eq!(returned(&baton).await, json!({ "exit": 1 }));
    let _ = baton
        .stderr()
        .wait_for_line("why nothing was forked", is_told("child_process.fork needs Node.js"))
        .await;
}

#[tokio::test]
async fn an_addon_for_nodes_own_v8_says_why_it_does_not_load() {
    let project = Project::new();
    let source = "extern void *_ZN2v87Isolate10GetCurrentEv(void);\n\
                  static void *const table[] = { (void *)_ZN2v87Isolate10GetCurrentEv };\n\
                  const void *addon(void) { return table; }\n";
    project.write("lib/addon.c", source);
    let lib = project.root().join("lib");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o", "addon.node", "addon.c"])
        .current_dir(&lib);
    if cfg!(target_os = "macos") {
        compiler.args(["-undefined", "dynamic_lookup"]);
    }
    assert!(
        compiler.status().is_ok_and(|status| status.success()),
        "cc, which a build needs anyway"
    );
    let beginning = "import { createRequire } from \"node:module\";\nconst load = () => {\n\
                     try { return createRequire(import.meta.url)(\"../lib/addon.node\"); } catch (error) { return String(error); }\n};";
    project.write("functions/shape.ts", returning(beginning, "load()"));
    let baton = Baton::dev(&project).ready().await;
    let said = returned(&baton).await.to_string();
    for part in ["lib/addon.node", "it needs the V8 of Node", "Node-API", "node:sqlite"] {
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn denos_own_interface_is_there_and_so_is_the_platform() {
    let project = Project::new();
    let beginning = r#"import os from "node:os";
const echo = () => new Deno.Command("echo", { args: ["a"] }).output();"#;
    let expression = "[
      (await Deno.readTextFile(new URL(\"../lib/version.ts\", import.meta.url))).includes(\"VERSION\"),
      new TextDecoder().decode((await echo()).stdout),
      Deno.env.get(\"FROM_OUTSIDE\"), process.env.FROM_OUTSIDE,
      [process.platform, os.platform(), Deno.build.os].map((name) => name === process.platform && name.length > 0),
    ]";
    project.write("functions/shape.ts", returning(beginning, expression));
    let baton = Baton::dev(&project).env("FROM_OUTSIDE", "yes").ready().await;
    assert_eq!(
        returned(&baton).await,
        json!([true, "a\n", "yes", "yes", [true, true, true]])
    );
}
