//! What retires gives everything back (README, promise 5), as the operating system counts it.

use std::fs;

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

/// How many threads, file descriptors and children a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    isolate_threads: usize,
    sockets: usize,
    children: usize,
}

fn held_by(pid: u32) -> Held {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .expect("the process lives")
        .flatten();
    let (mut isolate_threads, mut children) = (0, 0);
    for task in tasks {
        // A thread or child may end while it is looked at.
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        isolate_threads += usize::from(name.starts_with("generation-"));
        let of_thread = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children += of_thread.split_whitespace().count();
    }
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("the process lives")
        .flatten();
    let targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    let sockets = targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count();
    Held {
        isolate_threads,
        sockets,
        children,
    }
}

#[tokio::test]
async fn threads_sockets_and_children_of_retired_generations_are_gone() {
    let project = Project::new();
    project.write("functions/greedy.ts", GREEDY);
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(version_of(&baton, "version").await, "1");
    let one = held_by(baton.pid());
    assert_eq!((one.isolate_threads, one.children), (1, 1), "{one:?}");

    for generation in 1..=10 {
        let _ = baton.reload_with("?force=1").await.activated();
        baton
            .wait_for("generation retired", json!({ "generation": generation }))
            .await;
    }
    // Connections of this test's own requests may still be closing.
    let found = || async { (held_by(baton.pid()) == one).then_some(()) };
    let context = || format!("{:?} instead of {one:?}", held_by(baton.pid()));
    deadline::until("everything is given back", context, found).await;
}
