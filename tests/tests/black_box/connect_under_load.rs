//! Inngest Connect under load: reloads, upgrades, crashes and several hosts, while runs without retries go on. One lost
//! attempt is a failed run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::gateway::{AttemptEnd, FakeConnect, Options, Phase, RunEnd, RunReport, Timing};
use harness::{Baton, Chance, Gate, Launch, Project, Run, Sdk, Status};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// The number of runs at a time.
const LANES: usize = 8;

/// The functions: `noted` has one step that writes down its run, `gated` waits for the test, `spin` keeps its thread,
/// `large` returns a text of the size that it is told.
const FUNCTIONS: &str = r#"import { appendFileSync, existsSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { Inngest } from "inngest";
import { VERSION } from "../lib/version";
const inngest = new Inngest({ id: "shop" });
const fn = (id: string, handler: any) =>
  inngest.createFunction({ id, retries: 4, checkpointing: false, triggers: [{ event: `shop/${id}` }] }, handler);
export const noted = fn("noted", async ({ event, step, runId }: any) =>
  step.run("note", async () => {
    appendFileSync(event.data.ledger, `${runId}\n`);
    await pause(20);
    return { version: VERSION, pid: process.pid };
  }),
);
export const gated = fn("gated", async ({ event, runId }: any) => {
  appendFileSync(event.data.ledger, `${runId}\n`);
  while (!existsSync(event.data.gate)) await pause(20);
  return "through";
});
export const spin = fn("spin", async ({ event }: any) => {
  const until = Date.now() + event.data.milliseconds;
  while (Date.now() < until);
  return "dizzy";
});
export const large = fn("large", async ({ event }: any) => "x".repeat(event.data.size));
"#;

fn project() -> Project {
    let project = Project::without_functions(Sdk::V4);
    project.set_version("0");
    project.write("functions/shop.ts", FUNCTIONS);
    project
}

fn connecting(launch: Launch, server: &FakeConnect) -> Launch {
    launch
        .argument("--connect")
        .env("INNGEST_DEV", server.url())
        .registering()
}

async fn connected(launch: Launch, server: &FakeConnect) -> Baton {
    let before = server.ready().len();
    let baton = connecting(launch, server).ready().await;
    server
        .wait_until("another connection", |server| server.ready().len() > before)
        .await;
    baton
}

/// The steps that were executed, run by run.
#[derive(Clone)]
struct Ledger(PathBuf);

impl Ledger {
    fn of(project: &Project) -> Self {
        Self(project.scratch().join("ledger"))
    }

    fn noted(&self) -> Run {
        Run::of("shop-noted").with_data(json!({ "ledger": self.0 }))
    }

    fn gated(&self, gate: &Gate) -> Run {
        Run::of("shop-gated").with_data(json!({ "ledger": self.0, "gate": gate.path() }))
    }

    /// The number of times that a run's step was executed.
    fn times(&self, run: &str) -> usize {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().filter(|line| *line == run).count()
    }

    async fn has(&self, server: &FakeConnect, run: &str) {
        server
            .wait_until(&format!("the step of {run}"), |_| self.times(run) > 0)
            .await;
    }
}

/// Runs that follow one another.
struct Load {
    enough: Arc<AtomicBool>,
    lanes: JoinSet<Vec<RunReport>>,
}

impl Load {
    fn start(server: &Arc<FakeConnect>, ledger: &Ledger) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            let (server, ledger, enough) = (Arc::clone(server), ledger.clone(), Arc::clone(&enough));
            lanes.spawn(async move {
                let mut reports = Vec::new();
                while !enough.load(Ordering::Relaxed) {
                    reports.push(server.begin(ledger.noted(), 0).report().await);
                }
                reports
            });
        }
        Self { enough, lanes }
    }

    /// Ends, and checks that no run lost an attempt, and that each step was executed once.
    async fn ends_unharmed(self, ledger: &Ledger) -> Vec<RunReport> {
        self.enough.store(true, Ordering::Relaxed);
        let reports: Vec<_> = self.lanes.join_all().await.concat();
        let harmed: Vec<_> = reports
            .iter()
            .filter(|report| {
                !matches!(report.end, RunEnd::Completed(_))
                    || report.highest_attempt() > 0
                    || ledger.times(&report.run) != 1
            })
            .map(|report| format!("{} times: {report:?}", ledger.times(&report.run)))
            .collect();
        assert!(harmed.is_empty(), "{} of {}: {harmed:#?}", harmed.len(), reports.len());
        assert!(reports.len() > LANES, "{} runs", reports.len());
        reports
    }
}

fn counted(status: &Status, count: &str) -> u64 {
    status.0["connection"]["counts"][count].as_u64().unwrap_or_default()
}

/// `BATON_CONNECT_RELOADS=1000` has more of them.
fn reloads() -> usize {
    let asked = std::env::var("BATON_CONNECT_RELOADS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(150)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_reloads_of_a_body_leave_the_connection_and_every_run_alone() {
    let (project, server) = (project(), Arc::new(FakeConnect::start().await));
    let baton = connected(Baton::dev(&project), &server).await;
    let ledger = Ledger::of(&project);
    let load = Load::start(&server, &ledger);
    for number in 1..=reloads() {
        project.set_version(&number.to_string());
        assert_eq!(baton.reload().await.status(), "activated");
    }
    let reports = load.ends_unharmed(&ledger).await;
    let last = server.begin(ledger.noted(), 0).report().await;
    assert_eq!(last.value()["version"], reloads().to_string());
    let connections = server.connections();
    assert_eq!(connections.len(), 1, "{} runs", reports.len());
    assert_eq!(server.syncs().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_reloads_that_add_a_function_lose_no_attempt_and_run_no_step_twice() {
    let (project, server) = (project(), Arc::new(FakeConnect::start().await));
    let baton = connected(Baton::dev(&project), &server).await;
    let ledger = Ledger::of(&project);
    let load = Load::start(&server, &ledger);
    let mut pace = tokio::time::interval(Duration::from_millis(500));
    for number in 1..=20 {
        pace.tick().await;
        server.fault(|faults| faults.duplicates = 10);
        let text = FUNCTIONS
            .replace(
                "export const noted = fn(\"noted\"",
                &format!("export const added = fn(\"added{number}\""),
            )
            .replace("export const gated", "const gated")
            .replace("export const spin", "const spin")
            .replace("export const large", "const large");
        project.write(&format!("functions/added{number}.ts"), text);
        assert_eq!(baton.reload().await.status(), "activated");
        let added = Run::of(&format!("shop-added{number}")).with_data(json!({ "ledger": ledger.0 }));
        let report = server.begin(added, 0).report().await;
        assert!(matches!(report.end, RunEnd::Completed(_)), "{report:?}");
    }
    load.ends_unharmed(&ledger).await;
    assert_eq!(server.functions("shop").len(), 24);
    assert!(!server.duplicated().is_empty());
    let status = baton.status().await;
    assert!(counted(&status, "duplicates") > 0, "{:#}", status.0["connection"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_upgrades_in_the_middle_of_long_steps_lose_nothing_even_with_a_cut_socket() {
    let (project, server) = (project(), Arc::new(FakeConnect::start().await));
    let baton = connected(Baton::start(&project), &server).await;
    let ledger = Ledger::of(&project);
    let load = Load::start(&server, &ledger);
    let mut long = Vec::new();
    for number in 1..=20 {
        let gate = project.gate(&format!("long{number}"));
        let run = server.begin(ledger.gated(&gate), 0);
        ledger.has(&server, run.run()).await;
        long.push((gate, run));
        let upgraded = baton.upgrade(&[]).await;
        assert_eq!(upgraded.code, Some(0), "{upgraded}");
        if number == 10 {
            for connection in server.connections() {
                if connection.phase == Phase::Draining {
                    server.cut(&connection.id);
                }
            }
        }
        // The host that accepts has the steps of the last two upgrades beside it.
        if long.len() > 2 {
            let (gate, run) = long.remove(0);
            gate.open();
            let report = run.report().await;
            assert_eq!((report.value(), report.attempts.len()), (&json!("through"), 1));
            assert_eq!(ledger.times(&report.run), 1);
        }
    }
    for (gate, run) in long {
        gate.open();
        assert_eq!(run.report().await.value(), &json!("through"));
    }
    let reports = load.ends_unharmed(&ledger).await;
    let mut hosts: Vec<_> = reports.iter().map(|report| report.value()["pid"].to_string()).collect();
    hosts.sort();
    hosts.dedup();
    assert!(hosts.len() > 10, "{hosts:?}");
    assert_eq!(server.syncs().len(), 1, "the hosts present the same");
}

/// The leases are the server's own: a run that ends within the test's patience was ended by the next host.
#[tokio::test]
async fn the_calls_of_a_host_that_was_killed_are_ended_by_the_next_one() {
    let options = Options {
        timing: Timing::REAL,
        ..Options::default()
    };
    let (project, server) = (project(), FakeConnect::with(options).await);
    let baton = connected(Baton::start(&project), &server).await;
    let ledger = Ledger::of(&project);
    let gate = project.gate("never");
    let runs: Vec<_> = (0..20).map(|_| server.begin(ledger.gated(&gate), 0)).collect();
    for run in &runs {
        ledger.has(&server, run.run()).await;
    }
    harness::send_signal("KILL", baton.host().await).await;
    server
        .wait_until("the end of the connection", |server| !server.connections()[0].is_open())
        .await;
    let queued: Vec<_> = (0..20).map(|_| server.begin(ledger.noted(), 0)).collect();
    for run in runs {
        let report = run.report().await;
        assert!(matches!(report.attempts[0].end, AttemptEnd::Replied(_)), "{report:?}");
        assert!(matches!(report.end, RunEnd::Failed(_)), "{report:?}");
    }
    for run in queued {
        let report = run.report().await;
        assert_eq!(
            (report.highest_attempt(), ledger.times(&report.run)),
            (0, 1),
            "{report:?}"
        );
    }
}

#[tokio::test]
async fn slow_a_loop_in_every_isolate_makes_no_heartbeat_late_and_loses_no_lease() {
    let (project, server) = (project(), FakeConnect::start().await);
    let _baton = connected(Baton::dev(&project).argument("--isolates=2"), &server).await;
    let spin = || Run::of("shop-spin").with_data(json!({ "milliseconds": 60_000 }));
    let runs = [server.begin(spin(), 0), server.begin(spin(), 0)];
    for run in runs {
        let report = run.finish().await;
        assert_eq!((report.value(), report.attempts.len()), (&json!("dizzy"), 1));
    }
    let connection = server.ready_connections(1).await.remove(0);
    assert!(connection.longest_silence() < server.timing().heartbeat * 2);
    let extensions = server.extensions();
    assert!(extensions.iter().all(|extension| extension.nack.is_none()));
    let late = server.timing().extension + server.timing().heartbeat;
    let latest = extensions.iter().map(|extension| extension.since).max();
    assert!(latest.is_some_and(|latest| latest < late), "{latest:?}");
}

/// Three machines of one app: calls go to all of them; one is reloaded, one upgraded, one stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_three_hosts_share_an_app_and_lose_nothing_while_each_goes_its_own_way() {
    let server = Arc::new(FakeConnect::start().await);
    let projects: Vec<_> = (0..3).map(|_| project()).collect();
    for (number, project) in projects.iter().enumerate() {
        project.write("baton.toml", format!("[connect]\ninstance_id = \"machine-{number}\"\n"));
    }
    let mut hosts = Vec::new();
    for project in &projects {
        hosts.push(connected(Baton::start(project), &server).await);
    }
    assert_eq!(server.syncs().len(), 1, "one group");
    let ledger = Ledger::of(&projects[0]);
    let load = Load::start(&server, &ledger);
    let all = |server: &FakeConnect| server.used().len() >= 3;
    server.wait_until("calls to each", all).await;
    let instances: Vec<_> = server.ready().iter().map(|ready| ready.instance().to_owned()).collect();
    assert_eq!(instances, ["machine-0", "machine-1", "machine-2"]);

    projects[0].set_version("new");
    assert_eq!(hosts[0].reload().await.status(), "activated");
    assert_eq!(hosts[1].status().await.current(), 1);
    let upgraded = hosts[1].upgrade(&[]).await;
    assert_eq!(upgraded.code, Some(0), "{upgraded}");
    let mut stopped = hosts.remove(2);
    stopped.signal("TERM").await;
    assert!(stopped.ended().await.success());
    for version in ["new", "0"] {
        while server.begin(ledger.noted(), 0).report().await.value()["version"] != version {}
    }
    load.ends_unharmed(&ledger).await;

    // The capacity of a host that was killed is gone at once, and its calls go to the others.
    let long = server.begin(ledger.gated(&projects[0].gate("never")), 1);
    ledger.has(&server, long.run()).await;
    harness::send_signal("KILL", hosts[1].host().await).await;
    for _ in 0..20 {
        let report = server.begin(ledger.noted(), 1).report().await;
        assert!(matches!(report.end, RunEnd::Completed(_)), "{report:?}");
    }
    assert!(!long.has_ended() || long.attempts()[0].end != AttemptEnd::GivenUp("connect_no_healthy_connection"));
}

/// The outcome of a host's stop, with the server's intervals twenty times as fast: a call of a minute takes 3 s.
struct StopReport {
    minute: RunReport,
    five_minutes: RunReport,
    /// The runs that began meanwhile, one every second of the server's.
    others: Vec<RunReport>,
    took: Duration,
}

impl StopReport {
    /// The number of other runs that lost an attempt.
    fn burnt(&self) -> usize {
        let burnt = |report: &&RunReport| !matches!(report.end, RunEnd::Completed(_)) || report.highest_attempt() > 0;
        self.others.iter().filter(burnt).count()
    }
}

/// Stops a host with two long calls in flight while runs go on beginning, and starts another one once it has ended.
async fn stop(on_stop: &str, another: bool) -> StopReport {
    const TIMES: u32 = 20;
    let options = Options {
        timing: Timing {
            draining_look: Timing::REAL.draining_look / TIMES,
            ..Timing::faster(TIMES)
        },
        ..Options::default()
    };
    let (project, server) = (project(), FakeConnect::with(options).await);
    project.write("baton.toml", format!("[connect]\non_stop = \"{on_stop}\"\n"));
    let mut host = connected(Baton::start(&project), &server).await;
    let own = server.ready().remove(0).id;
    let ledger = Ledger::of(&project);
    let minutes = [1, 5].map(|minutes| {
        let gate = project.gate(&format!("{minutes} minutes"));
        let run = server.begin(ledger.gated(&gate), 0);
        (Duration::from_secs(60) * minutes / TIMES, gate, run)
    });
    for (_, _, run) in &minutes {
        ledger.has(&server, run.run()).await;
    }
    let other = self::project();
    other.write("baton.toml", "[connect]\ninstance_id = \"beside\"\n");
    let beside = match another {
        true => Some(connected(Baton::start(&other), &server).await),
        false => None,
    };
    let mut others = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / TIMES);
    let long = minutes.map(|(time, gate, run)| {
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            gate.open();
            run.finish().await
        })
    });
    host.signal("TERM").await;
    let began = std::time::Instant::now();
    // A call that is on its way in the moment of the close may lose an attempt, whatever the host does.
    server
        .wait_until("the host to leave", |server| {
            server.ready().iter().all(|connection| connection.id != own)
        })
        .await;
    while host.is_running() {
        pace.tick().await;
        others.push(server.begin(ledger.noted(), 0));
    }
    let took = began.elapsed();
    let _next = match another {
        true => None,
        false => Some(connected(Baton::start(&project), &server).await),
    };
    let [minute, five_minutes] = long.map(async |run| run.await.expect("a run that ends"));
    let (minute, five_minutes) = (minute.await, five_minutes.await);
    let mut reports = Vec::new();
    for run in others {
        reports.push(run.report().await);
    }
    drop(beside);
    let report = StopReport {
        minute,
        five_minutes,
        others: reports,
        took,
    };
    println!(
        "{on_stop}, {}: {} of {} other runs lost an attempt; a call of 60 s: {:?}, of 5 min: {:?}; ended after {:.0} s",
        if another { "beside another host" } else { "alone" },
        report.burnt(),
        report.others.len(),
        report.minute.end,
        report.five_minutes.end,
        (report.took * TIMES).as_secs_f64(),
    );
    report
}

#[tokio::test]
async fn slow_a_stop_that_closes_costs_no_other_run_and_the_calls_that_outlast_their_leases() {
    let stopped = stop("close", false).await;
    assert_eq!(stopped.burnt(), 0);
    assert_eq!(stopped.minute.value(), &json!("through"));
    let end = &stopped.five_minutes.attempts[0].end;
    assert_eq!(end, &AttemptEnd::GivenUp("connect_worker_stopped_responding"));
}

#[tokio::test]
async fn slow_a_stop_that_pauses_costs_nothing_where_another_host_is_connected() {
    let stopped = stop("pause", true).await;
    assert_eq!(stopped.burnt(), 0);
    assert_eq!(stopped.minute.value(), &json!("through"));
    assert_eq!(stopped.five_minutes.value(), &json!("through"));
}

/// The default is to close for this reason.
#[tokio::test]
async fn slow_a_stop_that_pauses_costs_other_runs_where_nobody_else_is_connected() {
    let stopped = stop("pause", false).await;
    assert!(stopped.burnt() > 0);
    assert_eq!(stopped.minute.value(), &json!("through"));
    assert_eq!(stopped.five_minutes.value(), &json!("through"));
}

/// Kinds of the gateway and others, whole and broken; not the one by which the gateway wants the host to leave.
#[tokio::test]
async fn frames_of_any_kind_cost_no_connection() {
    let (project, server) = (project(), FakeConnect::start().await);
    let baton = connected(Baton::dev(&project), &server).await;
    let ledger = Ledger::of(&project);
    let id = server.ready()[0].id.clone();
    let gate = project.gate("while");
    let long = server.begin(ledger.gated(&gate), 0);
    ledger.has(&server, long.run()).await;
    let mut chance = Chance(7);
    for _ in 0..3000 {
        let kind = match chance.below(18) {
            11 => 77,
            kind => u8::try_from(kind).expect("a small number"),
        };
        let length = chance.below(40);
        let payload: Vec<u8> = (0..length)
            .map(|_| u8::try_from(chance.below(256)).expect("a byte"))
            .collect();
        let mut frame = vec![0x08, kind, 0x12, u8::try_from(length).expect("a small number")];
        frame.extend(payload);
        frame.truncate(frame.len() - usize::try_from(chance.below(4)).expect("a small number"));
        server.send_bytes(&id, frame);
    }
    server.fault(|faults| faults.no_traces = true);
    let report = server.begin(ledger.noted(), 0).report().await;
    assert_eq!(report.highest_attempt(), 0, "{report:?}");
    gate.open();
    assert_eq!(long.report().await.value(), &json!("through"));
    assert_eq!(server.connections().len(), 1);
    assert!(!baton.stderr().text().contains("panicked"));
}

#[tokio::test]
async fn an_answer_that_no_frame_holds_is_a_failure_of_its_run_alone() {
    const LIMIT: usize = connect_wire::GATEWAY_FRAME_LIMIT;
    let (project, server) = (project(), FakeConnect::start().await);
    let _baton = connected(Baton::dev(&project), &server).await;
    let large = |size: usize| {
        server
            .begin(Run::of("shop-large").with_data(json!({ "size": size })), 0)
            .report()
    };
    let fits = LIMIT - 64 * 1024;
    let report = large(fits).await;
    let length = |value: &Value| value.as_str().map(str::len);
    assert_eq!(length(report.value()), Some(fits));
    for size in [LIMIT - 1, LIMIT, LIMIT + 1, 2 * LIMIT] {
        let report = large(size).await;
        let RunEnd::Failed(why) = &report.end else {
            panic!("{size}: {report:?}");
        };
        assert!(why.contains("too large"), "{size}: {why}");
    }
    assert_eq!(server.connections().len(), 1);
}
