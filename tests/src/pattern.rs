//! Comparing JSON with a pattern: the expectation beside the call has the
//! fields that matter and leaves out the rest.

use serde_json::Value;

/// A value in a pattern that any value fits; there has to be one.
pub const ANY: &str = "«any»";

/// Tells where `actual` differs from `pattern`, or returns `None` when it fits.
///
/// An object fits when every field of the pattern fits; other fields may be
/// there too, but a field whose pattern is `null` may also be missing. An array
/// fits when it is as long as the pattern and every element fits. Everything
/// else fits when it is equal, or when the pattern is [`ANY`].
#[must_use]
pub fn mismatch(actual: &Value, pattern: &Value) -> Option<String> {
    at("$", actual, pattern)
}

fn at(path: &str, actual: &Value, pattern: &Value) -> Option<String> {
    match (actual, pattern) {
        (_, Value::String(any)) if any == ANY => None,
        (Value::Object(fields), Value::Object(wanted)) => wanted.iter().find_map(|(key, wanted)| {
            let path = format!("{path}.{key}");
            match fields.get(key) {
                Some(field) => at(&path, field, wanted),
                None if wanted.is_null() => None,
                None => Some(format!("{path} is missing, expected {wanted}")),
            }
        }),
        (Value::Array(items), Value::Array(wanted)) if items.len() == wanted.len() => items
            .iter()
            .zip(wanted)
            .enumerate()
            .find_map(|(index, (item, wanted))| at(&format!("{path}[{index}]"), item, wanted)),
        (Value::Array(items), Value::Array(wanted)) => Some(format!(
            "{path} has {} elements, expected {}",
            items.len(),
            wanted.len()
        )),
        (actual, wanted) if actual == wanted => None,
        (actual, wanted) => Some(format!("{path} is {actual}, expected {wanted}")),
    }
}
