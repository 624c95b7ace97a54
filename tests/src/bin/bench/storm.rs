//! The time from a save to the first answer of the new code while saves come one after another and many runs are in
//! flight: generations load while older ones retire beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::client::Requests;
use crate::load::Load;
use crate::projects::{Edit, Generated};
use crate::row::{Goal, Row, Statistic};
use crate::saves::{self, REST, Saved};
use crate::server::Server;
use crate::stage::Stage;
use crate::subject::Subject;

/// The number of runs in flight, each in a step that waits for so long.
const RUNS: usize = 60;
const WAITS: &str = r#"import { inngest } from "../lib/client.ts";

export const waits = inngest.createFunction(
  { id: "waits", retries: 0, checkpointing: false, triggers: [{ event: "bench/waits" }] },
  async ({ step }) => step.run("wait", () => new Promise((resolve) => setTimeout(resolve, 3_000, "waited"))),
);
"#;

/// The time from one save to the next one in the storm.
const EACH: Duration = Duration::from_millis(500);

/// Measures saves at rest, and then a storm of them.
pub(crate) async fn saves(stage: Arc<Stage>) -> Vec<Row> {
    let mut rest = Row::samples("save → serving, one at a time", "ms");
    let mut storm = Row::samples("save → serving, one each 500 ms, 60 runs in flight", "ms");
    let mut slowest = Row::figure("the slowest tenth of the storm by a save at rest", "×");
    for _ in 0..stage.rounds().min(3) {
        let generated = Generated::of(14);
        generated.project.write("functions/waits.ts", WAITS);
        let requests = Generated::requests();
        let server = Server::start(&stage, Subject::Baton, &generated.project);
        server.boots(&requests, |reply| Generated::shows(reply, "first")).await;
        let at_rest = series(&stage, "rest", REST, &generated, &server, &requests).await;
        let going = Arc::new(AtomicBool::new(true));
        let goes_on = going.clone();
        let runs = Load::of(server.client(), Requests::of("waits", &json!({})), 206);
        let runs = tokio::spawn(async move {
            runs.paced(RUNS, Duration::ZERO, move || goes_on.load(Ordering::Relaxed))
                .await
        });
        tokio::time::sleep(REST).await;
        let in_storm = series(&stage, "storm", EACH, &generated, &server, &requests).await;
        going.store(false, Ordering::Relaxed);
        drop(runs.await.expect("callers that live").whole(&server));
        slowest.add(Subject::Baton, vec![share(&in_storm, 0.9) / share(&at_rest, 0.5)]);
        rest.add(Subject::Baton, at_rest);
        storm.add(Subject::Baton, in_storm);
    }
    vec![rest, storm, slowest.goal(Goal::AtMost(Statistic::P50, 3.0))]
}

/// Saves the same file one time after another, and returns the milliseconds of each, sorted.
async fn series(
    stage: &Stage,
    name: &str,
    each: Duration,
    generated: &Generated,
    server: &Server,
    requests: &Requests,
) -> Vec<f64> {
    let mut samples = Vec::new();
    for save in 0..stage.effort.choose(12, 40) {
        let next = tokio::time::Instant::now() + each;
        let version = format!("{name} {save}");
        match saves::save_until_shown(generated, Edit::Leaf, server, requests, &version).await {
            Saved::AtOnce(took) => samples.push(took),
            other => panic!("{version} is not served ({other:?}): {server}"),
        }
        tokio::time::sleep_until(next).await;
    }
    samples.sort_by(f64::total_cmp);
    samples
}

/// Returns the sample below which a share of the sorted samples lies.
fn share(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
