//! `baton status`: what is live.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command answers on its terminal"
)]

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::{HostArgs, client};

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    host: HostArgs,
}

pub(super) fn run(args: &StatusArgs) -> ExitCode {
    match client::ask(&args.host, Method::GET, "/-/status", String::new()) {
        Ok(answer) if args.host.json => println!("{}", answer.body),
        Ok(answer) => print!("{}", summary(&answer.body)),
        Err(error) => {
            eprintln!("{:?}", miette::Report::new(error));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// How many files are named that differ from what is loaded.
const FILES_SHOWN: usize = 10;

/// The status for people: a line each generation that is not over, a line each call in it.
fn summary(status: &Value) -> String {
    let functions = status["functions"].as_array().map_or(0, Vec::len);
    let mut text = match &status["current"] {
        Value::Null => "no generation serves yet\n".to_owned(),
        current => format!("generation {current} serves {functions} function(s)\n"),
    };
    for generation in status["generations"].as_array().into_iter().flatten() {
        let state = generation["state"].as_str().unwrap_or_default();
        if matches!(state, "retired" | "rejected" | "abandoned") {
            continue;
        }
        let hash: String = generation["hash"]
            .as_str()
            .unwrap_or_default()
            .chars()
            .take(8)
            .collect();
        let git = generation["git"].as_str().unwrap_or_default();
        let calls = generation["in_flight"].as_array().cloned().unwrap_or_default();
        let id = &generation["id"];
        let line = format!("  {id:>4}  {state:<9} {hash:<8} {git}  {} in flight", calls.len());
        let _ = writeln!(text, "{}", line.trim_end());
        if let Value::Number(restored) = &generation["restored_from"] {
            let why = match generation["reason"].as_str() {
                Some("last_good") => ", since the code on the disk cannot be served",
                _ => "",
            };
            let _ = writeln!(text, "        with the code of generation {restored}{why}");
        }
        let expected = |what: &str| generation["expected"][what].as_u64().filter(|count| *count > 0);
        if let Some(plans) = expected("plans") {
            let _ = writeln!(text, "        waits for {plans} step(s) that it planned");
        }
        if let Some(runs) = expected("runs") {
            let _ = writeln!(text, "        {runs} run(s) are pinned to it");
        }
        for call in &calls {
            let field = |name: &str| call[name].as_str().unwrap_or("-");
            let seconds = call["since_ms"].as_f64().unwrap_or_default() / 1000.0;
            if let Some(request) = call["request"].as_str() {
                let _ = writeln!(text, "        {request} for {seconds:.1} s");
                continue;
            }
            let _ = writeln!(
                text,
                "        {} run {} step {} for {seconds:.1} s",
                field("function"),
                field("run"),
                field("step")
            );
        }
        for isolate in generation["isolates"].as_array().into_iter().flatten() {
            let seconds = isolate["blocked_ms"].as_f64().unwrap_or_default() / 1000.0;
            if seconds > 0.0 {
                let _ = writeln!(
                    text,
                    "        isolate {} blocked by user code for {seconds:.1} s",
                    isolate["id"]
                );
            }
        }
    }
    let source = &status["source"];
    if let Some(message) = source["last_rejected"]["error"]["message"].as_str() {
        let error = &source["last_rejected"]["error"];
        let place = error["file"].as_str().map(|file| match error["line"].as_u64() {
            Some(line) => format!(" ({file}:{line})"),
            None => format!(" ({file})"),
        });
        let _ = writeln!(
            text,
            "the newest code was rejected: {message}{}",
            place.unwrap_or_default()
        );
    } else if source["newer_than_loaded"] == true {
        let _ = writeln!(text, "the code on the disk is newer: `baton reload` swaps it in");
    }
    let changed = source["changed"].as_array().cloned().unwrap_or_default();
    for file in changed.iter().take(FILES_SHOWN) {
        let _ = writeln!(text, "  {}", file.as_str().unwrap_or_default());
    }
    if changed.len() > FILES_SHOWN {
        let _ = writeln!(text, "  and {} more", changed.len() - FILES_SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::summary;

    #[test]
    fn what_serves_what_drains_and_what_is_newer_is_told() {
        let status = json!({"current": 3, "functions": [{}, {}], "generations": [
            {"id": 1, "state": "retired", "hash": "aa", "git": null, "in_flight": []},
            {"id": 2, "state": "draining", "hash": "0123456789", "git": "46c2113", "in_flight":
                [{"function": "app-hello", "run": "01R", "step": "step", "attempt": 0, "since_ms": 1250}],
                "isolates": [{"id": 0, "blocked_ms": 4200}, {"id": 1, "blocked_ms": 0}]},
            {"id": 3, "state": "current", "hash": "9876543210", "git": "46c2113-dirty", "in_flight": []}],
            "source": {"newer_than_loaded": true, "changed": ["functions/a.ts"], "last_rejected": null}});
        let text = summary(&status);
        assert!(text.starts_with("generation 3 serves 2 function(s)\n"), "{text}");
        assert!(text.contains("draining  01234567 46c2113  1 in flight"), "{text}");
        assert!(text.contains("app-hello run 01R step step for 1.2 s"), "{text}");
        assert!(text.contains("isolate 0 blocked by user code for 4.2 s"), "{text}");
        assert!(!text.contains("isolate 1"), "{text}");
        assert!(text.ends_with("  functions/a.ts\n"), "{text}");
        assert!(!text.contains("retired") && text.contains("is newer"), "{text}");
    }
}
