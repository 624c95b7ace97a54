//! A subject that serves a project: a group of processes that ends with its guard.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use harness::Project;
use tokio::process::Child;

use crate::client::{Client, Reply, Requests};
use crate::stage::Stage;
use crate::subject::Subject;

/// The next port to use, below the ports that the system gives to clients.
static NEXT_PORT: AtomicU16 = AtomicU16::new(21_000);

/// The address of an Inngest server that is not there.
const NOBODY: &str = "http://127.0.0.1:1";

/// The most time from a start to the first answer: a binary that cargo built makes a snapshot
/// first.
const BOOT: Duration = Duration::from_secs(60);

/// A server that is killed on drop, with all that it started.
#[derive(Debug)]
pub(crate) struct Server {
    subject: Subject,
    child: Child,
    address: SocketAddr,
    /// The file that its output goes to.
    output: PathBuf,
    /// The moment before its start.
    began: Instant,
}

impl Server {
    /// Starts the server; it may not listen yet.
    pub(crate) fn start(stage: &Stage, subject: Subject, project: &Project) -> Self {
        Self::start_with(stage, subject, project, &[])
    }

    /// Starts the server as [`Server::start`] does, with more arguments.
    pub(crate) fn start_with(stage: &Stage, subject: Subject, project: &Project, arguments: &[&str]) -> Self {
        Self::start_at(stage, subject, project, arguments, NOBODY)
    }

    /// Starts the server as [`Server::start_with`] does, with the address of an Inngest server.
    pub(crate) fn start_at(
        stage: &Stage,
        subject: Subject,
        project: &Project,
        arguments: &[&str],
        inngest: &str,
    ) -> Self {
        let port = free_port();
        let output = project.scratch().join(format!("{port}.log"));
        let file = File::create(&output).expect("a file for its output");
        let mut command = subject.command(&project.scratch().join(format!("state-{port}")));
        harness::clean_environment(&mut command);
        command
            .args(arguments)
            .env("PORT", port.to_string())
            .env("INNGEST_DEV", inngest)
            .env("BATON_REGISTER", "off")
            .env("NO_COLOR", "1")
            .envs(stage.environment())
            .current_dir(project.root())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the file for its output"))
            .stderr(file)
            .process_group(0)
            .kill_on_drop(true);
        let began = Instant::now();
        let child = command.spawn();
        Self {
            subject,
            child: child.unwrap_or_else(|error| panic!("{} does not start: {error}", subject.name())),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            output,
            began,
        }
    }

    /// Asks until the answer is `wanted`, and returns the time since the start of the server, in
    /// ms.
    pub(crate) async fn boots(&self, requests: &Requests, wanted: impl Fn(&Reply) -> bool) -> f64 {
        let client = self.client();
        loop {
            if client.ask(requests.next()).await.is_ok_and(|reply| wanted(&reply)) {
                return self.began.elapsed().as_secs_f64() * 1e3;
            }
            assert!(self.began.elapsed() < BOOT, "no answer from {self}");
            crate::client::pause().await;
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Returns the id of the process that was started; a subject that restarts has its functions in
    /// another process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Returns the processor time that its processes have taken so far, in ms; proc(5) counts it in hundredths of a
    /// second.
    pub(crate) fn processor_ms(&self) -> f64 {
        let group = self.pid().to_string();
        let processes = fs::read_dir("/proc").expect("the folder of processes").flatten();
        let ticks = processes.filter_map(|process| {
            let stat = fs::read_to_string(process.path().join("stat")).ok()?;
            let (_, after_name) = stat.rsplit_once(')')?;
            let fields: Vec<_> = after_name.split_whitespace().collect();
            let is_its = *fields.get(2)? == group;
            let spent = fields
                .get(11..13)?
                .iter()
                .filter_map(|field| field.parse::<f64>().ok())
                .sum::<f64>();
            is_its.then_some(spent)
        });
        ticks.sum::<f64>() * 10.0
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = fs::read_to_string(&self.output).unwrap_or_default();
        let start = text.char_indices().rev().nth(3_000).map_or(0, |(at, _)| at);
        write!(f, "{}; last it wrote:\n{}", self.subject.name(), &text[start..])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(leader) = self.child.id() else {
            return;
        };
        let group = format!("-{leader}");
        let killed = std::process::Command::new("kill").args(["-9", "--", &group]).status();
        assert!(
            killed.is_ok() || std::thread::panicking(),
            "process group {leader} was killed"
        );
    }
}

fn free_port() -> u16 {
    loop {
        let port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
        assert!(port < 32_000, "no port is free");
    }
}
