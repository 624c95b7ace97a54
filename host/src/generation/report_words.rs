//! A report on a reload in words for people, as commands and the terminal of `baton dev` have them.

use std::fmt::Write as _;

use js_runtime_api::{LoadError, Warning};

use crate::replay::ReplayReport;

/// The text of a warning: its message, its place, and the code to write instead.
pub fn warning(warning: &Warning) -> String {
    let mut text = format!("  warning: {} ({})\n", warning.message, warning.code);
    if let Some(file) = &warning.file {
        let line = warning.line.map(|line| format!(":{line}"));
        let _ = writeln!(text, "           at {file}{}", line.unwrap_or_default());
    }
    if let Some(help) = &warning.help {
        let _ = writeln!(text, "           {help}");
    }
    text
}

/// The outcome of replaying live runs, a line each.
pub fn replay(replay: Option<&ReplayReport>) -> String {
    let lines = replay.map(ReplayReport::lines).unwrap_or_default();
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

/// The error of a load, with the code frame.
pub fn rejection(error: &LoadError) -> String {
    let mut text = format!("rejected: {}\n", error.message);
    if let Some(file) = &error.file {
        let place = match (error.line, error.column) {
            (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
            (Some(line), None) => format!("{file}:{line}"),
            (None, _) => file.clone(),
        };
        let _ = writeln!(text, "  at {place} ({})", error.kind.as_str());
    }
    if let Some(frame) = &error.frame {
        let _ = writeln!(text, "\n{frame}\n");
    }
    if let Some(help) = &error.help {
        let _ = writeln!(text, "{help}");
    }
    text
}
