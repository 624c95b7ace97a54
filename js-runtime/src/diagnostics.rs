//! From what went wrong in a load to a [`LoadError`]: the kind, the position in the original
//! source, and the lines around it.

use std::path::Path;

use deno_core::error::{JsError, JsStackFrame};
use deno_core::url::Url;
use js_runtime_api::{LoadError, LoadErrorKind};

use crate::loader::interop;
use crate::source::imports::offset_of_import;
use crate::source::snapshot::SourceSnapshot;

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

    /// The position of a byte offset in the text.
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

/// What JavaScript threw, placed at the topmost stack frame that lies in the project itself, else at the import of the
/// package that threw, else at the start of `module`, which was being imported.
pub(crate) fn from_js_error(error: &JsError, kind: LoadErrorKind, module: &Url, sources: &SourceSnapshot) -> LoadError {
    let own =
        own_place(error).map(|(url, line, column)| Position::new(&url, &source_text(&url, sources), line, column));
    let position = own
        .or_else(|| import_that_threw(error, module, sources))
        .unwrap_or_else(|| Position::start_of(module, &source_text(module, sources)));
    LoadError {
        stack: error.stack.as_deref().map(interop::without_marks),
        ..position.into_error(kind, message_of(error).to_owned())
    }
}

fn import_that_threw(error: &JsError, module: &Url, sources: &SourceSnapshot) -> Option<Position> {
    let module = module.to_file_path().ok()?;
    let mut threw = error.frames.iter().filter_map(|frame| {
        let url = Url::parse(frame.file_name.as_deref()?).ok()?;
        url.to_file_path().ok()
    });
    let (file, specifier) = threw.find_map(|file| sources.import_that_leads_to(&file, &module))?;
    let url = Url::from_file_path(&file).ok()?;
    let text = source_text(&url, sources);
    Some(Position::of_offset(
        &url,
        &text,
        offset_of_import(&url, &text, &specifier),
    ))
}

/// The message without V8's remark on how it came about.
pub(crate) fn message_of(error: &JsError) -> &str {
    let message = error.exception_message.as_str();
    let message = message.strip_prefix("Uncaught ").unwrap_or(message);
    message.strip_prefix("(in promise) ").unwrap_or(message)
}

/// The topmost line of the project's own in an error's stack.
pub(crate) fn own_place(error: &JsError) -> Option<(Url, usize, usize)> {
    error.frames.iter().find_map(own_frame)
}

fn own_frame(frame: &JsStackFrame) -> Option<(Url, usize, usize)> {
    let url = Url::parse(frame.file_name.as_deref()?).ok()?;
    let own = url.scheme() == "file"
        && !url.path().contains("/node_modules/")
        && !is_prelude(&url)
        && !crate::built_in::is_part(&url);
    let line = usize::try_from(frame.line_number?).ok()?;
    let column = usize::try_from(frame.column_number.unwrap_or(1)).ok()?;
    own.then_some((url, line, column))
}

fn is_prelude(url: &Url) -> bool {
    url.path().ends_with(crate::prelude::FILE_NAME)
}

/// The original text of a module, or nothing when it cannot be read.
pub(crate) fn source_text(url: &Url, sources: &SourceSnapshot) -> String {
    url.to_file_path()
        .ok()
        .and_then(|path| sources.read(&path).ok())
        .map(|file| String::from_utf8_lossy(&file.bytes).into_owned())
        .unwrap_or_default()
}

/// A path for people: the file's, or the URL when it is none.
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

/// The line, one before and after, and a caret:
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
