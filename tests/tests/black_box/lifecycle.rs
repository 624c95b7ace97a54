//! The life of a host, from the first call before anything is loaded to the last call after SIGTERM
//! (README, promise 2).

use harness::http::Call;
use harness::{Baton, Project, Run, Sdk, deadline, mismatch};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::calls::{Running, gated, slow_to_load, start, version_in, version_of};

#[tokio::test]
async fn a_call_that_comes_while_the_first_generation_loads_is_held() {
    let project = Project::new();
    let gate = project.gate("load");
    project.write("functions/slow-to-load.ts", slow_to_load(&gate));

    let baton = Baton::dev(&project).listening().await;
    assert_eq!(baton.get("/-/live").await.status, 200);
    let ready = baton.get("/-/ready").await;
    assert_eq!(ready.status, 503, "{ready}");
    let reason = json!({ "ready": false, "reason": "loading" });
    assert_eq!(mismatch(&ready.json(), &reason), None, "{ready}");

    let mut held = Vec::new();
    for _ in 0..5 {
        let call = baton.executor().request(&Run::of("fixture-version"), "step");
        held.push(call.write(&baton.door()).await);
    }
    // A whole round trip later the calls still have no answer.
    assert_eq!(baton.get("/-/ready").await.status, 503);
    gate.open();
    for sent in held {
        let (status, body) = sent.answer().await;
        assert_eq!(status, 200, "{body}");
        assert!(body.contains(r#""version":"1""#), "{body}");
    }
    baton.wait_until_ready().await;
}

#[tokio::test]
async fn a_host_that_starts_with_broken_code_holds_calls_until_it_is_mended() {
    let project = Project::new();
    project.write("functions/broken.ts", "export const broken = ;\n");
    let baton = Baton::dev(&project).listening().await;
    let line = baton
        .wait_for("generation rejected", json!({ "kind": "syntax", "line": 1 }))
        .await;
    let file = line.json["file"].as_str().unwrap_or_default();
    assert!(file.ends_with("functions/broken.ts"), "{}", line.text);

    assert_eq!(baton.get("/-/live").await.status, 200);
    let ready = baton.get("/-/ready").await;
    assert_eq!(ready.status, 503, "{ready}");
    let reason = json!({ "ready": false, "reason": "rejected" });
    assert_eq!(mismatch(&ready.json(), &reason), None, "{ready}");

    let call = baton.executor().request(&Run::of("fixture-version"), "step");
    let held = call.write(&baton.door()).await;
    // The call is also held over a reload that is rejected.
    assert_eq!(baton.reload().await.status(), "rejected");
    project.remove("functions/broken.ts");
    let _ = baton.reload().await.activated();
    let (status, body) = held.answer().await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains(r#""version":"1""#), "{body}");
    baton.wait_until_ready().await;
}

/// Checks that a sync and an introspection are refused with this reason, while a call that came
/// before them is held on.
async fn refuses_all_but_calls(baton: &Baton, reason: &str) -> Running {
    let held = start(baton, &Run::of("fixture-version"));
    let executor = baton.executor();
    let app = executor.at("/api/inngest/fixture");
    let answers = tokio::join!(executor.sync(), app.sync_in_band(), executor.introspect());
    for answer in <[_; 3]>::from(answers) {
        assert_eq!(answer.status, 503, "{answer}");
        assert_eq!(answer.header("retry-after"), Some("5"), "{answer}");
        assert_eq!(
            answer.header("x-inngest-sdk"),
            None,
            "the SDK has not answered: {answer}"
        );
        assert_eq!(answer.json()["error"]["reason"], reason, "{answer}");
    }
    assert!(!held.is_finished());
    held
}

#[tokio::test]
async fn a_sync_that_comes_while_the_first_generation_loads_is_refused_while_calls_are_held() {
    let project = Project::new();
    let gate = project.gate("load");
    project.write("functions/slow-to-load.ts", slow_to_load(&gate));
    let baton = Baton::dev(&project).listening().await;
    let held = refuses_all_but_calls(&baton, "loading").await;
    gate.open();
    assert_eq!(held.version(&baton).await, "1");
    assert_eq!(baton.executor().sync_in_band().await.status, 200);
}

#[tokio::test]
async fn a_sync_of_code_that_does_not_load_is_told_why_while_calls_are_held_until_it_is_mended() {
    let project = Project::new();
    project.write("functions/broken.ts", "export const broken = ;\n");
    let baton = Baton::dev(&project).listening().await;
    baton.wait_for("generation rejected", json!({})).await;
    let held = refuses_all_but_calls(&baton, "rejected").await;
    let told = baton.executor().sync().await.json();
    let help = told["error"]["help"].as_str().unwrap_or_default();
    assert!(help.contains("functions/broken.ts:1"), "{told:#}");
    project.remove("functions/broken.ts");
    let _ = baton.reload().await.activated();
    assert_eq!(held.version(&baton).await, "1");
}

/// Makes the host end while a call runs, and checks that the call is served to its end.
async fn finishes_what_runs(project: &Project, mut baton: Baton, end: impl AsyncFnOnce(&Baton)) {
    let gate = project.gate("end");
    let running = start(&baton, &gated(&gate));
    baton.in_flight(1, 1).await;

    end(&baton).await;
    // The host has got the signal when it says that it drains, or takes no connection any more.
    let door = baton.door();
    deadline::until(
        "the host drains",
        || baton.stderr().tail(),
        async || {
            match Call::new("GET", "/-/ready").send(&door).await {
                Ok(answer) if answer.status == 200 => return None,
                Ok(answer) => assert_eq!(answer.json()["reason"], "draining", "{answer}"),
                Err(_) => {}
            }
            Some(())
        },
    )
    .await;
    assert!(baton.is_running() && !running.is_finished(), "a call still runs");

    gate.open();
    let answer = running.answer(&baton).await;
    assert_eq!(answer.status, 206, "{answer}");
    assert_eq!(version_in(&answer), "1");
    assert_eq!(baton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn sigterm_lets_the_call_in_flight_end_and_then_exits_with_0() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    finishes_what_runs(&project, baton, async |baton| baton.signal("TERM").await).await;
}

#[tokio::test]
async fn sigterm_lets_the_call_in_flight_end_in_production_too() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    finishes_what_runs(&project, baton, async |baton| baton.signal("TERM").await).await;
}

#[tokio::test]
async fn a_drain_that_an_admin_asks_for_does_as_sigterm_does() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let drain = async |baton: &Baton| {
        let answer = baton.admin("POST", "/-/drain").answer(&baton.door()).await;
        assert!((200..300).contains(&answer.status), "{answer}");
    };
    finishes_what_runs(&project, baton, drain).await;
}

#[tokio::test]
async fn sigterm_lets_the_calls_of_a_draining_generation_end_as_well() {
    let project = Project::new();
    let mut baton = Baton::dev(&project).ready().await;
    let gate = project.gate("end");
    let old = start(&baton, &gated(&gate));
    baton.in_flight(1, 1).await;
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    let new = start(&baton, &gated(&gate));
    baton.in_flight(2, 1).await;

    baton.signal("TERM").await;
    gate.open();
    assert_eq!(old.version(&baton).await, "1");
    assert_eq!(new.version(&baton).await, "2");
    assert_eq!(baton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn sigterm_with_nothing_in_flight_exits_at_once_and_leaves_the_folder_free() {
    let project = Project::new();
    for _ in 0..2 {
        let mut baton = Baton::dev(&project).ready().await;
        baton.signal("TERM").await;
        assert_eq!(baton.ended().await.code(), Some(0));
    }
}

#[tokio::test]
async fn a_host_that_ends_while_a_spare_is_made_waits_for_no_isolate() {
    let project = Project::new();
    // The spare is made a moment after a reload. In each round it has come to another point when
    // the host ends.
    for requests in [0, 10, 20, 40, 80] {
        let mut baton = Baton::dev(&project).ready().await;
        project.edit("functions/versioned.ts", "Answers", "Answers at once and");
        let _ = baton.reload().await.activated();
        for _ in 0..requests {
            assert_eq!(baton.get("/-/live").await.status, 200);
        }
        baton.signal("TERM").await;
        assert_eq!(baton.ended().await.code(), Some(0));
        assert_eq!(baton.stderr().count("isolate left behind", &json!({})), 0);
    }
}

#[tokio::test]
async fn sigterm_ends_a_host_that_never_had_good_code() {
    let project = Project::without_functions(Sdk::V4);
    let mut baton = Baton::dev(&project).listening().await;
    baton.wait_for("generation rejected", json!({})).await;
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_host_that_was_killed_leaves_nothing_in_the_way_of_the_next() {
    let project = Project::new();
    let mut baton = Baton::dev(&project).ready().await;
    baton.signal("KILL").await;
    assert_eq!(baton.ended().await.code(), None);
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(
        Call::new("GET", "/-/status")
            .answer(&baton.control_socket())
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_second_host_of_a_project_is_refused_and_the_first_serves_on() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let first = baton.pid().to_string();
    for launch in [Baton::dev(&project), Baton::start(&project)] {
        launch.to_the_end().await.refuses(1, &[&first]);
    }
    assert_eq!(version_of(&baton, "version").await, "1");
    let answer = Call::new("GET", "/-/status").answer(&baton.control_socket()).await;
    assert_eq!(answer.status, 200, "the socket is still the first one's: {answer}");
}

#[tokio::test]
async fn slow_two_hosts_that_start_at_once_for_the_first_time_ever_both_serve() {
    // Both hosts make the files that the binary makes once and keeps for later starts.
    let projects = [Project::new(), Project::new()];
    let cache = projects[0].scratch().join("cache");
    let launch = |project| Baton::dev(project).env("XDG_CACHE_HOME", &cache).ready();
    let (one, other) = tokio::join!(launch(&projects[0]), launch(&projects[1]));
    for baton in [one, other] {
        assert_eq!(version_of(&baton, "version").await, "1");
    }
}

#[tokio::test]
async fn half_of_a_request_line_keeps_no_host_from_ending() {
    let project = Project::new();
    let mut baton = Baton::start(&project).ready().await;
    let mut silent = TcpStream::connect(("127.0.0.1", baton.port()))
        .await
        .expect("a connection");
    silent
        .write_all(b"POST /api/inngest HTTP/1.1\r\nhost: loc")
        .await
        .expect("half of a request");
    // A whole round trip later the host has read the half line.
    assert_eq!(baton.get("/-/live").await.status, 200);
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
}
