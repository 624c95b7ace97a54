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

/// How many threads, descriptors and children a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    isolate_threads: usize,
    sockets: usize,
    pipes: usize,
    children: usize,
}

impl Held {
    /// Connections of the test's own requests may have been open when `before` was counted, so fewer
    /// is as good.
    fn no_more_than(self, before: Self) -> bool {
        self.isolate_threads <= before.isolate_threads
            && self.sockets <= before.sockets
            && self.pipes <= before.pipes
            && self.children <= before.children
    }
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
    let targets: Vec<_> = descriptors
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .collect();
    let count = |kind| {
        let of_kind = targets
            .iter()
            .filter(|target| target.to_string_lossy().starts_with(kind));
        of_kind.count()
    };
    Held {
        isolate_threads,
        sockets: count("socket:"),
        pipes: count("pipe:"),
        children,
    }
}

#[tokio::test]
async fn threads_sockets_pipes_and_children_of_retired_generations_are_gone() {
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
    // What never served gives back as much.
    project.write("functions/rejected.ts", "throw new Error();\n");
    for _ in 0..10 {
        assert_eq!(baton.reload().await.status(), "rejected");
    }
    let found = || async { held_by(baton.pid()).no_more_than(one).then_some(()) };
    let context = || format!("{:?} instead of {one:?}", held_by(baton.pid()));
    deadline::until("everything is given back", context, found).await;
}

/// Resident memory in KiB.
fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("it says its memory");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number")
}

/// The slope of a line through the points (0, y0), (1, y1), …, by least squares.
fn slope(ys: &[f64]) -> f64 {
    let n = ys.len() as f64;
    let mean_x = (n - 1.0) / 2.0;
    let mean_y = ys.iter().sum::<f64>() / n;
    let (mut above, mut below) = (0.0, 0.0);
    for (x, y) in ys.iter().enumerate() {
        let dx = x as f64 - mean_x;
        above += dx * (y - mean_y);
        below += dx * dx;
    }
    above / below
}

/// How many reloads: 300, or what `bin/soak` wants.
fn reloads() -> u64 {
    std::env::var("BATON_SOAK_RELOADS").map_or(300, |count| count.parse().expect("a number of reloads"))
}

/// Generations one after another, each of which serves a call. Memory is read with one generation
/// alive, after each reload but the first hundred; a leak of what an idle generation takes (about
/// 20 MB) in one of a hundred would show as 0.2 MB a reload, which is the bound.
#[tokio::test]
async fn slow_hundreds_of_reloads_leave_threads_descriptors_and_memory_as_they_were() {
    let project = Project::new();
    project.write("functions/greedy.ts", GREEDY);
    let baton = Baton::dev(&project).ready().await;
    let mut memory = Vec::new();
    let mut hundredth = None;
    for generation in 1..=reloads() {
        project.set_version(&generation.to_string());
        let _ = baton.reload_with("?force=1").await.activated();
        assert_eq!(version_of(&baton, "version").await, generation.to_string());
        baton
            .wait_for("generation retired", json!({ "generation": generation }))
            .await;
        if generation >= 100 {
            memory.push(resident(baton.pid()));
        }
        if generation == 100 {
            hundredth = Some(held_by(baton.pid()));
        }
    }
    let hundredth = hundredth.expect("a hundred reloads at least");
    let found = || async { held_by(baton.pid()).no_more_than(hundredth).then_some(()) };
    let context = || format!("{:?} instead of {hundredth:?}", held_by(baton.pid()));
    deadline::until("threads, sockets and children are as many as before", context, found).await;
    let (growth, first, last) = (slope(&memory), memory[0], memory[memory.len() - 1]);
    println!("memory: {first:.0} KiB at reload 100, {last:.0} KiB at the end, {growth:.1} KiB a reload");
    assert!(growth < 200.0, "memory grows by {growth:.0} KiB a reload: {memory:?}");
}
