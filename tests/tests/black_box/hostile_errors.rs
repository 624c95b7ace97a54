//! Errors that cannot be read: getters that throw, proxies, messages that are no text. Code that throws such an error
//! fails as code that throws any other error, in every place.

use harness::{Baton, Project, Run};
use serde_json::{Value, json};

use crate::calls::version_of;

/// Names of errors, and an expression that makes each.
const SHAPES: [(&str, &str); 20] = [
    ("a message that throws", "bare({ message: { get() { throw 1; } } })"),
    ("a message that is a number", "bare({ message: { value: 42 } })"),
    (
        "a message that is an object",
        "bare({ message: { value: unprintable } })",
    ),
    (
        "a stack that throws",
        "own('stack', { get() { throw new Error('b'); } })",
    ),
    (
        "a stack and a message that throw",
        "bare({ message: { get() { throw 1; } }, stack: { get() { throw 1; } } })",
    ),
    ("a stack that is a number", "own('stack', { value: 42 })"),
    ("a name that throws", "own('name', { get() { throw 1; } })"),
    ("a name that is a symbol", "own('name', { value: Symbol('name') })"),
    ("a cause that throws", "own('cause', { get() { throw 1; } })"),
    (
        "a cause whose parts throw",
        "new Error('a', { cause: bare({ message: { get() { throw 1; } } }) })",
    ),
    ("a cause that is itself", "own('cause', { get() { return this; } })"),
    ("a chain of causes", "chain(20_000)"),
    (
        "errors that throw",
        "Object.defineProperty(new AggregateError([]), 'errors', { get() { throw 1; } })",
    ),
    (
        "errors with one that throws",
        "new AggregateError([bare({ message: { get() { throw 1; } } })])",
    ),
    (
        "a proxy that throws",
        "new Proxy(new Error('a'), { get() { throw 1; }, getPrototypeOf() { throw 1; } })",
    ),
    (
        "a proxy whose parts throw",
        "new Proxy(new Error('a'), { get() { throw 1; } })",
    ),
    ("a revoked proxy", "revoked()"),
    ("no text", "unprintable"),
    ("a symbol", "Symbol('a')"),
    ("nothing", "undefined"),
];

const MAKES: &str =
    "const unprintable = { toString() { throw 1; }, toJSON() { throw 1; }, get [Symbol.toPrimitive]() { throw 1; } };
const bare = (parts) => Object.create(Error.prototype, parts);
const own = (name, part) => Object.defineProperty(new Error('a'), name, part);
const revoked = () => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; };
const chain = (length) => { let e = new Error('a'); while (length--) e = new Error('a', { cause: e }); return e; };
";

const WAYS: [&str; 7] = ["throw", "step", "reject", "timer", "emit", "console", "import"];

fn thrower() -> String {
    let cases: String = SHAPES
        .iter()
        .map(|(name, shape)| format!("  {name:?}: () => {shape},\n"))
        .collect();
    format!(
        r#"{MAKES}
const shapes = {{
{cases}}};
export const make = (name) => shapes[name]();
"#
    )
}

const FUNCTION: &str = r#"import { EventEmitter } from "node:events";
import { inngest } from "../lib/client";
import { make } from "../lib/errors.mjs";
const soon = () => new Promise((resolve) => setTimeout(resolve, 1));
export const hostile = inngest.createFunction(
  { id: "hostile", retries: 0, checkpointing: false, triggers: [{ event: "fixture/hostile" }] },
  async ({ event, step }) => {
    const { name, way } = event.data;
    switch (way) {
      case "throw": throw make(name);
      case "step": return step.run("throws", () => { throw make(name); });
      case "reject": void Promise.reject(make(name)); break;
      case "timer": setTimeout(() => { throw make(name); }, 0); break;
      case "emit": setTimeout(() => { new EventEmitter().emit("error", make(name)); }, 0); break;
      case "console": console.log(make(name)); console.error("%o %s", make(name), make(name)); break;
      case "import":
        globalThis.thrown = name;
        await import("../lib/throws.mjs?" + encodeURIComponent(name));
    }
    await soon();
    return "went on";
  },
);
"#;

/// Errors without a stack whose message is no text. They panic inside `catch_dynamic_import_promise_error` of
/// deno_core 0.413, through which every `import()` goes: that costs the isolate and its thread, and nothing else.
const LOST_TO_IMPORT: [&str; 4] = [
    "a message that throws",
    "a message that is a number",
    "a message that is an object",
    "a stack and a message that throw",
];

async fn lost_threads(baton: &Baton) -> u64 {
    let status: Value = baton.get("/-/status").await.json();
    status["lost"]["threads"].as_u64().expect("a number")
}

#[tokio::test]
async fn long_errors_that_cannot_be_read_cost_no_thread_in_a_call() {
    let project = Project::new();
    project.write("lib/errors.mjs", thrower());
    project.write(
        "lib/throws.mjs",
        "import { make } from \"./errors.mjs\";\nthrow make(globalThis.thrown);\n",
    );
    project.write("functions/hostile.ts", FUNCTION);
    let baton = Baton::dev(&project).ready().await;
    let mut failed = Vec::new();
    let mut lost = lost_threads(&baton).await;
    for way in WAYS {
        for (name, _) in SHAPES {
            if way == "import" && LOST_TO_IMPORT.contains(&name) {
                continue;
            }
            let run = Run::of("fixture-hostile").with_data(json!({ "name": name, "way": way }));
            let answer = baton.executor().discover(&run).await;
            let status = answer.as_ref().map(|answer| answer.status).unwrap_or_default();
            let now = lost_threads(&baton).await;
            if now != lost || status == 0 {
                failed.push(format!("{way}: {name}: {status}, {} lost", now - lost));
            }
            lost = now;
        }
    }
    assert!(failed.is_empty(), "{}\n", failed.join("\n"));
    assert_eq!(version_of(&baton, "version").await, "1");
}

#[tokio::test]
async fn errors_that_cannot_be_read_are_load_errors_with_a_place() {
    let project = Project::new();
    project.write("lib/errors.mjs", thrower());
    let baton = Baton::dev(&project).ready().await;
    let mut failed = Vec::new();
    let mut lost = lost_threads(&baton).await;
    for (name, _) in SHAPES.into_iter().filter(|(name, _)| !LOST_TO_IMPORT.contains(name)) {
        let source = format!("import {{ make }} from \"../lib/errors.mjs\";\nthrow make({name:?});\n");
        project.write("functions/throws.ts", source);
        let report = baton.reload().await;
        let now = lost_threads(&baton).await;
        let error = report.error();
        let has_a_place = error["file"] == "functions/throws.ts" || error["file"] == "lib/errors.mjs";
        if now != lost || report.status() != "rejected" || !has_a_place {
            failed.push(format!("{name}: {} lost, {error}", now - lost));
        }
        lost = now;
    }
    assert!(failed.is_empty(), "{}\n", failed.join("\n"));
    assert_eq!(version_of(&baton, "version").await, "1");
}

#[tokio::test]
async fn errors_that_deno_cannot_read_cost_their_isolate_and_nothing_else() {
    let project = Project::new();
    project.write("lib/errors.mjs", thrower());
    let baton = Baton::dev(&project).ready().await;
    for name in LOST_TO_IMPORT {
        let source = format!("import {{ make }} from \"../lib/errors.mjs\";\nthrow make({name:?});\n");
        project.write("functions/throws.ts", source);
        let report = baton.reload().await;
        let message = &report.error()["message"];
        assert_eq!(
            (report.status(), message.as_str()),
            (
                "rejected",
                Some("the isolate's thread panicked while it loaded the project")
            ),
            "{name}: once Deno reads it, it belongs to the others: {report}"
        );
    }
    assert_eq!(version_of(&baton, "version").await, "1");
}
