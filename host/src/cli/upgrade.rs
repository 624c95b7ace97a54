//! `baton upgrade`: another host, of a newer binary, takes over from the running one.

#![allow(clippy::print_stderr, reason = "a command answers on its terminal")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::client::{self, HostArgs};
use super::output::say;
use crate::status::RouteAnswer;
use crate::supervisor::UpgradeReport;

#[derive(Debug, Args)]
pub struct UpgradeArgs {
    /// The new binary. [default: the file from which the running one was started]
    binary: Option<PathBuf>,
    #[command(flatten)]
    host: HostArgs,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot find the new binary: {0}")]
#[diagnostic(help("Name a file: `baton upgrade ./baton`."))]
struct NoBinary(std::io::Error);

pub(super) fn run(args: &UpgradeArgs) -> ExitCode {
    let body = match args.binary.as_ref().map(std::path::absolute).transpose() {
        Ok(None) => String::new(),
        Ok(Some(binary)) => json!({ "binary": binary }).to_string(),
        Err(error) => {
            eprintln!("{:?}", miette::Report::new(NoBinary(error)));
            return ExitCode::FAILURE;
        }
    };
    let answer = match client::ask(&args.host, Method::POST, "/-/upgrade", body) {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("{:?}", miette::Report::new(error));
            return ExitCode::FAILURE;
        }
    };
    let upgraded = answer.status.is_success();
    if args.host.json {
        say(format_args!("{}\n", answer.body));
    } else {
        match answer.read() {
            Ok(RouteAnswer::Done(upgraded)) => drop(say(summary(&upgraded))),
            Ok(RouteAnswer::Refused { error }) => eprintln!("not upgraded: {}\n{}", error.message, error.help),
            Err(error) => eprintln!("{:?}", miette::Report::new(error)),
        }
    }
    if upgraded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn summary(upgraded: &UpgradeReport) -> String {
    let UpgradeReport { pid, version, .. } = upgraded;
    let generation = upgraded
        .generation
        .map_or_else(|| "null".to_owned(), |id| id.to_string());
    let mut text = format!("upgraded: process {pid} (baton {version}) serves as generation {generation}\n");
    if let Some(draining) = upgraded.draining {
        text.push_str(&format!("  process {draining} finishes its calls\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{RouteAnswer, UpgradeReport, summary};

    #[test]
    fn who_serves_and_who_finishes_is_told() {
        let body = json!({"status": "upgraded", "pid": 12, "version": "0.2.0", "generation": 4, "draining": 7});
        let expected = "upgraded: process 12 (baton 0.2.0) serves as generation 4\n  process 7 finishes its calls\n";
        let RouteAnswer::Done(upgraded) = serde_json::from_value::<RouteAnswer<UpgradeReport>>(body).unwrap() else {
            panic!("it was");
        };
        assert_eq!(summary(&upgraded), expected);
        let body = json!({"error": {"message": "it hangs", "help": "Nothing was changed."}});
        let refused = serde_json::from_value::<RouteAnswer<UpgradeReport>>(body).unwrap();
        assert!(matches!(refused, RouteAnswer::Refused { error } if error.message == "it hangs"));
    }
}
