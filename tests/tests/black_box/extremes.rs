//! Code that goes to extremes: it is nested without end, waits where nothing can interrupt it, takes all memory
//! beside its own thread, or takes the platform's own parts away. Baton answers or refuses it, and nothing else ends.

use harness::http::Call;
use harness::{Baton, Project, Report};
use serde_json::json;

use crate::calls::version_of;
use crate::typescript::{returned, returning};

/// The parts of nested texts: the beginning, the part that is repeated, the innermost part, and the part that closes
/// each repetition.
const NESTED: [[&str; 4]; 8] = [
    ["const x = ", "[", "", "]"],
    ["const x = ", "(", "1", ")"],
    ["const x = ", "[1,", "1", "]"],
    ["const x: any = {}; x", ".a()", "", ""],
    ["const x = 1", "+1", "", ""],
    ["let a: any, b: any; const x = ", "a?b:", "1", ""],
    ["type X = ", "A<", "B", ">"],
    ["", "{", "", "}"],
];

fn nested([before, open, middle, close]: [&str; 4], times: usize) -> String {
    format!(
        "export {{}};\n{before}{}{middle}{};\n",
        open.repeat(times),
        close.repeat(times)
    )
}

#[track_caller]
fn assert_rejected(report: &Report, file: &str) {
    assert_eq!((report.http, report.status()), (422, "rejected"), "{report}");
    assert_eq!(report.error()["file"], file, "{report}");
}

#[tokio::test]
async fn code_that_is_nested_without_end_is_rejected_with_its_place() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    for shape in NESTED {
        project.write("functions/deep.ts", nested(shape, 250_000));
        let report = baton.reload().await;
        assert_rejected(&report, "functions/deep.ts");
        assert!(report.error()["line"].as_u64().is_some(), "{report}");
        assert_eq!(version_of(&baton, "version").await, "1");
    }
    // Many operators are no nesting, as in Node; also in a package, and in printed code.
    project.remove("functions/deep.ts");
    project.write(
        "node_modules/deep/package.json",
        r#"{ "name": "deep", "version": "1.0.0" }"#,
    );
    let sum = format!("exports.sum = 1{};\n", "+1".repeat(23_999));
    project.write("node_modules/deep/index.js", sum);
    let own = format!(
        "import {{ sum }} from \"deep\";\nconst own: number = 1{};\n",
        "+1".repeat(23_999)
    );
    project.write("functions/shape.ts", returning(&own, "own + sum"));
    let _ = baton.reload().await.activated();
    assert_eq!(returned(&baton).await, json!(48_000));
}

#[tokio::test]
async fn text_that_user_code_has_parsed_is_nested_as_it_likes() {
    let project = Project::new();
    let beginning = r#"import { stripTypeScriptTypes } from "node:module";
import { Glob, YAML, TOML } from "bun";
const said = (ask: () => unknown) => { try { return typeof ask(); } catch (error: any) { return error.name; } };
const all = () => [
  said(() => (stripTypeScriptTypes as any)("[".repeat(2_000_000) + "]".repeat(2_000_000))),
  said(() => stripTypeScriptTypes("const a: number = 1")),
  new Glob("{a,".repeat(300) + "}".repeat(300)).match("a"),
  new Glob("{".repeat(200_000)).match("a"),
  new Glob("{a,{b,c}}.ts").match("c.ts"),
  said(() => YAML.parse("[".repeat(200_000))),
  said(() => YAML.parse("- ".repeat(50_000) + "1")),
  said(() => TOML.parse("a = " + "[".repeat(200_000))),
];"#;
    project.write("functions/shape.ts", returning(beginning, "all()"));
    let baton = Baton::dev(&project).ready().await;
    let answered = returned(&baton).await;
    assert_eq!(answered[0], "SyntaxError", "{answered}");
    assert_eq!(answered[1], "string", "{answered}");
    assert_eq!(
        [&answered[2], &answered[3], &answered[4]],
        [false, false, true],
        "{answered}"
    );
    assert_eq!(baton.status().await.current(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn a_load_that_native_code_keeps_is_left_behind_and_the_next_one_goes_on() {
    let project = Project::new();
    let baton = Baton::dev(&project).argument("--load-timeout=2").ready().await;
    let pipe = project.root().join("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .expect("mkfifo");
    assert!(made.success());
    let code = format!(
        "import {{ readFileSync }} from \"node:fs\";\nexport const text = readFileSync({:?}, \"utf8\");\n",
        pipe.display().to_string()
    );
    project.write("functions/waits.ts", code);
    let report = baton.reload().await;
    assert_rejected(&report, "functions/waits.ts");
    assert_eq!(report.error()["kind"], "timeout", "{report}");
    baton.wait_for("isolate left behind", json!({})).await;
    project.write("functions/waits.ts", "export const text = \"mended\";\n");
    let _ = baton.reload().await.activated();
    assert_eq!(version_of(&baton, "version").await, "1");
    // The write lets the thread go that reads the pipe.
    std::fs::write(&pipe, "").expect("the pipe is read");
    baton
        .wait_for("isolate that was left behind has ended", json!({}))
        .await;
}

const WORKERS: &str = r#"import { Worker } from "node:worker_threads";
const first = (worker: Worker) => new Promise<any>((resolve) => {
  worker.once("message", resolve);
  worker.once("error", (error: any) => resolve({ error: error.code ?? error.message }));
  worker.once("exit", (code) => resolve({ exit: code }));
});
const work = (code: string, maxOldGenerationSizeMb?: number) =>
  first(new Worker(code, { eval: true, resourceLimits: { maxOldGenerationSizeMb } }));"#;

#[tokio::test]
async fn a_worker_with_any_limit_boots_or_says_that_it_has_no_memory() {
    let project = Project::new();
    let beginning = format!(
        "{WORKERS}\nconst code = \"require('node:worker_threads').parentPort.postMessage('up')\";\n\
         const all = () => Promise.all([1, 2, 4, 8, 64, 2 ** 44].map((limit) => work(code, limit)));"
    );
    project.write("functions/shape.ts", returning(&beginning, "await all()"));
    let baton = Baton::dev(&project).ready().await;
    let answered = returned(&baton).await;
    assert_eq!(
        answered[0],
        json!({ "error": "ERR_WORKER_OUT_OF_MEMORY" }),
        "{answered}"
    );
    assert_eq!((&answered[4], &answered[5]), (&json!("up"), &json!("up")), "{answered}");
    assert_eq!(baton.status().await.current(), 1);
}

/// V8 cannot interrupt a loop that it has optimised, and gives up.
#[tokio::test]
async fn a_worker_that_v8_gives_up_leaves_the_isolate_and_its_calls_alone() {
    let project = Project::new();
    let beginning = format!(
        "{WORKERS}\nconst code = \"for (let i = 0; i < 20; i++) for (let j = 0; j < 100; j++) new Array(1000).fill({{}});\" +\n\
         \"const all = []; for (;;) all.push(new Array(1000).fill({{}}));\";"
    );
    project.write("functions/shape.ts", returning(&beginning, "await work(code, 40)"));
    let baton = Baton::dev(&project).ready().await;
    for _ in 0..2 {
        assert_eq!(returned(&baton).await, json!({ "error": "ERR_WORKER_OUT_OF_MEMORY" }));
    }
    assert_eq!(version_of(&baton, "version").await, "1");
    assert_eq!(baton.status().await.current(), 1);
}

#[tokio::test]
async fn workers_hold_no_more_buffers_together_than_their_isolate_may() {
    let project = Project::new();
    let beginning = format!(
        "{WORKERS}\nconst code = `const {{ parentPort }} = require('node:worker_threads');\n\
         const all = []; try {{ for (let i = 0; i < 50; i++) all.push(new Uint8Array(1 << 20).fill(1)); }} catch {{}}\n\
         parentPort.postMessage(all.length); setInterval(() => all, 1000);`;\n\
         const all = async () => {{ const held = []; for (let i = 0; i < 4; i++) held.push(await work(code)); \
         return held; }};"
    );
    project.write("functions/shape.ts", returning(&beginning, "await all()"));
    let baton = Baton::dev(&project).argument("--buffer-limit=100").ready().await;
    let held = returned(&baton).await;
    let sum: u64 = held
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|held| held.as_u64())
        .sum();
    assert!((50..=100).contains(&sum), "{held}");
}

#[tokio::test]
async fn a_route_without_end_that_takes_what_asks_for_functions_is_served() {
    let project = Project::of_entries();
    project.write(
        "src/endless.ts",
        "export default { fetch: (request: Request) => request.method === \"GET\" ? new Response(\"here\") :\n  \
         new Response(new ReadableStream({ pull: async (to) => { await new Promise((done) => setTimeout(done, 50)); to.enqueue(new Uint8Array(10)); } })) };\n",
    );
    let baton = Baton::dev_on(&project, "src/endless.ts").ready().await;
    let answer = Call::new("GET", "/anything").answer(&baton.door()).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "here"), "{answer}");
}

#[tokio::test]
async fn user_code_that_takes_the_platforms_parts_away_is_answered_as_before() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    project.write(
        "functions/poison.ts",
        "const gone = () => { throw new Error(\"gone\"); };\nconst all = globalThis as any;\nall.Headers.prototype.forEach = gone;\n\
         all.Response.prototype.arrayBuffer = gone;\nqueueMicrotask(() => setTimeout(() => { all.Uint8Array = gone; all.Request = gone; }));\nexport {};\n",
    );
    let _ = baton.reload().await.activated();
    for _ in 0..3 {
        assert_eq!(version_of(&baton, "version").await, "1");
    }
}
