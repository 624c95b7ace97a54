//! A place in a source text, and the lines around it, for people.

use std::path::Path;

use deno_core::url::Url;
use js_runtime_api::{LoadError, LoadErrorKind};

/// A place in a source text; line and column are 1-based.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    file: String,
    line: usize,
    column: usize,
    frame: Option<String>,
}

impl Position {
    pub(crate) fn new(url: &Url, text: &str, line: usize, column: usize) -> Self {
        Self {
            file: display_path(url),
            line,
            column,
            frame: code_frame(text, line, column),
        }
    }

    pub(crate) fn start_of(url: &Url, text: &str) -> Self {
        Self::new(url, text, 1, 1)
    }

    /// Returns the position of a byte offset in the text.
    pub(crate) fn of_offset(url: &Url, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).unwrap_or("").chars().count() + 1;
        Self::new(url, text, line, column)
    }

    pub(crate) fn line(&self) -> usize {
        self.line
    }

    pub(crate) fn into_error(self, kind: LoadErrorKind, message: String) -> LoadError {
        LoadError {
            kind,
            message,
            file: Some(self.file),
            line: u32::try_from(self.line).ok(),
            column: u32::try_from(self.column).ok(),
            frame: self.frame,
            ..LoadError::default()
        }
    }
}

/// Returns a path for people: that of the file, or the URL when it is none.
pub(crate) fn display_path(url: &Url) -> String {
    url.to_file_path()
        .map_or_else(|()| url.to_string(), |path| path.display().to_string())
}

/// Makes the file of an error relative to the project, where it lies in it.
pub(crate) fn relative_to(mut error: LoadError, root: &Path) -> LoadError {
    if let Some(file) = &error.file
        && let Ok(relative) = Path::new(file).strip_prefix(root)
    {
        error.file = Some(relative.display().to_string());
    }
    error
}

/// Returns the line, one before and after, and a caret:
///
/// ```text
///   1 | import { Inngest } from "inngest";
/// > 2 | export const = 1;
///     |              ^
/// ```
fn code_frame(text: &str, line: usize, column: usize) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let shown = line.checked_sub(1).filter(|index| *index < lines.len())?;
    let last = (shown + 1).min(lines.len() - 1);
    let width = (last + 1).to_string().len();
    let mut frame = String::new();
    for (index, source) in lines.iter().enumerate().take(last + 1).skip(shown.saturating_sub(1)) {
        let mark = if index == shown { '>' } else { ' ' };
        frame.push_str(&format!("{mark} {:>width$} | {source}\n", index + 1));
        if index == shown {
            // Tabs stay tabs, so that the caret stands below its character whatever their width.
            let indent: String = source
                .chars()
                .take(column.saturating_sub(1))
                .map(|char| if char == '\t' { '\t' } else { ' ' })
                .collect();
            frame.push_str(&format!("  {:>width$} | {indent}^\n", ""));
        }
    }
    Some(frame.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::code_frame;

    #[test]
    fn the_frame_shows_the_line_its_neighbours_and_a_caret() {
        let frame = code_frame("one\ntwo\n\tthree four\nfive", 3, 8);
        assert_eq!(
            frame.as_deref(),
            Some("  2 | two\n> 3 | \tthree four\n    | \t      ^\n  4 | five")
        );
    }

    #[test]
    fn a_position_beyond_the_text_has_no_frame() {
        assert_eq!(code_frame("one", 2, 1), None);
        assert_eq!(code_frame("", 1, 1), None);
    }
}
