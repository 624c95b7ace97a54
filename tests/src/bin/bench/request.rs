//! The time of a `PUT /api/reload` of a file that has changed, from the request
//! to its answer.

use std::sync::Arc;

use harness::http::Call;

use crate::client::Client;
use crate::projects::{Edit, Generated};
use crate::row::{Goal, Row, Statistic};
use crate::saves::REST;
use crate::server::Server;
use crate::stage::Stage;
use crate::subject::Subject;

/// The number of reloads before anything is measured.
const WARM_UP: usize = 3;

/// Measures reloads of a project of 14 modules that is not watched.
pub(crate) async fn reloads(stage: Arc<Stage>) -> Vec<Row> {
    let mut row = Row::samples("PUT /api/reload, 14 modules, a function changed", "ms");
    for _ in 0..stage.rounds() {
        let generated = Generated::of(14);
        let requests = Generated::requests();
        let server = Server::start_with(&stage, Subject::Baton, &generated.project, &["--no-watch"]);
        server.boots(&requests, |reply| reply.status == 206).await;
        let client = server.client();
        let mut samples = Vec::new();
        for reload in 0..WARM_UP + stage.effort.choose(10, 40) {
            tokio::time::sleep(REST).await;
            let version = format!("reload {reload}");
            generated.save(Edit::Leaf, &version);
            let took = put(&client, &server).await;
            let reply = client.ask(requests.next()).await.expect("an answer");
            assert!(Generated::shows(&reply, &version), "the code before answers: {server}");
            if reload >= WARM_UP {
                samples.push(took);
            }
        }
        row.add(Subject::Baton, samples);
    }
    vec![row.goal(Goal::AtMost(Statistic::P50, 12.0))]
}

async fn put(client: &Client, server: &Server) -> f64 {
    let (head, _) = Call::new("PUT", "/api/reload").wire(&server.address().to_string());
    let reply = client.ask(&head).await.expect("an answer");
    let activated = reply.status == 200 && reply.text.contains("\"activated\"");
    assert!(activated, "no new generation: {}\n{server}", reply.text);
    reply.took
}
