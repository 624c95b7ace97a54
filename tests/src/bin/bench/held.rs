//! The wait of a light call from the moment that other calls begin to compute: the cost of a function that holds its
//! thread, before anybody can know how long it will.

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

/// The time that a call computes: longer than a light call is waited for.
const COMPUTES: Duration = Duration::from_secs(5);

/// The limit for a light call: a call without an answer by then has none before the computation ends.
const PATIENCE: Duration = Duration::from_secs(4);

/// The time before the first computation: the first calls of a generation have their code compiled, and Baton prepares
/// meanwhile.
const BEFORE: Duration = Duration::from_millis(1_500);

/// The time between two computations that begin, and from the last one to the light call.
const BETWEEN: Duration = Duration::from_millis(500);
const TAKEN: Duration = Duration::from_millis(30);

/// A number of calls that compute at the same time, and the goal for the longest wait, in ms.
struct Case {
    computing: usize,
    arguments: &'static [&'static str],
    goal: Option<f64>,
}

const CASES: [Case; 3] = [
    Case {
        computing: 1,
        arguments: &[],
        goal: Some(60.0),
    },
    Case {
        computing: 2,
        arguments: &[],
        goal: Some(150.0),
    },
    Case {
        computing: 4,
        arguments: &["--isolates=5"],
        goal: None,
    },
];

/// Measures one light call a server, as the last of some calls begins to compute.
pub(crate) async fn calls(stage: Arc<Stage>) -> Vec<Row> {
    let mut rows = Vec::new();
    for case in CASES {
        let Case { computing, goal, .. } = case;
        let plural = if computing == 1 {
            "another one begins"
        } else {
            "others begin"
        };
        let name = format!("light call as {computing} {plural} to compute for 5 s");
        let mut row = Row::samples(name, "ms");
        if let Some(goal) = goal {
            row = row.goal(Goal::AtMost(Statistic::Max, goal));
        }
        let mut waits = Vec::new();
        for _ in 0..stage.rounds().max(1) * stage.effort.choose(3, 4) {
            waits.extend(wait(&stage, Subject::Baton, &case).await);
        }
        if waits.is_empty() {
            row.note(Subject::Baton, "never");
        } else {
            row.add(Subject::Baton, waits);
        }
        for subject in stage.turns(&Subject::RUNTIMES, 0) {
            if subject != Subject::Baton && computing == 1 {
                match wait(&stage, subject, &case).await {
                    Some(waited) => row.add(subject, vec![waited]),
                    None => row.note(subject, "never"),
                }
            }
        }
        rows.push(row);
    }
    rows
}

/// Returns the milliseconds that a light call took; `None` if it had no answer while the others computed.
async fn wait(stage: &Stage, subject: Subject, case: &Case) -> Option<f64> {
    let project = projects::app();
    let arguments = if subject == Subject::Baton { case.arguments } else { &[] };
    let server = Server::start_with(stage, subject, &project, arguments);
    let light = hello();
    server.boots(&light, |reply| reply.status == 206).await;
    let client = server.client().patience(PATIENCE);
    for _ in 0..50 {
        client.ask(light.next()).await.expect("an answer");
    }
    tokio::time::sleep(BEFORE).await;
    let heavy = Arc::new(Requests::of("burn", &json!({ "ms": COMPUTES.as_millis() as u64 })));
    for number in 0..case.computing {
        if number > 0 {
            tokio::time::sleep(BETWEEN).await;
        }
        let (caller, heavy) = (server.client().patience(COMPUTES * 3), heavy.clone());
        // The call ends with the server.
        tokio::spawn(async move { drop(caller.ask(heavy.next()).await) });
        tokio::time::sleep(TAKEN).await;
        // A call of before that waits has another isolate made.
        if number + 1 < case.computing {
            let _ = client.ask(light.next()).await;
        }
    }
    match client.ask(light.next()).await {
        Ok(reply) => Some(reply.took),
        Err(Lost::Late) => None,
        Err(lost) => panic!("{lost:?}: {server}"),
    }
}
