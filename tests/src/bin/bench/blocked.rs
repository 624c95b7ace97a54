//! The delay that user code causes for all others when it never lets go of its thread.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::http::Answer;
use harness::{Baton, Project, Run};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::arguments::Effort;
use crate::row::{Goal, Row, Statistic};
use crate::stage::Stage;
use crate::subject::Subject;

const SPIN: &str = include_str!("spin.ts");

/// The time that a call spins: longer than any measurement.
const SPIN_FOR: Duration = Duration::from_secs(90);

/// The number of an isolate's calls that count as its first ones. V8 compiles all functions of a new isolate at about
/// its 400th call, on the cores that its calls want.
const NEW: usize = 600;

/// The number of requests of an operator before anything is measured.
const WARM_UP: usize = 100;

/// The goal in ms.
const GOAL: Goal = Goal::AtMost(Statistic::P99, 5.0);

/// Measures light calls, each over a connection of its own: alone, while the generation's first isolate becomes
/// blocked, and while it is blocked. Each time a new isolate takes the calls. Its first calls have rows of their own,
/// because they pay for V8's compiling.
pub(crate) async fn calls(stage: Arc<Stage>) -> Vec<Row> {
    let of_new = |of: &str| Row::samples(format!("light call {of}, the first {NEW} of an isolate"), "ms");
    let later = |of: &str| Row::samples(format!("light call {of}, after these"), "ms");
    let (alone, beside) = ("while nothing else runs", "beside an isolate that spins");
    let mut alone = [of_new(alone), later(alone)];
    let mut taken_over = Row::figure("light call as the only isolate begins to spin", "ms");
    let mut beside = [of_new(beside).goal(GOAL), later(beside).goal(GOAL)];
    for _ in 0..stage.rounds().min(3) {
        let (_project, baton) = two_isolates().await;
        light_calls(&baton, stage.effort, &mut alone).await;
        let spinning = spin(&baton);
        baton.in_flight(1, 1).await;
        taken_over.add(Subject::Baton, vec![light_call(&baton).await]);
        baton.wait_for("isolate blocked", json!({ "isolate": 0 })).await;
        light_calls(&baton, stage.effort, &mut beside).await;
        assert!(!spinning.is_finished(), "the isolate did not spin long enough");
    }
    alone.into_iter().chain([taken_over]).chain(beside).collect()
}

/// Measures the requests of an operator or an orchestrator while every isolate spins.
pub(crate) async fn operator(effort: Effort) -> Vec<Row> {
    let (_project, baton) = two_isolates().await;
    let mut spinning = Vec::new();
    for isolate in 0..2 {
        spinning.push(spin(&baton));
        baton.wait_for("isolate blocked", json!({ "isolate": isolate })).await;
    }
    let routes = [("/-/live", 200), ("/-/ready", 503), ("/-/status", 200)];
    let mut samples = [const { Vec::new() }; 3];
    for round in 0..WARM_UP + effort.choose(200, 2_000) {
        for ((route, status), samples) in routes.iter().zip(&mut samples) {
            let (took, answer) = timed(baton.get(route)).await;
            assert_eq!(answer.status, *status, "{route}: {answer}");
            if round >= WARM_UP {
                samples.push(took);
            }
        }
    }
    assert!(
        spinning.iter().all(|call| !call.is_finished()),
        "the isolates did not spin long enough"
    );
    let rows = routes.iter().zip(samples).map(|((route, _), samples)| {
        let name = format!("GET {route} while every isolate spins");
        Row::of_baton(name, "ms", samples).goal(GOAL)
    });
    rows.collect()
}

async fn two_isolates() -> (Project, Baton) {
    let project = Project::new();
    project.write("functions/spin.ts", SPIN);
    let baton = Baton::dev(&project).argument("--isolates=2").ready().await;
    (project, baton)
}

/// Starts a call that holds the thread of the isolate that takes it.
fn spin(baton: &Baton) -> JoinHandle<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    let until = (now + SPIN_FOR).as_millis() as u64;
    let run = Run::of("fixture-spin").with_data(json!({ "until": until }));
    let executor = baton.executor();
    // The call ends with Baton, and Baton ends before the loop does.
    tokio::spawn(async move { drop(executor.discover(&run).await) })
}

/// Measures calls one after another, in ms: an isolate's first calls, and the calls that follow.
async fn light_calls(baton: &Baton, effort: Effort, [of_new, later]: &mut [Row; 2]) {
    for (row, calls) in [(of_new, NEW), (later, effort.choose(200, 2_000))] {
        let mut samples = Vec::new();
        for _ in 0..calls {
            samples.push(light_call(baton).await);
        }
        row.add(Subject::Baton, samples);
    }
}

/// Calls a function of one step, and returns the milliseconds from before its connection to the last byte.
async fn light_call(baton: &Baton) -> f64 {
    let run = Run::of("fixture-one-step").with_data(json!({ "name": "Ada" }));
    let call = baton.executor().request(&run, "step");
    let (took, answer) = timed(call.answer(&baton.door())).await;
    assert_eq!(answer.status, 206, "{answer}");
    took
}

async fn timed(answer: impl Future<Output = Answer>) -> (f64, Answer) {
    let start = Instant::now();
    let answer = answer.await;
    (start.elapsed().as_secs_f64() * 1e3, answer)
}
