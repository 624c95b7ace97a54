//! The lines around the place where user code threw.

use std::fmt::Write as _;
use std::path::Path;

/// The number of lines that are shown on each side.
const AROUND: usize = 2;

/// The frame of the first place in a stack that is in the project's own code. Reads the file of that place from the
/// disk.
pub(super) fn of(stack: &str) -> Option<String> {
    let (file, line, column) = stack.lines().find_map(place)?;
    let text = std::fs::read_to_string(file).ok()?;
    let frame = frame(&text, line, column)?;
    let shown = Path::new(file);
    let shown = std::env::current_dir()
        .ok()
        .and_then(|folder| shown.strip_prefix(folder).ok())
        .unwrap_or(shown);
    Some(format!("{}:{line}:{column}\n{frame}", shown.display()))
}

/// Reads the place in `at f (file:///a/b.ts:3:7)`; returns `None` for a place within a package.
fn place(line: &str) -> Option<(&str, usize, usize)> {
    let (_, rest) = line.split_once("file://")?;
    if rest.contains("/node_modules/") {
        return None;
    }
    let mut parts = rest.trim_end_matches(')').rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    Some((parts.next()?, line, column))
}

fn frame(text: &str, line: usize, column: usize) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(line.checked_sub(1)?)?;
    let (first, last) = (line.saturating_sub(AROUND).max(1), (line + AROUND).min(lines.len()));
    let width = last.to_string().len();
    let mut shown = String::new();
    for number in first..=last {
        let mark = if number == line { '>' } else { ' ' };
        let _ = writeln!(shown, "{mark} {number:>width$} | {}", lines.get(number - 1)?);
        if number == line {
            let _ = writeln!(shown, "  {:>width$} | {:>column$}", "", "^");
        }
    }
    Some(shown)
}

#[cfg(test)]
mod tests {
    use super::{frame, place};

    #[test]
    fn the_first_place_outside_of_packages_counts() {
        let line = "    at Object.<anonymous> (file:///p/functions/a.ts:12:7)";
        assert_eq!(place(line), Some(("/p/functions/a.ts", 12, 7)));
        assert_eq!(place("    at file:///p/a.ts:1:2"), Some(("/p/a.ts", 1, 2)));
        assert_eq!(place("    at x (file:///p/node_modules/inngest/a.js:1:2)"), None);
        assert_eq!(place("Error: boom"), None);
    }

    #[test]
    fn a_frame_marks_its_line_and_column() {
        let expected = "  1 | a\n> 2 | bcd\n    |   ^\n  3 | e\n";
        assert_eq!(frame("a\nbcd\ne", 2, 3).as_deref(), Some(expected));
        assert_eq!(frame("a", 9, 1), None);
    }
}
