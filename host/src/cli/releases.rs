//! `baton releases`: the releases of a host, the one that serves, and those that can be served again.

#![allow(clippy::print_stderr, reason = "a command answers on its terminal")]

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use hyper::Method;

use super::client::{self, ClientError, HostArgs};
use super::output::say;
use crate::status::{GenerationStatus, ReleaseStatus, Status};

#[derive(Debug, Args)]
pub struct ReleasesArgs {
    #[command(flatten)]
    host: HostArgs,
}

pub(super) fn run(args: &ReleasesArgs) -> ExitCode {
    let asked = client::ask(&args.host, Method::GET, "/-/status", String::new());
    match asked.and_then(|answer| answer.read::<Status>()) {
        Ok(status) if args.host.json => {
            say(format_args!("{}\n", serde_json::json!({ "release": status.release })));
            ExitCode::SUCCESS
        }
        Ok(status) => match &status.release {
            Some(release) => {
                say(list(&status, release));
                ExitCode::SUCCESS
            }
            None => {
                eprintln!(
                    "This host serves a folder, not a release. Start a host of releases with `baton start oci://…`."
                );
                ExitCode::FAILURE
            }
        },
        Err(error) => tell(error),
    }
}

fn tell(error: ClientError) -> ExitCode {
    eprintln!("{:?}", miette::Report::new(error));
    ExitCode::FAILURE
}

fn list(status: &Status, release: &ReleaseStatus) -> String {
    let mut text = super::status::release_lines(release);
    for unpacked in &release.unpacked {
        let is_of = |generation: &&GenerationStatus| {
            !generation.state.is_final()
                && generation
                    .release
                    .as_ref()
                    .is_some_and(|release| release.digest == unpacked.digest)
        };
        let generations = status.generations.iter().filter(is_of);
        let generations: Vec<String> = generations
            .map(|generation| format!("generation {} {}", generation.id, generation.state.as_str()))
            .collect();
        let (digest, commit) = (unpacked.digest.short(), unpacked.git.as_deref().unwrap_or("-"));
        let line = format!(
            "  {digest}  {commit:<13}  pushed {}  {}",
            unpacked.pushed.strftime("%Y-%m-%d %H:%M:%SZ"),
            generations.join(", ")
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::list;
    use crate::status::Status;

    #[test]
    fn each_release_is_shown_with_its_generations() {
        let release = |digit: &str| {
            json!({"digest": format!("sha256:{}", digit.repeat(64)), "reference": "ghcr.io/a/b:c", "git": "46c2113",
                "pushed": "2026-01-02T03:04:05Z"})
        };
        let status: Status = serde_json::from_value(json!({
            "generations": [{"id": 4, "state": "current", "release": release("1")}, {"id": 3, "state": "retired", "release": release("2")}],
            "release": {"reference": "ghcr.io/a/b:c", "error": "it is away", "unpacked": [release("1"), release("2")]}
        }))
        .unwrap();
        let expected = "ghcr.io/a/b:c\nthe release cannot be pulled: it is away\n  \
            111111111111  46c2113        pushed 2026-01-02 03:04:05Z  generation 4 current\n  \
            222222222222  46c2113        pushed 2026-01-02 03:04:05Z\n";
        assert_eq!(list(&status, status.release.as_ref().unwrap()), expected);
    }
}
