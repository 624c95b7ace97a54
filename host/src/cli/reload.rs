//! `baton reload`: swaps in the code on the disk, and tells the changes or the reason of a refusal.

#![allow(clippy::print_stderr, reason = "a command answers on its terminal")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::Method;

use super::canary;
use super::client::{self, HostArgs};
use super::output::say;
use crate::canary::Share;
use crate::generation::{FunctionChanges, GenerationId, Outcome, Report, report_words};
use crate::status::{RouteAnswer, Status};

/// The pause between two looks of a command that waits for a load.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// Check whether the code could be served, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Load a new generation also when no file changed.
    #[arg(long)]
    force: bool,
    /// Wait until every older generation has finished its calls; with --canary until the canary is decided.
    #[arg(long)]
    wait: bool,
    /// Give the new code this percentage of the new runs first, and take it back if it is worse.
    /// [default: share of [canary] in baton.toml, else 10]
    #[arg(long, value_name = "SHARE", num_args = 0..=1, default_missing_value = "on", value_parser = parse_share)]
    canary: Option<String>,
    /// Have the new code serve at once, whatever baton.toml says.
    #[arg(long, conflicts_with = "canary")]
    no_canary: bool,
    #[command(flatten)]
    host: HostArgs,
}

pub(super) fn run(args: &ReloadArgs) -> ExitCode {
    let flags = [
        ("dry_run=1", args.dry_run),
        ("force=1", args.force),
        ("wait=drained", args.wait),
    ];
    let mut query: Vec<String> = flags
        .iter()
        .filter(|(_, set)| *set)
        .map(|(flag, _)| (*flag).to_owned())
        .collect();
    match &args.canary {
        Some(canary) => query.push(format!("canary={canary}")),
        None if args.no_canary => query.push("canary=off".to_owned()),
        None => {}
    }
    let path = format!("/api/reload?{}", query.join("&"));
    let (code, report) = change_told(&args.host, Method::PUT, &path, String::new());
    match report.map(|report| report.outcome) {
        Some(Outcome::Canary { generation, .. }) if args.wait => canary::wait(&args.host, generation),
        _ => code,
    }
}

/// Parses the share of a canary, for the query of the request.
fn parse_share(text: &str) -> Result<String, String> {
    match text {
        "on" => Ok(text.to_owned()),
        share => share.parse().map(|share: Share| u8::from(share).to_string()),
    }
}

/// Asks for another generation, and tells the outcome.
pub(super) fn change(host: &HostArgs, method: Method, path: &str, body: String) -> ExitCode {
    change_told(host, method, path, body).0
}

/// Does the same as [`change`], and returns the report of a request that succeeded.
fn change_told(host: &HostArgs, method: Method, path: &str, body: String) -> (ExitCode, Option<Report>) {
    let answer = match client::ask_with(host, method, path, body, tell_long_loads) {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("{:?}", miette::Report::new(error));
            return (ExitCode::FAILURE, None);
        }
    };
    let succeeded = answer.status.is_success();
    let done = match answer.read() {
        Ok(RouteAnswer::Done(report)) if succeeded => Some(report),
        _ => None,
    };
    if host.json {
        say(format_args!("{}\n", answer.body));
    } else {
        match answer.read() {
            Ok(RouteAnswer::Done(report)) if succeeded => drop(say(summary(&report))),
            Ok(RouteAnswer::Done(report)) => eprint!("{}", refusal(&report)),
            Ok(RouteAnswer::Refused { error }) => eprint!("{}", refused(&error.message, &error.help)),
            Err(error) => eprintln!("{:?}", miette::Report::new(error)),
        }
    }
    if succeeded {
        (ExitCode::SUCCESS, done)
    } else {
        (ExitCode::FAILURE, None)
    }
}

/// Tells on standard error the state of a load that takes long, whenever that state changes.
async fn tell_long_loads(socket: &Path) {
    let mut told = String::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok(status) = client::exchange(socket, Method::GET, "/-/status", String::new()).await else {
            continue;
        };
        let Ok(status) = status.read::<Status>() else {
            continue;
        };
        for generation in status.generations {
            let Some(stage) = generation.load_stage else {
                continue;
            };
            let line = format!("generation {} is still loading: {stage}", generation.id);
            if line != told {
                eprintln!("{line}");
                told = line;
            }
        }
    }
}

/// The changes of a reload that succeeded, for people.
fn summary(report: &Report) -> String {
    let took = report.took_ms;
    let checked = format!("checked ({took:.1} ms): the code is good");
    match &report.outcome {
        Outcome::Activated {
            generation,
            previous,
            restored_from,
            functions,
            draining,
            warnings,
            replay,
            ..
        } => {
            let mut text = format!("activated ({took:.1} ms): generation {generation} serves");
            match previous {
                None => text.push('\n'),
                Some(previous) => text.push_str(&format!(", {previous} did\n")),
            }
            if let Some(restored) = restored_from {
                let _ = writeln!(
                    text,
                    "  with the code of generation {restored}; the code on the disk serves again once it changes, or \
                     after `baton reload`"
                );
            }
            text.push_str(&changes(functions));
            for draining in draining {
                let (generation, calls) = (draining.generation, draining.in_flight);
                let _ = writeln!(text, "  generation {generation} finishes {calls} call(s)");
            }
            text.extend(warnings.iter().map(report_words::warning));
            text.push_str(&report_words::replay(replay.as_ref()));
            text
        }
        Outcome::Checked {
            generation,
            functions,
            warnings,
            replay,
            ..
        } => {
            let mut text = match generation {
                None => format!("{checked}; nothing serves yet\n"),
                Some(generation) => format!("{checked}; generation {generation} still serves\n"),
            };
            text.push_str(&changes(functions));
            text.extend(warnings.iter().map(report_words::warning));
            text.push_str(&report_words::replay(replay.as_ref()));
            text
        }
        Outcome::Canary {
            generation,
            current,
            share,
            functions,
            warnings,
            gate,
            ..
        } => {
            let mut text = format!(
                "canary ({took:.1} ms): generation {generation} gets {share} of the new runs, {current} serves the others\n"
            );
            text.push_str(&changes(functions));
            if !gate.is_empty() {
                let _ = writeln!(text, "  gate     passed: {}", gate.join(", "));
            }
            text.push_str("  `baton canary` shows how it does\n");
            text.extend(warnings.iter().map(report_words::warning));
            text
        }
        Outcome::Unchanged { generation, .. } => format!("unchanged: generation {generation} still serves\n"),
        Outcome::Rejected { .. } | Outcome::NotKept { .. } | Outcome::ShuttingDown | Outcome::HandedOver => {
            refusal(report)
        }
    }
}

fn changes(functions: &FunctionChanges) -> String {
    let kinds = [
        ("added", &functions.added),
        ("changed", &functions.changed),
        ("removed", &functions.removed),
    ];
    let lines = kinds
        .iter()
        .flat_map(|(kind, ids)| ids.iter().map(move |id| (kind, id)));
    lines.map(|(kind, id)| format!("  {kind:<8} {id}\n")).collect()
}

/// The reason why there is no new generation.
pub(super) fn refusal(report: &Report) -> String {
    let mut text = match &report.outcome {
        Outcome::Rejected { error, .. } => report_words::rejection(error),
        Outcome::NotKept { error, .. } => refused(&error.message, &error.help),
        Outcome::HandedOver => refused("another host has taken over", "Run the command again."),
        _ => refused(
            "the host is ending",
            "Start it again: it loads the code that is on the disk then.",
        ),
    };
    if let Some(GenerationId(generation)) = report.outcome.serving() {
        let _ = writeln!(text, "generation {generation} still serves");
    }
    text
}

fn refused(message: &str, help: &str) -> String {
    let mut text = format!("rejected: {message}\n");
    if !help.is_empty() {
        let _ = writeln!(text, "{help}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{refusal, summary};

    #[test]
    fn a_swap_is_told_in_a_few_lines() {
        let report = json!({"status": "activated", "generation": 3, "previous": 2, "took_ms": 21.4,
            "functions": {"count": 2, "added": ["app-new"], "removed": [], "changed": ["app-hello"]},
            "hash": "00", "draining": [{"generation": 2, "in_flight": 1}], "warnings": []});
        let expected = "activated (21.4 ms): generation 3 serves, 2 did\n  added    app-new\n  changed  app-hello\n  \
                        generation 2 finishes 1 call(s)\n";
        assert_eq!(summary(&serde_json::from_value(report).unwrap()), expected);
    }

    #[test]
    fn a_rejection_shows_place_frame_and_what_still_serves() {
        let report = json!({"status": "rejected", "generation": 2, "took_ms": 1.0, "error": {"kind": "syntax", "message": "Expected ident",
            "file": "functions/a.ts", "line": 2, "column": 7, "frame": "> 2 | x"}});
        let text = refusal(&serde_json::from_value(report).unwrap());
        assert!(text.contains("at functions/a.ts:2:7 (syntax)"), "{text}");
        assert!(
            text.contains("> 2 | x") && text.contains("generation 2 still serves"),
            "{text}"
        );
    }
}
