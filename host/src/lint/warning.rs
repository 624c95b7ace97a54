//! The place that a warning points to.

use js_runtime_api::{Function, Warning};

use super::warning_code::WarningCode;

/// Makes a warning about a function. It points to the line where `text`, from the function's options, is written, or
/// else to the line where the function is defined.
pub(super) fn warning(
    code: WarningCode,
    function: &Function,
    text: Option<&str>,
    message: String,
    help: String,
) -> Warning {
    let definition = function.definition.as_ref();
    let module = || function.file.as_ref().map(|file| file.display().to_string());
    Warning {
        code: code.into(),
        function: Some(function.id.clone()),
        message,
        file: definition.map(|definition| definition.file.clone()).or_else(module),
        line: definition.map(|definition| {
            let written = text.and_then(|text| definition.texts.get(text));
            written.copied().unwrap_or(definition.line)
        }),
        help: Some(help),
    }
}
