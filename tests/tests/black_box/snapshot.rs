//! A generation is a snapshot: its modules see its own bytes, whatever is on the disk later.

use harness::{Baton, Project, Run};
use serde_json::{Value, json};

use crate::calls::{start, version_of};

/// A function that reads lazily: an ES module, a CommonJS one, a package, and JSON.
const LAZY: &str = r#"import { createRequire } from "node:module";
import { Inngest } from "inngest";
import { untilThereIs } from "../lib/work";
const inngest = new Inngest({ id: "fixture" });
const require = createRequire(import.meta.url);
export const lazy = inngest.createFunction(
  { id: "lazy", retries: 1, triggers: [{ event: "fixture/lazy" }], checkpointing: false },
  async ({ event }) => {
    if (event.data.spin) for (;;);
    if (event.data.gate) await untilThereIs(event.data.gate);
    const { late } = await import("../lib/late");
    const { answer } = await import("dep");
    return { late, answer, required: require("../lib/old.cjs").old, json: require("../lib/data.json").data };
  },
);
"#;

fn project() -> Project {
    let project = Project::new();
    project.write("functions/lazy.ts", LAZY);
    write_all(&project, "one");
    project
}

fn write_all(project: &Project, text: &str) {
    project.write("lib/late.ts", format!("export const late: string = {text:?};\n"));
    project.write("lib/old.cjs", format!("exports.old = {text:?};\n"));
    project.write("lib/data.json", json!({ "data": text }).to_string());
    project.write(
        "functions/node_modules/dep/package.json",
        json!({ "name": "dep", "main": "main.js" }).to_string(),
    );
    project.write(
        "functions/node_modules/dep/main.js",
        format!("exports.answer = {text:?};\n"),
    );
}

fn all(text: &str) -> Value {
    json!({ "late": text, "answer": text, "required": text, "json": text })
}

async fn lazy(baton: &Baton) -> Value {
    let answer = start(baton, &Run::of("fixture-lazy")).answer(baton).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

#[tokio::test]
async fn what_was_read_once_reads_the_same_after_the_disk_changed() {
    let project = project();
    let baton = Baton::dev(&project).argument("--isolates=2").ready().await;
    assert_eq!(lazy(&baton).await, all("one"));
    write_all(&project, "two");
    // The package changes altogether.
    project.write(
        "functions/node_modules/dep/package.json",
        json!({ "name": "dep", "type": "module", "main": "other.js" }).to_string(),
    );
    project.write(
        "functions/node_modules/dep/other.js",
        "export const answer = 'other';\n",
    );
    assert_eq!(lazy(&baton).await, all("one"));

    // The generation makes a second isolate after the change.
    let spinning = start(&baton, &Run::of("fixture-lazy").with_data(json!({ "spin": true })));
    baton
        .wait_for("isolate blocked", json!({ "generation": 1, "isolate": 0 }))
        .await;
    assert_eq!(lazy(&baton).await, all("one"));
    let status = baton.status().await;
    assert_eq!(status.generation(1)["isolates"].as_array().map(Vec::len), Some(2));
    assert!(!spinning.is_finished());

    let _ = baton.reload().await.activated();
    let two = json!({ "late": "two", "answer": "other", "required": "two", "json": "two" });
    assert_eq!(lazy(&baton).await, two);
}

#[tokio::test]
async fn a_module_that_is_read_for_the_first_time_while_its_generation_drains() {
    let project = project();
    let baton = Baton::dev(&project).ready().await;
    let gate = project.gate("import");
    let run = Run::of("fixture-lazy").with_data(json!({ "gate": gate.path() }));
    let running = start(&baton, &run);
    baton.in_flight(1, 1).await;
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    gate.open();
    let answer = running.answer(&baton).await;
    assert_eq!(answer.json(), all("one"), "{answer}");
    assert_eq!(version_of(&baton, "version").await, "2");
}

#[tokio::test]
async fn what_is_read_lazily_counts_as_read() {
    let project = project();
    let baton = Baton::dev(&project).watching("files").ready().await;
    assert_eq!(lazy(&baton).await, all("one"));
    let before = baton.status().await;
    assert_eq!(before.0["source"]["newer_than_loaded"], false, "{before:?}");
    let changed = || async {
        project.write("lib/late.ts", "export const late: string = \"edited\";\n");
        (lazy(&baton).await["late"] == "edited").then_some(())
    };
    harness::deadline::until("an edit of it is served", || baton.stderr().tail(), changed).await;
}

#[tokio::test]
async fn the_status_names_the_files_that_are_newer() {
    let project = project();
    let baton = Baton::dev(&project).ready().await;
    project.set_version("2");
    project.write("functions/new.ts", "export const fresh = 1;\n");
    let status = baton.status().await;
    assert_eq!(status.0["source"]["newer_than_loaded"], true, "{status:?}");
    assert_eq!(
        status.0["source"]["changed"],
        json!(["functions/new.ts", "lib/version.ts"]),
        "{status:?}"
    );
}

/// A function that answers with a variable of its environment.
const GREETS: &str = r#"import { execSync } from "node:child_process";
import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
export const greets = inngest.createFunction(
  { id: "greets", retries: 1, triggers: [{ event: "fixture/greets" }], checkpointing: false },
  async () => [process.env.GREETING, process.env.FROM_THE_HOST, execSync("echo $GREETING").toString().trim()],
);
"#;

#[tokio::test]
async fn an_environment_belongs_to_a_generation() {
    let project = Project::new();
    project.write("functions/greets.ts", GREETS);
    project.write(".env", "GREETING=hello\nFROM_THE_HOST=file\n");
    project.write("baton.toml", "[env]\nfile = \".env\"\n");
    let baton = Baton::dev(&project)
        .env("FROM_THE_HOST", "host")
        .watching("files")
        .ready()
        .await;
    let greets = async || {
        let answer = start(&baton, &Run::of("fixture-greets")).answer(&baton).await;
        assert_eq!(answer.status, 200, "{answer}");
        answer.json()
    };
    assert_eq!(greets().await, json!(["hello", "host", "hello"]));
    let status = baton.status().await;
    let environment = &status.generation(1)["environment"];
    assert_eq!(environment["names"], json!(["FROM_THE_HOST", "GREETING"]), "{status:?}");
    assert!(!status.0.to_string().contains("hello"), "values are nobody's business");

    let changed = || async {
        project.write(".env", "GREETING=good morning\n");
        (greets().await[0] == "good morning").then_some(())
    };
    harness::deadline::until("an edit of the file is noticed", || baton.stderr().tail(), changed).await;
    project.remove(".env");
    let line = baton
        .wait_for("generation rejected", json!({ "kind": "resolve" }))
        .await;
    assert!(
        line.text.contains("cannot read") && line.text.contains(".env"),
        "{}",
        line.text
    );
    assert_eq!(greets().await[0], "good morning");
}

/// A function that writes code three times, and each time imports it by another query, requires it, and runs
/// it in a thread.
const GENERATES: &str = r#"import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { inngest } from "../lib/client";
import { loaded } from "../lib/loaded";
const folder = new URL("../generated/", import.meta.url);
const require = createRequire(import.meta.url);
function write(name, code) {
  mkdirSync(folder, { recursive: true });
  const file = new URL(name, folder);
  writeFileSync(file, code);
  return file;
}
const ways = {
  async imported(text) {
    const file = write("rules.mjs", `export const text = "${text}";\n`);
    return (await import(`${file.href}?t=${text}`)).text;
  },
  async typescript(text) {
    const file = write("rules.ts", `export const text: string = "${text}";\n`);
    return (await import(`${file.href}?t=${text}`)).text;
  },
  async json(text) {
    const file = write("rules.json", JSON.stringify({ text }));
    return (await import(`${file.href}?t=${text}`, { with: { type: "json" } })).default.text;
  },
  required(text) {
    const { pathname } = write("rules.cjs", `module.exports = "${text}";\n`);
    delete require.cache[pathname];
    return require(pathname);
  },
  inWorker(text) {
    const code = `import { parentPort } from "node:worker_threads";\nparentPort.postMessage("${text}");\n`;
    const worker = new Worker(write("worker.mjs", code));
    return new Promise((resolve, reject) => {
      worker.once("error", reject).once("message", (message) => worker.terminate().then(() => resolve(message)));
    });
  },
  // What the load has read is the generation's for good.
  async loaded(text) {
    const file = new URL("../lib/loaded.ts", import.meta.url);
    writeFileSync(file, `export const loaded = "${text}";\n`);
    return (await import(`${file.href}?t=${text}`)).loaded + loaded;
  },
};
export const generates = inngest.createFunction(
  { id: "generates", retries: 1, checkpointing: false, triggers: [{ event: "fixture/generates" }] },
  async () => {
    const seen = {};
    for (const way in ways) {
      seen[way] = [];
      for (const text of ["one", "two", "three"]) seen[way].push(await ways[way](text));
    }
    return seen;
  },
);
"#;

#[tokio::test]
async fn what_a_function_generates_and_imports_again_is_read_anew_and_what_the_load_read_is_not() {
    let project = Project::new();
    project.write("functions/generates.ts", GENERATES);
    project.write("lib/loaded.ts", "export const loaded = \"of the load \";\n");
    let baton = Baton::dev(&project).ready().await;
    let answer = start(&baton, &Run::of("fixture-generates")).answer(&baton).await;
    assert_eq!(answer.status, 200, "{answer}");
    let anew = json!(["one", "two", "three"]);
    let same = "of the load of the load ";
    assert_eq!(
        answer.json(),
        json!({
            "imported": anew, "typescript": anew, "json": anew, "required": anew, "inWorker": anew,
            "loaded": [same, same, same],
        })
    );
}
