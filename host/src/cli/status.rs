//! `baton status`: what is live.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command answers on its terminal"
)]

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::reload::told;
use super::{HostArgs, client};
use crate::registration::in_words;

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Shows it anew each second, until the host ends.
    #[arg(long, short)]
    watch: bool,
}

/// How often it is shown anew.
const WATCH_PAUSE: Duration = Duration::from_secs(1);
/// To the first line of the terminal, and all below it goes.
const HOME: &str = "\x1b[H\x1b[J";

pub(super) fn run(args: &StatusArgs) -> ExitCode {
    let mut shown = String::new();
    loop {
        let code = show(args, &mut shown);
        if !args.watch || code != ExitCode::SUCCESS {
            return code;
        }
        std::thread::sleep(WATCH_PAUSE);
    }
}

/// Shows the status once; while it is watched and goes into a file, only what is not as it was shown.
fn show(args: &StatusArgs, shown: &mut String) -> ExitCode {
    let terminal = io::stdout().is_terminal();
    match client::ask(&args.host, Method::GET, "/-/status", String::new()) {
        Ok(answer) => {
            let text = if args.host.json {
                format!("{}\n", answer.body)
            } else {
                summary(&answer.body)
            };
            if args.watch && terminal && !args.host.json {
                print!("{HOME}{text}");
            } else if text != *shown {
                print!("{text}");
            }
            let _ = io::Write::flush(&mut io::stdout());
            *shown = text;
        }
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
        if let Some(stage) = generation["load_stage"].as_str() {
            let _ = writeln!(text, "        its load {stage}");
        }
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
            text.push_str(&call_line(call));
        }
        for isolate in generation["isolates"].as_array().into_iter().flatten() {
            if let Some(event) = isolate["finishes_for"].as_str() {
                let _ = writeln!(
                    text,
                    "        isolate {} finishes what its code does at {event}",
                    isolate["id"]
                );
            }
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
    text.push_str(&hosts(status));
    text.push_str(&registration(&status["registration"]));
    for warning in status["warnings"].as_array().into_iter().flatten() {
        text.push_str(&told(warning));
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

/// The hosts beside the one that answers: one that loads, and those that finish their calls.
fn hosts(status: &Value) -> String {
    let mut text = String::new();
    for host in status["hosts"].as_array().into_iter().flatten() {
        if host["pid"] == status["pid"] {
            continue;
        }
        let calls = host["in_flight"].as_array().cloned().unwrap_or_default();
        let state = match host["state"].as_str().unwrap_or_default() {
            "draining" => format!("finishes {} call(s)", calls.len()),
            state => format!("is {state}"),
        };
        let version = host["version"].as_str().filter(|version| !version.is_empty());
        let version = version.map(|version| format!(" (baton {version})")).unwrap_or_default();
        let _ = writeln!(text, "process {}{version} {state}", host["pid"]);
        for call in &calls {
            text.push_str(&call_line(call));
        }
    }
    text
}

/// Whether Inngest knows the functions, in a line, and a line for each thing that it holds otherwise.
pub(super) fn registration(registration: &Value) -> String {
    let Some(words) = in_words(registration) else {
        return String::new();
    };
    let mut text = words.headline + "\n";
    for difference in words.differences {
        let _ = writeln!(text, "  {difference}");
    }
    text
}

fn call_line(call: &Value) -> String {
    let field = |name: &str| call[name].as_str().unwrap_or("-");
    let seconds = call["since_ms"].as_f64().unwrap_or_default() / 1000.0;
    if let Some(request) = call["request"].as_str() {
        return format!("        {request} for {seconds:.1} s\n");
    }
    format!(
        "        {} run {} step {} for {seconds:.1} s\n",
        field("function"),
        field("run"),
        field("step")
    )
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

    #[test]
    fn hosts_beside_the_one_that_answers_are_told_with_their_calls() {
        let call = json!({"function": "app-hello", "run": "01R", "step": "step", "since_ms": 60_000});
        let status = json!({"current": 2, "pid": 7, "functions": [], "generations": [], "source": {}, "hosts": [
            {"pid": 7, "version": "0.2.0", "state": "accepting", "in_flight": []},
            {"pid": 8, "version": "", "state": "starting", "in_flight": []},
            {"pid": 6, "version": "0.1.0", "state": "draining", "in_flight": [call]}]});
        let text = summary(&status);
        assert!(!text.contains("process 7"), "{text}");
        assert!(text.contains("process 8 is starting\n"), "{text}");
        assert!(
            text.contains("process 6 (baton 0.1.0) finishes 1 call(s)\n        app-hello"),
            "{text}"
        );
    }
}
