//! `baton upgrade`: another host, of a newer binary, takes over from the running one.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command answers on its terminal"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::{HostArgs, client};

#[derive(Debug, Args)]
pub struct UpgradeArgs {
    /// The binary to go on with. [default: the one that is where the running one was started from]
    binary: Option<PathBuf>,
    #[command(flatten)]
    host: HostArgs,
}

pub(super) fn run(args: &UpgradeArgs) -> ExitCode {
    let body = match args.binary.as_ref().map(std::path::absolute).transpose() {
        Ok(None) => String::new(),
        Ok(Some(binary)) => json!({ "binary": binary }).to_string(),
        Err(error) => {
            eprintln!("cannot tell where the binary is: {error}");
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
        println!("{}", answer.body);
    } else if upgraded {
        print!("{}", summary(&answer.body));
    } else {
        eprint!("{}", refusal(&answer.body));
    }
    if upgraded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn summary(body: &Value) -> String {
    let version = body["version"].as_str().unwrap_or_default();
    let mut text = format!(
        "upgraded: process {} (baton {version}) serves as generation {}\n",
        body["pid"], body["generation"]
    );
    if let Value::Number(draining) = &body["draining"] {
        text.push_str(&format!("  process {draining} finishes its calls\n"));
    }
    text
}

fn refusal(body: &Value) -> String {
    let field = |name: &str| body["error"][name].as_str().unwrap_or_default();
    format!("not upgraded: {}\n{}\n", field("message"), field("help"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{refusal, summary};

    #[test]
    fn who_serves_and_who_finishes_is_told() {
        let body = json!({"pid": 12, "version": "0.2.0", "generation": 4, "draining": 7});
        let expected = "upgraded: process 12 (baton 0.2.0) serves as generation 4\n  process 7 finishes its calls\n";
        assert_eq!(summary(&body), expected);
        let body = json!({"error": {"message": "it hangs", "help": "Nothing was changed."}});
        assert_eq!(refusal(&body), "not upgraded: it hangs\nNothing was changed.\n");
    }
}
