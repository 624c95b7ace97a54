//! The cost of an open dashboard for the calls. Its browser runs on the same machine, and takes as much
//! of it as it wants. So the table shows Baton's own processor time for a call beside the calls per
//! second.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::Browser;
use serde_json::json;

use crate::load::{Load, Outcome};
use crate::projects;
use crate::rate::hello;
use crate::row::{Goal, Row, Statistic};
use crate::server::Server;
use crate::stage::Stage;
use crate::subject::Subject;

const OFFERED: u32 = 1_000;

/// The rows of a load, each measured without an open page and with one.
struct Figures {
    rate: [Row; 2],
    latency: [Row; 2],
    cost: [Row; 2],
}

/// Measures the same process twice a round, without and with a page.
pub(crate) async fn cost(stage: Arc<Stage>) -> Vec<Row> {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !Path::new(&chromium).exists() {
        eprintln!("not measured, for there is no browser at {chromium} (Debian: apt install chromium)");
        return Vec::new();
    }
    let mut offered = Figures::of(&format!("{OFFERED} calls a second offered"));
    let mut full = Figures::of("as many as possible, 32 callers");
    let time = stage.effort.choose(Duration::from_secs(1), Duration::from_secs(8));
    for round in 0..stage.rounds().min(3) {
        let project = projects::app();
        let server = Server::start(&stage, Subject::Baton, &project);
        server.boots(&hello(), |reply| reply.status == 206).await;
        let load = Load::of(server.client(), hello(), 206);
        drop(load.callers(32, time / 2).await.whole(&server));
        for turn in 0..2 {
            let open = (turn + round) % 2;
            let mut browser = if open == 1 { Some(look_at(&server).await) } else { None };
            offered.add(&server, open, load.offered(OFFERED, time)).await;
            full.add(&server, open, load.callers(32, time)).await;
            if let Some(browser) = &mut browser {
                // The browser's end is waited for: the next measurement runs without it.
                browser.run("await context.browser().close();").await;
            }
        }
    }
    let goal = Goal::AtLeast(Statistic::P50, 0.95);
    let mut rows = offered.rows(Some(goal));
    rows.extend(full.rows(None));
    rows
}

/// Opens a page and waits until it has heard of the host.
async fn look_at(server: &Server) -> Browser {
    let mut browser = Browser::start().await;
    let url = json!(format!("http://{}/-/", server.address()));
    let open = format!("await page.goto({url}); await page.locator('#connection[data-state=live]').waitFor();");
    browser.run(&open).await;
    browser
}

impl Figures {
    fn of(load: &str) -> Self {
        let pair = |what: &str, unit: &'static str, row: fn(String, &'static str) -> Row| {
            ["no page", "a page"].map(|page| row(format!("{load}, {page} open{what}"), unit))
        };
        Self {
            rate: pair("", "calls/s", Row::figure),
            latency: pair(": latency", "ms", Row::samples),
            cost: pair(": Baton's processor time", "ms/call", Row::figure),
        }
    }

    async fn add(&mut self, server: &Server, open: usize, outcome: impl Future<Output = Outcome>) {
        let before = server.processor_ms();
        let outcome = outcome.await.whole(server);
        let spent = server.processor_ms() - before;
        self.rate[open].add(Subject::Baton, vec![outcome.rate()]);
        self.cost[open].add(Subject::Baton, vec![spent / outcome.answered.len() as f64]);
        self.latency[open].add(Subject::Baton, outcome.answered);
    }

    fn rows(self, goal: Option<Goal>) -> Vec<Row> {
        let mut rows = Vec::new();
        for (which, [without, with]) in [self.rate, self.latency, self.cost].into_iter().enumerate() {
            let ratio = with.by(&without, format!("{}: by that without", with.name));
            let ratio = ratio.map(|ratio| match (which, goal) {
                (0, Some(goal)) => ratio.goal(goal),
                _ => ratio,
            });
            rows.extend([without, with].into_iter().chain(ratio));
        }
        rows
    }
}
