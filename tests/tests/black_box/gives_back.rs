//! A retired generation gives everything back (README, promise 5), as the operating system counts it.

use harness::process::{Held, Memory};
use harness::soak::Soak;
use harness::{Baton, Project, Run, Status, deadline};
use serde_json::json;

use crate::calls::{start, version_of};

/// A module that holds on to things while it is loaded: a timer, a socket that listens, a child
/// process.
const GREEDY: &str = r#"import { spawn } from "node:child_process";
import { createServer } from "node:net";
setInterval(() => {}, 10);
createServer().listen(0, "127.0.0.1");
spawn("sleep", ["600"], { stdio: "ignore" });
"#;

#[tokio::test]
async fn threads_sockets_pipes_and_children_of_retired_generations_are_gone() {
    let project = Project::new();
    project.write("functions/greedy.ts", GREEDY);
    let baton = Baton::dev(&project).telling_of_isolates().ready().await;
    assert_eq!(version_of(&baton, "version").await, "1");
    baton.rested().await;
    let one = Held::by(baton.pid());
    assert_eq!((one.isolate_threads, one.children), (1, 1), "{one:?}");

    for generation in 1..=10 {
        let _ = baton.reload_with("?force=1").await.activated();
        baton
            .wait_for("generation retired", json!({ "generation": generation }))
            .await;
    }
    // A rejected generation, which never served, gives back as much.
    project.write("functions/rejected.ts", "throw new Error();\n");
    for _ in 0..10 {
        assert_eq!(baton.reload().await.status(), "rejected");
    }
    let found = || async { Held::by(baton.pid()).no_more_than(one).then_some(()) };
    let context = || format!("{:?} instead of {one:?}", Held::by(baton.pid()));
    deadline::until("everything is given back", context, found).await;
}

/// A function that keeps its allocations, on its heap or beside it.
const LEAK: &str = r#"import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
const kept: unknown[] = [];
export const leak = inngest.createFunction(
  { id: "leak", retries: 1, triggers: [{ event: "fixture/leak" }], checkpointing: false },
  async ({ event }) => {
    for (;;) {
      kept.push(event.data.heap ? new Array(1000).fill({}) : new Uint8Array(4096));
      if (event.data.heap) await null;
    }
  },
);
"#;

#[tokio::test]
async fn memory_that_a_call_took_without_end_comes_back_with_its_isolate() {
    let project = Project::new();
    project.write("functions/leak.ts", LEAK);
    let baton = Baton::dev(&project)
        .argument("--heap-limit=400")
        .argument("--buffer-limit=400")
        .ready()
        .await;
    assert_eq!(version_of(&baton, "version").await, "1");
    let anonymous = || Memory::of(baton.pid()).anonymous;
    let before = anonymous();
    for (isolate, heap) in [false, true, false, true].into_iter().enumerate() {
        let run = Run::of("fixture-leak").with_data(json!({ "heap": heap }));
        let answer = start(&baton, &run).answer(&baton).await;
        assert_eq!(answer.header("x-inngest-no-retry"), Some("false"), "{answer}");
        baton.wait_for("isolate ended", json!({ "isolate": isolate })).await;
        assert_eq!(version_of(&baton, "version").await, "1");
    }
    // The replacement takes about 20 MB more than the isolate before it gave back at its end.
    let found = || async { (anonymous() < before + 60.0 * 1024.0).then_some(()) };
    let context = || format!("{} KiB, {before} KiB before", anonymous());
    deadline::until("what four isolates took is given back", context, found).await;
}

/// A call that leaves some 30 MB on the heap.
const LITTER: &str = r#"import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
export const litter = inngest.createFunction(
  { id: "litter", retries: 1, triggers: [{ event: "fixture/litter" }], checkpointing: false },
  async () => {
    const littered: unknown[] = [];
    while (littered.length < 350_000) littered.push({ number: littered.length, of: [littered.length] });
    return { version: String(littered.length) };
  },
);
"#;

#[tokio::test]
async fn an_isolate_that_has_no_calls_gives_back_what_they_left() {
    let project = Project::new();
    project.write("functions/litter.ts", LITTER);
    let baton = Baton::dev(&project).argument("--isolates=1").ready().await;
    assert_eq!(version_of(&baton, "version").await, "1");
    let heap = |status: &Status| {
        status.generation(1)["isolates"][0]["heap_mb"]
            .as_f64()
            .unwrap_or_default()
    };
    let before = baton
        .status_when("memory is looked at", |status| heap(status) > 0.0)
        .await;
    let before = heap(&before);

    assert_eq!(version_of(&baton, "litter").await, "350000");
    baton
        .status_when("the call has left garbage", |status| heap(status) > before + 20.0)
        .await;
    baton
        .status_when("the garbage is collected", |status| heap(status) < before + 10.0)
        .await;
    assert_eq!(version_of(&baton, "version").await, "1");
}

/// Generations one after another. Memory is read with one generation alive, after each reload but the
/// first hundred; a leak of what an idle generation takes (about 20 MB) in one of a hundred would show
/// as 0.2 MB a reload, which is the bound.
#[tokio::test]
async fn slow_hundreds_of_reloads_leave_threads_descriptors_and_memory_as_they_were() {
    let project = Project::new();
    project.write("functions/greedy.ts", GREEDY);
    let baton = Baton::dev(&project).telling_of_isolates().ready().await;
    let soak = Soak {
        baton: &baton,
        reloads: 300,
    };
    let edit = |version: u64| project.set_version(&version.to_string());
    let call = async |version: u64| {
        assert_eq!(version_of(&baton, "version").await, version.to_string());
    };
    let memory = soak.run(edit, call, |_| ()).await;
    println!("memory: {memory}");
    assert!(memory.growth() < 200.0, "memory grows: {memory:?}");
}
