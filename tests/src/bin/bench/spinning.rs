//! A light call while another call spins: the cost of one function for another, in each runtime.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::client::{Lost, Requests};
use crate::projects;
use crate::rate::hello;
use crate::row::{Goal, Row, Statistic};
use crate::server::Server;
use crate::stage::Stage;
use crate::subject::Subject;

/// The time that a call spins: longer than any measurement.
const SPIN: Duration = Duration::from_secs(60);

/// The time before the first light call: Baton calls an isolate blocked after a second.
const BEFORE: Duration = Duration::from_millis(1_500);

/// The limit for a light call: a call without an answer by then has none while the other call
/// spins.
const PATIENCE: Duration = Duration::from_secs(2);

/// Measures light calls once another call has spun for a while.
pub(crate) async fn calls(stage: Arc<Stage>) -> Vec<Row> {
    let mut row = Row::samples("light call while another one spins", "ms");
    for round in 0..stage.rounds().min(3) {
        for subject in stage.turns(&Subject::RUNTIMES, round) {
            turn(&stage, subject, &mut row).await;
        }
    }
    vec![row.goal(Goal::AtMost(Statistic::P50, 5.0))]
}

async fn turn(stage: &Stage, subject: Subject, row: &mut Row) {
    let project = projects::app();
    let server = Server::start(stage, subject, &project);
    let light = hello();
    server.boots(&light, |reply| reply.status == 206).await;
    let client = server.client().patience(PATIENCE);
    for _ in 0..50 {
        client.ask(light.next()).await.expect("an answer");
    }
    let spinner = server.client().patience(SPIN * 2);
    let heavy = Requests::of("burn", &json!({ "ms": SPIN.as_millis() as u64 }));
    // The spinning call ends with the server.
    let spinning = tokio::spawn(async move { spinner.ask(heavy.next()).await });
    tokio::time::sleep(BEFORE).await;
    let mut samples = Vec::new();
    for _ in 0..stage.effort.choose(50, 500) {
        match client.ask(light.next()).await {
            Ok(reply) => samples.push(reply.took),
            Err(Lost::Late) => {
                row.note(subject, "never");
                break;
            }
            Err(lost) => panic!("{lost:?}: {server}"),
        }
    }
    assert!(!spinning.is_finished(), "it did not spin: {server}");
    if !samples.is_empty() {
        row.add(subject, samples);
    }
}
