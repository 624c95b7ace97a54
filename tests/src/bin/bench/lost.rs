//! Calls that get no answer, or a wrong one, because the code was reloaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::load::Load;
use crate::projects::{Edit, Generated};
use crate::row::{Goal, Row, Statistic};
use crate::saves::{self, Saved};
use crate::server::Server;
use crate::stage::Stage;
use crate::subject::Subject;

const CALLERS: usize = 8;

/// The pace of each caller: all callers make 400 calls a second, which every subject can take. The
/// number of lost calls depends on the pace.
const PACE: Duration = Duration::from_millis(20);

/// The pause between an answer of new code and the next save.
const REST: Duration = Duration::from_millis(200);

/// Counts the calls that are refused, cut, answered by an error, or not answered within twenty seconds.
pub(crate) async fn calls(stage: Arc<Stage>) -> Vec<Row> {
    let reloads = stage.effort.choose(3, 20);
    let mut row = Row::figure(
        format!("calls lost during {reloads} reloads, {CALLERS} callers"),
        "calls",
    );
    let mut made = Row::figure("calls made meanwhile, 400 a second at most", "calls");
    for round in 0..stage.rounds().min(3) {
        for subject in stage.turns(&Subject::ALL, round) {
            let generated = Generated::of(14);
            let server = Server::start(&stage, subject, &generated.project);
            let first = Generated::requests();
            server.boots(&first, |reply| Generated::shows(reply, "first")).await;
            let load = Load::of(server.client(), Generated::requests(), 206);
            let going = Arc::new(AtomicBool::new(true));
            let goes_on = going.clone();
            let calls =
                tokio::spawn(async move { load.paced(CALLERS, PACE, move || goes_on.load(Ordering::Relaxed)).await });
            for reload in 0..reloads {
                tokio::time::sleep(REST).await;
                let version = format!("reload {reload}");
                let saved = saves::save_until_shown(&generated, Edit::Leaf, &server, &first, &version).await;
                assert_ne!(saved, Saved::Never, "{version} is not served: {server}");
            }
            going.store(false, Ordering::Relaxed);
            let outcome = calls.await.expect("callers that live");
            made.add(subject, vec![outcome.calls() as f64]);
            row.add(subject, vec![outcome.lost as f64]);
            if subject == Subject::Baton
                && let Some(example) = outcome.example
            {
                eprintln!("\n  lost: {example}");
            }
        }
    }
    vec![row.goal(Goal::AtMost(Statistic::Max, 0.0)), made]
}
