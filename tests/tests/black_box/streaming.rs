//! Requests that last: bodies that stream, callers who hang up, work beside an answer, connections
//! that were upgraded. Each holds its generation, while new requests get the new code.

use std::cell::Cell;

use bytes::Bytes;
use harness::http::Call;
use harness::{Baton, Project, Run, WebSocket, deadline, step_id};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

async fn started(entry: &str) -> (Project, Baton) {
    let project = Project::of_entries();
    let baton = Baton::dev_on(&project, &format!("src/{entry}")).ready().await;
    (project, baton)
}

async fn reload_as(project: &Project, baton: &Baton, version: &str) {
    project.write("src/version.ts", format!("export const VERSION = {version:?};\n"));
    let _ = baton.reload().await.activated();
}

async fn open(baton: &Baton, path: &str) -> Incoming {
    let answer = Call::new("GET", path).open(&baton.door()).await;
    answer.unwrap_or_else(|lost| panic!("{lost}")).into_body()
}

/// Returns the next part of a body; `None` at its end.
async fn next(body: &mut Incoming) -> Option<Bytes> {
    let next = deadline::within("a part of a body", String::new, body.frame()).await?;
    let frame = next.unwrap_or_else(|error| panic!("the body broke off: {error}"));
    frame.into_data().ok()
}

async fn seen(baton: &Baton, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    deadline::until(what, String::new, async || {
        let seen = baton.get("/seen").await.json();
        wanted(&seen).then_some(seen)
    })
    .await
}

#[tokio::test]
async fn events_arrive_as_they_are_made_and_a_stream_ends_on_the_code_it_began_with() {
    let (project, baton) = started("streams.ts").await;
    let gate = project.gate("events");
    let mut events = open(&baton, &format!("/events?gate={}", gate.path())).await;
    assert_eq!(next(&mut events).await.as_deref(), Some(&b"data: 1\n\n"[..]));
    reload_as(&project, &baton, "2").await;
    assert_eq!(baton.get("/version").await.text(), "2");
    let status = baton.status().await;
    assert_eq!(status.in_flight(1)[0]["request"], "GET /events", "{status:?}");
    assert_eq!(
        (status.state(1), status.in_flight(1).len()),
        ("draining", 1),
        "{status:?}"
    );
    gate.open();
    assert_eq!(next(&mut events).await.as_deref(), Some(&b"data: 1 still\n\n"[..]));
    assert_eq!(next(&mut events).await, None);
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
}

#[tokio::test]
async fn user_code_that_hears_of_the_draining_ends_its_streams() {
    let (project, mut baton) = started("streams.ts").await;
    let mut first = open(&baton, "/until-drained").await;
    assert_eq!(next(&mut first).await.as_deref(), Some(&b"open\n"[..]));
    reload_as(&project, &baton, "2").await;
    assert_eq!(next(&mut first).await, None);
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;

    let mut second = open(&baton, "/until-drained").await;
    assert_eq!(next(&mut second).await.as_deref(), Some(&b"open\n"[..]));
    baton.signal("TERM").await;
    assert_eq!(next(&mut second).await, None, "the end of the host drains too");
    assert_eq!(baton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn large_bodies_stream_both_ways() {
    let (_project, baton) = started("streams.ts").await;
    let large = vec![b'x'; 24 << 20];
    let answer = Call::new("POST", "/upload")
        .body(large.clone())
        .answer(&baton.door())
        .await;
    assert_eq!(answer.json(), json!({ "bytes": 24 << 20 }), "{answer}");
    let answer = Call::new("POST", "/both")
        .body(large.clone())
        .answer(&baton.door())
        .await;
    assert!(
        answer.status == 200 && answer.body == large,
        "{} bytes came back",
        answer.body.len()
    );
    // Baton reads an Inngest call whole, and Inngest sends no larger ones.
    let answer = Call::new("POST", "/api/inngest")
        .body(large)
        .answer(&baton.door())
        .await;
    assert_eq!(answer.status, 413, "{answer}");
}

#[tokio::test]
async fn a_stream_is_made_as_it_is_read_and_cancelled_when_its_reader_goes() {
    let (_project, baton) = started("streams.ts").await;
    let body = open(&baton, "/endless").await;
    // The test waits until the stream stands still, because nobody reads it.
    let before = Cell::new(-1);
    let made = deadline::until("a stream that waits", String::new, async || {
        let made = baton.get("/seen").await.json()["made"].as_i64().unwrap_or_default();
        let stands = before.replace(made) == made && made > 0;
        stands.then_some(made)
    })
    .await;
    assert!(
        made < 1000,
        "{made} parts of 64 KiB are held for a reader who reads none"
    );
    drop(body);
    seen(&baton, "the stream is cancelled", |seen| seen["cancelled"] == true).await;
    baton.in_flight(1, 0).await;
}

#[tokio::test]
async fn who_hangs_up_aborts_the_request_and_what_still_runs_holds_its_generation() {
    let (project, baton) = started("streams.ts").await;
    let gate = project.gate("hang");
    let call = Call::new("GET", format!("/hang?gate={}", gate.path()));
    let sent = call.write(&baton.door()).await;
    // A request whose caller hangs up before the handler has begun does not reach the app.
    seen(&baton, "the handler has begun", |seen| seen["hanging"] == true).await;
    drop(sent);
    seen(&baton, "the request is aborted", |seen| seen["aborted"] == true).await;
    reload_as(&project, &baton, "2").await;
    let status = baton.status().await;
    assert_eq!(
        (status.state(1), status.in_flight(1).len()),
        ("draining", 1),
        "{status:?}"
    );
    gate.open();
    baton
        .wait_for("the handler went on after all, aborted: true", json!({}))
        .await;
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
}

#[tokio::test]
async fn who_asks_after_the_caller_hung_up_learns_of_it() {
    let project = Project::of_entries();
    let launch = Baton::dev_on(&project, "src/streams.ts").env("BATON_LOG", "debug");
    let baton = launch.ready().await;
    let gate = project.gate("hang");
    let call = Call::new("GET", format!("/hang?late&gate={}", gate.path()));
    let sent = call.write(&baton.door()).await;
    seen(&baton, "the handler has begun", |seen| seen["hanging"] == true).await;
    drop(sent);
    baton
        .wait_for("a caller hung up: its handler continues", json!({}))
        .await;
    gate.open();
    baton
        .wait_for("the handler went on after all, aborted: true", json!({}))
        .await;
}

#[tokio::test]
async fn what_is_waited_for_beside_an_answer_holds_its_generation() {
    let (project, baton) = started("streams.ts").await;
    let gate = project.gate("later");
    let answer = baton.get(&format!("/later?gate={}", gate.path())).await;
    assert_eq!(answer.text(), "now");
    reload_as(&project, &baton, "2").await;
    let status = baton.status().await;
    assert_eq!(
        (status.state(1), status.in_flight(1).len()),
        ("draining", 1),
        "{status:?}"
    );
    gate.open();
    baton.wait_for("done later on 1", json!({})).await;
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
}

#[tokio::test]
async fn a_websocket_stays_on_the_code_it_was_opened_on() {
    for entry in [
        "streams.ts",
        "socket-ws.ts",
        "socket-hono.ts",
        "socket-hono-node.ts",
        "socket-bun.ts",
    ] {
        let (project, baton) = started(entry).await;
        let mut old = WebSocket::open(baton.port(), "/socket").await;
        assert_eq!(old.ask("hello").await, "1: hello", "{entry}");
        reload_as(&project, &baton, "2").await;
        assert_eq!(old.ask("again").await, "1: again", "{entry}");
        let mut new = WebSocket::open(baton.port(), "/socket").await;
        assert_eq!(new.ask("hello").await, "2: hello", "{entry}");
        let status = baton.status().await;
        assert_eq!((status.state(1), status.in_flight(1).len()), ("draining", 1), "{entry}");
        old.close().await;
        baton.wait_for("generation retired", json!({ "generation": 1 })).await;
        new.close().await;
        baton.in_flight(2, 0).await;
    }
}

#[tokio::test]
async fn a_stream_outlasts_the_time_that_a_call_has_to_be_answered() {
    let project = Project::of_entries();
    let baton = Baton::dev_on(&project, "src/streams.ts")
        .argument("--call-timeout")
        .argument("2s")
        .ready()
        .await;
    let gate = project.gate("events");
    let mut events = open(&baton, &format!("/events?gate={}", gate.path())).await;
    assert_eq!(next(&mut events).await.as_deref(), Some(&b"data: 1\n\n"[..]));
    reload_as(&project, &baton, "2").await;
    // The limit ends a call without an answer, although the call began after the stream did.
    let never = Call::new("GET", "/hang?gate=/nowhere").answer(&baton.door()).await;
    assert_eq!(never.status, 500, "{never}");
    gate.open();
    assert_eq!(next(&mut events).await.as_deref(), Some(&b"data: 1 still\n\n"[..]));
    assert_eq!(next(&mut events).await, None);
}

#[tokio::test]
async fn what_the_sdk_streams_arrives_as_it_comes_and_its_plans_are_learned() {
    let project = Project::of_entries();
    project.write(
        "src/sdk.ts",
        r#"import { Inngest } from "inngest";
import { serve } from "inngest/cloudflare";
import { VERSION } from "./version";
const inngest = new Inngest({ id: "entries" });
const twins = inngest.createFunction(
  { id: "twins", retries: 2, checkpointing: false, triggers: [{ event: "entries/twins" }] },
  async ({ step }) => Promise.all(["first", "second"].map((name) => step.run(name, () => VERSION))),
);
export default { fetch: serve({ client: inngest, functions: [twins], streaming: true }) };
"#,
    );
    let baton = Baton::dev_on(&project, "src/sdk.ts").ready().await;
    let executor = baton.executor();
    let run = Run::of("entries-twins");
    let plan = executor.discover(&run).await.expect("a plan");
    assert_eq!(plan.status, 201, "{plan}");
    let proper: Value = serde_json::from_str(plan.text().trim()).expect("JSON");
    assert_eq!(proper["status"], 206, "{plan}");
    reload_as(&project, &baton, "2").await;
    let status = baton.status().await;
    assert_eq!(
        status.generation(1)["expected"],
        json!({ "plans": 2, "runs": 0 }),
        "{status:?}"
    );
    let answer = executor.call_step(&run, &step_id("second")).await.expect("an answer");
    assert!(answer.text().contains(r#"\"data\":\"1\""#), "{answer}");
}
