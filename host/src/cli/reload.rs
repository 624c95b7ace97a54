//! `baton reload`: swaps in the code on the disk and says what changed, or why not.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command answers on its terminal"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::{HostArgs, client};

/// The pause between two looks of a command that waits for a load.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// Only see whether the code could be served; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Load a new generation also when no file changed.
    #[arg(long)]
    force: bool,
    /// Wait until every older generation has finished its calls.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    host: HostArgs,
}

pub(super) fn run(args: &ReloadArgs) -> ExitCode {
    let flags = [
        ("dry_run=1", args.dry_run),
        ("force=1", args.force),
        ("wait=drained", args.wait),
    ];
    let query: Vec<&str> = flags.iter().filter(|(_, set)| *set).map(|(flag, _)| *flag).collect();
    let path = format!("/api/reload?{}", query.join("&"));
    change(&args.host, Method::PUT, &path, String::new())
}

/// Asks for another generation and tells what became of it.
pub(super) fn change(host: &HostArgs, method: Method, path: &str, body: String) -> ExitCode {
    let answer = match client::ask_with(host, method, path, body, tell_long_loads) {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("{:?}", miette::Report::new(error));
            return ExitCode::FAILURE;
        }
    };
    let succeeded = answer.status.is_success();
    if host.json {
        println!("{}", answer.body);
    } else if succeeded {
        print!("{}", summary(&answer.body));
    } else {
        eprint!("{}", refusal(&answer.body));
    }
    if succeeded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Tells on standard error what a load does that takes long, whenever that changes.
async fn tell_long_loads(socket: &Path) {
    let mut told = String::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok(status) = client::exchange(socket, Method::GET, "/-/status", String::new()).await else {
            continue;
        };
        let generations = status.body["generations"].as_array();
        for generation in generations.into_iter().flatten() {
            let Some(stage) = generation["load_stage"].as_str() else {
                continue;
            };
            let line = format!("generation {} is still loading: it {stage}", generation["id"]);
            if line != told {
                eprintln!("{line}");
                told = line;
            }
        }
    }
}

/// What a reload changed, for people.
fn summary(report: &Value) -> String {
    let generation = &report["generation"];
    let took = &report["took_ms"];
    let mut text = match report["status"].as_str() {
        Some("unchanged") => format!("unchanged: generation {generation} still serves\n"),
        Some("checked") if generation.is_null() => {
            format!("checked ({took} ms): the code is good; nothing serves yet\n")
        }
        Some("checked") => format!("checked ({took} ms): the code is good; generation {generation} still serves\n"),
        _ => match &report["previous"] {
            Value::Null => format!("activated ({took} ms): generation {generation} serves\n"),
            previous => format!("activated ({took} ms): generation {generation} serves, {previous} did\n"),
        },
    };
    if let Value::Number(restored) = &report["restored_from"] {
        let _ = writeln!(
            text,
            "  with the code of generation {restored}; what is on the disk serves again once it changes, or at `baton reload`"
        );
    }
    for kind in ["added", "changed", "removed"] {
        for id in report["functions"][kind].as_array().into_iter().flatten() {
            let _ = writeln!(text, "  {kind:<8} {}", id.as_str().unwrap_or_default());
        }
    }
    for draining in report["draining"].as_array().into_iter().flatten() {
        let _ = writeln!(
            text,
            "  generation {} finishes {} call(s)",
            draining["generation"], draining["in_flight"]
        );
    }
    for warning in report["warnings"].as_array().into_iter().flatten() {
        text.push_str(&told(warning));
    }
    text
}

/// A warning for people: its place, what it says, and what to write instead.
pub(super) fn told(warning: &Value) -> String {
    let field = |name: &str| warning[name].as_str().unwrap_or_default();
    let mut text = format!("  warning: {} ({})\n", field("message"), field("code"));
    if let Some(file) = warning["file"].as_str() {
        let line = warning["line"].as_u64().map(|line| format!(":{line}"));
        let _ = writeln!(text, "           at {file}{}", line.unwrap_or_default());
    }
    if let Some(help) = warning["help"].as_str() {
        let _ = writeln!(text, "           {help}");
    }
    text
}

/// Why there is no new generation, with the code frame.
pub(super) fn refusal(answer: &Value) -> String {
    let error = &answer["error"];
    if error.is_null() {
        let status = answer["status"].as_str().unwrap_or("no answer that is understood");
        return format!("The host says: {status}\n");
    }
    let field = |name: &str| error[name].as_str().filter(|text| !text.is_empty());
    let mut text = format!("rejected: {}\n", field("message").unwrap_or_default());
    if let Some(file) = field("file") {
        let place = match (&error["line"], &error["column"]) {
            (Value::Number(line), Value::Number(column)) => format!("{file}:{line}:{column}"),
            (Value::Number(line), _) => format!("{file}:{line}"),
            _ => file.to_owned(),
        };
        let _ = writeln!(text, "  at {place} ({})", field("kind").unwrap_or_default());
    }
    if let Some(frame) = field("frame") {
        let _ = writeln!(text, "\n{frame}\n");
    }
    if let Some(help) = field("help") {
        let _ = writeln!(text, "{help}");
    }
    if let Value::Number(generation) = &answer["generation"] {
        let _ = writeln!(text, "generation {generation} still serves");
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
            "draining": [{"generation": 2, "in_flight": 1}], "warnings": []});
        let expected = "activated (21.4 ms): generation 3 serves, 2 did\n  added    app-new\n  changed  app-hello\n  \
                        generation 2 finishes 1 call(s)\n";
        assert_eq!(summary(&report), expected);
    }

    #[test]
    fn a_rejection_shows_place_frame_and_what_still_serves() {
        let report = json!({"status": "rejected", "generation": 2, "error": {"kind": "syntax", "message": "Expected ident",
            "file": "functions/a.ts", "line": 2, "column": 7, "frame": "> 2 | x"}});
        let text = refusal(&report);
        assert!(text.contains("at functions/a.ts:2:7 (syntax)"), "{text}");
        assert!(
            text.contains("> 2 | x") && text.contains("generation 2 still serves"),
            "{text}"
        );
    }
}
