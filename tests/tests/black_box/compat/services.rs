//! The services that the rows use beside Baton, started for them in a temporary folder on free ports, if the machine
//! has them: Redis, PostgreSQL, a browser; and the stand-in for the rest of the world.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use harness::deadline;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::stand_in::StandIn;

/// PostgreSQL refuses to run as root; this user is on every Linux.
const NOBODY: u32 = 65534;

pub(super) struct Services {
    stand_in: StandIn,
    redis: Option<Service>,
    postgres: Option<Service>,
    chromium: Option<PathBuf>,
    _folder: TempDir,
}

struct Service {
    process: Child,
    port: u16,
}

impl Services {
    /// Starts the services that the machine has.
    pub(super) async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("baton-compat-").tempdir();
        let folder = folder.expect("a temporary folder");
        Self {
            stand_in: StandIn::start().await,
            redis: redis(folder.path()).await,
            postgres: postgres(folder.path()).await,
            chromium: chromium(),
            _folder: folder,
        }
    }

    /// Tells whether the service that a row needs is there.
    pub(super) fn has(&self, service: &str) -> bool {
        match service {
            "redis" => self.redis.is_some(),
            "postgres" => self.postgres.is_some(),
            "chromium" => self.chromium.is_some(),
            other => panic!("a row needs {other}, which nobody starts"),
        }
    }

    /// Returns the data for a row's function (`Services` in `tests/compat/row.ts`).
    pub(super) fn described(&self, scratch: &Path) -> Value {
        let port = |service: &Option<Service>| service.as_ref().map(|service| service.port);
        json!({
            "standIn": self.stand_in.url,
            "scratch": scratch,
            "redis": port(&self.redis).map(|port| format!("redis://127.0.0.1:{port}")),
            "postgres": port(&self.postgres).map(|port| format!("postgres://baton@127.0.0.1:{port}/postgres")),
            "chromium": self.chromium,
        })
    }

    /// Ends the services, and waits until they have ended. PostgreSQL has to be asked to end, or its shared memory
    /// stays.
    pub(super) async fn stop(mut self) {
        for service in [self.redis.take(), self.postgres.take()].into_iter().flatten() {
            let Service { mut process, .. } = service;
            if let Some(pid) = process.id() {
                let asked = Command::new("sh")
                    .args(["-c", "kill -INT \"$0\"", &pid.to_string()])
                    .status()
                    .await;
                assert!(asked.is_ok_and(|status| status.success()), "a service was asked to end");
            }
            let ended = deadline::within("the end of a service", String::new, process.wait()).await;
            ended.expect("its exit status");
        }
    }
}

async fn redis(folder: &Path) -> Option<Service> {
    let port = free_port();
    let mut command = Command::new(program("redis-server")?);
    command.args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
    ]);
    command.arg(folder);
    Some(service("Redis", command, port).await)
}

async fn postgres(folder: &Path) -> Option<Service> {
    let [initdb, postgres] = ["initdb", "postgres"].map(postgres_program);
    let (initdb, postgres) = (initdb?, postgres?);
    let data = folder.join("postgres");
    std::fs::create_dir(&data).expect("a folder for the database");
    let is_root = data.metadata().expect("its owner").uid() == 0;
    let as_user = |program: PathBuf| {
        let mut command = Command::new(program);
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.current_dir("/").stdin(Stdio::null());
        command
    };
    if is_root {
        // Otherwise only root could enter the folder around the database's folder.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder, open).expect("a folder that others may enter");
        chown(&data, Some(NOBODY), Some(NOBODY)).expect("a folder of the database's user");
    }
    let made = as_user(initdb)
        .args([
            "--no-sync",
            "--auth=trust",
            "--username=baton",
            "--encoding=UTF8",
            "--locale=C",
            "-D",
        ])
        .arg(&data)
        .output()
        .await
        .expect("initdb runs");
    assert!(
        made.status.success(),
        "initdb: {}",
        String::from_utf8_lossy(&made.stderr)
    );

    let port = free_port();
    let mut command = as_user(postgres);
    command
        .arg("-D")
        .arg(&data)
        .arg("-k")
        .arg(&data)
        .args(["-p", &port.to_string()]);
    for setting in ["listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off"] {
        command.args(["-c", setting]);
    }
    let service = service("PostgreSQL", command, port).await;
    // PostgreSQL takes connections before it can answer them.
    let ready = postgres_program("pg_isready")?;
    let port_text = port.to_string();
    deadline::until("PostgreSQL", String::new, async || {
        let asked = Command::new(&ready)
            .args(["-h", "127.0.0.1", "-p", &port_text])
            .output()
            .await;
        asked.is_ok_and(|asked| asked.status.success()).then_some(())
    })
    .await;
    Some(service)
}

/// Starts a service and waits until it takes connections.
async fn service(name: &str, mut command: Command, port: u16) -> Service {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let process = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
    let what = format!("{name} on port {port}");
    deadline::until(&what, String::new, async || {
        TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    Service { process, port }
}

pub(super) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Returns the browser that `CHROMIUM` names, as for the dashboard's tests, or else the browser on the `PATH`.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    named.or_else(|| {
        ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find_map(program)
    })
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Returns the command of a program of PostgreSQL. Debian and Homebrew keep the server's programs apart, in a folder
/// for each version.
fn postgres_program(name: &str) -> Option<PathBuf> {
    let versions = |folder: &str, prefix: &'static str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let of_postgres = entries.filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix));
        of_postgres.map(|version| version.path().join("bin").join(name))
    };
    let mut apart = versions("/usr/lib/postgresql", "").chain(versions("/opt/homebrew/opt", "postgresql"));
    apart.find(|file| file.is_file()).or_else(|| program(name))
}
