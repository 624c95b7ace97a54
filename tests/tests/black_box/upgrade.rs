//! `baton upgrade`: another host takes over, and no caller notices (docs/operations.md).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use harness::http::Call;
use harness::{Baton, Cli, Executor, Project, Run, baton_binary, deadline, send_signal};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::calls::{gated, slow_to_load, start, version_of};

const CALLERS: usize = 20;
const ROUNDS: usize = 20;

/// Adds a function whose step writes down that it was executed, and by which process.
fn with_ledger(project: &Project) -> std::path::PathBuf {
    let ledger = project.scratch().join("ledger");
    let text = format!(
        r#"import {{ appendFileSync }} from "node:fs";
import {{ inngest }} from "../lib/client";
import {{ VERSION }} from "../lib/version";
export const noted = inngest.createFunction(
  {{ id: "noted", retries: 0, checkpointing: false, triggers: [{{ event: "fixture/noted" }}] }},
  async ({{ step, runId }}) =>
    step.run("note", async () => {{
      appendFileSync({ledger:?}, `${{runId}} ${{process.pid}}\n`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      return {{ pid: process.pid, version: VERSION }};
    }}),
);
"#
    );
    project.write("functions/noted.ts", text);
    ledger
}

/// One answer: its process, and the time of its call.
struct Served {
    run: String,
    pid: u64,
    began: Instant,
    ended: Instant,
}

/// Calls one run after another until `enough` is set. Returns the answers, and the calls that failed.
async fn call_on(executor: Executor, enough: Arc<AtomicBool>) -> (Vec<Served>, Vec<String>) {
    let (mut answered, mut failed) = (Vec::new(), Vec::new());
    while !enough.load(Ordering::Relaxed) {
        let run = Run::of("fixture-noted");
        let began = Instant::now();
        match executor.discover(&run).await {
            Ok(answer) if answer.status == 206 => {
                let pid = answer.json()[0]["data"]["pid"].as_u64().unwrap_or_default();
                answered.push(Served {
                    run: run.id,
                    pid,
                    began,
                    ended: Instant::now(),
                });
            }
            Ok(answer) => failed.push(answer.to_string()),
            Err(lost) => failed.push(lost.to_string()),
        }
    }
    (answered, failed)
}

/// Checks that no host executes a call that began after another host had answered its first call.
fn only_the_newest_executes_new_calls(served: &[Served]) {
    let mut first_answers = BTreeMap::new();
    for call in served {
        let first = first_answers.entry(call.pid).or_insert(call.ended);
        *first = call.ended.min(*first);
    }
    let mut hosts: Vec<_> = first_answers.into_iter().map(|(pid, first)| (first, pid)).collect();
    hosts.sort();
    for call in served {
        let age = hosts.iter().position(|(_, pid)| *pid == call.pid).expect("a host");
        if let Some((first, newer)) = hosts.get(age + 1) {
            let (old, pid) = (call.began > *first, call.pid);
            assert!(
                !old,
                "process {pid} executed a call that began after process {newer} served"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_twenty_upgrades_and_reloads_under_twenty_callers_fail_no_call_and_execute_none_twice() {
    let project = Project::new();
    let ledger = with_ledger(&project);
    let baton = Baton::start(&project).ready().await;
    let supervisor = baton.pid();
    let enough = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(call_on(baton.executor(), Arc::clone(&enough)));
    }
    let upgrades = async {
        for _ in 0..ROUNDS {
            let upgraded = baton.upgrade(&[]).await;
            assert_eq!(upgraded.code, Some(0), "{upgraded}\n{}", baton.stderr().tail());
        }
    };
    let reloads = async {
        for version in 2..ROUNDS + 2 {
            project.set_version(&version.to_string());
            let _ = baton.reload().await.activated();
        }
    };
    tokio::join!(upgrades, reloads);
    assert_eq!(version_of(&baton, "version").await, (ROUNDS + 1).to_string());
    enough.store(true, Ordering::Relaxed);

    let mut served = Vec::new();
    while let Some(caller) = callers.join_next().await {
        let (answered, failed) = caller.expect("the caller lives");
        assert_eq!(failed, Vec::<String>::new());
        served.extend(answered);
    }
    only_the_newest_executes_new_calls(&served);
    let answers: BTreeMap<_, _> = served.into_iter().map(|call| (call.run, call.pid)).collect();
    let executed = fs::read_to_string(&ledger).expect("the ledger");
    let mut noted = BTreeMap::new();
    for line in executed.lines() {
        let (run, pid) = line.split_once(' ').expect("a run and a process");
        let again = noted.insert(run.to_owned(), pid.parse::<u64>().expect("a process id"));
        assert_eq!(again, None, "{run} was executed twice");
    }
    assert_eq!(
        noted, answers,
        "each answer is that of the host which executed the step"
    );
    let hosts: std::collections::BTreeSet<_> = answers.values().collect();
    assert!(hosts.len() > ROUNDS / 2, "only {} hosts served", hosts.len());
    assert_eq!(baton.pid(), supervisor, "it went on in the same process");
    let status = baton.status().await;
    assert!(status.current() > 2 * ROUNDS as u64, "numbers go on: {:#}", status.0);
    assert_eq!(status.0["supervisor"]["pid"], supervisor);
}

#[tokio::test]
async fn a_call_in_flight_is_finished_by_the_old_host_while_the_new_one_serves() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let old = baton.host().await;
    let gate = project.gate("end");
    let run = gated(&gate);
    let running = start(&baton, &run);
    baton.in_flight(1, 1).await;

    let upgraded = baton.upgrade(&["--json"]).await;
    assert_eq!(upgraded.code, Some(0), "{upgraded}");
    assert_eq!(upgraded.json()["draining"], old, "{upgraded}");
    let new = baton.host().await;
    assert_ne!(new, old);
    assert_eq!(version_of(&baton, "version").await, "1");
    // The new host knows the old host and its work.
    let status = baton
        .status_when("both hosts are shown", |status| {
            status.0["hosts"].as_array().is_some_and(|hosts| hosts.len() == 2)
        })
        .await;
    let shown = &status.0["hosts"][0];
    assert_eq!(
        (&shown["pid"], &shown["state"]),
        (&json!(old), &json!("draining")),
        "{:#}",
        status.0
    );
    assert_eq!(shown["in_flight"][0]["run"], run.id, "{:#}", status.0);
    let cli = Cli::within(project.scratch()).env("BATON_STATE_DIR", project.state_dir());
    let told = cli.baton(&["status"]).await;
    assert!(told.stdout.contains(&format!("process {old} (baton ")), "{told}");

    gate.open();
    assert_eq!(running.version(&baton).await, "1");
    baton.wait_for("host ended", json!({ "host": old })).await;
    assert!(
        !baton.stderr().text().contains("call lost"),
        "{}",
        baton.stderr().tail()
    );
}

/// Writes a program that is no host.
fn program(project: &Project, name: &str, text: &str) -> String {
    let file = project.scratch().join(name);
    fs::write(&file, text).expect("a program");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a program that runs");
    file.to_str().expect("a path that is text").to_owned()
}

#[tokio::test]
async fn an_upgrade_to_what_fails_hangs_or_is_no_baton_changes_nothing_and_says_why() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let host = baton.host().await;
    let missing = project.scratch().join("no-such-baton");
    let missing = missing.to_str().expect("a path that is text");
    let fails = program(&project, "fails", "#!/bin/sh\nexit 3\n");
    let hangs = program(&project, "hangs", "#!/bin/sh\nexec sleep 600\n");
    let babbles = program(&project, "babbles", "#!/bin/sh\necho hello there >&0\nexec sleep 600\n");
    let newer = r#"#!/bin/sh
echo '{"says":"hello","protocol":99,"version":"99.0.0","load_ms":1000}' >&0
exec sleep 600
"#;
    let foreign = program(&project, "newer", newer);
    let stuck = r#"#!/bin/sh
echo '{"says":"hello","protocol":1,"version":"1.0.0","load_ms":100}' >&0
echo '{"says":"booted"}' >&0
read order
echo '{"says":"failed","message":"I would rather not"}' >&0
exec sleep 600
"#;
    let refuses = program(&project, "refuses", stuck);
    for (binary, words) in [
        (missing, vec!["no-such-baton", "cannot be started"]),
        (&fails, vec!["ended before it was ready", "exit code 3"]),
        (&babbles, vec!["another protocol", "hello there"]),
        (&foreign, vec!["another protocol", "protocol 99"]),
        (&refuses, vec!["cannot serve the project", "I would rather not"]),
        (&hangs, vec!["was not started in time"]),
    ] {
        let refused = baton.upgrade(&[binary]).await;
        refused.refuses(1, &words);
        refused.refuses(1, &["not upgraded"]);
        assert_eq!(baton.host().await, host, "{binary}: the same host serves");
        assert_eq!(version_of(&baton, "version").await, "1");
        // The host that is left still reloads.
        let report = baton.reload_with("?force=1").await;
        assert_eq!(report.status(), "activated", "{binary}: {report}");
    }
    let upgraded = baton.upgrade(&[]).await;
    assert_eq!(upgraded.code, Some(0), "{upgraded}");
    baton.wait_for("host ended", json!({ "host": host })).await;
    let status = baton.status().await;
    assert_eq!(status.0["hosts"].as_array().map(Vec::len), Some(1), "{:#}", status.0);
}

#[tokio::test]
async fn an_upgrade_of_a_project_that_cannot_be_loaded_is_refused_and_calls_are_held_on() {
    let project = Project::new();
    project.write("functions/broken.ts", "export const broken = ;\n");
    let baton = Baton::start(&project).listening().await;
    baton.wait_for("generation rejected", json!({})).await;
    let host = baton.host().await;
    let call = baton.executor().request(&Run::of("fixture-version"), "step");
    let held = call.write(&baton.door()).await;
    baton.upgrade(&[]).await.refuses(1, &["cannot serve the project"]);
    assert_eq!(baton.host().await, host);
    project.remove("functions/broken.ts");
    // After an upgrade with good code the new host answers the call that the old host holds.
    let upgraded = baton.upgrade(&[]).await;
    assert_eq!(upgraded.code, Some(0), "{upgraded}");
    let (status, body) = held.answer().await;
    assert_eq!(status, 200, "{body}");
}

/// Starts a project whose code loads while the gate is open.
async fn behind_a_gate(project: &Project, watch: Option<&str>) -> (Baton, harness::Gate) {
    let gate = project.gate("load");
    gate.open();
    project.write("functions/slow-to-load.ts", slow_to_load(&gate));
    let launch = Baton::start(project);
    let launch = match watch {
        Some(what) => launch.watching(what),
        None => launch,
    };
    let baton = launch.ready().await;
    gate.shut();
    (baton, gate)
}

#[tokio::test]
async fn what_is_asked_for_while_another_host_loads_is_done_by_whoever_serves_then() {
    let project = Project::new();
    let (baton, gate) = behind_a_gate(&project, None).await;
    let first = baton.host().await;

    // If the candidate dies, the old host reloads.
    let (upgraded, report) = tokio::join!(baton.upgrade(&[]), async {
        let line = baton.wait_for("loading beside the host that serves", json!({})).await;
        project.set_version("2");
        let call = baton.admin("PUT", "/api/reload").write(&baton.door()).await;
        assert_eq!(
            version_of(&baton, "version").await,
            "1",
            "the old host serves meanwhile"
        );
        baton.upgrade(&[]).await.refuses(1, &["another upgrade is under way"]);
        let candidate = line.json["pid"].as_u64().expect("its process");
        send_signal("KILL", u32::try_from(candidate).expect("a process id")).await;
        gate.open();
        call.answer().await
    });
    upgraded.refuses(1, &["ended before it was ready", "signal 9"]);
    assert!(report.1.contains("\"activated\""), "{report:?}");
    assert_eq!(baton.host().await, first);
    assert_eq!(version_of(&baton, "version").await, "2");
    let number = baton.status().await.current();

    // If the candidate takes over, the new host reloads.
    gate.shut();
    let (upgraded, report) = tokio::join!(baton.upgrade(&[]), async {
        let mut lines = baton.stderr().from_the_beginning();
        for _ in 0..2 {
            lines.wait_for("loading beside the host that serves", &json!({})).await;
        }
        project.set_version("3");
        let call = baton.admin("PUT", "/api/reload").write(&baton.door()).await;
        assert_eq!(
            version_of(&baton, "version").await,
            "2",
            "the old host serves meanwhile"
        );
        gate.open();
        call.answer().await
    });
    assert_eq!(upgraded.code, Some(0), "{upgraded}");
    assert!(report.1.contains("\"activated\""), "{report:?}");
    assert_ne!(baton.host().await, first);
    assert_eq!(version_of(&baton, "version").await, "3");
    assert!(baton.status().await.current() > number);
}

#[tokio::test]
async fn what_is_saved_during_an_upgrade_is_noticed() {
    let project = Project::new();
    let (baton, gate) = behind_a_gate(&project, Some("files")).await;
    let (upgraded, ()) = tokio::join!(baton.upgrade(&[]), async {
        baton.wait_for("loading beside the host that serves", json!({})).await;
        project.set_version("saved");
        gate.open();
    });
    assert_eq!(upgraded.code, Some(0), "{upgraded}");
    let found = async || (version_of(&baton, "version").await == "saved").then_some(());
    deadline::until("the saved code serves", || baton.stderr().tail(), found).await;
}

#[tokio::test]
async fn the_new_host_serves_what_the_old_one_did_and_not_what_is_on_the_disk() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    assert_eq!(baton.rollback(None).await.status, 200);
    assert_eq!(version_of(&baton, "version").await, "1");
    let token = baton.token();
    assert_eq!(baton.upgrade(&[]).await.code, Some(0));
    assert_eq!(version_of(&baton, "version").await, "1");
    let status = baton.status().await;
    assert_eq!(status.current(), 4, "{:#}", status.0);
    assert_eq!(status.generation(4)["reason"], "upgrade");
    assert_eq!(status.0["source"]["newer_than_loaded"], true);
    assert_eq!(baton.token(), token);
    // The new host has the history, too.
    let back = baton.rollback(Some(2)).await;
    assert_eq!(back.status, 200, "{back}");
    assert_eq!(version_of(&baton, "version").await, "2");
}

/// Sends a request over a connection that stays open, and returns the bytes that came back so far.
async fn over(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the request is sent");
    let mut text = String::new();
    let mut chunk = [0; 4096];
    deadline::within("an answer", || text.clone(), async {
        let read = stream.read(&mut chunk).await.expect("an answer");
        String::from_utf8_lossy(&chunk[..read]).into_owned()
    })
    .await
    .clone_into(&mut text);
    text
}

#[tokio::test]
async fn a_request_on_an_old_connection_is_passed_on_and_its_answer_ends_the_connection() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let mut stream = TcpStream::connect(("127.0.0.1", baton.port()))
        .await
        .expect("a connection");
    let before = over(&mut stream, "/api/inngest").await;
    assert!(before.starts_with("HTTP/1.1 200"), "{before}");
    assert!(!before.to_lowercase().contains("connection: close"), "{before}");
    let old = baton.host().await;
    assert_eq!(baton.upgrade(&[]).await.code, Some(0));
    // The connection is kept, because its client may be sending on it just now.
    let after = over(&mut stream, "/api/inngest").await;
    assert!(after.starts_with("HTTP/1.1 200"), "{after}");
    assert!(after.to_lowercase().contains("connection: close"), "{after}");
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    deadline::within("the end of the connection", String::new, end)
        .await
        .expect("an end");
    baton.wait_for("host ended", json!({ "host": old })).await;
}

/// Sends one request after another over one connection, until an answer ends it; and then over the next.
async fn keep_calling(port: u16, enough: Arc<AtomicBool>) -> (usize, usize, Vec<String>) {
    let (mut answered, mut connections, mut failed) = (0, 0, Vec::new());
    'connections: while !enough.load(Ordering::Relaxed) {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        let handshake = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.expect("a handshake");
        tokio::spawn(connection);
        connections += 1;
        while !enough.load(Ordering::Relaxed) {
            let request = Request::get("/api/inngest").header("host", "localhost");
            let answer = match sender
                .send_request(request.body(Full::default()).expect("a request"))
                .await
            {
                Ok(answer) => answer,
                Err(error) => {
                    failed.push(format!("{error:?}"));
                    continue 'connections;
                }
            };
            let status = answer.status();
            let ends = answer.headers().get("connection").is_some_and(|value| value == "close");
            match answer.into_body().collect().await {
                Ok(_) if status == 200 => answered += 1,
                Ok(body) => failed.push(format!("{status}: {:?}", body.to_bytes())),
                Err(error) => failed.push(format!("{error:?}")),
            }
            if ends {
                continue 'connections;
            }
        }
    }
    (answered, connections, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_keep_their_connections_lose_no_request() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let enough = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        callers.spawn(keep_calling(baton.port(), Arc::clone(&enough)));
    }
    for _ in 0..4 {
        let upgraded = baton.upgrade(&[]).await;
        assert_eq!(upgraded.code, Some(0), "{upgraded}\n{}", baton.stderr().tail());
    }
    enough.store(true, Ordering::Relaxed);
    while let Some(caller) = callers.join_next().await {
        let (answered, connections, failed) = caller.expect("the caller lives");
        assert_eq!(failed, Vec::<String>::new(), "of {answered} requests");
        assert!(
            connections >= 4 && answered > connections,
            "{answered} over {connections}"
        );
    }
}

#[tokio::test]
async fn a_signal_to_end_gives_an_upgrade_up_and_answers_whoever_waits() {
    let project = Project::new();
    let (mut baton, _gate) = behind_a_gate(&project, None).await;
    let upgraded = {
        let (upgraded, ()) = tokio::join!(baton.upgrade(&[]), async {
            baton.wait_for("loading beside the host that serves", json!({})).await;
            let reload = baton.admin("PUT", "/api/reload?force=1").write(&baton.door()).await;
            assert_eq!(version_of(&baton, "version").await, "1");
            baton.signal("TERM").await;
            // The reload is loaded, or answered that it will not be: it is no reason to stay.
            drop(reload);
        });
        upgraded
    };
    upgraded.refuses(1, &["the host is ending"]);
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_supervisor_becomes_the_new_binary_and_keeps_process_socket_and_lock() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let copy = project.scratch().join("baton-copy");
    fs::copy(baton_binary(), &copy).expect("a copy of the binary");
    let runs = |pid: u32| {
        if cfg!(target_os = "linux") {
            return fs::read_link(format!("/proc/{pid}/exe")).expect("its binary");
        }
        // On other systems `ps` has the whole path.
        let shown = Command::new("ps")
            .args(["-o", "comm=", "-p", &pid.to_string()])
            .output();
        PathBuf::from(String::from_utf8_lossy(&shown.expect("ps").stdout).trim())
    };
    assert_ne!(runs(baton.pid()), copy);
    let upgraded = baton.upgrade(&[copy.to_str().expect("text")]).await;
    assert_eq!(upgraded.code, Some(0), "{upgraded}");
    baton
        .wait_for("the supervisor was replaced by the new binary", json!({}))
        .await;
    assert_eq!(runs(baton.pid()), copy);
    assert_eq!(runs(baton.host().await), copy);
    Baton::start(&project)
        .to_the_end()
        .await
        .refuses(1, &[&baton.pid().to_string()]);
    // The supervisor can do all that again, by signal this time: with the binary at that place.
    let host = baton.host().await;
    baton.signal("HUP").await;
    baton.wait_for("upgraded", json!({})).await;
    baton.wait_for("host ended", json!({ "host": host })).await;
    assert_eq!(runs(baton.host().await), copy);
    assert_eq!(version_of(&baton, "version").await, "1");
}

/// Makes a binary that finds another hand-over record than was written: `change` is JavaScript that changes
/// `record`.
fn after_a_change_of_the_record(project: &Project, name: &str, change: &str) -> String {
    let changed = format!("const record = JSON.parse(process.env.BATON_SUPERVISOR_BAGGAGE); {change}; ");
    let script = project.scratch().join(format!("{name}.mjs"));
    fs::write(&script, changed + "process.stdout.write(JSON.stringify(record));").expect("a script");
    let text = format!(
        r#"#!/bin/sh
if [ -n "$BATON_SUPERVISOR_BAGGAGE" ]; then
  BATON_SUPERVISOR_BAGGAGE=$(node {script:?}) || exit 1
  export BATON_SUPERVISOR_BAGGAGE
fi
exec {:?} "$@"
"#,
        baton_binary()
    );
    program(project, name, &text)
}

#[tokio::test]
async fn a_supervisor_adopts_its_hosts_by_a_record_with_fewer_fields_and_by_one_with_more() {
    let fewer = "for (const name of Object.keys(record)) {
        if (!['version', 'listener', 'lock', 'hosts'].includes(name)) delete record[name];
      }
      record.hosts = record.hosts.map(({ pid, stream }) => ({ pid, stream }))";
    let more = "record.version = 9; record.fleet = { size: 3 }; record.origin = 's6'; record.numbers = 'twelve';
      for (const host of record.hosts) { host.mood = 'fine'; host.started_ms = 'long ago'; }";
    // The change makes the record as those releases wrote it whose records had no version.
    let unversioned = "const of = (make) => Object.fromEntries(record.hosts.map((host) => [host.id, make(host)]));
      const { listener, lock, origin, numbers, hosts } = record;
      const accepting = hosts.find(({ role }) => role === 'accepting').id;
      const phase = ({ role }) => (role === 'accepting' ? 'Accepting' : 'Draining');
      const supervision = { accepting, numbers, hosts: of((host) => ({ ...host, phase: phase(host) })) };
      const started = { secs_since_epoch: 1796000000, nanos_since_epoch: 0 };
      const kept = ({ id, pid, stream, partial }) => [id, { pid, started, stream, partial, silent: false }];
      delete record.version; delete record.numbers;
      Object.assign(record, { listener, lock, origin, supervision, hosts: hosts.map(kept) })";
    for (name, change) in [("fewer", fewer), ("more", more), ("unversioned", unversioned)] {
        let project = Project::new();
        let binary = after_a_change_of_the_record(&project, name, change);
        let baton = Baton::start(&project).ready().await;
        let (supervisor, old) = (baton.pid(), baton.host().await);
        let gate = project.gate("end");
        let running = start(&baton, &gated(&gate));
        baton.in_flight(1, 1).await;

        let upgraded = baton.upgrade(&[&binary]).await;
        assert_eq!(upgraded.code, Some(0), "{name}: {upgraded}\n{}", baton.stderr().tail());
        baton
            .wait_for("the supervisor was replaced by the new binary", json!({ "hosts": 2 }))
            .await;
        let new = baton.host().await;
        assert_ne!(new, old, "{name}");
        assert_eq!(version_of(&baton, "version").await, "1", "{name}");
        gate.open();
        assert_eq!(running.version(&baton).await, "1", "{name}");
        baton.wait_for("host ended", json!({ "host": old })).await;
        assert!(
            !baton.stderr().text().contains("call lost"),
            "{name}: {}",
            baton.stderr().tail()
        );

        // The supervisor has the socket, the lock, and the ear of the host that serves.
        Baton::start(&project)
            .to_the_end()
            .await
            .refuses(1, &[&supervisor.to_string()]);
        let again = baton.upgrade(&[]).await;
        assert_eq!(again.code, Some(0), "{name}: {again}\n{}", baton.stderr().tail());
        baton.wait_for("host ended", json!({ "host": new })).await;
        assert_eq!(baton.pid(), supervisor, "{name}");
        send_signal("KILL", baton.host().await).await;
        baton.wait_for("host died", json!({})).await;
        assert_eq!(
            version_of(&baton, "version").await,
            "1",
            "{name}: a host that dies is replaced"
        );
    }
}

#[tokio::test]
async fn only_on_this_machine_may_a_binary_be_named() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let body = json!({ "binary": Path::new("/bin/true") });
    let answer = baton
        .admin("POST", "/-/upgrade")
        .json(&body)
        .answer(&baton.door())
        .await;
    assert_eq!(answer.status, 403, "{answer}");
    let answer = Call::new("POST", "/-/upgrade").answer(&baton.door()).await;
    assert_eq!(answer.status, 401, "{answer}");
    let answer = baton
        .admin("POST", "/-/upgrade")
        .send(&baton.door())
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (200, &json!("upgraded")),
        "{answer}"
    );
}

#[tokio::test]
async fn a_host_of_dev_says_that_it_has_no_supervisor() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    baton.upgrade(&[]).await.refuses(1, &["no supervisor", "baton start"]);
}
