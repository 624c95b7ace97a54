//! Connections that are slow, many, or without end keep no caller out, and no host from ending.

use std::path::PathBuf;
use std::time::Duration;

use harness::http::Call;
use harness::{Baton, Launch, Project, Run, WebSocket, baton_binary, deadline};
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::calls::{gated, start, version_of};

/// Starts Baton with at most so many descriptors.
fn with_descriptors(launch: Launch, project: &Project, most: usize) -> Launch {
    let script: PathBuf = project.scratch().join("few-descriptors.sh");
    let text = format!("#!/bin/sh\nulimit -n {most}\nexec {:?} \"$@\"\n", baton_binary());
    std::fs::write(&script, text).expect("a script");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).expect("a program");
    launch.program(script)
}

/// Sends a part of a request.
async fn part_of_request(baton: &Baton, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", baton.port()))
        .await
        .expect("a connection");
    // Baton may have closed the connection already to make room.
    let _ = stream.write_all(text.as_bytes()).await;
    stream
}

#[tokio::test]
async fn slow_clients_that_want_all_descriptors_keep_nobody_out() {
    let project = Project::new();
    for launch in [Baton::dev(&project), Baton::start(&project)] {
        let baton = with_descriptors(launch, &project, 256).ready().await;
        let mut slow = Vec::new();
        for at in 0..300 {
            let part = match at % 3 {
                0 => "POST /api/inngest HTTP/1.1\r\nhost: loc",
                1 => "POST /api/inngest HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf",
                _ => "",
            };
            slow.push(part_of_request(&baton, part).await);
        }
        assert_eq!(baton.get("/-/live").await.status, 200);
        assert_eq!(version_of(&baton, "version").await, "1");
        let status = Call::new("GET", "/-/status").answer(&baton.control_socket()).await;
        assert_eq!(status.status, 200, "{status}");
        project.set_version("2");
        let _ = baton.reload().await.activated();
        assert_eq!(version_of(&baton, "version").await, "2");
        project.set_version("1");
    }
}

#[tokio::test]
async fn an_app_that_has_all_connections_leaves_a_reserve_for_inngest_and_admins() {
    let project = Project::of_entries();
    let launch = Baton::dev_on(&project, "src/streams.ts");
    let baton = with_descriptors(launch, &project, 256).ready().await;
    let gate = project.gate("hang");
    let hang = format!("GET /hang?gate={} HTTP/1.1\r\nhost: localhost\r\n\r\n", gate.path());
    let mut hanging = Vec::new();
    let refused = async {
        loop {
            // The connections come one after the other, so that each has its place before the next
            // one comes.
            let mut stream = part_of_request(&baton, &hang).await;
            let mut answer = [0; 12];
            let read = tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut answer)).await;
            hanging.push(stream);
            if read.is_ok() {
                break answer;
            }
        }
    };
    let refused = deadline::within("a request of the app that is refused", String::new, refused).await;
    assert_eq!(&refused, b"HTTP/1.1 503");
    assert_eq!(baton.get("/-/live").await.status, 200);
    let answer = baton.executor().discover(&Run::of("entries-hello")).await;
    assert_eq!(answer.expect("an answer").status, 200);
    assert_eq!(baton.status().await.current(), 1);
    gate.open();
    deadline::until("the app's turn again", String::new, async || {
        (baton.get("/version").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn at_a_stop_streams_of_pages_have_little_time_and_calls_have_all_of_it() {
    let project = Project::of_entries();
    project.write(
        "src/both.ts",
        "import streams from \"./streams\";\nimport { Inngest } from \"inngest\";\nimport { serve } from \"inngest/edge\";\n\
         import { existsSync } from \"node:fs\";\n\
         const inngest = new Inngest({ id: \"both\" });\n\
         const gated = inngest.createFunction(\n  \
         { id: \"gated\", retries: 1, triggers: [{ event: \"both/gated\" }], checkpointing: false },\n  \
         async ({ event }) => {\n    \
         while (!existsSync(event.data.gate)) await new Promise((resolve) => setTimeout(resolve, 20));\n    \
         return \"finished\";\n  },\n);\n\
         const handler = serve({ client: inngest, functions: [gated] });\n\
         export default {\n  fetch(request: Request, env: unknown, context: any) {\n    \
         const { pathname } = new URL(request.url);\n    \
         return pathname === \"/api/inngest\" ? handler(request) : streams.fetch(request, env, context);\n  },\n};\n",
    );
    let launch = Baton::dev_on(&project, "src/both.ts").argument("--stream-drain=3s");
    let mut baton = launch.ready().await;
    let gate = project.gate("call");
    let open = async |path: &str| {
        let answer = Call::new("GET", path).open(&baton.door()).await;
        answer.unwrap_or_else(|lost| panic!("{lost}")).into_body()
    };
    let mut events = open("/events?gate=/nowhere").await;
    let mut page = open("/endless").await;
    let mut socket = WebSocket::open(baton.port(), "/socket").await;
    assert_eq!(socket.ask("hello").await, "1: hello");
    let run = Run::of("both-gated").with_data(json!({ "gate": gate.path() }));
    let call = start(&baton, &run);
    baton.in_flight(1, 4).await;
    baton.signal("TERM").await;
    let line = baton
        .wait_for("waiting for a call", json!({ "function": "both-gated" }))
        .await;
    assert_eq!(line.json["generation"], 1, "{}", line.text);
    let line = baton
        .wait_for("waiting for a stream", json!({ "request": "GET /events" }))
        .await;
    assert!(!line.json["running_ms"].is_null(), "{}", line.text);
    let first = deadline::within("an event", String::new, events.frame()).await;
    assert!(first.is_some_and(|frame| frame.is_ok()));
    let end = deadline::within("the end of the events", String::new, events.frame()).await;
    assert!(end.is_none(), "they end in order: {end:?}");
    let broken_off = deadline::within("the end of the page", String::new, async {
        loop {
            match page.frame().await {
                Some(Ok(_)) => {}
                end => break end,
            }
        }
    });
    assert!(
        broken_off.await.is_some_and(|end| end.is_err()),
        "half of a page is none"
    );
    deadline::within("the end of the socket", String::new, socket.ends()).await;
    assert!(!call.is_finished() && baton.is_running());
    gate.open();
    let answer = call.answer(&baton).await;
    assert_eq!((answer.status, answer.json()), (200, json!("finished")), "{answer}");
    assert_eq!(baton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn half_of_a_body_keeps_no_host_from_ending() {
    for launch in [Baton::dev, Baton::start] {
        let project = Project::new();
        let mut baton = launch(&project).ready().await;
        let half = "POST /api/inngest HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf";
        let _silent = part_of_request(&baton, half).await;
        let gate = project.gate("call");
        let call = start(&baton, &gated(&gate));
        baton.in_flight(1, 1).await;
        baton.signal("TERM").await;
        gate.open();
        assert_eq!(call.version(&baton).await, "1");
        assert_eq!(baton.ended().await.code(), Some(0));
    }
}
