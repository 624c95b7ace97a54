//! `baton start`: it replaces hosts that die, signals end hosts with care, and sockets may come from
//! the service manager (docs/operations.md).

use std::fs;
use std::net::TcpListener;
#[cfg(target_os = "linux")]
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[cfg(target_os = "linux")]
use harness::Door;
use harness::http::Call;
use harness::{Baton, Cli, Launch, Line, Project, Run, deadline, mismatch, send_signal};
use serde_json::{Value, json};

use crate::calls::{DueCalls, gated, slow_to_load, start, version_of};
#[cfg(target_os = "linux")]
use crate::service::free_port;

/// Kills the host that accepts, as the kernel does when memory is out, and waits for the next one.
pub(crate) async fn kill_host(baton: &Baton) {
    let host = baton.host().await;
    send_signal("KILL", host).await;
    baton
        .wait_for("host died", json!({ "host": host, "status": "signal 9" }))
        .await;
    let next = async || {
        // The request waits meanwhile: nobody is refused.
        let ready = baton.get("/-/ready").await;
        (ready.status == 200 && baton.host().await != host).then_some(())
    };
    deadline::until("another host serves", || baton.stderr().tail(), next).await;
}

/// Waits until a generation is on the disk, where the next host looks for it.
pub(crate) async fn is_kept(project: &Project, generation: u64) {
    let file = project.state_dir().join(format!("kept/{generation}.json"));
    deadline::until("the generation is kept", String::new, async || {
        file.exists().then_some(())
    })
    .await;
}

async fn is_named_as_lost(baton: &Baton, run: &Run) -> Line {
    let lost = json!({ "function": run.function, "run": run.id, "step": "step" });
    baton.wait_for("call lost: its host died", lost).await
}

fn lost_calls(baton: &Baton) -> usize {
    let lines = baton.stderr().lines();
    let lost = lines.iter().filter(|line| line.message().starts_with("call lost"));
    lost.count()
}

#[tokio::test]
async fn a_host_that_is_killed_while_it_loads_is_replaced_by_one_that_serves_the_last_good_code() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let run = gated(&project.gate("never"));
    let running = start(&baton, &run);
    baton.in_flight(1, 1).await;
    is_kept(&project, 1).await;
    project.set_version("2");
    project.write("functions/slow-to-load.ts", slow_to_load(&project.gate("load")));
    let reload = baton.admin("PUT", "/api/reload").write(&baton.door()).await;
    baton
        .status_when("it loads", |status| status.state(2) == "loading")
        .await;

    kill_host(&baton).await;
    drop((reload, running));
    assert_eq!(version_of(&baton, "version").await, "1", "what served, serves");
    assert_eq!(baton.status().await.current(), 3, "no number is given twice");
    is_named_as_lost(&baton, &run).await;
    assert_eq!(lost_calls(&baton), 1, "{}", baton.stderr().tail());
}

#[tokio::test]
async fn a_host_that_is_killed_right_after_a_swap_is_replaced_by_one_that_serves_the_new_code() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    kill_host(&baton).await;
    assert_eq!(version_of(&baton, "version").await, "2");
    assert_eq!(baton.status().await.current(), 3);
    assert_eq!(lost_calls(&baton), 0, "{}", baton.stderr().tail());
}

#[tokio::test]
async fn a_host_that_is_killed_while_a_generation_drains_loses_the_calls_in_it_and_names_them() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let gate = project.gate("never");
    let (old, new) = (gated(&gate), gated(&gate));
    let running = start(&baton, &old);
    baton.in_flight(1, 1).await;
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    let also_running = start(&baton, &new);
    baton.in_flight(2, 1).await;
    // A call that was answered is not a lost call.
    assert_eq!(version_of(&baton, "version").await, "2");

    kill_host(&baton).await;
    drop((running, also_running));
    is_named_as_lost(&baton, &old).await;
    is_named_as_lost(&baton, &new).await;
    assert_eq!(lost_calls(&baton), 2, "{}", baton.stderr().tail());
    assert_eq!(version_of(&baton, "version").await, "2");
}

#[tokio::test]
async fn a_host_that_is_killed_during_its_upgrade_is_replaced_by_the_one_that_loads() {
    let project = Project::new();
    let gate = project.gate("load");
    gate.open();
    project.write("functions/slow-to-load.ts", slow_to_load(&gate));
    let baton = Baton::start(&project).ready().await;
    let old = baton.host().await;
    gate.shut();
    let (_, candidate) = tokio::join!(baton.upgrade(&[]), async {
        let line = baton.wait_for("loading beside the host that serves", json!({})).await;
        send_signal("KILL", old).await;
        baton.wait_for("host died", json!({ "host": old })).await;
        // The call waits in the socket that both hosts were given.
        let call = baton.executor().request(&Run::of("fixture-version"), "step");
        let waiting = call.write(&baton.door()).await;
        gate.open();
        let (status, body) = waiting.answer().await;
        assert_eq!(status, 200, "{body}");
        line.json["pid"].clone()
    });
    assert_eq!(json!(baton.host().await), candidate);
    assert_eq!(baton.status().await.current(), 2);
}

#[tokio::test]
async fn slow_a_host_that_hangs_is_replaced_and_nobody_is_refused() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let host = baton.host().await;
    send_signal("STOP", host).await;
    // The call waits in the socket, or is lost with the host that has taken it.
    let call = baton.executor().request(&Run::of("fixture-version"), "step");
    let waiting = call.write(&baton.door()).await;
    // The supervisor looks six times, five seconds apart: that is longer than any phase may take.
    let hangs = "host hangs: it no longer answers its supervisor, and is replaced";
    let told = tokio::time::timeout(Duration::from_secs(60), async {
        while baton.stderr().count(hangs, &json!({ "host": host })) == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(told.await.is_ok(), "{}", baton.stderr().tail());
    baton.wait_for("host died", json!({ "host": host })).await;
    assert_eq!(version_of(&baton, "version").await, "1");
    assert_ne!(baton.host().await, host);
    drop(waiting);
}

#[tokio::test]
async fn signals_that_mean_nothing_end_neither_supervisor_nor_host() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let host = baton.host().await;
    for signal in ["USR1", "USR2", "ALRM", "IO", "PROF", "VTALRM"] {
        send_signal(signal, baton.pid()).await;
        send_signal(signal, host).await;
    }
    send_signal("HUP", host).await;
    assert_eq!(version_of(&baton, "version").await, "1");
    assert_eq!(baton.host().await, host);
}

#[tokio::test]
async fn user_code_that_signals_its_parent_ends_its_isolate_and_nothing_else() {
    let project = Project::new();
    project.write(
        "functions/signals.ts",
        r#"import { inngest } from "../lib/client";
export const signals = inngest.createFunction(
  { id: "signals", retries: 0, checkpointing: false, triggers: [{ event: "fixture/signals" }] },
  async ({ event }) => process.kill(event.data.sign * process.ppid, event.data.signal),
);
"#,
    );
    let baton = Baton::start(&project).ready().await;
    let host = baton.host().await;
    for signal in ["SIGTERM", "SIGKILL", "SIGHUP"] {
        let run = Run::of("fixture-signals").with_data(json!({ "sign": 1, "signal": signal }));
        let answer = start(&baton, &run).answer(&baton).await;
        assert_eq!(answer.status, 500, "{answer}");
        assert_eq!(version_of(&baton, "version").await, "1");
    }
    assert_eq!(
        baton.stderr().count("isolate ended", &json!({})),
        3,
        "{}",
        baton.stderr().tail()
    );
    assert_eq!(baton.host().await, host);
}

#[tokio::test]
async fn calls_wait_while_a_host_is_replaced() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    for _ in 0..3 {
        send_signal("KILL", baton.host().await).await;
        let call = baton.executor().request(&Run::of("fixture-version"), "step");
        let (status, body) = call.write(&baton.door()).await.answer().await;
        assert_eq!(status, 200, "{body}");
    }
}

#[tokio::test]
async fn a_supervisor_that_is_killed_leaves_a_host_that_finishes_its_calls_and_frees_the_port() {
    let project = Project::new();
    let mut baton = Baton::start(&project).ready().await;
    let port = baton.port().to_string();
    let host = baton.host().await;
    let gate = project.gate("end");
    let running = start(&baton, &gated(&gate));
    baton.in_flight(1, 1).await;
    baton.signal("KILL").await;
    let _ = baton.ended().await;
    let leaving = "ending: calls in flight finish, another host takes new ones";
    baton.wait_for(leaving, json!({ "in_flight": 1 })).await;
    let next = Baton::start(&project).option("--port", port.as_str()).ready().await;
    assert_eq!(version_of(&next, "version").await, "1");
    gate.open();
    assert_eq!(running.version(&baton).await, "1");
    has_ended(host).await;
    assert_eq!(version_of(&next, "version").await, "1");
}

#[tokio::test]
async fn a_host_that_is_told_to_end_by_a_signal_of_its_own_is_replaced_first() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let old = baton.host().await;
    let gate = project.gate("end");
    let running = start(&baton, &gated(&gate));
    baton.in_flight(1, 1).await;
    send_signal("TERM", old).await;
    baton.wait_for("host started", json!({})).await;
    let next = async || (baton.host().await != old).then_some(());
    deadline::until("another host serves", || baton.stderr().tail(), next).await;
    assert_eq!(version_of(&baton, "version").await, "1");
    gate.open();
    assert_eq!(running.version(&baton).await, "1");
    baton.wait_for("host ended", json!({ "host": old })).await;
    assert_eq!(lost_calls(&baton), 0, "{}", baton.stderr().tail());
}

#[tokio::test]
async fn a_second_signal_or_sigquit_ends_at_once_and_names_what_was_cut() {
    for signals in [["TERM", "TERM"].as_slice(), &["QUIT"]] {
        let project = Project::new();
        let mut baton = Baton::start(&project).ready().await;
        let run = gated(&project.gate("never"));
        let running = start(&baton, &run);
        baton.in_flight(1, 1).await;
        for signal in signals {
            baton.signal(signal).await;
            baton.wait_for("ending: hosts finish their calls", json!({})).await;
        }
        assert_eq!(baton.ended().await.code(), Some(0));
        let cut = json!({ "function": run.function, "run": run.id, "step": "step" });
        baton.wait_for("call cut", cut).await;
        assert_eq!(lost_calls(&baton), 0, "it was named: {}", baton.stderr().tail());
        drop(running);
    }
}

#[tokio::test]
async fn without_a_successor_a_new_call_is_refused_at_once_while_the_old_ones_are_finished() {
    let project = Project::new();
    let mut baton = Baton::start(&project).ready().await;
    let gate = project.gate("end");
    let running = start(&baton, &gated(&gate));
    baton.in_flight(1, 1).await;
    let cli = Cli::within(project.scratch()).env("BATON_STATE_DIR", project.state_dir());
    let mut draining = cli.spawn(&["drain", "--wait"]);
    baton.wait_for("ending: hosts finish their calls", json!({})).await;
    let door = baton.door();
    let refused = async || Call::new("GET", "/-/live").send(&door).await.err().map(drop);
    deadline::until("the port is closed", || baton.stderr().tail(), refused).await;
    // The commands still see the host's work.
    let told = cli.baton(&["status", "--json"]).await;
    assert_eq!(
        told.json()["generations"][0]["in_flight"].as_array().map(Vec::len),
        Some(1),
        "{told}"
    );
    assert!(
        draining.try_wait().expect("its state").is_none(),
        "it waits for the end"
    );
    gate.open();
    assert_eq!(running.version(&baton).await, "1");
    assert_eq!(baton.ended().await.code(), Some(0));
    let waited = deadline::within("the end of baton drain", String::new, draining.wait()).await;
    assert!(waited.is_ok_and(|status| status.success()));
}

#[tokio::test]
async fn two_hosts_on_two_ports_take_turns_by_drain() {
    let (blue, green) = (Project::new(), Project::new());
    green.set_version("green");
    let mut one = Baton::start(&blue).ready().await;
    let gate = blue.gate("end");
    let running = start(&one, &gated(&gate));
    one.in_flight(1, 1).await;
    let other = Baton::start(&green).ready().await;
    let cli = Cli::within(blue.scratch()).env("BATON_STATE_DIR", blue.state_dir());
    let drained = cli.baton(&["drain"]).await;
    assert!(drained.stdout.contains("1 call(s) in flight"), "{drained}");
    assert_eq!(version_of(&other, "version").await, "green");
    gate.open();
    assert_eq!(running.version(&one).await, "1");
    assert_eq!(one.ended().await.code(), Some(0));
}

/// Starts Baton as systemd does: the socket is descriptor 3, and meant for this very process.
pub(crate) fn activated(project: &Project, socket: &Arc<TcpListener>) -> Launch {
    let script = project.scratch().join("activate");
    let text = format!(
        "#!/bin/sh\nexec 3<&0 0</dev/null\nLISTEN_PID=$$ LISTEN_FDS=1 exec {} \"$@\"\n",
        harness::baton_binary().display()
    );
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script that runs");
    Baton::start(project).program(script).socket(Arc::clone(socket))
}

#[tokio::test]
async fn a_socket_that_systemd_passes_is_served_and_keeps_calls_over_a_restart() {
    let project = Project::new();
    let socket = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a socket"));
    let port = socket.local_addr().expect("its address").port();
    let mut baton = activated(&project, &socket).ready().await;
    assert_eq!(baton.port(), port, "not the one of --port");
    assert_eq!(version_of(&baton, "version").await, "1");
    // The new binary of the supervisor has the socket, too.
    assert_eq!(baton.upgrade(&[]).await.code, Some(0));
    assert_eq!(version_of(&baton, "version").await, "1");
    let call = baton.executor().request(&Run::of("fixture-version"), "step");
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
    let waiting = call.write(&baton.door()).await;
    let next = activated(&project, &socket).ready().await;
    let (status, body) = waiting.answer().await;
    assert_eq!(status, 200, "nobody was refused: {body}\n{}", next.stderr().tail());
}

/// Waits until the process has ended, and has given back its resources.
async fn has_ended(pid: u32) {
    deadline::until("the process ends", String::new, async || {
        let asked = Command::new("kill").args(["-0", &pid.to_string()]).output();
        (!asked.expect("kill").status.success()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn calls_without_a_second_attempt_that_are_due_while_nothing_runs_wait_in_a_socket_that_is_passed() {
    let project = DueCalls::project();
    let socket = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a socket"));
    for signal in ["TERM", "KILL"] {
        let mut baton = activated(&project, &socket).ready().await;
        let (door, host) = (baton.door(), baton.host().await);
        baton.signal(signal).await;
        let _ = baton.ended().await;
        has_ended(host).await;
        let due = DueCalls::send(&door).await;
        let mut next = activated(&project, &socket).ready().await;
        due.all_end().await;
        assert_eq!(lost_calls(&next), 0, "{}", next.stderr().tail());
        next.signal("TERM").await;
        assert_eq!(next.ended().await.code(), Some(0));
    }
}

#[tokio::test]
async fn calls_that_are_due_while_nothing_runs_are_refused_where_no_socket_is_passed() {
    let project = DueCalls::project();
    let mut baton = Baton::start(&project).ready().await;
    let door = baton.door();
    DueCalls::send(&door).await.all_end().await;
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
    let refused = baton.executor().discover(&Run::of("fixture-due")).await;
    let refused = refused.expect_err("nobody listens").to_string();
    assert!(refused.contains("refused"), "{refused}");
}

/// The note of a supervisor that has opened the port itself.
const NOTE: &str = "no service manager holds the port: calls that are due while this process is down are refused, and \
                    runs of functions with retries: 0 fail";

#[tokio::test]
async fn a_supervisor_that_holds_the_port_itself_notes_once_what_is_lost_while_it_is_down() {
    let project = Project::new();
    let mut baton = Baton::start(&project).ready().await;
    let port = json!({ "port": baton.port(), "level": "INFO" });
    let note = baton.wait_for(NOTE, port.clone()).await;
    assert!(note.json["help"].as_str().is_some_and(|help| !help.is_empty()));
    kill_host(&baton).await;
    assert_eq!(baton.upgrade(&[]).await.code, Some(0));
    baton
        .wait_for("the supervisor was replaced by the new binary", json!({}))
        .await;
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
    baton.stderr().end().await;
    assert_eq!(baton.stderr().count(NOTE, &json!({})), 1, "{}", baton.stderr().tail());

    let socket = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a socket"));
    for launch in [activated(&project, &socket), Baton::dev(&project)] {
        let mut baton = launch.ready().await;
        baton.signal("TERM").await;
        assert_eq!(baton.ended().await.code(), Some(0));
        baton.stderr().end().await;
        assert_eq!(baton.stderr().count(NOTE, &json!({})), 0, "{}", baton.stderr().tail());
    }
}

/// The test uses systemd's own program for this, which listens, and starts Baton for the first
/// connection.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_call_for_which_systemd_starts_baton_is_answered() {
    let project = DueCalls::project();
    let port = free_port();
    let script = project.scratch().join("activate");
    // That program passes nothing on by itself but PATH, HOME and the like.
    let passed = ["BATON_CODE_CACHE", "BATON_REGISTER", "INNGEST_DEV", "XDG_CACHE_HOME"];
    let passed = passed.map(|name| format!("${{{name}+--setenv={name}=\"${name}\"}}"));
    let text = format!(
        "#!/bin/sh\nexec systemd-socket-activate --listen=127.0.0.1:{port} {} {} \"$@\"\n",
        passed.join(" "),
        harness::baton_binary().display()
    );
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script that runs");
    let launch = Baton::start(&project).program(script);
    let door = Door::Tcp(([127, 0, 0, 1], port).into());
    let listens = async || TcpStream::connect(("127.0.0.1", port)).ok();
    let calls = async {
        deadline::until(
            "systemd-socket-activate, of Debian's package systemd, listens",
            String::new,
            listens,
        )
        .await;
        DueCalls::send(&door).await.all_end().await;
    };
    let (baton, ()) = tokio::join!(launch.ready(), calls);
    assert_eq!(baton.port(), port);
    assert_eq!(lost_calls(&baton), 0, "{}", baton.stderr().tail());
}

#[tokio::test]
async fn what_is_no_tcp_socket_is_refused_for_good() {
    let project = Project::new();
    let file = project.scratch().join("a-file");
    fs::write(&file, "").expect("a file");
    let socket = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a socket"));
    let mut launch = activated(&project, &socket);
    let script = project.scratch().join("activate");
    let text = fs::read_to_string(&script).expect("the script");
    fs::write(&script, text.replace("3<&0", &format!("3<{}", file.display()))).expect("a script");
    launch = launch.program(script);
    launch
        .to_the_end()
        .await
        .refuses(78, &["not a TCP socket", "ListenStream"]);
}

/// The messages to systemd, in order.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_read_timeout(Some(deadline::DEADLINE)).expect("a timeout");
        Self(socket)
    }

    /// Reads on until this message comes, and returns it.
    fn until(&self, wanted: &str) -> String {
        let mut chunk = [0; 1024];
        let mut all = Vec::new();
        loop {
            let read = self
                .0
                .recv(&mut chunk)
                .unwrap_or_else(|error| panic!("no {wanted} ({error}) in {all:?}"));
            let told = String::from_utf8_lossy(&chunk[..read]).into_owned();
            if told.lines().any(|line| line.starts_with(wanted)) {
                return told;
            }
            all.push(told);
        }
    }
}

#[tokio::test]
async fn systemd_is_told_of_each_phase() {
    let project = Project::new();
    let path = project.scratch().join("notify");
    let manager = Manager::at(&path);
    let launch = Baton::start(&project).env("NOTIFY_SOCKET", &path);
    let mut baton = launch.env("WATCHDOG_USEC", "400000").ready().await;
    manager.until("READY=1");
    manager.until("WATCHDOG=1");
    baton.signal("HUP").await;
    let reloading = manager.until("RELOADING=1");
    let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(
        since.is_some_and(|since| since.parse::<u64>().is_ok_and(|since| since > 0)),
        "{reloading}"
    );
    manager.until("READY=1");
    manager.until("WATCHDOG=1");
    let gate = project.gate("end");
    let running = start(&baton, &gated(&gate));
    baton.in_flight(2, 1).await;
    baton.signal("TERM").await;
    manager.until("STOPPING=1");
    let more = manager.until("EXTEND_TIMEOUT_USEC=");
    assert!(more.trim().ends_with("000000"), "{more}");
    gate.open();
    assert_eq!(running.version(&baton).await, "1");
    assert_eq!(baton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn user_code_is_told_nothing_that_is_the_supervisors() {
    let project = Project::new();
    project.write(
        "functions/seen.ts",
        r#"import { inngest } from "../lib/client";
export const seen = inngest.createFunction(
  { id: "seen", retries: 0, checkpointing: false, triggers: [{ event: "fixture/seen" }] },
  async () => ({ version: Object.keys(process.env).filter((name) => /NOTIFY|WATCHDOG|LISTEN_|SUPERVISOR/.test(name)) }),
);
"#,
    );
    let socket = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a socket"));
    let path = project.scratch().join("notify");
    let _manager = Manager::at(&path);
    let launch = activated(&project, &socket).env("NOTIFY_SOCKET", &path);
    let baton = launch.env("WATCHDOG_USEC", "400000").ready().await;
    assert_eq!(version_of(&baton, "seen").await, json!([]));
    assert_eq!(baton.upgrade(&[]).await.code, Some(0));
    assert_eq!(version_of(&baton, "seen").await, json!([]));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_supervisor_has_one_thread_beside_that_of_its_log_and_no_isolate() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let threads = |pid: u32| {
        let all = fs::read_dir(format!("/proc/{pid}/task"))
            .expect("its threads")
            .flatten();
        let names = all.map(|thread| fs::read_to_string(thread.path().join("comm")).unwrap_or_default());
        names.filter(|name| name.trim() != "log writer").count()
    };
    assert_eq!(threads(baton.pid()), 1);
    assert!(threads(baton.host().await) > 1);
}

#[tokio::test]
async fn a_port_of_somebody_else_is_named_with_its_owner_in_production_too() {
    let project = Project::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let us = std::process::id().to_string();
    let launch = Baton::start(&project).option("--port", port.as_str());
    launch.to_the_end().await.refuses(1, &[&port, &us]);
}

#[tokio::test]
async fn the_state_of_another_user_is_refused_for_good() {
    let project = Project::new();
    let mut baton = Baton::start(&project).ready().await;
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
    let lock = project.state_dir().join("lock");
    if chown(&lock, Some(65534), None).is_err() {
        // Only root may give a file away.
        return;
    }
    for launch in [Baton::start(&project), Baton::dev(&project)] {
        launch.to_the_end().await.refuses(78, &["65534", "another"]);
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_is_told() {
    let project = Project::new();
    let mut baton = Baton::start(&project).ready().await;
    assert!(
        !baton.stderr().text().contains("the clock went back"),
        "{}",
        baton.stderr().text()
    );
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
    // The lock looks as if Baton had run two hours later than now.
    let lock = fs::File::options()
        .write(true)
        .open(project.state_dir().join("lock"))
        .expect("the lock");
    lock.set_modified(SystemTime::now() + Duration::from_secs(7200))
        .expect("another time");
    let baton = Baton::start(&project).ready().await;
    let told = |line: &Line| line.message().starts_with("the clock went back by 7") && line.json["level"] == "WARN";
    baton.stderr().wait_for_line("the clock", told).await;
}

#[tokio::test]
async fn status_names_the_supervisor_and_dev_has_none() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let status = baton.status().await.0;
    let expected = json!({ "pid": baton.pid() });
    assert_eq!(mismatch(&status["supervisor"], &expected), None, "{status:#}");
    assert_ne!(status["pid"], json!(baton.pid()));
    let hosts = json!([{ "pid": status["pid"], "state": "accepting" }]);
    assert_eq!(mismatch(&status["hosts"], &hosts), None, "{status:#}");

    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let status = baton.status().await.0;
    assert_eq!((&status["supervisor"], &status["hosts"]), (&Value::Null, &json!([])));
}

/// A function that costs its isolate for good: its import throws an error that Deno cannot read.
const LOSES: &str = r#"import { inngest } from "../lib/client";
export const loses = inngest.createFunction(
  { id: "loses", retries: 0, checkpointing: false, triggers: [{ event: "fixture/loses" }] },
  async () => await import("../lib/unreadable.mjs"),
);
"#;

#[tokio::test]
async fn a_host_that_has_lost_too_much_is_replaced_and_no_other_call_is_lost() {
    let project = DueCalls::project();
    project.write("functions/loses.ts", LOSES);
    project.write(
        "lib/unreadable.mjs",
        "throw Object.create(Error.prototype, { message: { value: 42 } });\n",
    );
    let baton = Baton::start(&project).ready().await;
    let host = baton.host().await;
    let gate = project.gate("finish");
    let lasting = start(&baton, &gated(&gate));
    baton.in_flight(1, 1).await;
    // The calls that are lost are of another generation.
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    // Each lost thread holds a heap; four may be lost.
    for lost in 1..=5 {
        let _ = start(&baton, &Run::of("fixture-loses")).answer(&baton).await;
        baton
            .status_when("a thread is lost", |status| {
                status.0["lost"]["threads"].as_u64() >= Some(lost.min(4))
            })
            .await;
    }
    let leaves = json!({ "reason": "too much memory is lost" });
    baton
        .wait_for("ending: calls in flight finish, another host takes new ones", leaves)
        .await;
    DueCalls::send(&baton.door()).await.all_end().await;
    let next = async || (baton.host().await != host).then_some(());
    deadline::until("another host serves", || baton.stderr().tail(), next).await;
    assert_eq!(version_of(&baton, "version").await, "2");
    let lost = baton.status().await.0["lost"].clone();
    assert_eq!(lost["threads"], 0, "the next host has lost nothing");
    gate.open();
    assert_eq!(
        lasting.version(&baton).await,
        "1",
        "a call of before is finished by the host that has it"
    );
    baton.wait_for("host ended", json!({ "host": host })).await;
    assert_eq!(lost_calls(&baton), 0, "{}", baton.stderr().tail());
}
