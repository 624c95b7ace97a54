//! The time from the start of a process to its first answer.

use std::sync::Arc;
use std::time::Duration;

use crate::projects::Generated;
use crate::row::{Goal, Row, Statistic};
use crate::server::Server;
use crate::stage::Stage;
use crate::subject::Subject;

/// The time that a process lives after its first answer, so that it can write down what the next
/// process needs.
const TO_WRITE: Duration = Duration::from_secs(2);

/// Measures starts of a project of 14 modules. The system has read all files before.
pub(crate) async fn answers(stage: Arc<Stage>) -> Vec<Row> {
    let mut without = Row::samples("start → first answer, 14 modules, without caches", "ms");
    let mut with = Row::samples("start → first answer, 14 modules, warm caches", "ms");
    // This start makes the startup snapshot if there is none in the binary.
    boot(&stage, Subject::Baton, Duration::ZERO).await;
    for round in 0..stage.rounds() {
        for subject in stage.turns(&Subject::ALL, round) {
            let (mut cold, mut warm) = (Vec::new(), Vec::new());
            for _ in 0..stage.effort.choose(1, 2) {
                stage.forget();
                cold.push(boot(&stage, subject, stage.effort.choose(TO_WRITE / 4, TO_WRITE)).await);
                boot(&stage, subject, stage.effort.choose(Duration::ZERO, TO_WRITE)).await;
                warm.push(boot(&stage, subject, Duration::ZERO).await);
            }
            without.add(subject, cold);
            with.add(subject, warm);
        }
    }
    let ratio = with.ratio(Subject::BunHot);
    let mut rows = vec![without, with.goal(Goal::AtMost(Statistic::P50, 300.0))];
    rows.extend(ratio.map(|ratio| ratio.goal(Goal::AtMost(Statistic::P50, 1.0))));
    rows
}

/// Starts a server in a new folder: the same content at another place.
async fn boot(stage: &Stage, subject: Subject, lives_on: Duration) -> f64 {
    let generated = Generated::of(14);
    let server = Server::start(stage, subject, &generated.project);
    let took = server
        .boots(&Generated::requests(), |reply| Generated::shows(reply, "first"))
        .await;
    tokio::time::sleep(lives_on).await;
    took
}
