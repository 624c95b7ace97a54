//! The cost of a canary: the processor time of a call while a canary is on, beside that without one.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use harness::process::processor_time;
use harness::{Baton, Project};

use crate::client::Client;
use crate::load::Load;
use crate::projects;
use crate::rate::hello;
use crate::row::{Goal, Row, Statistic};
use crate::stage::Stage;

/// Measures two hosts in turn: one with a canary that gets half of the runs, and one without. Both have loaded the
/// same code twice. One call is under way at a time: of several, those of one generation would wait for each other
/// while the other one rests, so that the hosts would not have the same work.
pub(crate) async fn cost(stage: Arc<Stage>) -> Vec<Row> {
    let time = stage.effort.choose(Duration::from_secs(1), Duration::from_secs(4));
    let (with, without) = (Host::start("canary=50").await, Host::start("canary=off").await);
    for host in [&with, &without] {
        host.spend(time).await;
    }
    let (mut each, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
    for round in 0..stage.rounds() * 2 {
        let (mut on, mut off) = (0.0, 0.0);
        // Whoever is first in one round is second in the next.
        for turn in 0..2 {
            match (round + turn) % 2 {
                0 => on = with.spend(time).await,
                _ => off = without.spend(time).await,
            }
        }
        each[0].push(on);
        each[1].push(off);
        ratios.push(on / off);
    }
    let [on, off] = each;
    vec![
        Row::of_baton("processor time of a call with a canary", "ms/call", on),
        Row::of_baton("processor time of a call without one", "ms/call", off),
        Row::of_baton("processor time with a canary ÷ without", "", ratios).goal(Goal::AtMost(Statistic::P50, 1.03)),
    ]
}

struct Host {
    baton: Baton,
    pid: u32,
    _project: Project,
}

impl Host {
    /// Starts a host and reloads it once; `query` says how.
    async fn start(query: &str) -> Self {
        let project = projects::app();
        let baton = Baton::start(&project).ready().await;
        let file = project.functions().join("hello.ts");
        let text = fs::read_to_string(&file).expect("the function");
        fs::write(&file, text + "// another version\n").expect("a write");
        let report = baton.reload_with(&format!("?{query}")).await;
        assert!(
            matches!(report.status(), "canary" | "activated"),
            "{}: {}",
            report.status(),
            report.body
        );
        if report.status() == "canary" {
            let held = baton.admin("POST", "/-/canary/hold").answer(&baton.door()).await;
            assert_eq!(held.status, 200, "{held}");
        }
        Self {
            pid: baton.host().await,
            baton,
            _project: project,
        }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.baton.port()))
    }

    /// Returns the processor time of a call, in ms.
    async fn spend(&self, time: Duration) -> f64 {
        let load = Load::of(Client::new(self.address()), hello(), 206);
        let before = processor_time(self.pid);
        let outcome = load.callers(1, time).await.whole(&"Baton");
        let spent = processor_time(self.pid) - before;
        spent.as_secs_f64() * 1e3 / outcome.answered.len() as f64
    }
}
