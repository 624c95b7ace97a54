//! A worker of the SDK under Node: the real client of the server that the stand-in plays.

use std::path::Path;
use std::process::{ExitStatus, Stdio};

use harness::gateway::FakeConnect;
use harness::{Gate, Project, Run, Sdk, Stderr, clean_environment, deadline};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::behaviours::runtime::Runtime;

/// A worker's process, killed on drop.
pub(super) struct Worker {
    child: Child,
    stderr: Stderr,
    project: Project,
}

impl Worker {
    /// Starts a worker that connects to the server.
    pub(super) fn start(sdk: Sdk, server: &FakeConnect) -> Self {
        Self::with(sdk, server, &json!({}), &[])
    }

    /// Starts a worker with options of `connect()`, and with variables.
    pub(super) fn with(sdk: Sdk, server: &FakeConnect, options: &Value, environment: &[(&str, &str)]) -> Self {
        let project = Project::without_functions(sdk);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/connect/worker.mjs");
        let text = std::fs::read(script).expect("the worker's script");
        project.write("worker.mjs", text);
        let mut command: Command = Runtime::Node.command();
        clean_environment(&mut command);
        let mut child = command
            .arg("worker.mjs")
            .arg(match sdk {
                Sdk::V3 => "3",
                Sdk::V4 => "4",
            })
            .arg(options.to_string())
            .env("INNGEST_DEV", server.url())
            .envs(environment.iter().copied())
            .current_dir(project.root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Node starts");
        let stderr = Stderr::collect(child.stderr.take().expect("its standard error"));
        Self { child, stderr, project }
    }

    /// Waits until `connect()` has resolved, and until the connection takes requests; returns the connection's id.
    pub(super) async fn connected(&self, server: &FakeConnect) -> String {
        let line = self.stderr.wait_for("connected", &json!({})).await;
        let id = line.json["connection"].as_str().expect("an id").to_owned();
        let ready = |server: &FakeConnect| server.ready().iter().any(|connection| connection.id == id);
        server.wait_until("a connection that takes requests", ready).await;
        id
    }

    /// Waits until a step of a run has begun.
    pub(super) async fn runs(&self, step: &str, run: &str) {
        self.stderr.wait_for("step", &json!({ "step": step, "run": run })).await;
    }

    /// Returns the number of times that a run's step has begun.
    pub(super) fn times(&self, step: &str, run: &str) -> usize {
        self.stderr.count("step", &json!({ "step": step, "run": run }))
    }

    /// Asks it to end.
    pub(super) async fn stop(&self) {
        harness::send_signal("TERM", self.child.id().expect("a running worker")).await;
    }

    /// Waits for its end.
    pub(super) async fn ends(&mut self) -> ExitStatus {
        let end = deadline::within("the worker's end", || self.stderr.tail(), self.child.wait()).await;
        end.expect("an exit status")
    }

    /// A gate, and a run that waits for it.
    pub(super) fn gated(&self, name: &str) -> (Gate, Run) {
        let gate = self.project.gate(name);
        let run = Run::of("stand-gated").with_data(json!({ "gate": gate.path() }));
        (gate, run)
    }
}
