//! `baton rollback`: serves the code of an earlier generation again.

use std::process::ExitCode;

use clap::Args;
use hyper::Method;

use super::client::HostArgs;
use super::reload;
use crate::life::parse_whole;

#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The generation whose code to serve. [default: the one that served before the current one]
    #[arg(value_parser = parse_whole::<u64>)]
    generation: Option<u64>,
    #[command(flatten)]
    host: HostArgs,
}

pub(super) fn run(args: &RollbackArgs) -> ExitCode {
    let body = args
        .generation
        .map(|generation| serde_json::json!({ "generation": generation }).to_string());
    reload::change(&args.host, Method::POST, "/-/rollback", body.unwrap_or_default())
}
