//! The stand-in's strictness and its faults, by a worker without an SDK: what it closes over, what it refuses, whose
//! lease it is, and what a drain costs others.

use std::time::Duration;

use connect_wire::message::SdkResponse;
use connect_wire::{Frame, GATEWAY_FRAME_LIMIT, Kind};
use harness::Run;
use harness::gateway::{BareWorker, Ending, FakeConnect, LeaseNack, Options, Party, Phase, RunEnd, Timing};
use serde_json::json;

fn work() -> Run {
    Run::of("bare-work")
}

/// A server whose drains and acknowledgements are waited for as shortly as everything else.
async fn quick() -> FakeConnect {
    FakeConnect::with(Options {
        timing: Timing {
            draining_look: Duration::from_millis(20),
            hello: Duration::from_millis(300),
            ack: Duration::from_millis(300),
            queue: Duration::from_millis(20),
            // Nobody sends heartbeats here.
            heartbeat: Duration::from_secs(60),
            ..Timing::default()
        },
        ..Options::default()
    })
    .await
}

fn refusal(reason: &str) -> Option<(u16, String)> {
    Some((1008, reason.to_owned()))
}

#[tokio::test]
async fn a_worker_that_says_nothing_or_the_wrong_thing_is_sent_away() {
    let server = quick().await;
    let mut silent = BareWorker::dial(&server).await;
    assert_eq!(silent.ends().await, refusal("connect_worker_hello_timeout"));

    let mut hasty = BareWorker::dial(&server).await;
    hasty.send(&Frame::WorkerReady).await;
    assert_eq!(hasty.ends().await, refusal("connect_worker_hello_invalid_msg"));

    let mut garbled = BareWorker::dial(&server).await;
    garbled.send_bytes(&[0x08, 1, 0x12, 1, 0x0a]).await;
    assert_eq!(garbled.ends().await, refusal("connect_worker_hello_invalid_payload"));

    for (reason, change) in [
        ("connect_worker_hello_invalid_payload", 0),
        ("connect_worker_hello_invalid_payload", 1),
        ("connect_authentication_failed", 2),
        ("connect_too_many_apps_per_connection", 3),
    ] {
        let mut worker = BareWorker::dial(&server).await;
        let mut presentation = worker.presentation();
        match change {
            0 => presentation.instance_id.clear(),
            1 => presentation.apps.clear(),
            2 => presentation.auth_data = None,
            _ => presentation.apps = vec![presentation.apps[0].clone(); 11],
        }
        worker.send(&Frame::WorkerConnect(presentation)).await;
        assert_eq!(worker.ends().await, refusal(reason));
    }
}

#[tokio::test]
async fn a_refusal_says_its_code_and_its_words() {
    let server = quick().await;
    server.fault(|faults| faults.refuse_syncs("connect_invalid_function_config", "the cron is no cron"));
    let mut worker = BareWorker::dial(&server).await;
    let presentation = worker.presentation();
    worker.send(&Frame::WorkerConnect(presentation)).await;
    match worker.next().await {
        Ok(Frame::SyncFailed(error)) => assert_eq!(error.message, "the cron is no cron"),
        other => panic!("{other:?}"),
    }
    assert_eq!(worker.ends().await, refusal("connect_invalid_function_config"));
}

#[tokio::test]
async fn payloads_that_do_not_fit_their_kind_and_frames_that_are_none_end_the_connection() {
    let server = quick().await;
    for (bytes, end) in [
        (
            vec![0x08, 5, 0x12, 1, 0x0a],
            refusal("connect_worker_request_ack_invalid_payload"),
        ),
        (
            vec![0x08, 12, 0x12, 1, 0x0a],
            refusal("connect_worker_request_extend_lease_invalid_payload"),
        ),
        // A lease that is no ULID.
        (
            vec![0x08, 12],
            refusal("connect_worker_request_extend_lease_invalid_payload"),
        ),
        (
            vec![0x08, 6, 0x12, 1, 0x0a],
            Some((1011, "connect_internal_error".to_owned())),
        ),
        (vec![0x08], None),
    ] {
        let mut worker = BareWorker::connect(&server, |_| {}).await;
        worker.send_bytes(&bytes).await;
        assert_eq!(worker.ends().await, end, "{bytes:?}");
    }
    // Kinds that nobody knows, and those of the gateway, are ignored.
    let mut worker = BareWorker::connect(&server, |_| {}).await;
    worker.send_bytes(&[0x08, 77, 0x12, 1, 0x0a]).await;
    worker.send(&Frame::GatewayHello).await;
    worker.send(&Frame::WorkerHeartbeat).await;
    assert_eq!(worker.next().await, Ok(Frame::GatewayHeartbeat));
}

#[tokio::test]
async fn a_frame_of_eight_mebibytes_is_read_and_a_larger_one_ends_the_connection() {
    let server = quick().await;
    let mut worker = BareWorker::connect(&server, |_| {}).await;
    let run = server.begin(work(), 0);
    let request = worker.takes().await;
    let of_body = |body: usize| SdkResponse {
        body: format!("\"{}\"", "x".repeat(body)).into(),
        ..BareWorker::done(&request)
    };
    let size = |reply: SdkResponse| Frame::WorkerReply(reply).encode(usize::MAX).expect("a frame").len();
    let around = size(of_body(GATEWAY_FRAME_LIMIT)) - GATEWAY_FRAME_LIMIT;
    let largest = of_body(GATEWAY_FRAME_LIMIT - around);
    assert_eq!(size(largest.clone()), GATEWAY_FRAME_LIMIT);
    worker.send(&Frame::WorkerReply(largest)).await;
    worker.next_of(Kind::WorkerReplyAck).await;
    let report = run.report().await;
    assert_eq!(
        report.value().as_str().map(str::len),
        Some(GATEWAY_FRAME_LIMIT - around)
    );

    worker
        .send(&Frame::WorkerReply(of_body(GATEWAY_FRAME_LIMIT - around + 1)))
        .await;
    assert_eq!(worker.ends().await, None);
    let gone = |server: &FakeConnect| !server.connections()[0].is_open();
    server.wait_until("the connection's end", gone).await;
    let expected = Ending {
        by: Some(Party::Gateway),
        code: 1009,
        reason: "MESSAGE_TOO_LARGE".to_owned(),
    };
    assert_eq!(server.connections()[0].ending, Some(expected));
}

#[tokio::test]
async fn a_reply_counts_once_whichever_way_it_comes() {
    let server = quick().await;
    let mut worker = BareWorker::connect(&server, |_| {}).await;
    let run = server.begin(work(), 0);
    let request = worker.takes().await;
    let empty = BareWorker::flush(&server, &SdkResponse::default()).await;
    assert_eq!(empty.status, 400, "an empty body");
    let without_trace = SdkResponse {
        system_trace_ctx: "".into(),
        ..BareWorker::done(&request)
    };
    assert_eq!(BareWorker::flush(&server, &without_trace).await.status, 400);
    assert!(!run.has_ended());
    for _ in 0..2 {
        let answer = BareWorker::flush(&server, &BareWorker::done(&request)).await;
        assert_eq!(answer.status, 200);
    }
    worker.replies(&request).await;
    assert_eq!(run.report().await.value(), &json!("done"));
}

#[tokio::test]
async fn a_lease_is_extended_by_its_id_and_refused_once_it_is_not_held() {
    let server = quick().await;
    let mut worker = BareWorker::connect(&server, |_| {}).await;
    let run = server.begin(work(), 0);
    let request = worker.takes().await;
    let first = request.lease_id.clone();
    let second = worker.extend(&request, &first).await.expect("an extension");
    assert!(second > first);
    // The acknowledgement was lost: the id before the last one says which it is now.
    assert_eq!(worker.extend(&request, &first).await, Some(second.clone()));
    let third = worker.extend(&request, &second).await.expect("an extension");
    assert_eq!(worker.extend(&request, &first).await, None);
    // Leases do not belong to connections.
    let mut other = BareWorker::connect(&server, |_| {}).await;
    let fourth = other.extend(&request, &third).await.expect("an extension");
    other.replies(&request).await;
    assert_eq!(run.report().await.value(), &json!("done"));
    assert_eq!(other.extend(&request, &fourth).await, None);
    let extensions = server.extensions();
    let nacks: Vec<_> = extensions.iter().filter_map(|extension| extension.nack).collect();
    assert_eq!(nacks, [LeaseNack::OtherLease, LeaseNack::NoLease]);
}

#[tokio::test]
async fn a_request_that_nobody_acknowledges_comes_three_times_and_then_the_attempt_is_lost() {
    let server = quick().await;
    let mut worker = BareWorker::connect(&server, |_| {}).await;
    let run = server.begin(work(), 0);
    let first = worker.request().await;
    let second = worker.request().await;
    assert_eq!(first.request_id, second.request_id);
    server.fault(|faults| faults.lose(Party::Worker, Kind::WorkerRequestAck, 1));
    worker.takes().await;
    let report = run.report().await;
    assert_eq!(report.end, RunEnd::Failed("connect_could_not_route".to_owned()));
}

#[tokio::test]
async fn a_request_that_a_pause_overtakes_goes_to_another_connection() {
    let server = quick().await;
    let mut old = BareWorker::connect(&server, |_| {}).await;
    let run = server.begin(work(), 0);
    let request = old.request().await;
    let mut new = BareWorker::connect(&server, |data| data.worker_manual_readiness_ack = true).await;
    old.send(&Frame::WorkerPause).await;
    old.send(&Frame::WorkerRequestAck(request.ack())).await;
    new.send(&Frame::WorkerReady).await;
    let again = new.takes().await;
    assert_eq!(again.request_id, request.request_id);
    new.replies(&again).await;
    assert_eq!(run.report().await.value(), &json!("done"));
}

/// A worker that pauses with nobody else connected: the app keeps its places, so others lose attempts.
#[tokio::test]
async fn a_drain_by_pause_costs_others_an_attempt_and_one_by_closing_does_not() {
    let server = quick().await;
    let mut worker = BareWorker::connect(&server, |_| {}).await;
    let long = server.begin(work(), 0);
    let request = worker.takes().await;

    worker.send(&Frame::WorkerPause).await;
    let draining = |server: &FakeConnect| server.connections()[0].phase == Phase::Draining;
    server.wait_until("a connection that drains", draining).await;
    let other = server.begin(work(), 0).report().await;
    assert_eq!(other.end, RunEnd::Failed("connect_no_healthy_connection".to_owned()));

    worker.close(1000, "WORKER_SHUTDOWN").await;
    let gone = |server: &FakeConnect| !server.connections()[0].is_open();
    server.wait_until("the connection's end", gone).await;
    assert!(server.connections()[0].ending.clone().expect("an end").is_intended());
    let waiting = server.begin(work(), 0);
    let answer = BareWorker::flush(&server, &BareWorker::done(&request)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(long.report().await.value(), &json!("done"));
    assert!(!waiting.has_ended());

    let mut next = BareWorker::connect(&server, |_| {}).await;
    let request = next.takes().await;
    next.replies(&request).await;
    assert_eq!(waiting.report().await.value(), &json!("done"));
}

/// A paused connection whose limit is the number of calls in flight keeps new work in the queue. It can hold those
/// calls' leases only if their worker had a limit, too, when they came, and has the same name.
#[tokio::test]
async fn a_keeper_with_a_limit_keeps_new_work_queued_but_holds_no_lease_of_a_worker_without_one() {
    for (limit, holds) in [(None, false), (Some(7), true)] {
        let server = quick().await;
        let mut worker = BareWorker::connect(&server, |data| data.max_worker_concurrency = limit).await;
        let long = server.begin(work(), 0);
        let request = worker.takes().await;
        worker.close(1000, "WORKER_SHUTDOWN").await;
        let gone = |server: &FakeConnect| !server.connections()[0].is_open();
        server.wait_until("the connection's end", gone).await;

        let mut keeper = BareWorker::connect(&server, |data| {
            data.max_worker_concurrency = Some(1);
            data.worker_manual_readiness_ack = true;
        })
        .await;
        keeper.send(&Frame::WorkerPause).await;
        let other = server.begin(work(), 0);
        let extended = keeper.extend(&request, &request.lease_id).await;
        assert_eq!(extended.is_some(), holds);
        assert_eq!(server.capacity("bare"), 1);
        assert!(other.attempts().is_empty() && !other.has_ended());
        keeper.close(1000, "WORKER_SHUTDOWN").await;
        BareWorker::flush(&server, &BareWorker::done(&request)).await;
        assert_eq!(long.report().await.value(), &json!("done"));
        let nack = server.extensions()[0].nack;
        assert_eq!(nack, (!holds).then_some(LeaseNack::OtherWorker));
    }
}

#[tokio::test]
async fn a_server_that_restarts_empty_has_no_leases_and_registers_anew() {
    let server = quick().await;
    let mut worker = BareWorker::connect(&server, |_| {}).await;
    let run = server.begin(work(), 0);
    let request = worker.takes().await;
    let taken = |server: &FakeConnect| {
        let frames = server.frames();
        frames.iter().any(|frame| frame.kind == Kind::WorkerRequestAck)
    };
    server.wait_until("the acknowledgement", taken).await;
    server.restart_empty();
    assert_eq!(worker.ends().await, None);
    let mut again = BareWorker::connect(&server, |_| {}).await;
    assert_eq!(server.syncs().len(), 2);
    assert_eq!(again.extend(&request, &request.lease_id).await, None);
    let report = run.report().await;
    assert_eq!(
        report.end,
        RunEnd::Failed("connect_worker_stopped_responding".to_owned())
    );
}
