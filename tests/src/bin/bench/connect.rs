//! Calls over Inngest Connect: Baton beside the SDK's own `connect()`, and beside Baton over HTTP. The server is the
//! stand-in of the tests ([`harness::gateway`]), with the server's own intervals.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connect_wire::message::SdkResponseStatus;
use harness::gateway::{FakeConnect, Options, Timing};
use harness::process::processor_time;
use harness::{Project, Run};
use serde_json::json;
use tokio::task::JoinSet;

use crate::load::{self, Load, Outcome};
use crate::projects;
use crate::rate::hello;
use crate::row::{Goal, Row, Statistic};
use crate::server::Server;
use crate::stage::Stage;
use crate::subject::Subject;

/// The subjects that connect: Baton for itself, the others by the SDK's `connect()`.
const SUBJECTS: [Subject; 3] = [Subject::Baton, Subject::BunHot, Subject::Node];

const CALLERS: [usize; 2] = [1, 32];

/// The goal for what a connection at rest takes, in percent of a core.
const REST: Goal = Goal::AtMost(Statistic::P50, 0.1);

/// The rows of one number of callers.
struct Figures {
    callers: usize,
    rate: Row,
    latency: Row,
    cost: Row,
}

impl Figures {
    fn of(way: &str, callers: usize) -> Self {
        let plural = if callers == 1 { "caller" } else { "callers" };
        let name = format!("one step over {way}, {callers} {plural}");
        Self {
            callers,
            rate: Row::figure(name.clone(), "calls/s"),
            latency: Row::samples(format!("{name}: latency"), "ms"),
            cost: Row::figure(format!("{name}: processor time"), "ms/call"),
        }
    }

    async fn add(&mut self, subject: Subject, server: &Server, outcome: impl Future<Output = Outcome>) {
        let before = server.processor_ms();
        let outcome = outcome.await.whole(server);
        let spent = server.processor_ms() - before;
        self.rate.add(subject, vec![outcome.rate()]);
        self.cost.add(subject, vec![spent / outcome.answered.len() as f64]);
        self.latency.add(subject, outcome.answered);
    }

    fn rows(self) -> Vec<Row> {
        let ratio = self.rate.ratio(Subject::Node);
        let ratio = ratio.map(|ratio| ratio.goal(Goal::AtLeast(Statistic::P50, 1.0)));
        [self.rate, self.latency, self.cost].into_iter().chain(ratio).collect()
    }
}

/// Measures calls of a run that has just begun, over a connection and, for Baton, over HTTP.
pub(crate) async fn calls(stage: Arc<Stage>) -> Vec<Row> {
    let mut connected = CALLERS.map(|callers| Figures::of("Connect", callers));
    let mut http = CALLERS.map(|callers| Figures::of("HTTP", callers));
    let warm_up = stage.effort.choose(Duration::from_millis(400), Duration::from_secs(3));
    let time = stage.effort.choose(Duration::from_secs(1), Duration::from_secs(4));
    for round in 0..stage.rounds() {
        for subject in stage.turns(&SUBJECTS, round) {
            let (_project, inngest, server) = connect(&stage, subject).await;
            drop(callers(&inngest, 8, warm_up).await.whole(&server));
            for figures in &mut connected {
                let outcome = callers(&inngest, figures.callers, time);
                figures.add(subject, &server, outcome).await;
            }
        }
        let project = projects::app();
        let server = Server::start(&stage, Subject::Baton, &project);
        server.boots(&hello(), |reply| reply.status == 206).await;
        let load = Load::of(server.client(), hello(), 206);
        drop(load.callers(8, warm_up).await.whole(&server));
        for figures in &mut http {
            let outcome = load.callers(figures.callers, time);
            figures.add(Subject::Baton, &server, outcome).await;
        }
    }
    connected.into_iter().chain(http).flat_map(Figures::rows).collect()
}

/// Measures what a connection takes while there are no calls: two hosts rest side by side, and one of them is connected.
pub(crate) async fn idle(stage: Arc<Stage>) -> Vec<Row> {
    let mut without = Row::figure("a host at rest", "% of a core");
    let mut with = Row::figure("a host at rest with a connection", "% of a core");
    let mut rest = Row::figure("a connection at rest", "% of a core").goal(REST);
    let until_rest = stage.effort.choose(Duration::from_secs(5), Duration::from_secs(25));
    let time = stage.effort.choose(Duration::from_secs(20), Duration::from_secs(60));
    for _ in 0..stage.rounds().min(3) {
        let project = projects::app();
        let alone = Server::start(&stage, Subject::Baton, &project);
        alone.boots(&hello(), |reply| reply.status == 206).await;
        let (_connecting, _inngest, connected) = connect(&stage, Subject::Baton).await;
        tokio::time::sleep(until_rest).await;
        // To the nanosecond: a connection takes less than a hundredth of a second.
        let spent = |server: &Server| processor_time(server.pid()).as_secs_f64();
        let before = [&alone, &connected].map(spent);
        let began = Instant::now();
        tokio::time::sleep(time).await;
        let after = [&alone, &connected].map(spent);
        let share = |which: usize| (after[which] - before[which]) / began.elapsed().as_secs_f64() * 100.0;
        let (alone, connected) = (share(0), share(1));
        without.add(Subject::Baton, vec![alone]);
        with.add(Subject::Baton, vec![connected]);
        rest.add(Subject::Baton, vec![connected - alone]);
    }
    vec![without, with, rest]
}

/// Starts a server with Connect, and a subject that is connected to it; both last as long as their project.
async fn connect(stage: &Stage, subject: Subject) -> (Project, Arc<FakeConnect>, Server) {
    let options = Options {
        timing: Timing::REAL,
        ..Options::default()
    };
    let inngest = Arc::new(FakeConnect::with(options).await);
    let arguments: &[&str] = match subject {
        Subject::Baton => &["--connect"],
        _ => &[],
    };
    let project = projects::connecting_app();
    let server = Server::start_at(stage, subject, &project, arguments, inngest.url());
    inngest.ready_connections(1).await;
    (project, inngest, server)
}

/// Runs a number of callers. Each caller calls again as soon as it has a reply.
async fn callers(inngest: &Arc<FakeConnect>, callers: usize, time: Duration) -> Outcome {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let inngest = Arc::clone(inngest);
        tasks.spawn(async move {
            let mut outcome = Outcome::default();
            while began.elapsed() < time {
                let run = Run::of("bench-hello").with_data(json!({ "name": "Ada" }));
                let called = Instant::now();
                let reply = inngest.call(&run).await;
                let took = called.elapsed().as_secs_f64() * 1e3;
                match (reply.status(), reply.no_retry) {
                    (SdkResponseStatus::NotCompleted, false) => outcome.answered.push(took),
                    _ => outcome.lose(|| format!("{reply:?}")),
                }
            }
            outcome
        });
    }
    load::all(tasks, began).await
}
