//! An isolate that goes beyond a limit costs itself and nothing else (README, promise 6): its calls are
//! told to try again, and another isolate serves.

use harness::http::Answer;
use harness::{Baton, Project, Run};
use serde_json::json;

use crate::calls::{start, version_of};

/// A project with a function whose body is given; its run has a `gate` in its data.
fn project_with(body: &str) -> Project {
    let project = Project::new();
    project.write(
        "functions/extra.ts",
        format!(
            "import {{ execSync }} from \"node:child_process\";\nimport {{ Inngest }} from \"inngest\";\n\
             import {{ untilThereIs }} from \"../lib/work\";\n\
             const inngest = new Inngest({{ id: \"fixture\" }});\nconst kept: unknown[] = [];\n\
             export const extra = inngest.createFunction(\n  \
             {{ id: \"extra\", retries: 1, triggers: [{{ event: \"fixture/extra\" }}], checkpointing: false }},\n  \
             async ({{ event }}) => {{\n{body}\n  }},\n);\nvoid [execSync, kept, untilThereIs];\n"
        ),
    );
    project
}

async fn called(baton: &Baton) -> Answer {
    start(baton, &Run::of("fixture-extra")).answer(baton).await
}

#[track_caller]
fn assert_to_be_tried_again(answer: &Answer) {
    assert_eq!(answer.status, 500, "{answer}");
    assert_eq!(answer.header("x-inngest-no-retry"), Some("false"), "{answer}");
    assert_eq!(answer.header("retry-after"), Some("1"), "{answer}");
    assert!(answer.header("x-inngest-sdk").is_some(), "{answer}");
}

#[tokio::test]
async fn memory_without_end_ends_its_isolate_and_nothing_else() {
    let body = "    const all: unknown[] = [];\n    for (;;) {\n      all.push(new Array(1000).fill({}));\n      await null;\n    }";
    let project = project_with(body);
    let baton = Baton::dev(&project).argument("--heap-limit=96").ready().await;
    let answer = start(&baton, &Run::of("fixture-extra")).answer(&baton).await;
    assert_eq!(answer.status, 500, "{answer}");
    assert_eq!(answer.header("x-inngest-no-retry"), Some("false"), "{answer}");
    let line = baton.wait_for("isolate ended", json!({ "generation": 1 })).await;
    assert!(line.text.contains("out of memory"), "{}", line.text);
    assert_eq!(version_of(&baton, "version").await, "1");
}

/// V8 cannot interrupt such a loop: V8 would end the process at twice the limit.
#[tokio::test]
async fn memory_that_an_optimised_loop_takes_without_end_ends_its_isolate_and_nothing_else() {
    let body = "    for (let i = 0; i < 20; i++) for (let j = 0; j < 100; j++) new Array(1000).fill({});\n    \
                const all: unknown[] = [];\n    for (;;) all.push(new Array(1000).fill({}));";
    let project = project_with(body);
    let baton = Baton::dev(&project).argument("--heap-limit=96").ready().await;
    assert_to_be_tried_again(&called(&baton).await);
    assert_eq!(version_of(&baton, "version").await, "1");
    assert_eq!(baton.status().await.current(), 1);
}

#[tokio::test]
async fn code_that_needs_too_much_memory_to_load_is_rejected() {
    let project = Project::new();
    let baton = Baton::dev(&project).argument("--heap-limit=96").ready().await;
    project.write(
        "functions/large.ts",
        "const all: unknown[] = [];\nfor (;;) {\n  all.push(new Array(1000).fill({}));\n  await null;\n}\n",
    );
    let report = baton.reload().await;
    assert_eq!((report.http, report.status()), (422, "rejected"), "{report}");
    assert_eq!(report.error()["kind"], "memory", "{report}");
    assert_eq!(version_of(&baton, "version").await, "1");
}

#[tokio::test]
async fn large_array_buffers_beyond_the_limit_are_refused_where_they_are_asked_for() {
    let body = "    try {\n      for (;;) kept.push(Buffer.alloc(1 << 20));\n    } catch (error) {\n      \
                return `${error} after ${kept.length} MiB`;\n    }";
    let project = project_with(body);
    let baton = Baton::dev(&project).argument("--buffer-limit=128").ready().await;
    let answer = called(&baton).await;
    assert!(
        answer
            .text()
            .contains("RangeError: Array buffer allocation failed after 12"),
        "{answer}"
    );
    let line = baton.wait_for("isolate ended", json!({ "isolate": 0 })).await;
    assert!(line.text.contains("nearly used up"), "{}", line.text);
    assert_eq!(version_of(&baton, "version").await, "1");
}

#[tokio::test]
async fn small_array_buffers_without_end_end_their_isolate_and_nothing_else() {
    let project = project_with("    for (;;) kept.push(new Uint8Array(1 << 12));");
    let baton = Baton::dev(&project).argument("--buffer-limit=128").ready().await;
    assert_to_be_tried_again(&called(&baton).await);
    let line = baton.wait_for("isolate ended", json!({ "generation": 1 })).await;
    assert!(line.text.contains("out of memory"), "{}", line.text);
    assert_eq!(version_of(&baton, "version").await, "1");
}

/// The body of a function that takes `mib` memories of WebAssembly of a MiB each, one in each turn of the
/// loop.
const TAKES_MEMORIES: &str = "    const { Memory } = (globalThis as any).WebAssembly;\n    for (let i = 0; i < event.data.mib; i++) {\n      \
    kept.push(new Memory({ initial: 16 }));\n      await new Promise((resolve) => setTimeout(resolve, 5));\n    }\n    \
    return \"took them\";";

#[tokio::test]
async fn memories_of_webassembly_count_as_buffers() {
    let project = project_with(TAKES_MEMORIES);
    let baton = Baton::dev(&project).argument("--buffer-limit=128").ready().await;
    let nearly_all = start(&baton, &Run::of("fixture-extra").with_data(json!({ "mib": 120 })));
    let answer = nearly_all.answer(&baton).await;
    assert_eq!(answer.json(), "took them", "{answer}");
    let line = baton.wait_for("isolate ended", json!({ "isolate": 0 })).await;
    assert!(line.text.contains("nearly used up"), "{}", line.text);

    let all = start(&baton, &Run::of("fixture-extra").with_data(json!({ "mib": 100_000 })));
    assert_to_be_tried_again(&all.answer(&baton).await);
    let line = baton.wait_for("isolate ended", json!({ "isolate": 1 })).await;
    assert!(line.text.contains("out of memory"), "{}", line.text);
    assert_eq!(version_of(&baton, "version").await, "1");
}

#[tokio::test]
async fn memories_of_webassembly_that_are_dropped_do_not_count() {
    let body = TAKES_MEMORIES
        .replace("kept.push(", "void (")
        .replace("resolve, 5", "resolve, 0");
    let project = project_with(&body);
    let baton = Baton::dev(&project).argument("--buffer-limit=128").ready().await;
    let run = Run::of("fixture-extra").with_data(json!({ "mib": 1000 }));
    let answer = start(&baton, &run).answer(&baton).await;
    assert_eq!(answer.json(), "took them", "{answer}");
    assert_eq!(baton.status().await.generation(1)["isolates"][0]["id"], 0);
}

#[tokio::test]
async fn array_buffers_that_are_dropped_do_not_count() {
    let project = project_with(
        "    let total = 0;\n    for (let i = 0; i < 2000; i++) total += new Uint8Array(1 << 20).length;\n    return total;",
    );
    let baton = Baton::dev(&project).argument("--buffer-limit=128").ready().await;
    let answer = called(&baton).await;
    assert_eq!((answer.status, answer.json()), (200, json!(2000 << 20)), "{answer}");
    assert_eq!(baton.status().await.generation(1)["isolates"][0]["id"], 0);
}

#[tokio::test]
async fn an_isolate_that_is_nearly_out_of_memory_finishes_its_calls_and_is_replaced() {
    let body = "    for (let i = 0; i < 230; i++) kept.push(Buffer.alloc(1 << 20));\n    \
                await untilThereIs(event.data.gate);\n    return \"finished\";";
    let project = project_with(body);
    let baton = Baton::dev(&project).argument("--buffer-limit=256").ready().await;
    let gate = project.gate("finish");
    let filling = start(
        &baton,
        &Run::of("fixture-extra").with_data(json!({ "gate": gate.path() })),
    );
    let condemned = "isolate condemned: its memory is nearly used up, so it finishes its calls and is replaced";
    baton
        .wait_for(condemned, json!({ "generation": 1, "isolate": 0 }))
        .await;
    assert_eq!(version_of(&baton, "version").await, "1", "by another isolate");
    let status = baton.status().await;
    let isolates = status.generation(1)["isolates"].as_array().expect("isolates").clone();
    assert_eq!(isolates.len(), 2, "{isolates:#?}");
    assert_eq!(
        (&isolates[0]["condemned"], &isolates[0]["calls"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(isolates[1]["condemned"], false);
    assert!(!filling.is_finished());
    gate.open();
    let answer = filling.answer(&baton).await;
    assert_eq!((answer.status, answer.json()), (200, json!("finished")), "{answer}");
    let line = baton.wait_for("isolate ended", json!({ "isolate": 0 })).await;
    assert!(line.text.contains("nearly used up"), "{}", line.text);
}

#[tokio::test]
async fn code_that_nearly_fills_its_memory_while_it_loads_is_rejected() {
    let project = Project::new();
    let baton = Baton::dev(&project).argument("--buffer-limit=128").ready().await;
    project.write(
        "functions/large.ts",
        "export const kept: unknown[] = [];\nfor (let i = 0; i < 120; i++) kept.push(Buffer.alloc(1 << 20));\n",
    );
    let report = baton.reload().await;
    assert_eq!((report.http, report.status()), (422, "rejected"), "{report}");
    assert_eq!(report.error()["kind"], "memory", "{report}");
    assert_eq!(version_of(&baton, "version").await, "1");
}

#[tokio::test]
async fn a_call_that_uses_too_much_processor_time_costs_its_isolate() {
    let project = project_with("    for (;;);");
    let baton = Baton::dev(&project).argument("--cpu-limit=1s").ready().await;
    assert_to_be_tried_again(&called(&baton).await);
    let who = json!({ "generation": 1, "isolate": 0, "function": "fixture-extra" });
    let ended = "isolate ended for a call that used too much processor time";
    baton.wait_for(ended, who).await;
    assert_eq!(version_of(&baton, "version").await, "1");
}

/// At the moment of the stop there is often no JavaScript on the stack: a builtin is about to go on with
/// the function.
#[tokio::test]
async fn a_call_that_awaits_without_ever_waiting_costs_its_isolate() {
    let body = format!("    for (;;) {{\n{}    }}", "      await null;\n".repeat(50));
    let project = project_with(&body);
    let baton = Baton::dev(&project).argument("--cpu-limit=500ms").ready().await;
    for _ in 0..5 {
        assert_to_be_tried_again(&called(&baton).await);
    }
    assert_eq!(version_of(&baton, "version").await, "1");
}

#[tokio::test]
async fn waiting_is_no_processor_time() {
    let project = project_with(
        "    execSync(\"sleep 2\");\n    await new Promise((wake) => setTimeout(wake, 500));\n    return \"waited\";",
    );
    let baton = Baton::dev(&project).argument("--cpu-limit=1s").ready().await;
    let answer = called(&baton).await;
    assert_eq!((answer.status, answer.json()), (200, json!("waited")), "{answer}");
}

/// The answer must not wait for native code that keeps the isolate's thread.
#[tokio::test]
async fn a_call_in_a_child_process_that_is_waited_for_is_answered_when_its_isolate_ends() {
    let project = project_with("    execSync(\"sleep 600\");");
    let baton = Baton::dev(&project)
        .argument("--call-timeout=1s")
        .argument("--isolates=1")
        .ready()
        .await;
    assert_to_be_tried_again(&called(&baton).await);
    assert_eq!(version_of(&baton, "version").await, "1", "by its replacement");
}
