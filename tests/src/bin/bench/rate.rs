//! The number of calls per second, and the time that each call takes.

use std::sync::Arc;
use std::time::Duration;

use harness::Run;
use serde_json::json;

use crate::client::Requests;
use crate::load::Load;
use crate::projects;
use crate::row::{Goal, Row, Statistic};
use crate::server::Server;
use crate::stage::Stage;
use crate::subject::Subject;

/// A kind of call.
struct Kind {
    name: &'static str,
    requests: fn() -> Requests,
    status: u16,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "one step",
        requests: hello,
        status: 206,
    },
    Kind {
        name: "a run of 50 remembered steps",
        requests: fifty,
        status: 200,
    },
];

const CALLERS: [usize; 2] = [1, 32];

/// Returns calls of a run that has just begun: its step is run.
pub(crate) fn hello() -> Requests {
    Requests::of("hello", &json!({ "name": "Ada" }))
}

/// Returns calls of a run whose steps are all known: the function goes through
/// them and returns.
fn fifty() -> Requests {
    let known = |run: Run| {
        (0..50).fold(run, |run, number| {
            run.remembering(&format!("add {number}"), json!({ "data": number }))
        })
    };
    Requests::from((0..64).map(|_| known(Run::of("bench-fifty"))))
}

/// The rows of one kind of call with one number of callers.
struct Pair {
    kind: usize,
    callers: usize,
    rate: Row,
    latency: Row,
    cost: Row,
}

pub(crate) async fn calls(stage: Arc<Stage>) -> Vec<Row> {
    let mut pairs = Vec::new();
    for (kind, Kind { name, .. }) in KINDS.iter().enumerate() {
        for callers in CALLERS {
            let plural = if callers == 1 { "caller" } else { "callers" };
            let name = format!("{name}, {callers} {plural}");
            pairs.push(Pair {
                kind,
                callers,
                rate: Row::figure(name.clone(), "calls/s"),
                latency: Row::samples(format!("{name}: latency"), "ms"),
                cost: Row::figure(format!("{name}: the server's processor time"), "ms/call"),
            });
        }
    }
    for round in 0..stage.rounds() {
        for subject in stage.turns(&Subject::RUNTIMES, round) {
            turn(&stage, subject, &mut pairs).await;
        }
    }
    pairs.into_iter().flat_map(rows).collect()
}

async fn turn(stage: &Stage, subject: Subject, pairs: &mut [Pair]) {
    let project = projects::app();
    let server = Server::start(stage, subject, &project);
    let loads: Vec<_> = KINDS
        .iter()
        .map(|kind| Load::of(server.client(), (kind.requests)(), kind.status))
        .collect();
    server.boots(&hello(), |reply| reply.status == 206).await;
    for load in &loads {
        let warm_up = stage.effort.choose(Duration::from_millis(400), Duration::from_secs(3));
        drop(load.callers(8, warm_up).await.whole(&server));
    }
    let time = stage.effort.choose(Duration::from_millis(400), Duration::from_secs(4));
    for pair in pairs {
        let before = server.processor_ms();
        let outcome = loads[pair.kind].callers(pair.callers, time).await.whole(&server);
        let spent = server.processor_ms() - before;
        pair.cost.add(subject, vec![spent / outcome.answered.len() as f64]);
        pair.rate.add(subject, vec![outcome.rate()]);
        pair.latency.add(subject, outcome.answered);
    }
}

fn rows(pair: Pair) -> Vec<Row> {
    let Pair {
        kind,
        callers,
        rate,
        latency,
        cost,
    } = pair;
    let others = [Subject::BunHot, Subject::Deno, Subject::Node];
    let mut ratios = Vec::new();
    for other in others {
        let goal = match other {
            Subject::BunHot => Goal::AtLeast(Statistic::P50, 1.2),
            _ => Goal::AtLeast(Statistic::P50, 3.0),
        };
        let ratio = (callers == 32).then(|| rate.ratio(other)).flatten();
        ratios.extend(ratio.map(|ratio| if kind == 0 { ratio.goal(goal) } else { ratio }));
    }
    if callers == 1
        && let Some(ratio) = latency.ratio(Subject::BunHot)
    {
        ratios.push(if kind == 0 {
            ratio.goal(Goal::AtMost(Statistic::P50, 1.0))
        } else {
            ratio
        });
    }
    let by_bun = cost.ratio(Subject::BunHot);
    let by_bun = by_bun.map(|ratio| match kind {
        0 => ratio.goal(Goal::AtMost(Statistic::P50, 1.15)),
        _ => ratio,
    });
    let mut rows = vec![rate, latency, cost];
    rows.extend(ratios);
    rows.extend(by_bun);
    rows
}
