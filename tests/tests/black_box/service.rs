//! `baton service`: units for systemd and launchd, and their installation with `systemctl` and `launchctl`.
//! Scripts stand in for these two; they note their calls and start the program that the unit names. The tests of
//! launchd alone are in `launchd`.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Cli, Finished, Project};

/// A user's machine with service managers that are scripts.
pub(crate) struct Machine {
    pub(crate) project: Project,
    pub(crate) port: u16,
}

const SYSTEMCTL: &str = r#"#!/bin/sh
echo "systemctl $*" >> "$STAND_IN/calls"
[ "$1" = --version ] && { echo "systemd 255 (255.4)"; exit 0; }
[ "$1" = --user ] && shift
if [ "$1" = "$FAILS" ]; then echo "Failed to $1: Access denied" >&2; exit 4; fi
unit="$XDG_CONFIG_HOME/systemd/user/baton-project.service"
case "$1" in
  is-active) case "$2" in *.socket) [ -e "$STAND_IN/listens" ] ;; *) [ -e "$STAND_IN/pid" ] ;; esac ;;
  start | restart)
    case "$2" in *.socket) touch "$STAND_IN/listens"; exit ;; esac
    cd "$(sed -n 's/^WorkingDirectory=//p' "$unit")" || exit 1
    . "$STAND_IN/run.sh"
    run $(sed -n 's/^ExecStart=//p' "$unit") ;;
  disable) case "$*" in *--now*.socket) rm "$STAND_IN/listens" ;; esac ;;
  stop)
    . "$STAND_IN/run.sh"; end; while [ -e "$STAND_IN/pid" ]; do sleep 0.02; done
    case "$*" in *.socket*) rm "$STAND_IN/listens" ;; esac ;;
esac
"#;

/// The script for `launchctl`, which keeps jobs as launchd does, and refuses with launchd's numbers; its first
/// lines describe its settings.
const LAUNCHCTL: &str = include_str!("../../stand-ins/launchctl");

/// The functions with which systemctl's stand-in starts and ends the program: a shell waits for its end, so that
/// `pid` is there while it runs.
const RUN: &str = r#"
run() {
  ( "$@" >"$STAND_IN/log" 2>&1 & echo $! > "$STAND_IN/pid"; wait; rm "$STAND_IN/pid" ) </dev/null >/dev/null 2>&1 &
  while [ ! -e "$STAND_IN/pid" ]; do sleep 0.02; done
}
end() { kill -TERM "$(cat "$STAND_IN/pid")"; }
"#;

impl Machine {
    pub(crate) fn new() -> Self {
        let machine = Self {
            project: Project::new(),
            port: free_port(),
        };
        let script = |name: &str, text: &str| {
            let path = machine.stand_in().join(name);
            fs::write(&path, text).expect("a script");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a script that runs");
        };
        fs::create_dir(machine.stand_in()).expect("a folder");
        script("systemctl", SYSTEMCTL);
        script("launchctl", LAUNCHCTL);
        script("run.sh", RUN);
        machine
    }

    /// Makes a machine for a test that starts hosts: the first start of a new binary makes its startup snapshot,
    /// which may take a debug build on a busy machine longer than a command may take here.
    pub(crate) fn that_starts_hosts() -> Self {
        let machine = Self::new();
        let folder = machine.project.scratch().join("first-start");
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("package.json"), "{}").expect("a file");
        fs::write(
            folder.join("serve.ts"),
            "export default { fetch: () => new Response() };",
        )
        .expect("a file");
        let mut command = Command::new(harness::baton_binary());
        command
            .args(["invoke", "nothing", "serve.ts", "--own"])
            .current_dir(folder);
        // The command ends with an error: there is no such function.
        let ended = command.env("XDG_CACHE_HOME", cache()).output().expect("baton");
        assert!(ended.status.code().is_some(), "{ended:?}");
        machine
    }

    pub(crate) fn stand_in(&self) -> PathBuf {
        self.project.scratch().join("stand-in")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.project.scratch().join("home")
    }

    pub(crate) fn cli(&self) -> Cli {
        let path = std::env::var("PATH").expect("PATH");
        Cli::within(self.project.root())
            .env("PATH", format!("{}:{path}", self.stand_in().display()))
            .env("STAND_IN", self.stand_in())
            .env("HOME", self.home())
            .env("XDG_CONFIG_HOME", self.home().join(".config"))
            .env("XDG_STATE_HOME", self.home().join("state"))
            .env("XDG_CACHE_HOME", cache())
    }

    pub(crate) async fn service(&self, action: &str, more: &[&str]) -> Finished {
        self.cli().baton(&[&["service", action, "--user"], more].concat()).await
    }

    pub(crate) async fn install(&self, manager: &str) -> Finished {
        self.service("install", &[manager, "--port", &self.port.to_string()])
            .await
    }

    /// Returns the calls of the service managers, without those that change nothing.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.stand_in().join("calls")).unwrap_or_default();
        let questions = ["--version", "is-active", " print "];
        let calls = calls
            .lines()
            .filter(|call| !questions.iter().any(|question| call.contains(question)));
        calls.map(|call| call.replace("systemctl --user ", "")).collect()
    }

    pub(crate) fn forget_calls(&self) {
        let _ = fs::remove_file(self.stand_in().join("calls"));
    }

    pub(crate) fn pid(&self) -> Option<String> {
        let pid = fs::read_to_string(self.stand_in().join("pid")).ok()?;
        Some(pid.trim().to_owned())
    }

    fn systemd_unit(&self) -> PathBuf {
        self.home().join(".config/systemd/user/baton-project.service")
    }

    fn systemd_socket(&self) -> PathBuf {
        self.systemd_unit().with_extension("socket")
    }

    pub(crate) fn launchd_job(&self) -> PathBuf {
        self.home().join("Library/LaunchAgents/baton.project.plist")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Without this file launchd's stand-in would start its program again.
        let _ = fs::write(self.stand_in().join("stop"), "");
        if let Some(pid) = self.pid() {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
        }
    }
}

/// Returns the folder of startup snapshots, whatever `HOME` a test sets.
pub(crate) fn cache() -> PathBuf {
    let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").expect("HOME")).join(".cache"))
}

/// Returns a port that nobody has, outside of the range from which connections take theirs.
pub(crate) fn free_port() -> u16 {
    let start = 20_000 + u16::try_from(std::process::id() % 10_000).expect("a small number");
    let mut ports = (start..30_000).chain(20_000..start);
    ports
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

#[tokio::test]
async fn a_service_of_systemd_is_installed_once_and_removed_after_its_last_answer() {
    let machine = Machine::that_starts_hosts();
    let installed = machine.install("--systemd").await;
    assert_eq!(installed.code, Some(0), "{installed}");
    assert!(installed.stdout.contains("ready: generation 1"), "{installed}");
    assert!(
        installed
            .stdout
            .contains(&format!("systemd holds port {}", machine.port)),
        "{installed}"
    );
    assert!(installed.stdout.contains("--no-socket"), "{installed}");
    assert_eq!(
        machine.calls(),
        [
            "daemon-reload",
            "enable baton-project.service baton-project.socket",
            "start baton-project.socket",
            "start --no-block baton-project.service",
        ]
    );
    let mode = machine.systemd_unit().metadata().expect("a unit").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    let status = machine.cli().baton(&["status", "--json"]).await;
    assert_eq!(status.json()["current"], 1, "{status}");

    let pid = machine.pid();
    machine.forget_calls();
    let port = machine.port.to_string();
    let changed = ["--systemd", "--port", &port, "--tools", "bin"];
    let again = machine.service("install", &changed).await;
    assert_eq!(again.code, Some(0), "{again}");
    assert!(again.stdout.contains("nothing was interrupted"), "{again}");
    assert!(
        again
            .stdout
            .contains("`systemctl --user restart baton-project.service`"),
        "{again}"
    );
    assert_eq!(
        machine.calls(),
        ["daemon-reload", "enable baton-project.service baton-project.socket"]
    );
    assert_eq!(machine.pid(), pid, "the host that runs is left alone");
    let text = fs::read_to_string(machine.systemd_unit()).expect("a unit");
    assert!(text.contains("project/bin:"), "what changed is written: {text}");

    machine.forget_calls();
    let removed = machine.service("uninstall", &["--systemd"]).await;
    assert_eq!(removed.code, Some(0), "{removed}");
    assert_eq!(
        machine.calls(),
        [
            // One command stops both, or a call that waits would start the service again.
            "stop baton-project.socket baton-project.service",
            "disable baton-project.socket baton-project.service",
            "daemon-reload",
        ],
        "it ends before its unit goes"
    );
    assert!(!machine.systemd_unit().exists() && !machine.systemd_socket().exists());
    assert_eq!(machine.pid(), None);
    let log = fs::read_to_string(machine.stand_in().join("log")).expect("a log");
    assert!(log.contains("SIGTERM"), "it was asked to end: {log}");

    let nothing = machine.service("uninstall", &["--systemd"]).await;
    assert_eq!(nothing.code, Some(0), "{nothing}");
    assert!(nothing.stdout.contains("nothing to remove"), "{nothing}");
}

#[tokio::test]
async fn a_service_that_runs_is_left_alone_when_its_port_goes_to_systemd_and_back() {
    let machine = Machine::that_starts_hosts();
    let port = machine.port.to_string();
    let alone = ["--systemd", "--port", &port, "--no-socket"];
    let installed = machine.service("install", &alone).await;
    assert_eq!(installed.code, Some(0), "{installed}");
    assert!(
        installed.stdout.contains("calls are refused while it is down"),
        "{installed}"
    );
    assert_eq!(
        machine.calls(),
        [
            "daemon-reload",
            "enable baton-project.service",
            "start --no-block baton-project.service",
        ]
    );
    let pid = machine.pid();

    for _ in 0..2 {
        machine.forget_calls();
        let with_socket = machine.install("--systemd").await;
        assert_eq!(with_socket.code, Some(0), "{with_socket}");
        // systemd would refuse to start a socket whose service runs.
        assert_eq!(
            machine.calls(),
            ["daemon-reload", "enable baton-project.service baton-project.socket"]
        );
        assert!(
            with_socket
                .stdout
                .contains("holds the port itself; `systemctl --user restart baton-project.service`"),
            "{with_socket}"
        );
        assert!(!with_socket.stdout.contains("systemd holds"), "not yet: {with_socket}");
        assert_eq!(machine.pid(), pid);
    }

    // This is the state after that restart.
    fs::write(machine.stand_in().join("listens"), "").expect("a file");
    machine.forget_calls();
    let back = machine.service("install", &alone).await;
    assert_eq!(back.code, Some(0), "{back}");
    assert_eq!(
        machine.calls(),
        [
            // The service must no longer need the socket when the socket ends.
            "daemon-reload",
            "disable --now baton-project.socket",
            "daemon-reload",
            "enable baton-project.service",
        ]
    );
    assert!(!machine.systemd_socket().exists());
    assert_eq!(machine.pid(), pid);
}

#[tokio::test]
async fn another_address_of_a_socket_counts_once_the_socket_is_started_again() {
    let machine = Machine::that_starts_hosts();
    assert_eq!(machine.install("--systemd").await.code, Some(0));
    machine.forget_calls();
    let moved = machine.service("install", &["--systemd", "--port", "1"]).await;
    assert_eq!(moved.code, Some(0), "nothing serves there yet: {moved}");
    assert!(
        moved.stdout.contains("`systemctl --user restart baton-project.socket`"),
        "{moved}"
    );

    // If the service is down, install restarts the socket.
    let mut stop = Command::new(machine.stand_in().join("systemctl"));
    stop.args(["--user", "stop", "baton-project.service"])
        .env("STAND_IN", machine.stand_in())
        .env("XDG_CONFIG_HOME", machine.home().join(".config"));
    assert!(stop.status().expect("the stand-in").success());
    machine.forget_calls();
    let started = machine.install("--systemd").await;
    assert_eq!(started.code, Some(0), "{started}");
    assert_eq!(
        machine.calls()[2..],
        ["restart baton-project.socket", "start --no-block baton-project.service"]
    );
}

#[tokio::test]
async fn the_service_manager_holds_the_port_unless_it_is_told_otherwise() {
    let machine = Machine::new();
    for (manager, key) in [("--systemd", "[Socket]"), ("--launchd", "<key>Sockets</key>")] {
        for (flags, has_socket) in [
            (&[][..], true),
            (&["--socket"], true),
            (&["--no-socket"], false),
            (&["--no-socket", "--socket"], true),
            (&["--socket", "--no-socket"], false),
        ] {
            let printed = machine.service("print", &[&[manager], flags].concat()).await;
            assert_eq!(printed.code, Some(0), "{printed}");
            assert_eq!(printed.stdout.contains(key), has_socket, "{flags:?}: {printed}");
        }
    }
}

#[tokio::test]
async fn what_a_service_manager_says_when_it_fails_is_told() {
    let machine = Machine::new();
    let cli = machine.cli().env("FAILS", "enable");
    let port = machine.port.to_string();
    let failed = cli
        .baton(&["service", "install", "--user", "--systemd", "--port", &port])
        .await;
    failed.refuses(
        1,
        &[
            "`systemctl --user enable baton-project.service baton-project.socket` failed (exit code 4)",
            "Failed to enable: Access denied",
        ],
    );
    let none = machine.cli().env("PATH", machine.home());
    let missing = none.baton(&["service", "install", "--user", "--launchd"]).await;
    missing.refuses(1, &["cannot run `launchctl print", "--systemd"]);
}

#[tokio::test]
async fn a_port_that_somebody_else_has_is_named_before_anything_is_written() {
    let machine = Machine::new();
    let _somebody = TcpListener::bind(("127.0.0.1", machine.port)).expect("a port");
    for manager in ["--systemd", "--launchd"] {
        let refused = machine.install(manager).await;
        refused.refuses(1, &[&format!("port {} is in use by", machine.port), "--port"]);
    }
    assert!(!machine.systemd_unit().exists() && !machine.launchd_job().exists());
    assert_eq!(machine.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn the_unit_of_another_project_is_left_alone_until_that_is_gone() {
    let machine = Machine::new();
    assert_eq!(machine.install("--systemd").await.code, Some(0));
    let before = fs::read(machine.systemd_unit()).expect("a unit");
    let other = machine.project.scratch().join("other");
    fs::create_dir(&other).expect("a folder");
    fs::write(other.join("package.json"), "{}").expect("a file");
    fs::write(
        other.join("serve.ts"),
        "export default { fetch: () => new Response() };\n",
    )
    .expect("a file");
    let cli = machine.cli().at(&other);
    let install = [
        "service",
        "install",
        "--user",
        "--systemd",
        "serve.ts",
        "--name",
        "project",
    ];
    let refused = cli.baton(&install).await;
    let root = machine.project.root();
    let words = format!(
        "baton-project.service is the service of another project, {}",
        root.display()
    );
    let command = "`baton service uninstall --systemd --user --name project`";
    refused.refuses(1, &[&words, "--name", command]);
    assert_eq!(fs::read(machine.systemd_unit()).expect("a unit"), before);
    assert_eq!(machine.service("uninstall", &["--systemd"]).await.code, Some(0));
}

#[tokio::test]
async fn code_that_does_not_load_is_told_and_the_service_waits_for_a_better_one() {
    let machine = Machine::that_starts_hosts();
    let good = machine.project.read("lib/version.ts");
    machine.project.write("lib/version.ts", "export const = 1;");
    let told = machine.install("--systemd").await;
    told.refuses(
        1,
        &[
            "the code does not load",
            "journalctl --user --unit baton-project.service",
        ],
    );
    machine.project.write("lib/version.ts", good);
    let reloaded = machine.cli().baton(&["reload"]).await;
    assert_eq!(reloaded.code, Some(0), "{reloaded}");
    let installed = machine.install("--systemd").await;
    assert_eq!(installed.code, Some(0), "{installed}");
}

#[tokio::test]
async fn an_environment_file_that_others_may_read_is_refused_and_no_secret_is_in_a_unit() {
    let machine = Machine::new();
    let project = &machine.project;
    project.write("secrets.env", "INNGEST_SIGNING_KEY=signkey-test-5ec7e7\n");
    project.write("baton.toml", "drain_timeout = \"10m\"\n[env]\nfile = \"secrets.env\"\n");
    let file = project.root().join("secrets.env");
    let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
    mode(0o644);
    for arguments in [
        &["print", "--user"][..],
        &["install", "--user"],
        &["print", "--user", "--env-file", "secrets.env"],
    ] {
        let refused = machine.cli().baton(&[&["service"], arguments].concat()).await;
        refused.refuses(1, &["secrets.env: its mode is 0644", "chmod 600"]);
    }
    assert_eq!(machine.calls(), Vec::<String>::new());
    mode(0o600);
    for (manager, timeout) in [
        ("--systemd", "TimeoutStopSec=660"),
        ("--launchd", "<integer>660</integer>"),
    ] {
        let printed = machine.service("print", &[manager]).await;
        assert_eq!(printed.code, Some(0), "{printed}");
        assert!(!printed.stdout.contains("signkey"), "{printed}");
        assert!(
            printed.stdout.contains(timeout),
            "above the project's drain budget: {printed}"
        );
        let named = machine.service("print", &[manager, "--env-file", "secrets.env"]).await;
        assert!(named.stdout.contains(file.to_str().expect("text")), "{named}");
        assert!(!named.stdout.contains("signkey"), "{named}");
    }
    project.remove("secrets.env");
    let missing = machine.service("print", &[]).await;
    missing.refuses(1, &["cannot read the environment file", "install -m 600"]);
}

#[tokio::test]
async fn what_holds_in_the_shell_alone_is_named() {
    let machine = Machine::new();
    let cli = machine.cli().env("PORT", "4000").env("BATON_HOLD", "1m");
    let printed = cli.baton(&["service", "print", "--user"]).await;
    assert_eq!(printed.code, Some(0), "{printed}");
    assert!(!printed.stdout.contains("4000"), "{printed}");
    assert!(
        printed.stderr.contains("BATON_HOLD, PORT") || printed.stderr.contains("PORT, BATON_HOLD"),
        "{printed}"
    );
}

#[tokio::test]
async fn what_the_user_of_the_service_may_not_use_is_named() {
    let machine = Machine::new();
    let root = machine.project.root();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).expect("a mode");
    let print = ["service", "print", "--systemd", "--run-as"];
    let nobody = machine.cli().baton(&[&print[..], &["nobody"]].concat()).await;
    assert_eq!(nobody.code, Some(0), "{nobody}");
    let closed = format!("{} is closed to others", root.display());
    assert!(nobody.stderr.contains(&closed), "{nobody}");
    assert!(
        nobody.stdout.contains("User=nobody"),
        "--run-as is of the machine: {nobody}"
    );
    let as_root = machine.cli().baton(&[&print[..], &["root"]].concat()).await;
    assert!(as_root.stderr.contains("will run as root"), "{as_root}");
    let ghost = machine.cli().baton(&[&print[..], &["no-such-user"]].concat()).await;
    ghost.refuses(1, &["there is no user \"no-such-user\"", "--run-as"]);
}

/// The test asks systemd itself about the units, on a machine that has it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn systemd_finds_nothing_to_say_of_the_units() {
    let machine = Machine::new();
    let odd = machine.project.root().join("a folder, 100% \"odd\" $HOME");
    fs::create_dir(&odd).expect("a folder");
    for scope in [&["--user"][..], &["--system", "--run-as", "root", "--host", "10.1.2.3"]] {
        // The systemd of the machine tells which units it knows.
        let path = std::env::var("PATH").expect("PATH");
        let cli = machine.cli().env("PATH", path);
        let more = [
            &["service", "print", "--systemd"],
            scope,
            &[odd.to_str().expect("text")],
        ]
        .concat();
        let printed = cli.baton(&more).await;
        assert_eq!(printed.code, Some(0), "{printed}");
        let folder = machine.project.scratch().join("units");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder");
        let mut units = Vec::new();
        for unit in printed.stdout.split("# /").filter(|unit| !unit.is_empty()) {
            let (path, text) = unit.split_once('\n').expect("a path and a unit");
            let unit = folder.join(path.rsplit('/').next().expect("a name"));
            fs::write(&unit, text).expect("a unit");
            units.push(unit);
        }
        assert_eq!(units.len(), 2, "{printed}");
        let verify = |units: &[PathBuf]| {
            let output = Command::new("systemd-analyze").arg("verify").args(units).output();
            let output = output.expect("systemd-analyze, of Debian's package systemd");
            (
                output.status.success(),
                String::from_utf8_lossy(&output.stderr).into_owned(),
            )
        };
        assert_eq!(verify(&units), (true, String::new()));
        let text = fs::read_to_string(&units[0]).expect("a unit");
        fs::write(&units[0], text.replace("KillMode=mixed", "KillMode=some")).expect("a unit");
        assert!(verify(&units).1.contains("some"), "what is wrong is noticed");
        fs::write(&units[0], text).expect("a unit");
        let text = fs::read_to_string(&units[1]).expect("a unit");
        fs::write(&units[1], text.replace("Backlog=65535", "Backlog=many")).expect("a unit");
        assert!(verify(&units).1.contains("many"), "what is wrong is noticed");
    }
}
