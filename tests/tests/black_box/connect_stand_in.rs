//! The stand-in of Inngest's Connect is what it stands for: the SDK's own `connect()`, under Node, works against it as
//! against Inngest. Where the two disagree, the stand-in is wrong.

mod faults;
mod worker;

use std::time::Duration;

use connect_wire::message::SdkResponseStatus;
use connect_wire::{Frame, Kind};
use harness::gateway::{AttemptEnd, FakeConnect, Options, Party, Phase, RunEnd, Timing};
use harness::{Run, Sdk};
use serde_json::{Value, json};

use self::worker::Worker;

const KEY: &str = "signkey-test-0123456789abcdef0123456789abcdef";
const OTHER_KEY: &str = "signkey-test-fedcba9876543210fedcba9876543210";

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
    runs_go_through_a_worker_step_by_step;
    a_run_waits_until_a_worker_is_there;
    a_worker_drains_when_it_is_told_to_end;
    a_worker_comes_back_after_its_socket_was_cut;
    a_worker_leaves_a_gateway_that_drains;
    a_worker_whose_functions_are_refused_tries_again;
    a_worker_falls_back_to_its_other_key;
    a_worker_that_is_one_too_many_waits;
    a_worker_with_a_limit_gets_no_more_than_it_takes;
    a_request_that_comes_twice_is_executed_twice;
    frames_of_unknown_kinds_are_ignored;
}

fn greet() -> Run {
    Run::of("stand-greet").with_data(json!({ "name": "Ada" }))
}

async fn runs_go_through_a_worker_step_by_step(sdk: Sdk) {
    let server = FakeConnect::start().await;
    let worker = Worker::start(sdk, &server);
    let id = worker.connected(&server).await;
    let ready = server.ready_connections(1).await;
    assert_eq!(ready[0].id, id);

    let report = server.begin(greet(), 0).report().await;
    assert_eq!(report.value(), &json!({ "hello": "Ada" }));
    let report = server.begin(Run::of("stand-steps"), 0).report().await;
    assert_eq!(report.value(), &json!({ "sum": 6 }));
    assert_eq!(report.highest_attempt(), 0);
    for step in ["first", "second", "third"] {
        assert_eq!(worker.times(step, &report.run), 1, "{step}");
    }
    let report = server.begin(Run::of("stand-fails"), 1).report().await;
    assert_eq!(report.value(), &json!({ "attempt": 1 }));
    let report = server.begin(Run::of("stand-fails"), 0).report().await;
    assert!(
        matches!(&report.end, RunEnd::Failed(why) if why.contains("not yet")),
        "{report:?}"
    );

    let presented = ready[0].presented.clone().expect("a presentation");
    assert_eq!(presented.framework, "connect");
    assert_eq!(presented.sdk_language, "typescript");
    assert_eq!(presented.sdk_version, format!("v{}", sdk.version()));
    assert_eq!(presented.worker_manual_readiness_ack, sdk == Sdk::V4);
    assert_eq!(presented.max_worker_concurrency, None);
    let capabilities: Value = serde_json::from_slice(&presented.capabilities).expect("JSON");
    assert_eq!(capabilities, json!({ "trust_probe": "v1", "connect": "v1" }));
    assert_eq!(presented.apps[0].app_name, "stand");
    let functions = ["stand-greet", "stand-steps", "stand-gated", "stand-spin", "stand-fails"];
    assert_eq!(server.functions("stand"), functions);

    let frames = server.frames();
    let kinds: Vec<_> = frames.iter().map(|frame| frame.kind).collect();
    let greeting = [Kind::GatewayHello, Kind::WorkerConnect, Kind::GatewayConnectionReady];
    assert_eq!(kinds[..3], greeting);
    if sdk == Sdk::V4 {
        assert_eq!(kinds[3], Kind::WorkerReady);
    }
    for request in report.attempts.iter().map(|attempt| &attempt.request) {
        let about = frames.iter().filter(|frame| frame.request.as_ref() == Some(request));
        let kinds: Vec<_> = about.map(|frame| frame.kind).collect();
        let expected = [
            Kind::GatewayExecutorRequest,
            Kind::WorkerRequestAck,
            Kind::WorkerReply,
            Kind::WorkerReplyAck,
        ];
        assert_eq!(kinds, expected);
    }
    server
        .wait_until("heartbeats", |server| server.connections()[0].heartbeats.len() > 2)
        .await;
    assert!(server.inngest().registrations().is_empty());
}

async fn a_run_waits_until_a_worker_is_there(sdk: Sdk) {
    let server = FakeConnect::start().await;
    let run = server.begin(greet(), 0);
    assert_eq!(server.capacity("stand"), 0);
    let _worker = Worker::start(sdk, &server);
    let report = run.report().await;
    assert_eq!(report.value(), &json!({ "hello": "Ada" }));
    assert_eq!(server.capacity("stand"), 1000);
}

/// A drain of the SDK costs others: the app keeps its capacity, so that Inngest goes on dispatching, and finds
/// nobody.
async fn a_worker_drains_when_it_is_told_to_end(sdk: Sdk) {
    let timing = Timing {
        draining_look: Duration::from_millis(20),
        ..Timing::default()
    };
    let server = FakeConnect::with(Options {
        timing,
        ..Options::default()
    })
    .await;
    let mut worker = Worker::start(sdk, &server);
    worker.connected(&server).await;
    let (gate, run) = worker.gated("drain");
    let long = server.begin(run, 0);
    worker.runs("wait", long.run()).await;

    worker.stop().await;
    let draining = |server: &FakeConnect| server.connections()[0].phase == Phase::Draining;
    server.wait_until("a connection that drains", draining).await;
    let other = server.begin(greet(), 0).report().await;
    assert_eq!(other.end, RunEnd::Failed("connect_no_healthy_connection".to_owned()));
    assert!(!long.has_ended());

    gate.open();
    assert_eq!(long.report().await.value(), &json!("through"));
    assert!(worker.ends().await.success());
    server
        .wait_until("the connection's end", |server| !server.connections()[0].is_open())
        .await;
    let ending = server.connections()[0].ending.clone().expect("an end");
    assert_eq!(ending.by, Some(Party::Worker));
    // Version 4 closes without a code, and reads as unexpected in Inngest's dashboard.
    assert_eq!(ending.is_intended(), sdk == Sdk::V3, "{ending:?}");
    assert_eq!(server.capacity("stand"), 0);
}

async fn a_worker_comes_back_after_its_socket_was_cut(sdk: Sdk) {
    let server = FakeConnect::start().await;
    let worker = Worker::start(sdk, &server);
    let id = worker.connected(&server).await;
    let (gate, run) = worker.gated("cut");
    let run = server.begin(run, 0);
    worker.runs("wait", run.run()).await;

    server.cut(&id);
    let another = |server: &FakeConnect| server.ready().iter().any(|ready| ready.id != id);
    server.wait_until("another connection", another).await;
    assert_eq!(server.syncs().len(), 2, "the group had gone with its only connection");
    let extended = |server: &FakeConnect| {
        let extensions = server.extensions();
        extensions
            .iter()
            .any(|extension| extension.connection != id && extension.nack.is_none())
    };
    server.wait_until("an extension over it", extended).await;
    gate.open();
    let report = run.report().await;
    assert_eq!((report.value(), report.attempts.len()), (&json!("through"), 1));
    assert_eq!(worker.times("wait", &report.run), 1);
    assert_eq!(server.connections()[0].ending.clone().expect("an end").code, 1006);
}

async fn a_worker_leaves_a_gateway_that_drains(sdk: Sdk) {
    let server = FakeConnect::with(Options {
        gateways: vec!["gw-a".to_owned(), "gw-b".to_owned()],
        ..Options::default()
    })
    .await;
    let worker = Worker::start(sdk, &server);
    worker.connected(&server).await;
    let (gate, run) = worker.gated("move");
    let run = server.begin(run, 0);
    worker.runs("wait", run.run()).await;
    let old = server.ready_connections(1).await.remove(0);
    assert_eq!(old.gateway, "gw-a");

    server.drain_gateway("gw-a");
    let moved = |server: &FakeConnect| server.ready().iter().any(|ready| ready.gateway == "gw-b");
    server.wait_until("a connection at the other gateway", moved).await;
    assert_eq!(server.syncs().len(), 1, "the same code is not registered again");
    assert_eq!(
        server.begin(greet(), 0).report().await.value(),
        &json!({ "hello": "Ada" })
    );
    gate.open();
    let report = run.report().await;
    assert_eq!((report.value(), report.attempts.len()), (&json!("through"), 1));
    server
        .wait_until("the old connection's end", |server| !server.connections()[0].is_open())
        .await;
    assert_eq!(
        server.connections()[0].ending.clone().expect("an end").by,
        Some(Party::Worker)
    );
}

async fn a_worker_whose_functions_are_refused_tries_again(sdk: Sdk) {
    let server = FakeConnect::start().await;
    server.fault(|faults| faults.refuse_syncs("connect_invalid_function_config", "the cron is no cron"));
    let worker = Worker::start(sdk, &server);
    server
        .wait_until("a refusal", |server| {
            server
                .connections()
                .first()
                .is_some_and(|connection| !connection.is_open())
        })
        .await;
    assert!(server.syncs()[0].refused);
    assert!(server.functions("stand").is_empty());
    assert_eq!(server.capacity("stand"), 0);
    let failed = server.frames().iter().any(|frame| frame.kind == Kind::SyncFailed);
    assert!(failed);

    server.fault(|faults| faults.refusal = None);
    worker.connected(&server).await;
    assert_eq!(
        server.begin(greet(), 0).report().await.value(),
        &json!({ "hello": "Ada" })
    );
}

async fn a_worker_falls_back_to_its_other_key(sdk: Sdk) {
    let server = FakeConnect::with(Options {
        kind: harness::Kind::SelfHosted(KEY.to_owned()),
        ..Options::default()
    })
    .await;
    let environment = |key| {
        [
            ("INNGEST_DEV", "0"),
            ("INNGEST_BASE_URL", server.url()),
            ("INNGEST_EVENT_KEY", "event-key"),
            ("INNGEST_SIGNING_KEY", OTHER_KEY),
            ("INNGEST_SIGNING_KEY_FALLBACK", key),
        ]
    };
    let worker = Worker::with(sdk, &server, &json!({}), &environment(KEY));
    worker.connected(&server).await;
    assert_eq!(server.starts(), [401, 200]);
    assert_eq!(
        server.begin(greet(), 0).report().await.value(),
        &json!({ "hello": "Ada" })
    );

    let _stranger = Worker::with(sdk, &server, &json!({}), &environment(OTHER_KEY));
    server
        .wait_until("a second refusal", |server| server.starts().len() > 3)
        .await;
    assert_eq!(server.starts()[2..4], [401, 401]);
    assert_eq!(server.connections().len(), 1);
}

async fn a_worker_that_is_one_too_many_waits(sdk: Sdk) {
    let server = FakeConnect::with(Options {
        most_connections: Some(1),
        ..Options::default()
    })
    .await;
    let first = Worker::with(sdk, &server, &json!({ "instanceId": "first" }), &[]);
    first.connected(&server).await;
    let second = Worker::with(sdk, &server, &json!({ "instanceId": "second" }), &[]);
    server
        .wait_until("a refusal", |server| server.starts().contains(&429))
        .await;
    first.stop().await;
    second.connected(&server).await;
    let connections = server.connections();
    let instances: Vec<_> = connections.iter().map(|connection| connection.instance()).collect();
    assert_eq!(instances, ["first", "second"]);
}

async fn a_worker_with_a_limit_gets_no_more_than_it_takes(sdk: Sdk) {
    let server = FakeConnect::start().await;
    let worker = Worker::with(sdk, &server, &json!({ "maxWorkerConcurrency": 2 }), &[]);
    worker.connected(&server).await;
    let gate = worker.gated("limit").0;
    let runs: Vec<_> = (0..4).map(|_| server.begin(worker.gated("limit").1, 0)).collect();
    server
        .wait_until("two requests", |server| server.executing("stand") == 2)
        .await;
    assert_eq!(server.capacity("stand"), 2);
    // Extensions count for a worker that has a limit, too.
    let extended = |server: &FakeConnect| server.extensions().len() > 3;
    server.wait_until("extensions", extended).await;
    assert!(server.extensions().iter().all(|extension| extension.nack.is_none()));
    assert_eq!(server.executing("stand"), 2);
    gate.open();
    for run in runs {
        let report = run.report().await;
        assert_eq!((report.value(), report.attempts.len()), (&json!("through"), 1));
    }
}

/// None of the SDKs remembers which requests it has seen.
async fn a_request_that_comes_twice_is_executed_twice(sdk: Sdk) {
    let server = FakeConnect::start().await;
    let worker = Worker::start(sdk, &server);
    worker.connected(&server).await;
    server.ready_connections(1).await;
    server.fault(|faults| faults.duplicates = 1);
    let (gate, run) = worker.gated("twice");
    let run = server.begin(run, 0);
    let id = run.run().to_owned();
    server
        .wait_until("both executions", |_| worker.times("wait", &id) == 2)
        .await;
    gate.open();
    let report = run.report().await;
    assert_eq!(server.duplicated(), [report.attempts[0].request.clone()]);
    assert_eq!(report.attempts[0].end, AttemptEnd::Replied(SdkResponseStatus::Done));
}

async fn frames_of_unknown_kinds_are_ignored(sdk: Sdk) {
    let server = FakeConnect::start().await;
    let worker = Worker::start(sdk, &server);
    let id = worker.connected(&server).await;
    server.ready_connections(1).await;
    let unknown = Frame::Unknown {
        number: 77,
        payload: "anything".into(),
    };
    server.send(&id, &unknown);
    assert_eq!(
        server.begin(greet(), 0).report().await.value(),
        &json!({ "hello": "Ada" })
    );
    assert_eq!(server.connections().len(), 1);
}

/// The comparison: a loop of user code, for longer than a lease lasts.
async fn spin(options: Value) -> (FakeConnect, harness::gateway::RunReport) {
    let heartbeat = Timing::REAL.heartbeat / 20;
    let timing = Timing {
        heartbeat,
        ..Timing::default()
    };
    let server = FakeConnect::with(Options {
        timing,
        ..Options::default()
    })
    .await;
    let worker = Worker::with(Sdk::V4, &server, &options, &[]);
    worker.connected(&server).await;
    server
        .wait_until("a heartbeat", |server| !server.connections()[0].heartbeats.is_empty())
        .await;
    let spin = server.timing().lease + server.timing().look * 2 + server.timing().grace;
    let milliseconds = u64::try_from(spin.as_millis()).expect("a time");
    let run = Run::of("stand-spin").with_data(json!({ "milliseconds": milliseconds }));
    let report = server.begin(run, 0).report().await;
    (server, report)
}

#[tokio::test]
async fn a_loop_costs_the_sdk_its_heartbeats_and_its_lease() {
    let (server, report) = spin(json!({ "isolateExecution": false })).await;
    assert_eq!(
        report.end,
        RunEnd::Failed("connect_worker_stopped_responding".to_owned())
    );
    assert!(server.extensions().is_empty());
    server
        .wait_until("the end of the connection", |server| !server.connections()[0].is_open())
        .await;
    let first = &server.connections()[0];
    assert!(first.longest_silence() > server.timing().heartbeat * 5);
    assert_eq!(
        first.ending.clone().expect("an end").reason,
        "CONSECUTIVE_HEARTBEATS_MISSED"
    );
}

#[tokio::test]
async fn a_loop_costs_the_sdk_nothing_if_a_thread_of_its_own_holds_the_connection() {
    let (server, report) = spin(json!({ "isolateExecution": true })).await;
    assert_eq!(report.value(), &json!("dizzy"));
    let extensions = server.extensions();
    assert!(extensions.len() >= 3 && extensions.iter().all(|extension| extension.nack.is_none()));
    assert!(server.connections()[0].is_open());
}
