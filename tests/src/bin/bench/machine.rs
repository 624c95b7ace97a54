//! Where and of what the figures are: they mean little without.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    /// Runnable threads over the last minute: what else there was to do.
    load: String,
    binary: String,
    commit: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        Self {
            cpu: cpu(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| unknown(), trimmed),
            load: load(),
            binary: harness::baton_binary().display().to_string(),
            commit: commit(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "cpu": self.cpu,
            "cores": self.cores,
            "kernel": self.kernel,
            "load": self.load,
            "binary": self.binary,
            "commit": self.commit,
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            cpu,
            cores,
            kernel,
            load,
            binary,
            commit,
        } = self;
        write!(
            f,
            "cpu     {cpu}, {cores} cores, Linux {kernel}, load {load} at the start\nbinary  {binary}\ncommit  {commit}\n"
        )
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

/// Of this clone; a binary that was given may be another one's.
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
