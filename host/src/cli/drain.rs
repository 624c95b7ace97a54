//! `baton drain`: the host stops being called, finishes its calls, and ends.

#![allow(clippy::print_stderr, reason = "a command answers on its terminal")]

use std::fs::{File, TryLockError};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::Method;

use super::client::{self, HostArgs};
use super::output::say;
use crate::status::{DrainStatus, RouteAnswer};

/// The pause between two looks at a host that is to end.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Wait until the host has ended.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    host: HostArgs,
}

pub(super) fn run(args: &DrainArgs) -> ExitCode {
    let lock = client::lock_file(&args.host);
    let answer = match client::ask(&args.host, Method::POST, "/-/drain", String::new()) {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("{:?}", miette::Report::new(error));
            return ExitCode::FAILURE;
        }
    };
    if args.host.json {
        say(format_args!("{}\n", answer.body));
    } else {
        match answer.read() {
            Ok(RouteAnswer::Done(DrainStatus { in_flight, .. })) => {
                say(format_args!(
                    "draining: {in_flight} call(s) in flight; the host takes no new ones, and ends after them\n"
                ));
            }
            Ok(RouteAnswer::Refused { error }) => eprintln!("not draining: {}\n{}", error.message, error.help),
            Err(error) => eprintln!("{:?}", miette::Report::new(error)),
        }
    }
    if !answer.status.is_success() {
        return ExitCode::FAILURE;
    }
    while args.wait && lock.as_deref().is_some_and(is_held) {
        std::thread::sleep(PAUSE);
    }
    ExitCode::SUCCESS
}

/// Tells whether a host, or its supervisor, holds the project's lock.
fn is_held(lock: &Path) -> bool {
    File::open(lock).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
