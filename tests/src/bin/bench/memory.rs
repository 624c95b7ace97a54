//! The memory that an idle generation takes, and the memory that it gives back.

use std::time::{Duration, Instant};

use harness::http::Answer;
use harness::process::Memory;
use harness::{Baton, Gate, Project, Run};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::arguments::Effort;
use crate::row::{Goal, Row, Statistic};

/// The pause between two readings.
const PAUSE: Duration = Duration::from_millis(500);
/// The limit below which two readings count as the same, in KiB.
const STEADY: f64 = 128.0;
/// The time for which memory has to stay the same after a load.
const AFTER_LOAD: Duration = Duration::from_secs(5);
/// The same time after generations have retired: V8 keeps pages for 8 to 16 seconds before it gives them
/// back.
pub(crate) const AFTER_RETIREMENT: Duration = Duration::from_secs(18);

/// One way to count.
struct Count {
    name: &'static str,
    of: fn(Memory) -> f64,
}

const COUNTS: [Count; 3] = [
    Count {
        name: "resident",
        of: |memory| memory.resident,
    },
    Count {
        name: "proportional",
        of: |memory| memory.proportional,
    },
    Count {
        name: "anonymous",
        of: |memory| memory.anonymous,
    },
];

/// Measures generations side by side, each with one call that waits, and then the memory after the
/// calls. There are two rounds: what a process needs only once, it takes in the first round and keeps.
pub(crate) async fn generations(effort: Effort) -> Vec<Row> {
    let project = Project::new();
    let generations = effort.choose(4, 8);
    let baton = Baton::dev(&project).argument("--max-generations=100").ready().await;
    let mut rows = Vec::new();
    let mut first = 1;
    for round in ["first", "second"] {
        let gate = project.gate(round);
        let last = first + generations - 1;
        let course = side_by_side(&baton, &gate, first..=last).await;
        let after = alone(&baton, last).await;
        rows.extend(taken(round, &course));
        rows.extend(given_back(round, &course, after));
        first = last;
    }
    rows
}

/// Returns the memory with one generation, with two, and so on. In the end the gate is open and each
/// call has its answer.
async fn side_by_side(baton: &Baton, gate: &Gate, generations: std::ops::RangeInclusive<u64>) -> Vec<Memory> {
    let mut calls = Vec::new();
    let mut course = Vec::new();
    for generation in generations.clone() {
        if generation != *generations.start() {
            let activated = baton.reload_with("?force=1").await.activated();
            assert_eq!(activated, generation);
        }
        calls.push(hold(baton, gate));
        baton.in_flight(generation, 1).await;
        course.push(settled(baton.pid(), AFTER_LOAD).await);
    }
    gate.open();
    for call in calls {
        let answer = call.await.expect("the caller lives");
        assert_eq!(answer.status, 206, "{answer}");
    }
    course
}

/// Starts a call that waits, with nothing to do, until the gate is open.
fn hold(baton: &Baton, gate: &Gate) -> JoinHandle<Answer> {
    let run = Run::of("fixture-gated").with_data(json!({ "gate": gate.path() }));
    let executor = baton.executor();
    tokio::spawn(async move { executor.discover(&run).await.expect("an answer") })
}

/// Returns the memory once `generation` is the only one.
async fn alone(baton: &Baton, generation: u64) -> Memory {
    baton
        .status_when("the other generations are gone", |status| {
            (1..generation).all(|other| matches!(status.state(other), "" | "retired"))
        })
        .await;
    settled(baton.pid(), AFTER_RETIREMENT).await
}

/// Returns the memory that each generation took beyond the first.
fn taken(round: &str, course: &[Memory]) -> Vec<Row> {
    let rows = COUNTS.iter().map(|Count { name, of }| {
        let steps = course.windows(2).map(|pair| of(pair[1]) - of(pair[0]));
        let megabytes = steps.map(|kib| kib * 1024.0 / 1e6).collect();
        let name = format!("{name} memory of one more idle generation, {round} round");
        Row::of_baton(name, "MB", megabytes).goal(Goal::AtMost(Statistic::P99, 20.0))
    });
    rows.collect()
}

/// Returns the share of the generations' memory, beyond that of the first, that is free again.
fn given_back(round: &str, course: &[Memory], after: Memory) -> Vec<Row> {
    let (one, all) = (course[0], course[course.len() - 1]);
    let rows = COUNTS.iter().map(|Count { name, of }| {
        let share = (of(all) - of(after)) / (of(all) - of(one)) * 100.0;
        let name = format!("{name} memory given back, {round} round");
        Row::of_baton(name, "%", vec![share]).goal(Goal::AtLeast(Statistic::P50, 95.0))
    });
    rows.collect()
}

/// Returns the memory once it has stayed the same for a while: nothing tells when V8 and the allocator
/// have done the work that they put off. It does not wait for the binary's own pages, which the system
/// drops and reads as it likes.
pub(crate) async fn settled(pid: u32, quiet: Duration) -> Memory {
    let mut before = Memory::of(pid);
    let mut since = Instant::now();
    while since.elapsed() < quiet {
        tokio::time::sleep(PAUSE).await;
        let now = Memory::of(pid);
        if (now.anonymous - before.anonymous).abs() > STEADY {
            before = now;
            since = Instant::now();
        }
    }
    Memory::of(pid)
}
