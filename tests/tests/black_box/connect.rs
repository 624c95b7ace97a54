//! Inngest Connect: the connection belongs to the host, and neither reloads nor loops nor lost sockets cost a run anything.
//! Every function here has no retries, so that one lost attempt is a failed run.

use std::path::PathBuf;
use std::time::Duration;

use connect_wire::Kind;
use harness::gateway::{FakeConnect, Options, Party, RunEnd, Timing};
use harness::{Baton, Gate, Launch, Project, Run, Sdk, Status, deadline};
use serde_json::{Value, json};

const KEY: &str = "signkey-test-0123456789abcdef0123456789abcdef";

/// Makes a test for each SDK.
macro_rules! with_both {
    ($($name:ident;)*) => {
        $(mod $name {
            use super::*;

            #[tokio::test]
            async fn with_inngest_4() {
                super::$name(Sdk::V4).await;
            }

            #[tokio::test]
            async fn with_inngest_3() {
                super::$name(Sdk::V3).await;
            }
        })*
    };
}

with_both! {
    calls_come_over_the_connection;
    a_reload_that_adds_a_function_swaps_the_connection_and_loses_nothing;
    a_worker_runs_unmodified;
}

/// A function of the app `shop`.
fn function(sdk: Sdk, id: &str, body: &str) -> String {
    let options = format!("id: \"{id}\", retries: 0");
    let trigger = format!("{{ event: \"shop/{id}\" }}");
    let arguments = match sdk {
        Sdk::V4 => format!("{{ {options}, triggers: [{trigger}] }}"),
        Sdk::V3 => format!("{{ {options} }}, {trigger}"),
    };
    format!(
        "import {{ appendFileSync, existsSync }} from \"node:fs\";\n\
         import {{ setTimeout as pause }} from \"node:timers/promises\";\n\
         import {{ Inngest }} from \"inngest\";\n\
         const inngest = new Inngest({{ id: \"shop\" }});\n\
         const ran = (event: any, name: string) => event.data.log && appendFileSync(event.data.log, `${{name}}\\n`);\n\
         export const {id} = inngest.createFunction({arguments}, async ({{ event, step, attempt }}: any) => {{ {body} }});\n"
    )
}

const GREET: &str =
    "return { said: await step.run(\"say\", () => { ran(event, \"say\"); return \"one\"; }), attempt };";
const GATED: &str = "return await step.run(\"wait\", async () => { ran(event, \"wait\"); \
    while (!existsSync(event.data.gate)) await pause(10); return \"through\"; });";
const SPIN: &str = "return await step.run(\"spin\", () => { ran(event, \"spin\"); \
    const end = Date.now() + event.data.ms; while (Date.now() < end) {} return \"spun\"; });";

fn project(sdk: Sdk) -> Project {
    let project = Project::without_functions(sdk);
    for (id, body) in [("greet", GREET), ("gated", GATED), ("spin", SPIN)] {
        project.write(&format!("functions/{id}.ts"), function(sdk, id, body));
    }
    project
}

fn connecting(launch: Launch, server: &FakeConnect) -> Launch {
    let launch = launch.argument("--connect").env("INNGEST_DEV", server.url());
    launch.registering()
}

/// Starts a host that is connected.
async fn connected(project: &Project, server: &FakeConnect) -> Baton {
    let baton = connecting(Baton::dev(project), server).ready().await;
    server.ready_connections(1).await;
    baton
}

fn greet() -> Run {
    Run::of("shop-greet")
}

/// The log of the steps of one run.
struct StepLog(PathBuf);

impl StepLog {
    fn of(project: &Project, name: &str) -> Self {
        Self(project.scratch().join(format!("{name}.log")))
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn has(&self, line: &str) {
        let is_there = async || self.lines().iter().any(|known| known == line).then_some(());
        deadline::until(&format!("the step {line}"), || format!("{:?}", self.lines()), is_there).await;
    }
}

/// A run that waits in its step until the gate opens.
fn gated(project: &Project, name: &str) -> (Gate, StepLog, Run) {
    let (gate, log) = (project.gate(name), StepLog::of(project, name));
    let run = Run::of("shop-gated").with_data(json!({ "gate": gate.path(), "log": log.0 }));
    (gate, log, run)
}

fn connection(status: &Status) -> &Value {
    &status.0["connection"]
}

async fn calls_come_over_the_connection(sdk: Sdk) {
    let (project, server) = (project(sdk), FakeConnect::start().await);
    let waiting = server.begin(greet(), 0);
    let baton = connected(&project, &server).await;
    let report = waiting.report().await;
    assert_eq!(
        report.value(),
        &json!({ "said": "one", "attempt": 0 }),
        "it had waited for a host"
    );
    assert_eq!(server.begin(greet(), 0).report().await.highest_attempt(), 0);

    let ready = server.ready_connections(1).await.remove(0);
    let presented = ready.presented.clone().expect("a presentation");
    assert_eq!(presented.sdk_version, format!("v{}", sdk.version()));
    assert!(!presented.worker_manual_readiness_ack, "nobody else serves");
    assert_eq!(server.functions("shop"), ["shop-gated", "shop-greet", "shop-spin"]);
    let active = |status: &Status| connection(status)["state"] == "active";
    let status = baton.status_when("the connection to be active", active).await;
    assert_eq!(connection(&status)["connection_id"], ready.id);
    assert_eq!(connection(&status)["apps"][0]["id"], "shop");
    assert_eq!(
        status.0["registration"]["off"], "connected",
        "the connection tells Inngest"
    );
    assert!(server.inngest().registrations().is_empty());
    let metrics = baton.get("/-/metrics").await.text();
    for line in [
        "baton_connection{state=\"active\"} 1",
        "baton_connection_events_total{event=\"connected\"} 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    server
        .wait_until("heartbeats", |server| server.connections()[0].heartbeats.len() > 2)
        .await;
}

/// Over the connection nobody signs a call, and a key is still asked for.
#[tokio::test]
async fn a_server_with_a_key_is_told_the_key() {
    let kind = harness::Kind::SelfHosted(KEY.to_owned());
    let options = Options {
        kind,
        ..Options::default()
    };
    let (project, server) = (project(Sdk::V4), FakeConnect::with(options).await);
    let launch = connecting(Baton::start(&project), &server);
    let launch = launch.env("INNGEST_DEV", "0").env("INNGEST_BASE_URL", server.url());
    let baton = launch.env("INNGEST_SIGNING_KEY", KEY).ready().await;
    server.ready_connections(1).await;
    let report = server.begin(greet(), 0).report().await;
    assert_eq!(report.value(), &json!({ "said": "one", "attempt": 0 }));
    drop(baton);
}

#[tokio::test]
async fn reloads_of_code_leave_the_connection_alone() {
    let (project, server) = (project(Sdk::V4), FakeConnect::start().await);
    let baton = connected(&project, &server).await;
    let (gate, log, run) = gated(&project, "long");
    let long = server.begin(run, 0);
    log.has("wait").await;
    let mut runs = Vec::new();
    for number in 0..40 {
        runs.push(server.begin(greet(), 0));
        project.write(
            "functions/greet.ts",
            function(Sdk::V4, "greet", &GREET.replace("one", &format!("n{number}"))),
        );
        assert_eq!(baton.reload().await.status(), "activated");
    }
    let last = server.begin(greet(), 0).report().await;
    assert_eq!(last.value()["said"], "n39");
    for run in runs {
        assert_eq!(run.report().await.highest_attempt(), 0);
    }
    gate.open();
    assert_eq!(long.report().await.value(), &json!("through"));
    assert_eq!(server.connections().len(), 1);
    assert_eq!(server.syncs().len(), 1);
    assert!(server.extensions().iter().all(|extension| extension.nack.is_none()));
}

async fn a_reload_that_adds_a_function_swaps_the_connection_and_loses_nothing(sdk: Sdk) {
    let (project, server) = (project(sdk), FakeConnect::start().await);
    let baton = connected(&project, &server).await;
    let (gate, log, run) = gated(&project, "long");
    let long = server.begin(run, 0);
    log.has("wait").await;
    for number in 0..8 {
        let before = server.ready_connections(1).await.remove(0);
        let runs: Vec<_> = (0..5).map(|_| server.begin(greet(), 0)).collect();
        let id = format!("added{number}");
        project.write(&format!("functions/{id}.ts"), function(sdk, &id, "return \"new\";"));
        assert_eq!(baton.reload().await.status(), "activated");
        let report = server.begin(Run::of(&format!("shop-{id}")), 0).report().await;
        assert_eq!(report.value(), &json!("new"));
        for run in runs {
            assert_eq!(run.report().await.highest_attempt(), 0);
        }
        let is_over = |server: &FakeConnect| {
            server
                .connections()
                .iter()
                .any(|known| known.id == before.id && !known.is_open())
        };
        server
            .wait_until("the connection before it to be closed", is_over)
            .await;
        let over = server.connections().into_iter().find(|known| known.id == before.id);
        let ending = over.and_then(|known| known.ending).expect("an end");
        assert!(ending.is_intended(), "{ending:?}");
    }
    gate.open();
    let report = long.report().await;
    assert_eq!((report.value(), report.highest_attempt()), (&json!("through"), 0));
    assert_eq!(log.lines(), ["wait"]);
    assert_eq!(server.functions("shop").len(), 11);
}

#[tokio::test]
async fn functions_that_inngest_refuses_do_not_become_current() {
    let (project, server) = (project(Sdk::V4), FakeConnect::start().await);
    let baton = connected(&project, &server).await;
    server.fault(|faults| faults.refuse_syncs("connect_invalid_function_config", "the cron is wrong"));
    project.write("functions/added.ts", function(Sdk::V4, "added", "return 1;"));
    let report = baton.reload().await;
    assert_eq!(report.status(), "rejected");
    assert_eq!(report.error()["kind"], "refused");
    let message = report.error()["message"].as_str().unwrap_or_default();
    assert!(message.contains("the cron is wrong"), "{message}");
    let run = server.begin(greet(), 0).report().await;
    assert_eq!(run.value(), &json!({ "said": "one", "attempt": 0 }));
    server.fault(|faults| faults.refusal = None);
    assert_eq!(baton.reload_with("?force").await.status(), "activated");
    let report = server.begin(Run::of("shop-added"), 0).report().await;
    assert_eq!(report.value(), &json!(1));
}

#[tokio::test]
async fn functions_that_inngest_refuses_at_the_start_are_shown_until_they_are_mended() {
    let (project, server) = (project(Sdk::V4), FakeConnect::start().await);
    server.fault(|faults| faults.refuse_syncs("connect_invalid_function_config", "the cron is wrong"));
    let baton = connecting(Baton::dev(&project), &server).listening().await;
    let refused = |status: &Status| connection(status)["state"] == "refused";
    let status = baton.status_when("the connection to be refused", refused).await;
    assert!(
        connection(&status)["error"]
            .as_str()
            .unwrap_or_default()
            .contains("the cron is wrong")
    );
    let ready = baton.get("/-/ready").await;
    assert_eq!(
        (ready.status, ready.json()["reason"].clone()),
        (503, json!("connecting"))
    );
    server.fault(|faults| faults.refusal = None);
    project.write("functions/added.ts", function(Sdk::V4, "added", "return 1;"));
    assert_eq!(baton.reload().await.status(), "activated");
    server.ready_connections(1).await;
    baton.wait_until_ready().await;
    assert_eq!(server.begin(greet(), 0).report().await.highest_attempt(), 0);
}

#[tokio::test]
async fn functions_that_cannot_be_presented_keep_the_host_from_being_ready_until_they_are_mended() {
    let (project, server) = (Project::without_functions(Sdk::V4), FakeConnect::start().await);
    let app = |id: &str, environment: &str| {
        format!(
            r#"import {{ Inngest }} from "inngest";
const inngest = new Inngest({{ id: "{id}", env: "{environment}" }});
export const {id} = inngest.createFunction(
  {{ id: "{id}", triggers: [{{ event: "{id}/asked" }}] }},
  async () => "{id}",
);
"#
        )
    };
    project.write("functions/shop.ts", app("shop", "one"));
    project.write("functions/bank.ts", app("bank", "two"));
    let baton = connecting(Baton::dev(&project), &server).listening().await;
    let stays_off = |status: &Status| connection(status)["error"].is_string();
    let status = baton.status_when("the connection to stay off", stays_off).await;
    assert_eq!(connection(&status)["state"], "off");
    let error = connection(&status)["error"].as_str().unwrap_or_default();
    assert!(error.contains("give their clients the same `env`"), "{error}");
    let ready = baton.get("/-/ready").await;
    assert_eq!(
        (ready.status, ready.json()["reason"].clone()),
        (503, json!("connecting"))
    );
    project.write("functions/bank.ts", app("bank", "one"));
    assert_eq!(baton.reload().await.status(), "activated");
    server.ready_connections(1).await;
    baton.wait_until_ready().await;
}

#[tokio::test]
async fn a_request_that_comes_twice_runs_once() {
    let (project, server) = (project(Sdk::V4), FakeConnect::start().await);
    let baton = connected(&project, &server).await;
    server.fault(|faults| faults.duplicates = 30);
    for number in 0..10 {
        let log = StepLog::of(&project, &format!("twice{number}"));
        let run = greet().with_data(json!({ "log": log.0 }));
        assert_eq!(server.begin(run, 0).report().await.highest_attempt(), 0);
        assert_eq!(log.lines(), ["say"]);
    }
    assert!(server.duplicated().len() >= 10);
    let counted = |status: &Status| connection(status)["counts"]["duplicates"].as_u64() >= Some(10);
    baton.status_when("the duplicates to be counted", counted).await;
}

#[tokio::test]
async fn a_socket_that_is_cut_loses_neither_leases_nor_replies() {
    let (project, server) = (project(Sdk::V4), FakeConnect::start().await);
    let _baton = connected(&project, &server).await;
    let (gate, log, run) = gated(&project, "long");
    let long = server.begin(run, 0);
    log.has("wait").await;
    for _ in 0..5 {
        let before = server.ready_connections(1).await.remove(0);
        server.cut(&before.id);
        let another = |server: &FakeConnect| server.ready().iter().any(|ready| ready.id != before.id);
        server.wait_until("another connection", another).await;
        let (id, connections) = (server.ready()[0].id.clone(), server.connections().len());
        let extended = |server: &FakeConnect| server.extensions().iter().any(|extension| extension.connection == id);
        server
            .wait_until(&format!("an extension over connection {connections}"), extended)
            .await;
    }
    gate.open();
    let report = long.report().await;
    assert_eq!((report.value(), report.attempts.len()), (&json!("through"), 1));
    assert_eq!(log.lines(), ["wait"]);
}

#[tokio::test]
async fn replies_whose_way_is_lost_are_delivered_by_another() {
    let (project, server) = (project(Sdk::V4), FakeConnect::start().await);
    let _baton = connected(&project, &server).await;
    server.fault(|faults| faults.lose(Party::Worker, Kind::WorkerReply, 2));
    let report = server.begin(greet(), 0).report().await;
    assert_eq!(report.highest_attempt(), 0, "{report:?}");
    assert!(!server.flushed().is_empty());
    server.fault(|faults| {
        faults.lose(Party::Gateway, Kind::WorkerReplyAck, 1);
        faults.flush = Some((500, 1));
    });
    assert_eq!(server.begin(greet(), 0).report().await.highest_attempt(), 0);
}

#[tokio::test]
async fn code_that_spins_starves_neither_heartbeats_nor_leases() {
    let (project, server) = (project(Sdk::V4), FakeConnect::start().await);
    let baton = connecting(Baton::dev(&project), &server)
        .argument("--isolates=2")
        .ready()
        .await;
    server.ready_connections(1).await;
    // Two leases' time, in every isolate.
    let spin = || server.begin(Run::of("shop-spin").with_data(json!({ "ms": 13_000 })), 0);
    let (one, two) = (spin(), spin());
    for run in [one, two] {
        let report = run.finish().await;
        assert_eq!((report.value(), report.attempts.len()), (&json!("spun"), 1));
    }
    let silence = server.ready_connections(1).await[0].longest_silence();
    assert!(silence < server.timing().heartbeat * 2, "{silence:?}");
    assert!(server.extensions().iter().all(|extension| extension.nack.is_none()));
    assert!(server.extensions().len() >= 8);
    drop(baton);
}

#[tokio::test]
async fn a_gateway_that_drains_is_left_for_another_one() {
    let options = Options {
        gateways: vec!["gw-a".to_owned(), "gw-b".to_owned()],
        ..Options::default()
    };
    let (project, server) = (project(Sdk::V4), FakeConnect::with(options).await);
    let _baton = connected(&project, &server).await;
    let (gate, log, run) = gated(&project, "long");
    let long = server.begin(run, 0);
    log.has("wait").await;
    for _ in 0..4 {
        let before = server.ready_connections(1).await.remove(0);
        server.drain_gateway(&before.gateway);
        let moved = |server: &FakeConnect| {
            let ready = server.ready();
            ready.len() == 1 && ready[0].gateway != before.gateway
        };
        server.wait_until("a connection to the other gateway", moved).await;
        assert_eq!(server.begin(greet(), 0).report().await.highest_attempt(), 0);
        server.activate_gateway(&before.gateway);
    }
    gate.open();
    assert_eq!(long.report().await.attempts.len(), 1);
}

#[tokio::test]
async fn at_a_stop_work_waits_in_inngests_queue_and_calls_in_flight_are_finished() {
    let timing = Timing {
        draining_look: Duration::from_millis(20),
        ..Timing::default()
    };
    let (project, server) = (
        project(Sdk::V4),
        FakeConnect::with(Options {
            timing,
            ..Options::default()
        })
        .await,
    );
    let mut baton = connected(&project, &server).await;
    let (gate, log, run) = gated(&project, "long");
    let long = server.begin(run, 0);
    log.has("wait").await;
    baton.signal("TERM").await;
    server
        .wait_until("no capacity", |server| server.capacity("shop") == 0)
        .await;
    let later: Vec<_> = (0..10).map(|_| server.begin(greet(), 0)).collect();
    gate.open();
    assert_eq!(long.report().await.attempts.len(), 1);
    assert!(baton.ended().await.success());
    assert_eq!(server.flushed().len(), 1);
    let ending = server.connections()[0].ending.clone().expect("an end");
    assert!(ending.is_intended(), "{ending:?}");
    assert!(
        later.iter().all(|run| !run.has_ended()),
        "work waits while nobody is connected"
    );
    let _baton = connected(&project, &server).await;
    for run in later {
        assert_eq!(run.report().await.highest_attempt(), 0);
    }
}

#[tokio::test]
async fn where_the_plan_is_used_up_a_reload_takes_the_connections_place() {
    let options = Options {
        most_connections: Some(1),
        ..Options::default()
    };
    let (project, server) = (project(Sdk::V4), FakeConnect::with(options).await);
    let baton = connected(&project, &server).await;
    let (gate, log, run) = gated(&project, "long");
    let long = server.begin(run, 0);
    log.has("wait").await;
    project.write("functions/added.ts", function(Sdk::V4, "added", "return 1;"));
    assert_eq!(baton.reload().await.status(), "activated");
    let knows = |server: &FakeConnect| server.functions("shop").len() == 4 && server.ready().len() == 1;
    server.wait_until("the new functions", knows).await;
    gate.open();
    assert_eq!(long.report().await.attempts.len(), 1);
    assert!(matches!(
        server.begin(Run::of("shop-added"), 0).report().await.end,
        RunEnd::Completed(_)
    ));
}

#[tokio::test]
async fn frames_that_cannot_be_read_cost_no_connection() {
    let (project, server) = (project(Sdk::V4), FakeConnect::start().await);
    let _baton = connected(&project, &server).await;
    let id = server.ready()[0].id.clone();
    for bytes in [
        &b"\x08"[..],
        b"\x08\x63",
        b"\x08\x03\x12\xff",
        b"\xff\xff\xff",
        b"",
        b"\x08\x0d\x12\x02\x0a\x09",
    ] {
        server.send_bytes(&id, bytes.to_vec());
    }
    assert_eq!(server.begin(greet(), 0).report().await.highest_attempt(), 0);
    assert_eq!(server.connections().len(), 1);
}

/// A worker as the documentation of Inngest Connect shows it.
fn worker(sdk: Sdk, rest: &str) -> String {
    let function = function(sdk, "greet", GREET).replace("export const greet", "const greet");
    format!("import {{ connect }} from \"inngest/connect\";\n{function}{rest}")
}

const CONNECTS: &str = "connect({ apps: [{ client: inngest, functions: [greet] }], instanceId: \"mine\" })";

async fn a_worker_runs_unmodified(sdk: Sdk) {
    let awaits = format!("const connection = await {CONNECTS};\nconsole.log(`worker is ${{connection.state}}`);\n");
    let listens = "createServer((_, response) => response.end(\"fine\")).listen(8080);\n";
    for rest in [
        awaits.clone(),
        format!("{awaits}await connection.closed;\nprocess.exit(0);\n"),
        format!("void {CONNECTS};\n"),
        format!("import {{ createServer }} from \"node:http\";\n{awaits}{listens}"),
    ] {
        let (project, server) = (Project::without_functions(sdk), FakeConnect::start().await);
        project.write("src/worker.ts", worker(sdk, &rest));
        let launch = Baton::dev_on(&project, "src/worker.ts").env("INNGEST_DEV", server.url());
        let baton = launch.registering().ready().await;
        let ready = server.ready_connections(1).await.remove(0);
        assert_eq!(ready.instance(), "mine");
        assert_eq!(server.begin(greet(), 0).report().await.highest_attempt(), 0);
        project.write("src/worker.ts", worker(sdk, &rest).replace("\"one\"", "\"two\""));
        assert_eq!(baton.reload().await.status(), "activated", "{rest}");
        assert_eq!(server.begin(greet(), 0).report().await.value()["said"], "two");
        assert_eq!(server.connections().len(), 1, "{rest}");
        assert!(server.inngest().registrations().is_empty());
        if rest.contains("createServer") {
            assert_eq!(baton.get("/health").await.text(), "fine");
        }
    }
}

#[tokio::test]
async fn a_module_of_a_folder_that_connects_is_told_what_to_do() {
    let project = Project::without_functions(Sdk::V4);
    project.write("functions/worker.ts", worker(Sdk::V4, &format!("await {CONNECTS};\n")));
    let launch = Baton::dev(&project).argument("--load-timeout").argument("600");
    let baton = launch.listening().await;
    let pattern = json!({ "file": "functions/worker.ts", "line": 8 });
    let rejected = baton.wait_for("generation rejected", pattern).await;
    for told in ["a worker of Inngest Connect", "baton dev --connect"] {
        assert!(rejected.text.contains(told), "{}", rejected.text);
    }
}

#[tokio::test]
async fn upgrades_in_the_middle_of_long_steps_lose_no_call() {
    let (project, server) = (project(Sdk::V4), FakeConnect::start().await);
    let baton = connecting(Baton::start(&project), &server).ready().await;
    server.ready_connections(1).await;
    let mut long = Vec::new();
    for number in 0..3 {
        let (gate, log, run) = gated(&project, &format!("long{number}"));
        let run = server.begin(run, 0);
        log.has("wait").await;
        long.push((gate, log, run));
        let runs: Vec<_> = (0..10).map(|_| server.begin(greet(), 0)).collect();
        let upgraded = baton.upgrade(&[]).await;
        assert_eq!(upgraded.code, Some(0), "{upgraded:?}");
        for run in runs {
            assert_eq!(run.report().await.highest_attempt(), 0);
        }
        server.ready_connections(1).await;
        assert_eq!(server.begin(greet(), 0).report().await.highest_attempt(), 0);
    }
    // They last longer than their first leases.
    let extended = |server: &FakeConnect| server.extensions().len() >= 20;
    server.wait_until("the extensions of their leases", extended).await;
    for (gate, log, run) in long {
        gate.open();
        let report = run.report().await;
        assert_eq!((report.value(), report.attempts.len()), (&json!("through"), 1));
        assert_eq!(log.lines(), ["wait"]);
    }
    assert_eq!(server.syncs().len(), 1, "each host presents the same");
    assert!(server.extensions().iter().all(|extension| extension.nack.is_none()));
    let settled = |server: &FakeConnect| server.connections().iter().filter(|known| known.is_open()).count() == 1;
    server
        .wait_until("the connections of earlier hosts to be closed", settled)
        .await;
}

#[tokio::test]
async fn calls_that_die_with_their_host_are_told_by_the_next_one() {
    // Leases that outlast the test: nobody but the next host can tell.
    let timing = Timing {
        retry: Duration::from_millis(200),
        ..Timing::REAL
    };
    let options = Options {
        timing,
        ..Options::default()
    };
    let (project, server) = (project(Sdk::V4), FakeConnect::with(options).await);
    let baton = connecting(Baton::start(&project), &server).ready().await;
    server.ready_connections(1).await;
    let mut runs = Vec::new();
    for number in 0..20 {
        let (gate, log, run) = gated(&project, &format!("dies{number}"));
        let run = server.begin(run, 1);
        log.has("wait").await;
        runs.push((gate, log, run));
    }
    let host = baton.host().await;
    harness::send_signal("KILL", host).await;
    let is_gone = |server: &FakeConnect| server.connections().iter().any(|known| !known.is_open());
    server.wait_until("the host to be gone", is_gone).await;
    let queued: Vec<_> = (0..10).map(|_| server.begin(greet(), 0)).collect();
    server
        .wait_until("the lost calls to be told", |server| server.flushed().len() == 20)
        .await;
    for (gate, log, run) in runs {
        gate.open();
        let report = run.report().await;
        assert_eq!((report.value(), report.highest_attempt()), (&json!("through"), 1));
        assert_eq!(log.lines(), ["wait", "wait"]);
    }
    for run in queued {
        assert_eq!(
            run.report().await.highest_attempt(),
            0,
            "work that had waited is unharmed"
        );
    }
}
