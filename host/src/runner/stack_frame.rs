//! The place where user code threw, with the lines around it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use url::Url;

/// The number of lines that are shown on each side.
const AROUND: usize = 2;

/// The first place of a stack that is in the project's own code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackFrame {
    pub file: PathBuf,
    /// The line, 1-based.
    pub line: u32,
    /// The column, 1-based.
    pub column: u32,
    /// The lines around the place, with a caret.
    pub lines: String,
}

impl StackFrame {
    /// Finds the place in the text of a stack, and reads its file from the disk. Places in files that the disk does not
    /// have are passed over: the host's own modules, for example.
    #[must_use]
    pub fn of(stack: &str) -> Option<Self> {
        stack.lines().filter_map(place).find_map(|(file, line, column)| {
            let text = std::fs::read_to_string(&file).ok()?;
            let lines = frame(&text, usize::try_from(line).ok()?, usize::try_from(column).ok()?)?;
            Some(Self {
                file,
                line,
                column,
                lines,
            })
        })
    }

    /// The file as a person names it who is in a folder.
    #[must_use]
    pub fn file_within(&self, folder: &Path) -> String {
        let shown = self.file.strip_prefix(folder).unwrap_or(&self.file);
        shown.display().to_string()
    }
}

/// Reads the place in `at f (file:///a/b.ts:3:7)`; returns `None` for a place within a package.
fn place(line: &str) -> Option<(PathBuf, u32, u32)> {
    let at = line.find("file://")?;
    let place = &line[at..];
    if place.contains("/node_modules/") {
        return None;
    }
    let mut parts = place.trim_end_matches(')').rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    let file = Url::parse(parts.next()?).ok()?.to_file_path().ok()?;
    Some((file, line, column))
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
        assert_eq!(place(line), Some(("/p/functions/a.ts".into(), 12, 7)));
        assert_eq!(
            place("    at file:///my%20p/a.ts:1:2"),
            Some(("/my p/a.ts".into(), 1, 2))
        );
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
