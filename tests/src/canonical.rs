//! JSON in the order that Inngest's executor sends it (RFC 8785, "JCS"):
//! object keys sorted, no white space. Numbers and strings are `serde_json`'s,
//! which agree with JCS for the integers and plain text of these tests.

use serde_json::Value;

/// `value` in canonical form.
#[must_use]
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            // JCS sorts by UTF-16 code units, not by bytes.
            keys.sort_by_key(|key| key.encode_utf16().collect::<Vec<_>>());
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(&fields[key], out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
