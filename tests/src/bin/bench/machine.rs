//! The machine and the software that the figures come from: without them the figures mean little.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::pauses::Pauses;
use crate::subject;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    /// The runnable threads over the last minute: the other work of the machine.
    load: String,
    pauses: Pauses,
    binary: String,
    /// The size in MB.
    size: f64,
    commit: String,
    packages: Vec<(&'static str, String)>,
    /// The number of variables in the environment, which the SDK copies now and then.
    variables: usize,
}

impl Machine {
    pub(crate) fn this() -> Self {
        Self {
            cpu: cpu(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| unknown(), trimmed),
            load: load(),
            pauses: Pauses::of_now(),
            binary: harness::baton_binary().display().to_string(),
            size: fs::metadata(harness::baton_binary()).map_or(0.0, |file| file.len() as f64 / 1e6),
            commit: commit(),
            packages: subject::versions(),
            variables: std::env::vars_os().count(),
        }
    }

    /// Returns a paragraph.
    pub(crate) fn markdown(&self) -> String {
        format!(
            "{}; {} variables in the environment. Baton at commit {}, {:.0} MB. {}.\n",
            self.processor(),
            self.variables,
            self.commit,
            self.size,
            self.packages()
        )
    }

    fn processor(&self) -> String {
        let Self {
            cpu,
            cores,
            kernel,
            load,
            pauses,
            ..
        } = self;
        format!("{cpu}, {cores} cores, Linux {kernel}; at the start load {load}, {pauses}")
    }

    fn packages(&self) -> String {
        let packages = self.packages.iter().map(|(name, version)| format!("{name} {version}"));
        packages.collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "cpu": self.cpu,
            "cores": self.cores,
            "kernel": self.kernel,
            "load": self.load,
            "pauses": self.pauses.json(),
            "binary": self.binary,
            "binary_mb": self.size,
            "commit": self.commit,
            "packages": self.packages.iter().cloned().collect::<BTreeMap<_, _>>(),
            "variables": self.variables,
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "cpu       {}", self.processor())?;
        writeln!(f, "binary    {}, {:.0} MB", self.binary, self.size)?;
        writeln!(f, "commit    {}", self.commit)?;
        writeln!(f, "packages  {}", self.packages())
    }
}

fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or_else(unknown, |name| name.trim_start_matches([' ', '\t', ':']).to_owned())
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().map_or_else(unknown, str::to_owned)
}

/// Returns the commit of this clone; a binary that was given may be another commit's.
fn commit() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
        .current_dir(folder)
        .output();
    match output {
        Ok(output) if output.status.success() => trimmed(String::from_utf8_lossy(&output.stdout).into_owned()),
        _ => unknown(),
    }
}

fn trimmed(text: String) -> String {
    text.trim().to_owned()
}

fn unknown() -> String {
    "unknown".to_owned()
}
