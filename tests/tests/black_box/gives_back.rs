//! What retires gives everything back (README, promise 5), as the operating system counts it.

use harness::process::Held;
use harness::soak::Soak;
use harness::{Baton, Project, deadline};
use serde_json::json;

use crate::calls::version_of;

/// Holds on to things while it is loaded: a timer, a socket that listens, a child process.
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
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(version_of(&baton, "version").await, "1");
    let one = Held::by(baton.pid());
    assert_eq!((one.isolate_threads, one.children), (1, 1), "{one:?}");

    for generation in 1..=10 {
        let _ = baton.reload_with("?force=1").await.activated();
        baton
            .wait_for("generation retired", json!({ "generation": generation }))
            .await;
    }
    // What never served gives back as much.
    project.write("functions/rejected.ts", "throw new Error();\n");
    for _ in 0..10 {
        assert_eq!(baton.reload().await.status(), "rejected");
    }
    let found = || async { Held::by(baton.pid()).no_more_than(one).then_some(()) };
    let context = || format!("{:?} instead of {one:?}", Held::by(baton.pid()));
    deadline::until("everything is given back", context, found).await;
}

/// Generations one after another. Memory is read with one generation alive, after each reload but the
/// first hundred; a leak of what an idle generation takes (about 20 MB) in one of a hundred would show
/// as 0.2 MB a reload, which is the bound.
#[tokio::test]
async fn slow_hundreds_of_reloads_leave_threads_descriptors_and_memory_as_they_were() {
    let project = Project::new();
    project.write("functions/greedy.ts", GREEDY);
    let baton = Baton::dev(&project).ready().await;
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
