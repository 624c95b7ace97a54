//! The gain by a second isolate, and the processor time that one function's calls leave to another
//! function's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::client::Requests;
use crate::load::Load;
use crate::projects;
use crate::rate::hello;
use crate::row::Row;
use crate::server::Server;
use crate::stage::Stage;
use crate::subject::Subject;

const ISOLATES: [&str; 2] = ["--isolates=1", "--isolates=2"];

/// The time until there are all isolates. When calls have waited for a second, Baton makes another
/// isolate, which has to load.
const UNTIL_THERE_ARE_ALL: Duration = Duration::from_secs(3);

/// The time that a slow call computes, in ms.
const SLOW_MS: u64 = 20;

/// The name of a kind of call, and its requests.
type Kind = (&'static str, fn() -> Requests);

fn slow() -> Requests {
    Requests::of("burn", &json!({ "ms": SLOW_MS }))
}

/// Measures calls per second of a generation with one isolate and with two.
pub(crate) async fn parallel(stage: Arc<Stage>) -> Vec<Row> {
    let kinds: [Kind; 2] = [("one step", hello), ("20 ms of computing", slow)];
    let names = kinds.map(|(name, _)| ISOLATES.map(|isolates| format!("{name}, 32 callers, {isolates}")));
    let mut rates = names.map(|names| names.map(|name| Row::figure(name, "calls/s")));
    let time = stage.effort.choose(Duration::from_millis(500), Duration::from_secs(4));
    for round in 0..stage.rounds() {
        for turn in 0..ISOLATES.len() {
            let which = (turn + round) % ISOLATES.len();
            let project = projects::app();
            let server = Server::start_with(&stage, Subject::Baton, &project, &[ISOLATES[which]]);
            server.boots(&hello(), |reply| reply.status == 206).await;
            for ((_, requests), rows) in kinds.iter().zip(&mut rates) {
                let load = Load::of(server.client(), requests(), 206);
                drop(load.callers(32, UNTIL_THERE_ARE_ALL).await.whole(&server));
                let outcome = load.callers(32, time).await.whole(&server);
                rows[which].add(Subject::Baton, vec![outcome.rate()]);
            }
        }
    }
    let mut rows = Vec::new();
    for ((name, _), [one, two]) in kinds.iter().zip(rates) {
        let ratio = two.by(&one, format!("{name}, 32 callers: two isolates by one"));
        rows.extend([one, two].into_iter().chain(ratio));
    }
    rows
}

/// Measures one caller's light calls while another function has 32 callers whose calls compute.
pub(crate) async fn share(stage: Arc<Stage>) -> Vec<Row> {
    let mut row = Row::samples("light call while 32 callers compute 20 ms each", "ms");
    let mut one = Row::samples("the same, --isolates=1", "ms");
    for round in 0..stage.rounds().min(3) {
        for subject in stage.turns(&Subject::RUNTIMES, round) {
            row.add(subject, beside_slow_ones(&stage, subject, &[]).await);
        }
        one.add(
            Subject::Baton,
            beside_slow_ones(&stage, Subject::Baton, &ISOLATES[..1]).await,
        );
    }
    vec![row, one]
}

async fn beside_slow_ones(stage: &Stage, subject: Subject, arguments: &[&str]) -> Vec<f64> {
    let project = projects::app();
    let server = Server::start_with(stage, subject, &project, arguments);
    server.boots(&hello(), |reply| reply.status == 206).await;
    let light = Load::of(server.client(), hello(), 206);
    drop(light.callers(1, Duration::from_millis(300)).await.whole(&server));
    let heavy = Load::of(server.client(), slow(), 206);
    let going = Arc::new(AtomicBool::new(true));
    let goes_on = going.clone();
    let calls = tokio::spawn(async move {
        heavy
            .paced(32, Duration::ZERO, move || goes_on.load(Ordering::Relaxed))
            .await
    });
    let time = stage.effort.choose(Duration::from_millis(800), Duration::from_secs(6));
    tokio::time::sleep(time / 4).await;
    let outcome = light.callers(1, time).await.whole(&server);
    going.store(false, Ordering::Relaxed);
    drop(calls.await.expect("callers that live").whole(&server));
    outcome.answered
}
