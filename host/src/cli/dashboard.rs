//! `baton dashboard`: the URL of the page that shows the work of the host.

#![allow(clippy::print_stderr, reason = "a command answers on its terminal")]

use std::process::ExitCode;

use clap::Args;
use hyper::Method;

use super::client::{self, HostArgs};
use super::output::say;

#[derive(Debug, Args)]
pub struct DashboardArgs {
    #[command(flatten)]
    host: HostArgs,
}

pub(super) fn run(args: &DashboardArgs) -> ExitCode {
    match client::ask(&args.host, Method::POST, "/-/session", String::new()) {
        Ok(answer) if args.host.json => drop(say(format_args!("{}\n", answer.body))),
        Ok(answer) => drop(say(format_args!(
            "{}\n",
            answer.body["url"].as_str().unwrap_or_default()
        ))),
        Err(error) => {
            eprintln!("{:?}", miette::Report::new(error));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
