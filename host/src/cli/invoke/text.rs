//! Runs as people read them: a line a step, runs within runs indented.

use std::fmt::Write as _;

use serde_json::Value;

use crate::runner::answer::title;
use crate::runner::run_report::{RunEnding, RunLabel, RunOrigin, RunReport, StepStatus, WaitKind};
use crate::runner::stack_frame::StackFrame;

/// The number of characters of an output or error that a line shows.
const SHOWN: usize = 100;
/// The number of lines of a stack that are shown.
const STACK_LINES: usize = 8;

/// Returns the text of a report, with a line's end, if the report is for people. `only` tells that one function was
/// asked for, and that its end is the result.
pub(super) fn line(report: &RunReport, only: bool) -> Option<String> {
    let line = match report {
        RunReport::Run { of, origin, event } => {
            let why = reason(*origin, event["name"].as_str().unwrap_or_default());
            format!("{}{} · {why} · run {}", indent(of, 0), of.function, of.run)
        }
        RunReport::Step {
            of,
            step,
            status,
            attempt,
            max_attempts,
            generation,
            ms,
            mocked,
            output,
            error,
            retry_in_ms,
            ..
        } => {
            let mut text = format!(
                "{}{} {step}  {}{}",
                indent(of, 1),
                mark(*status),
                meta(*ms, *generation, *attempt, *max_attempts),
                if *mocked { "  mocked" } else { "" }
            );
            if let Some(output) = output.as_ref().filter(|output| !output.is_null()) {
                let _ = write!(text, "  {}", short(&output.to_string()));
            }
            if let Some(error) = error {
                let _ = write!(text, "  {}", short(&title(error)));
            }
            if let Some(delay) = retry_in_ms {
                let _ = write!(text, "; again in {}", seconds(*delay));
            }
            text
        }
        RunReport::Retry {
            of,
            attempt,
            max_attempts,
            generation,
            ms,
            error,
            retry_in_ms,
        } => format!(
            "{}↻ the function threw  {}  {}; again in {}",
            indent(of, 1),
            meta(*ms, *generation, *attempt, *max_attempts),
            short(&title(error)),
            seconds(*retry_in_ms)
        ),
        RunReport::Waiting {
            of,
            step,
            kind,
            what,
            until,
            ..
        } => {
            let what = wait(*kind, what.as_deref().unwrap_or_default());
            let until = until.map(|until| format!(" until {}", until.round(jiff::Unit::Second).unwrap_or(until)));
            format!("{}… {step}  {what}{}", indent(of, 1), until.unwrap_or_default())
        }
        RunReport::Waited {
            of,
            step,
            kind,
            ms,
            mocked,
            output,
            error,
            ..
        } => {
            let took = duration(*ms) + if *mocked { "  mocked" } else { "" };
            let indent = indent(of, 1);
            match (error, output, kind) {
                (Some(error), ..) => format!("{indent}✗ {step}  {took}  {}", short(&title(error))),
                (None, Some(Value::Null) | None, WaitKind::Event | WaitKind::Signal) => {
                    format!("{indent}✓ {step}  {took}  timed out")
                }
                (None, Some(output), _) if !output.is_null() => {
                    format!("{indent}✓ {step}  {took}  {}", short(&output.to_string()))
                }
                _ => format!("{indent}✓ {step}  {took}"),
            }
        }
        RunReport::Event { event, begins } => {
            let name = event["name"].as_str().unwrap_or_default();
            let mut text = format!("→ event {name}  {}", short(&event["data"].to_string()));
            if !begins.is_empty() {
                let _ = write!(text, "  (triggers {})", begins.join(", "));
            }
            text
        }
        RunReport::Note { message } => format!("note: {message}"),
        RunReport::Ended { of, .. } if of.depth == 0 && only => return None,
        RunReport::Ended { of, ending, ms, .. } => {
            format!("{}{} {}", indent(of, 0), of.function, ended(ending, *ms))
        }
        RunReport::Result { .. } => return None,
    };
    Some(line + "\n")
}

/// The reason why a run began.
fn reason(origin: RunOrigin, event: &str) -> String {
    match origin {
        RunOrigin::Asked => format!("event {event}"),
        RunOrigin::Invoked => "invoked".to_owned(),
        RunOrigin::Delivered => format!("triggered by {event}"),
        RunOrigin::OnFailure => "onFailure".to_owned(),
    }
}

const fn mark(status: StepStatus) -> char {
    match status {
        StepStatus::Completed => '✓',
        StepStatus::Retrying => '↻',
        StepStatus::Failed => '✗',
    }
}

/// The thing that a step waits for, in words.
fn wait(kind: WaitKind, what: &str) -> String {
    match kind {
        WaitKind::Sleep => "sleeps".to_owned(),
        WaitKind::Event => format!("waits for the event {what}"),
        WaitKind::Signal => format!("waits for the signal {what}"),
        WaitKind::Invoke => format!("invokes {what}"),
        WaitKind::Http => what.to_owned(),
    }
}

/// Returns the end of a run for people: the returned value, or the reason why there is none; and true when the run
/// completed.
pub(super) fn result(ending: &RunEnding, function: &str, ms: f64) -> String {
    let took = duration(ms);
    match ending {
        RunEnding::Completed { output } => format!("{function} completed in {took}\n{output:#}\n"),
        RunEnding::Cancelled { reason } => format!("{function} was cancelled after {took}: {reason}\n"),
        RunEnding::Failed { error } => {
            let mut text = format!("{function} failed after {took}: {}\n", title(error));
            let stack = error["stack"].as_str().unwrap_or_default();
            if let Some(frame) = StackFrame::of(stack) {
                let file = frame.file_within(&std::env::current_dir().unwrap_or_default());
                let StackFrame {
                    line, column, lines, ..
                } = frame;
                let _ = writeln!(text, "\n{file}:{line}:{column}\n{lines}");
            }
            // The first lines repeat the message.
            let places = stack.lines().filter(|line| line.trim_start().starts_with("at "));
            for place in places.take(STACK_LINES) {
                let _ = writeln!(text, "{place}");
            }
            text
        }
    }
}

fn ended(ending: &RunEnding, ms: f64) -> String {
    let took = duration(ms);
    match ending {
        RunEnding::Completed { output } => format!("completed in {took}  {}", short(&output.to_string())),
        RunEnding::Failed { error } => format!("failed after {took}  {}", short(&title(error))),
        RunEnding::Cancelled { reason } => format!("was cancelled after {took}: {reason}"),
    }
}

pub(super) fn indent(of: &RunLabel, more: usize) -> String {
    "  ".repeat(of.depth * 2 + more)
}

fn meta(ms: f64, generation: Option<u64>, attempt: u32, max_attempts: u32) -> String {
    let mut text = duration(ms);
    if let Some(generation) = generation {
        let _ = write!(text, "  generation {generation}");
    }
    if attempt > 0 {
        let _ = write!(text, "  attempt {} of {max_attempts}", attempt + 1);
    }
    text
}

fn short(text: &str) -> String {
    let one_line = text.replace('\n', " ");
    match one_line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &one_line[..at]),
        None => one_line,
    }
}

fn duration(ms: f64) -> String {
    if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

#[allow(clippy::cast_precision_loss, reason = "tenths of seconds are all that is shown")]
fn seconds(ms: u64) -> String {
    duration(ms as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{line, result};
    use crate::runner::run_report::{RunEnding, RunLabel, RunReport, StepStatus};

    #[test]
    fn a_step_is_a_line_with_what_matters() {
        let report = |status, attempt, output, error, retry_in_ms| RunReport::Step {
            of: RunLabel {
                run: "01R".to_owned(),
                function: "app-f".to_owned(),
                depth: 1,
            },
            step: "greet".to_owned(),
            id: "x".to_owned(),
            kind: None,
            status,
            attempt,
            max_attempts: 3,
            generation: Some(4),
            ms: 12.3,
            mocked: false,
            output,
            error,
            retry_in_ms,
        };
        let done = report(StepStatus::Completed, 0, Some(json!("Hello")), None, None);
        assert_eq!(
            line(&done, true).unwrap(),
            "      ✓ greet  12 ms  generation 4  \"Hello\"\n"
        );
        let error = json!({"name": "TypeError", "message": "boom"});
        let again = report(StepStatus::Retrying, 1, None, Some(error), Some(1500));
        let expected = "      ↻ greet  12 ms  generation 4  attempt 2 of 3  TypeError: boom; again in 1.5 s\n";
        assert_eq!(line(&again, true).unwrap(), expected);
        let long = report(StepStatus::Completed, 0, Some(json!("é".repeat(200))), None, None);
        assert!(line(&long, true).unwrap().ends_with("é…\n"));
    }

    #[test]
    fn a_failure_tells_its_message_and_where() {
        let error =
            json!({"name": "Error", "message": "boom", "stack": "Error: boom\n    at f (file:///nowhere.ts:1:2)"});
        let text = result(&RunEnding::Failed { error }, "app-f", 1234.0);
        assert_eq!(
            text,
            "app-f failed after 1.2 s: Error: boom\n    at f (file:///nowhere.ts:1:2)\n"
        );
    }
}
