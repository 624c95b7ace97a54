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
    #[arg(value_parser = parse_whole::<u64>, conflicts_with = "release")]
    generation: Option<u64>,
    /// Serve an unpacked release again, named by the first digits of its digest.
    #[arg(long, value_name = "DIGEST")]
    release: Option<String>,
    #[command(flatten)]
    host: HostArgs,
}

pub(super) fn run(args: &RollbackArgs) -> ExitCode {
    let release = args.release.as_ref();
    let release = release.map(|release| serde_json::json!({ "release": release }).to_string());
    let generation = args.generation;
    let generation = generation.map(|generation| serde_json::json!({ "generation": generation }).to_string());
    let body = release.or(generation);
    reload::change(&args.host, Method::POST, "/-/rollback", body.unwrap_or_default())
}
