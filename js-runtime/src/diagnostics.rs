//! Turns an exception of JavaScript into a [`LoadError`]: the kind, and the position in the original source.

use deno_core::error::{JsError, JsStackFrame};
use deno_core::url::Url;
use js_runtime_api::{LoadError, LoadErrorKind};

use crate::own_files;
use crate::position::Position;
use crate::source::imports::offset_of_import;
use crate::source::second_url;
use crate::source::snapshot::SourceSnapshot;

/// Makes the error for an exception of JavaScript, placed at the topmost stack frame that lies in the project itself,
/// else at the import of the package that threw, else at the start of `module`, which was being imported.
pub(crate) fn from_js_error(error: &JsError, kind: LoadErrorKind, module: &Url, sources: &SourceSnapshot) -> LoadError {
    let own =
        own_place(error).map(|(url, line, column)| Position::new(&url, &source_text(&url, sources), line, column));
    let position = own
        .or_else(|| import_that_threw(error, module, sources))
        .unwrap_or_else(|| Position::start_of(module, &source_text(module, sources)));
    LoadError {
        stack: error.stack.as_deref().map(second_url::without_marks),
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

/// Returns the message without V8's remark on how it came about.
pub(crate) fn message_of(error: &JsError) -> &str {
    let message = error.exception_message.as_str();
    let message = message.strip_prefix("Uncaught ").unwrap_or(message);
    message.strip_prefix("(in promise) ").unwrap_or(message)
}

/// Returns the topmost place of the project's own code in an error's stack.
pub(crate) fn own_place(error: &JsError) -> Option<(Url, usize, usize)> {
    error.frames.iter().find_map(own_frame)
}

fn own_frame(frame: &JsStackFrame) -> Option<(Url, usize, usize)> {
    let url = Url::parse(frame.file_name.as_deref()?).ok()?;
    let own = url.scheme() == "file" && !url.path().contains("/node_modules/") && !own_files::is_own(&url);
    let line = usize::try_from(frame.line_number?).ok()?;
    let column = usize::try_from(frame.column_number.unwrap_or(1)).ok()?;
    own.then_some((url, line, column))
}

/// Returns the original text of a module, or nothing when it cannot be read.
pub(crate) fn source_text(url: &Url, sources: &SourceSnapshot) -> String {
    url.to_file_path()
        .ok()
        .and_then(|path| sources.read(&path).ok())
        .map(|file| String::from_utf8_lossy(&file.bytes).into_owned())
        .unwrap_or_default()
}
