//! Units that `baton service install` made, under a real systemd: calls wait while the service is down, also calls
//! of runs that have no second attempt (docs/operations.md).

use std::path::PathBuf;

use harness::{Cli, Door, Finished, Systemd};

use crate::calls::DueCalls;
use crate::service::{cache, free_port};

const SERVICE: &str = "baton-project.service";
const SOCKET: &str = "baton-project.socket";

/// A project, and a systemd to install it in.
struct Machine {
    project: harness::Project,
    systemd: Systemd,
    port: u16,
}

impl Machine {
    async fn new() -> Option<Self> {
        let project = DueCalls::project();
        let environment = [
            ("INNGEST_DEV", "http://127.0.0.1:1".into()),
            ("BATON_REGISTER", "off".into()),
            ("BATON_CODE_CACHE", project.code_cache().into()),
            ("XDG_CACHE_HOME", cache().into()),
            ("XDG_STATE_HOME", project.state_dir().into()),
        ];
        let systemd = Systemd::start(project.scratch(), &environment).await?;
        Some(Self {
            project,
            systemd,
            port: free_port(),
        })
    }

    fn door(&self) -> Door {
        Door::Tcp(([127, 0, 0, 1], self.port).into())
    }

    /// Runs `baton service`, and expects it to succeed.
    async fn service(&self, action: &str, more: &[&str]) -> Finished {
        let cli = Cli::within(self.project.root());
        let environment = self.systemd.environment().iter();
        let cli = environment.fold(cli, |cli, (name, value)| cli.env(name.to_str().expect("text"), value));
        let done = cli.baton(&[&["service", action, "--user"], more].concat()).await;
        assert_eq!(done.code, Some(0), "{done}\n{}", self.systemd.log());
        done
    }

    async fn install(&self, more: &[&str]) -> Finished {
        let port = self.port.to_string();
        self.service("install", &[&["--port", &port], more].concat()).await
    }

    fn state(&self, unit: &str) -> String {
        self.systemd.property(unit, "ActiveState")
    }

    /// Returns the process id of the supervisor; `0` while there is none.
    fn supervisor(&self) -> String {
        self.systemd.property(SERVICE, "MainPID")
    }

    fn has_unit(&self, unit: &str) -> bool {
        let folder: PathBuf = self.project.scratch().join("home/.config/systemd/user");
        folder.join(unit).exists()
    }

    async fn is_refused(&self) -> bool {
        let connected = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await;
        connected.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    }
}

#[tokio::test]
async fn calls_that_are_due_while_an_installed_service_is_down_all_end() {
    let Some(machine) = Machine::new().await else {
        return;
    };
    let systemd = &machine.systemd;
    machine.install(&[]).await;
    DueCalls::send(&machine.door()).await.all_end().await;

    // A stopped service is started again by the calls.
    systemd.order(&["stop", SERVICE]);
    assert_eq!(
        (machine.state(SERVICE), machine.supervisor()),
        ("inactive".into(), "0".into())
    );
    DueCalls::send(&machine.door()).await.all_end().await;

    // A killed service is started again after a second.
    systemd.order(&["kill", "--signal=KILL", "--kill-whom=main", SERVICE]);
    systemd
        .property_when(SERVICE, "SubState", |state| state == "auto-restart")
        .await;
    DueCalls::send(&machine.door()).await.all_end().await;

    // A service that cannot start until somebody mends baton.toml is tried again by systemd, for longer than
    // systemd would hold the port of a service that it starts without a pause.
    machine.project.write("baton.toml", "drain_timeout = \"soon\"\n");
    systemd.order(&["restart", "--no-block", SERVICE]);
    systemd
        .property_when(SERVICE, "ExecMainStatus", |status| status == "78")
        .await;
    let due = DueCalls::send(&machine.door()).await;
    let tries: u32 = systemd.property(SERVICE, "NRestarts").parse().expect("a number");
    systemd
        .property_when(SERVICE, "NRestarts", |now| {
            now.parse::<u32>().is_ok_and(|now| now >= tries + 5)
        })
        .await;
    assert_eq!(machine.state(SOCKET), "active");
    machine.project.remove("baton.toml");
    let mended = machine.install(&[]).await;
    assert!(mended.stdout.contains("ready: generation"), "{mended}");
    due.all_end().await;

    let removed = machine.service("uninstall", &[]).await;
    assert!(removed.stdout.contains(SOCKET), "{removed}");
    assert!(!machine.has_unit(SERVICE) && !machine.has_unit(SOCKET));
    assert_eq!(
        (machine.state(SERVICE), machine.state(SOCKET)),
        ("inactive".into(), "inactive".into())
    );
    assert!(machine.is_refused().await);
}

#[tokio::test]
async fn a_service_that_runs_is_not_moved_to_a_port_that_is_taken() {
    let Some(machine) = Machine::new().await else {
        return;
    };
    machine.install(&[]).await;
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let cli = Cli::within(machine.project.root());
    let environment = machine.systemd.environment().iter();
    let cli = environment.fold(cli, |cli, (name, value)| cli.env(name.to_str().expect("text"), value));
    let refused = cli.baton(&["service", "install", "--user", "--port", &port]).await;
    refused.refuses(1, &[&format!("port {port} is in use"), "choose another port"]);
    DueCalls::send(&machine.door()).await.all_end().await;
}

#[tokio::test]
async fn systemd_takes_the_port_of_a_service_at_its_next_start_and_gives_it_back() {
    let Some(machine) = Machine::new().await else {
        return;
    };
    let systemd = &machine.systemd;
    machine.install(&["--no-socket"]).await;
    let first = machine.supervisor();
    let installed = machine.install(&[]).await;
    let restart = format!("systemctl --user restart {SERVICE}");
    assert!(installed.stdout.contains(&restart), "{installed}");
    assert_eq!(
        (machine.state(SOCKET), machine.supervisor()),
        ("inactive".into(), first.clone())
    );
    DueCalls::send(&machine.door()).await.all_end().await;

    systemd.order(&["restart", SERVICE]);
    let second = machine.supervisor();
    assert_ne!(second, first);
    assert_eq!(machine.state(SOCKET), "active");
    DueCalls::send(&machine.door()).await.all_end().await;

    machine.install(&["--no-socket"]).await;
    assert_eq!(
        (machine.state(SOCKET), machine.supervisor()),
        ("inactive".into(), second.clone())
    );
    assert!(!machine.has_unit(SOCKET));
    DueCalls::send(&machine.door()).await.all_end().await;

    systemd.order(&["stop", SERVICE]);
    assert!(machine.is_refused().await, "nobody has the port");
    systemd.order(&["start", SERVICE]);
    DueCalls::send(&machine.door()).await.all_end().await;
}
