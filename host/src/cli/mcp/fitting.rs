//! Results that fit: a model reads every byte of a result, so a result has a largest size, and says when it was cut.
//! Pure.

use serde_json::{Value, json};

/// The most bytes of a result.
pub(super) const MOST_BYTES: usize = 16 << 10;

/// The lengths to which texts (in bytes) and lists are cut, one after the other until the whole fits.
const CUTS: [(usize, usize); 6] = [(4096, 100), (2048, 50), (1024, 25), (512, 12), (200, 6), (80, 3)];

/// Writes a result, cut so that it fits. `less` tells how to ask for less.
pub(super) fn fitted(result: &Value, less: &str) -> String {
    let whole = result.to_string();
    if whole.len() <= MOST_BYTES {
        return whole;
    }
    let note = format!("texts and lists are cut, the whole is {} bytes: {less}", whole.len());
    for (text, list) in CUTS {
        let mut cut = result.clone();
        shorten(&mut cut, text, list);
        if let Value::Object(fields) = &mut cut {
            fields.insert("cut".to_owned(), Value::from(&*note));
        }
        let cut = cut.to_string();
        if cut.len() <= MOST_BYTES {
            return cut;
        }
    }
    // Quotes and backslashes take two bytes when they are written once more.
    let start = start_of(&whole, MOST_BYTES / 3);
    json!({"cut": note, "begins": start}).to_string()
}

/// Cuts every text and every list, and says so in its place. Of lists the last entries stay: they are the newest.
fn shorten(value: &mut Value, text: usize, list: usize) {
    match value {
        Value::String(whole) => {
            if whole.len() > text {
                let start = start_of(whole, text);
                *whole = format!("{start}… ({} more bytes)", whole.len() - start.len());
            }
        }
        Value::Array(values) => {
            if values.len() > list {
                let left_out = values.len() - list;
                values.drain(..left_out);
                values.insert(0, Value::from(format!("({left_out} more before these)")));
            }
            values.iter_mut().for_each(|value| shorten(value, text, list));
        }
        // (serde_json reads no deeper than 128 levels.)
        Value::Object(fields) => fields.values_mut().for_each(|value| shorten(value, text, list)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns the begin of a text, of at most so many bytes.
fn start_of(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{MOST_BYTES, fitted};

    #[test]
    fn what_fits_is_told_whole() {
        let result = json!({"a": [1, 2], "b": "c"});
        assert_eq!(fitted(&result, "less"), result.to_string());
    }

    #[test]
    fn what_is_too_large_is_cut_where_it_is_long_and_says_so() {
        let lines: Vec<Value> = (0..500).map(|n| json!({"n": n, "message": "x".repeat(100)})).collect();
        let text = fitted(&json!({"lines": lines, "note": "kept"}), "give `lines`");
        assert!(text.len() <= MOST_BYTES, "{}", text.len());
        let cut: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(cut["note"], "kept");
        assert!(cut["cut"].as_str().unwrap().contains("give `lines`"), "{cut}");
        let lines = cut["lines"].as_array().unwrap();
        assert_eq!(lines.last().unwrap()["n"], 499, "the newest stay");
        assert!(lines[0].as_str().unwrap().contains("more before these"), "{cut}");
        let text = fitted(&json!({"output": "ä".repeat(MOST_BYTES)}), "less");
        assert!(text.len() <= MOST_BYTES && text.contains("more bytes"), "{text}");
    }

    proptest! {
        #[test]
        fn no_result_is_too_large(keys in prop::collection::vec(".{0,40}", 0..100), text in ".{0,200}", list in 0..40usize) {
            let value: serde_json::Map<String, Value> =
                keys.into_iter().map(|key| (key, json!(vec![text.clone(); list]))).collect();
            let text = fitted(&Value::Object(value), "less");
            prop_assert!(text.len() <= MOST_BYTES);
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
        }
    }
}
