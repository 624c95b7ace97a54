//! The memory that a process keeps of code that it served before.

use std::sync::Arc;
use std::time::Duration;

use harness::process::Memory;

use crate::memory::{AFTER_RETIREMENT, settled};
use crate::projects::{Edit, Generated};
use crate::row::{Goal, Row, Statistic};
use crate::saves::{self, Saved};
use crate::server::Server;
use crate::stage::Stage;
use crate::subject::Subject;

const FEW: usize = 10;

/// Measures the memory at rest of a project of 14 modules, after a few reloads and after many.
pub(crate) async fn memory(stage: Arc<Stage>) -> Vec<Row> {
    let many = stage.effort.choose(20, 1_000);
    let mut after_few = Row::figure(format!("resident memory after {FEW} reloads"), "MB");
    let mut after_many = Row::figure(format!("resident memory after {many} reloads"), "MB");
    // A subject that restarts its process keeps nothing.
    for subject in stage.turns(&[Subject::Baton, Subject::BunHot], 0) {
        let generated = Generated::of(14);
        let requests = Generated::requests();
        let server = Server::start(&stage, subject, &generated.project);
        server.boots(&requests, |reply| Generated::shows(reply, "first")).await;
        for reload in 1..=many {
            let version = format!("reload {reload}");
            let saved = saves::save_until_shown(&generated, Edit::Leaf, &server, &requests, &version).await;
            assert_ne!(saved, Saved::Never, "{version} is not served: {server}");
            if reload == FEW {
                after_few.add(subject, vec![at_rest(&stage, &server).await]);
            }
        }
        after_many.add(subject, vec![at_rest(&stage, &server).await]);
    }
    let name = format!("memory after {many} reloads by that after {FEW}");
    let mut growth = Row::figure(name, "×").goal(Goal::AtMost(Statistic::P50, 1.1));
    for subject in [Subject::Baton, Subject::BunHot] {
        let of = |row: &Row| row.cell(subject).and_then(|cell| cell.at(Statistic::P50));
        if let (Some(few), Some(many)) = (of(&after_few), of(&after_many)) {
            growth.add(subject, vec![many / few]);
        }
    }
    vec![after_few, after_many, growth]
}

/// Returns the memory of the started process at rest, in MB.
async fn at_rest(stage: &Stage, server: &Server) -> f64 {
    let quiet = stage.effort.choose(Duration::from_secs(1), AFTER_RETIREMENT);
    let Memory { resident, .. } = settled(server.pid(), quiet).await;
    resident * 1024.0 / 1e6
}
