//! The cost of a canary: the processor time of a call while a canary is on, beside that without one.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use harness::process::processor_time;
use harness::{Baton, Chance, Project, Run};
use serde_json::json;

use crate::client::{Client, Requests};
use crate::load::Load;
use crate::projects;
use crate::row::{Goal, Row, Statistic};
use crate::stage::Stage;

/// The number of runs of each host.
const RUNS: usize = 512;

/// Measures two hosts in turn: one with a canary that gets half of the runs, and one without, in which half of the runs
/// are pinned to an older generation. So both have two generations that answer by turns, each with isolates that warm
/// up by themselves and drive each other from the processor's caches, and they differ by the canary alone.
pub(crate) async fn cost(stage: Arc<Stage>) -> Vec<Row> {
    let time = stage.effort.choose(Duration::from_secs(1), Duration::from_secs(4));
    let (with, without) = (Host::with_a_canary().await, Host::with_pinned_runs().await);
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
    runs: Vec<Run>,
    project: Project,
}

impl Host {
    async fn with_a_canary() -> Self {
        let host = Self::start("").await;
        host.reload("?canary=50", "canary").await;
        let held = host.baton.admin("POST", "/-/canary/hold");
        let held = held.answer(&host.baton.door()).await;
        assert_eq!(held.status, 200, "{held}");
        host
    }

    async fn with_pinned_runs() -> Self {
        let host = Self::start("pin = \"run\"\n").await;
        let mut chance = Chance(7);
        let half = host.runs.iter().filter(|_| chance.below(2) == 0);
        let half: Vec<_> = half.cloned().collect();
        let (calls, load) = (half.len(), host.calls_of(&half));
        let calls = u32::try_from(calls).expect("few runs");
        let begun = load.offered(calls, Duration::from_secs(1)).await;
        assert_eq!(begun.whole(&"Baton").answered.len(), half.len());
        host.reload("?canary=off", "activated").await;
        host
    }

    async fn start(settings: &str) -> Self {
        let project = projects::app();
        project.write("baton.toml", settings);
        let baton = Baton::start(&project).ready().await;
        let hello = || Run::of("bench-hello").with_data(json!({ "name": "Ada" }));
        Self {
            pid: baton.host().await,
            runs: (0..RUNS).map(|_| hello()).collect(),
            baton,
            project,
        }
    }

    fn calls_of(&self, runs: &[Run]) -> Load {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.baton.port()));
        Load::of(Client::new(address), Requests::from(runs.iter().cloned()), 206)
    }

    /// Reloads the same functions in another file.
    async fn reload(&self, query: &str, status: &str) {
        let file = self.project.functions().join("hello.ts");
        let text = fs::read_to_string(&file).expect("the function");
        fs::write(&file, text + "// another version\n").expect("a write");
        let report = self.baton.reload_with(query).await;
        assert_eq!(report.status(), status, "{}", report.body);
    }

    /// Returns the processor time of a call, in ms.
    async fn spend(&self, time: Duration) -> f64 {
        let before = processor_time(self.pid);
        let outcome = self.calls_of(&self.runs).callers(1, time).await.whole(&"Baton");
        let spent = processor_time(self.pid) - before;
        spent.as_secs_f64() * 1e3 / outcome.answered.len() as f64
    }
}
