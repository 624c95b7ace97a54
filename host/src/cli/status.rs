//! `baton status`: the live generations and their calls.

#![allow(clippy::print_stderr, reason = "a command answers on its terminal")]

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::Method;

use super::canary;
use super::client::{self, HostArgs};
use super::output::say;
use crate::generation::{Reason, report_words};
use crate::status::{CallStatus, GenerationStatus, RegistrationStatus, ReleaseStatus, SourceStatus, Status};

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Show the status again each second, until the host ends.
    #[arg(long, short)]
    watch: bool,
}

/// The pause before the status is shown anew.
const WATCH_PAUSE: Duration = Duration::from_secs(1);
/// The sequence that goes to the first line of the terminal and clears everything below.
const HOME: &str = "\x1b[H\x1b[J";

pub(super) fn run(args: &StatusArgs) -> ExitCode {
    let mut shown = String::new();
    loop {
        match show(args, &mut shown) {
            Some(code) => return code,
            None if !args.watch => return ExitCode::SUCCESS,
            None => std::thread::sleep(WATCH_PAUSE),
        }
    }
}

/// Shows the status once. A status that is watched and goes into a file is shown only when it has changed. Returns
/// the exit code once there is nothing to show, or nobody to show it to.
fn show(args: &StatusArgs, shown: &mut String) -> Option<ExitCode> {
    let terminal = io::stdout().is_terminal();
    match text(&args.host) {
        Ok(text) => {
            let is_read = if args.watch && terminal && !args.host.json {
                say(format_args!("{HOME}{text}"))
            } else {
                text == *shown || say(&text)
            };
            *shown = text;
            (!is_read).then_some(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("{:?}", miette::Report::new(error));
            Some(ExitCode::FAILURE)
        }
    }
}

fn text(host: &HostArgs) -> Result<String, client::ClientError> {
    let answer = client::ask(host, Method::GET, "/-/status", String::new())?;
    if host.json {
        Ok(format!("{}\n", answer.body))
    } else {
        answer.read().map(|status| summary(&status))
    }
}

/// The most files that are named; more files may differ from the loaded code.
const FILES_SHOWN: usize = 10;

/// The status for people: a line for each generation that is not over, and a line for each of its calls.
fn summary(status: &Status) -> String {
    let functions = status.functions.len();
    let mut text = match status.current {
        None => "no generation serves yet\n".to_owned(),
        Some(current) => format!("generation {current} serves {functions} function(s)\n"),
    };
    let live = |generation: &&GenerationStatus| !generation.state.is_final();
    text.extend(status.generations.iter().filter(live).map(generation_lines));
    if let Some(canary) = &status.canary
        && canary.end.is_none()
    {
        text.push_str(&canary::line(canary));
    }
    text.push_str(&other_hosts(status));
    text.push_str(&status.release.as_ref().map(release_lines).unwrap_or_default());
    match status.connection.as_ref().and_then(|connection| connection.headline()) {
        Some(headline) => text.push_str(&(headline + "\n")),
        None => text.push_str(&registration(&status.registration)),
    }
    text.extend(status.warnings.iter().map(report_words::warning));
    text.push_str(&source_lines(&status.source));
    text
}

fn generation_lines(generation: &GenerationStatus) -> String {
    let mut text = String::new();
    let hash: String = generation.hash.iter().flat_map(|hash| hash.chars()).take(8).collect();
    let git = generation.git.as_deref().unwrap_or_default();
    let (id, state, calls) = (generation.id.0, generation.state.as_str(), generation.in_flight.len());
    let line = format!("  {id:>4}  {state:<9} {hash:<8} {git}  {calls} in flight");
    let _ = writeln!(text, "{}", line.trim_end());
    if let Some(release) = &generation.release {
        let pushed = release.pushed.strftime("%Y-%m-%d %H:%M:%SZ");
        let _ = writeln!(text, "        release {}, pushed {pushed}", release.digest.short());
    }
    if let Some(stage) = &generation.load_stage {
        let _ = writeln!(text, "        loading: {stage}");
    }
    if let Some(restored) = generation.restored_from {
        let why = match generation.reason {
            Some(Reason::LastGood) => ", since the code on the disk cannot be served",
            _ => "",
        };
        let _ = writeln!(text, "        with the code of generation {restored}{why}");
    }
    if generation.expected.plans > 0 {
        let _ = writeln!(
            text,
            "        waits for {} step(s) that it planned",
            generation.expected.plans
        );
    }
    if generation.expected.runs > 0 {
        let _ = writeln!(text, "        {} run(s) are pinned to it", generation.expected.runs);
    }
    text.extend(generation.in_flight.iter().map(call_line));
    for isolate in &generation.isolates {
        let id = isolate.id.0;
        if let Some(event) = &isolate.finishes_for {
            let _ = writeln!(text, "        isolate {id} finishes its work for the event {event}");
        }
        if isolate.blocked_ms > 0 {
            let seconds = seconds(isolate.blocked_ms);
            let _ = writeln!(text, "        isolate {id} is blocked by user code for {seconds:.1} s");
        }
    }
    text
}

/// The reference of a host's releases, and the reason why its tag cannot be followed.
pub(super) fn release_lines(release: &ReleaseStatus) -> String {
    let mut text = format!("{}\n", release.reference);
    if let Some(error) = &release.error {
        let _ = writeln!(
            text,
            "the release cannot be pulled: {error}\nhelp: Correct the cause: the host tries again by itself."
        );
    }
    text
}

/// The hosts beside the one that answers: the host that loads, and the hosts that finish their calls.
fn other_hosts(status: &Status) -> String {
    let mut text = String::new();
    for host in status.hosts.iter().filter(|host| host.line.pid != status.pid) {
        let state = match host.line.state.as_str() {
            "draining" => format!("finishes {} call(s)", host.in_flight.len()),
            state => format!("is {state}"),
        };
        let version = match host.line.version.as_str() {
            "" => String::new(),
            version => format!(" (baton {version})"),
        };
        let _ = writeln!(text, "process {}{version} {state}", host.line.pid);
        text.extend(host.in_flight.iter().map(call_line));
    }
    text
}

/// Tells in one line whether Inngest knows the functions, and in a line each the things that Inngest holds otherwise.
fn registration(registration: &RegistrationStatus) -> String {
    let Some(words) = registration.words() else {
        return String::new();
    };
    let mut text = words.headline + "\n";
    for difference in words.differences {
        let _ = writeln!(text, "  {difference}");
    }
    text
}

/// The code on the disk, where it differs from the code that serves.
fn source_lines(source: &SourceStatus) -> String {
    let mut text = String::new();
    if let Some(rejected) = &source.last_rejected {
        let error = &rejected.error;
        let place = error.file.as_ref().map(|file| match error.line {
            Some(line) => format!(" ({file}:{line})"),
            None => format!(" ({file})"),
        });
        let (message, place) = (&error.message, place.unwrap_or_default());
        let help = error.help.as_deref().unwrap_or("Correct the code there.");
        let _ = writeln!(text, "the newest code was rejected: {message}{place}\n  {help}");
    } else if source.newer_than_loaded {
        let _ = writeln!(
            text,
            "the code on the disk is newer than the code that serves\n  Run `baton reload`."
        );
    }
    for file in source.changed.iter().take(FILES_SHOWN) {
        let _ = writeln!(text, "  {file}");
    }
    if source.changed.len() > FILES_SHOWN {
        let _ = writeln!(text, "  and {} more", source.changed.len() - FILES_SHOWN);
    }
    text
}

fn call_line(call: &CallStatus) -> String {
    let seconds = seconds(call.since_ms);
    if let Some(request) = &call.request {
        return format!("        {request} for {seconds:.1} s\n");
    }
    let [function, run, step] = [&call.function, &call.run, &call.step].map(|field| field.as_deref().unwrap_or("-"));
    format!("        {function} run {run} step {step} for {seconds:.1} s\n")
}

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
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
        let text = summary(&serde_json::from_value(status).unwrap());
        assert!(text.starts_with("generation 3 serves 2 function(s)\n"), "{text}");
        assert!(text.contains("draining  01234567 46c2113  1 in flight"), "{text}");
        assert!(text.contains("app-hello run 01R step step for 1.2 s"), "{text}");
        assert!(text.contains("isolate 0 is blocked by user code for 4.2 s"), "{text}");
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
        let text = summary(&serde_json::from_value(status).unwrap());
        assert!(!text.contains("process 7"), "{text}");
        assert!(text.contains("process 8 is starting\n"), "{text}");
        assert!(
            text.contains("process 6 (baton 0.1.0) finishes 1 call(s)\n        app-hello"),
            "{text}"
        );
    }
}
