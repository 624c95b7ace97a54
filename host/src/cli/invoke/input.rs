//! JSON on the command line, and the place of its faults.

use std::path::PathBuf;

use miette::{Diagnostic, NamedSource, SourceSpan};
use serde_json::Value;

use crate::runner::answer;
use crate::runner::mocks::Mock;

/// The reason why an input is not understood. Each of them is a wrong argument.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum InputError {
    #[error("{of} is not valid JSON: {message} (line {line}, column {column})")]
    #[diagnostic(help("In a shell, JSON goes between single quotes: --data '{{\"name\":\"Ada\"}}'."))]
    NoJson {
        of: String,
        message: String,
        line: usize,
        column: usize,
        #[source_code]
        source_code: NamedSource<String>,
        #[label("here")]
        at: SourceSpan,
    },
    #[error("--mock is malformed: expected STEP=JSON or STEP=error:JSON, got {text:?}")]
    #[diagnostic(help("Name the step and its output: --mock 'charge-card={{\"ok\":true}}'."))]
    NoMock { text: String },
    #[error("{of} is not a JSON object: the data of an event must be one")]
    #[diagnostic(help("Write an object: {of} '{{\"name\":\"Ada\"}}'."))]
    NoObject { of: String },
    #[error("cannot read {path}, which {of} names: {error}", path = .path.display())]
    #[diagnostic(help("Name a file that exists; the path after @ is relative to the working folder."))]
    Unreadable {
        of: String,
        path: PathBuf,
        error: std::io::Error,
    },
}

/// Reads a JSON object, or `@` and a file with one; `@-` is the standard input.
pub(super) fn data(of: &str, text: &str) -> Result<Value, InputError> {
    let data = json(of, text)?;
    if data.is_object() {
        Ok(data)
    } else {
        Err(InputError::NoObject { of: of.to_owned() })
    }
}

fn json(of: &str, text: &str) -> Result<Value, InputError> {
    let Some(path) = text.strip_prefix('@') else {
        return json_of(of, of, text);
    };
    let text = match path {
        "-" => std::io::read_to_string(std::io::stdin()),
        path => std::fs::read_to_string(path),
    };
    let text = text.map_err(|error| InputError::Unreadable {
        of: of.to_owned(),
        path: PathBuf::from(path),
        error,
    })?;
    json_of(&format!("{path} ({of})"), path, &text)
}

/// Reads `name`, `name:{"some":"json"}` or `name:@file` as an event.
pub(super) fn event(text: &str) -> Result<Value, InputError> {
    let at = [":{", ":@"].iter().filter_map(|start| text.find(start)).min();
    let (name, data) = match at {
        Some(at) => (&text[..at], self::data("--send-event", &text[at + 1..])?),
        None => (text, serde_json::json!({})),
    };
    Ok(serde_json::json!({"name": name, "data": data}))
}

/// Reads `step={"some":"output"}`, `step=error:"message"`, `step=error:{"name":…}`, or a file: `step=@file`.
pub(super) fn mock(text: &str) -> Result<(String, Mock), InputError> {
    let no_mock = || InputError::NoMock { text: text.to_owned() };
    let (step, outcome) = text.split_once('=').ok_or_else(no_mock)?;
    if step.is_empty() {
        return Err(no_mock());
    }
    let of = format!("--mock {step}");
    let mock = match outcome.strip_prefix("error:") {
        Some(error) => Mock::Error(match json(&of, error)? {
            Value::String(message) => answer::error("Error", &message),
            Value::Object(mut error) => {
                error.entry("name").or_insert_with(|| "Error".into());
                error.entry("message").or_insert_with(|| "".into());
                Value::Object(error)
            }
            _ => return Err(no_mock()),
        }),
        None => Mock::Output(json(&of, outcome)?),
    };
    Ok((step.to_owned(), mock))
}

fn json_of(of: &str, name: &str, text: &str) -> Result<Value, InputError> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        InputError::NoJson {
            of: of.to_owned(),
            message: message.split(" at line").next().unwrap_or_default().to_owned(),
            line,
            column,
            source_code: NamedSource::new(name, text.to_owned()),
            at: offset(text, line, column).into(),
        }
    })
}

/// Returns the offset of a line and a column in bytes, which is on a letter of the text. Lines and columns count from
/// 1, columns in bytes; a column 0 is the end of the line before.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let mut at = (start + column.saturating_sub(1)).min(text.len().saturating_sub(1));
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{InputError, Mock, data, event, mock};

    #[test]
    fn where_json_ends_being_json_is_shown() {
        let Err(InputError::NoJson { line, column, at, .. }) = data("--data", "{\"a\": 1,\n \"b\": x}") else {
            panic!("it is none");
        };
        assert_eq!((line, column), (2, 7));
        assert_eq!(at.offset(), 15);
        assert!(data("--data", "").is_err());
        assert!(matches!(data("--data", "7"), Err(InputError::NoObject { .. })));
        assert!(data("--data", "{\"é\": é}").is_err());
    }

    #[test]
    fn an_event_is_a_name_with_or_without_data() {
        assert_eq!(event("demo/go").unwrap(), json!({"name": "demo/go", "data": {}}));
        let expected = json!({"name": "a:b", "data": {"ok": true}});
        assert_eq!(event("a:b:{\"ok\":true}").unwrap(), expected);
        assert!(event("a:{ok}").is_err());
    }

    #[test]
    fn a_mock_is_an_output_or_an_error() {
        let check = |text: &str, step: &str, expected: Mock| {
            assert_eq!(mock(text).unwrap(), (step.to_owned(), expected), "{text}");
        };
        check("charge={\"ok\":true}", "charge", Mock::Output(json!({"ok": true})));
        check("a b=\"c=d\"", "a b", Mock::Output(json!("c=d")));
        let error = json!({"name": "Error", "message": "no"});
        check("charge=error:\"no\"", "charge", Mock::Error(error.clone()));
        check("charge=error:{\"message\":\"no\"}", "charge", Mock::Error(error));
        for wrong in ["charge", "=1", "charge=error:1"] {
            assert!(matches!(mock(wrong), Err(InputError::NoMock { .. })), "{wrong}");
        }
        assert!(matches!(mock("charge=x"), Err(InputError::NoJson { .. })));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = data("--data", "@nowhere.json").unwrap_err();
        assert!(error.to_string().contains("nowhere.json"), "{error}");
    }
}
