//! YAML and TOML as values of JavaScript.

use std::collections::HashSet;

use js_runtime::{Data, run_with_room_for};
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

/// A value of a document. Not JSON's values, which have no infinity.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum DocumentValue {
    Null,
    Boolean(bool),
    Number(f64),
    String(String),
    List(Vec<DocumentValue>),
    /// The entries in the order of the document, each key once.
    Map(Vec<(String, DocumentValue)>),
}

impl Serialize for DocumentValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Number(value) => serializer.serialize_f64(*value),
            Self::String(value) => serializer.serialize_str(value),
            Self::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| list.serialize_element(value))?;
                list.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries
                    .iter()
                    .try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

impl DocumentValue {
    /// Returns the keys of a map.
    fn keys(&self) -> Vec<String> {
        match self {
            Self::Map(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// Returns the value as an expression of JavaScript.
    fn expression(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean(value) => value.to_string(),
            Self::Number(value) if value.is_nan() => "NaN".to_owned(),
            Self::Number(value) if value.is_infinite() => {
                if *value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
            }
            Self::Number(value) => value.to_string(),
            Self::String(value) => quoted(value),
            Self::List(values) => {
                let values: Vec<_> = values.iter().map(Self::expression).collect();
                format!("[{}]", values.join(", "))
            }
            Self::Map(entries) => {
                // A name in brackets is never the prototype's.
                let entries = entries
                    .iter()
                    .map(|(key, value)| format!("[{}]: {}", quoted(key), value.expression()));
                format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// Parses a file of YAML that is imported.
///
/// # Errors
/// As [`yaml`].
pub(crate) fn yaml_file(text: &str) -> Result<Data, String> {
    yaml(text).map(Data::from)
}

/// Parses a file of TOML that is imported.
///
/// # Errors
/// As [`toml`].
pub(crate) fn toml_file(text: &str) -> Result<Data, String> {
    toml(text).map(Data::from)
}

impl From<DocumentValue> for Data {
    fn from(value: DocumentValue) -> Self {
        Self {
            keys: value.keys(),
            expression: value.expression(),
        }
    }
}

/// Parses YAML 1.2: one document is its value, several are a list, none is null.
///
/// # Errors
/// With the line and column of what is no YAML.
pub(crate) fn yaml(text: &str) -> Result<DocumentValue, String> {
    let too_deep = || "YAML Parse error: nested too deeply".to_owned();
    run_with_room_for(text, || shallow(yaml_of(text)?).ok_or_else(too_deep)).unwrap_or_else(|| Err(too_deep()))
}

fn yaml_of(text: &str) -> Result<DocumentValue, String> {
    let documents = Yaml::load_from_str(text).map_err(|error| format!("YAML Parse error: {error}"))?;
    let mut values = documents.iter().map(from_yaml).collect::<Result<Vec<_>, _>>()?;
    Ok(match values.len() {
        0 => DocumentValue::Null,
        1 => values.remove(0),
        _ => DocumentValue::List(values),
    })
}

#[allow(clippy::cast_precision_loss, reason = "numbers of JavaScript are such")]
fn from_yaml(node: &Yaml<'_>) -> Result<DocumentValue, String> {
    Ok(match node {
        Yaml::Value(Scalar::Null) => DocumentValue::Null,
        Yaml::Value(Scalar::Boolean(value)) => DocumentValue::Boolean(*value),
        Yaml::Value(Scalar::Integer(value)) => DocumentValue::Number(*value as f64),
        Yaml::Value(Scalar::FloatingPoint(value)) => DocumentValue::Number(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => DocumentValue::String(value.to_string()),
        Yaml::Representation(text, ..) => DocumentValue::String(text.to_string()),
        Yaml::Sequence(nodes) => DocumentValue::List(nodes.iter().map(from_yaml).collect::<Result<_, _>>()?),
        Yaml::Mapping(entries) => {
            let mut map = Vec::new();
            let mut merged = Vec::new();
            for (key, value) in entries {
                match (key_text(key)?, from_yaml(value)?) {
                    (key, DocumentValue::Map(entries)) if key == "<<" => merged.extend(entries),
                    (key, DocumentValue::List(maps)) if key == "<<" => {
                        merged.extend(maps.into_iter().flat_map(|map| match map {
                            DocumentValue::Map(entries) => entries,
                            _ => Vec::new(),
                        }));
                    }
                    entry => map.push(entry),
                }
            }
            // The map's own keys win over merged ones, and the first of several merged ones wins.
            let mut known: HashSet<String> = map.iter().map(|(key, _)| key.clone()).collect();
            map.extend(merged.into_iter().filter(|(key, _)| known.insert(key.clone())));
            DocumentValue::Map(map)
        }
        Yaml::Tagged(_, node) => from_yaml(node)?,
        Yaml::Alias(_) | Yaml::BadValue => return Err("YAML Parse error: cannot resolve a value".to_owned()),
    })
}

/// Returns the key as a text: JavaScript's keys are texts.
fn key_text(key: &Yaml<'_>) -> Result<String, String> {
    Ok(match from_yaml(key)? {
        DocumentValue::String(text) => text,
        DocumentValue::Null => "null".to_owned(),
        DocumentValue::Boolean(value) => value.to_string(),
        DocumentValue::Number(value) => value.to_string(),
        DocumentValue::List(_) | DocumentValue::Map(_) => {
            return Err("YAML Parse error: a key must not be a list or a map".to_owned());
        }
    })
}

/// Parses TOML. Times and dates are texts.
///
/// # Errors
/// With the place of what is no TOML.
pub(crate) fn toml(text: &str) -> Result<DocumentValue, String> {
    let too_deep = || "TOML Parse error: nested too deeply".to_owned();
    run_with_room_for(text, || shallow(toml_of(text)?).ok_or_else(too_deep)).unwrap_or_else(|| Err(too_deep()))
}

fn toml_of(text: &str) -> Result<DocumentValue, String> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| format!("TOML Parse error: {error}"))?;
    Ok(from_toml(toml::Value::Table(table)))
}

#[allow(clippy::cast_precision_loss, reason = "numbers of JavaScript are such")]
fn from_toml(value: toml::Value) -> DocumentValue {
    match value {
        toml::Value::String(value) => DocumentValue::String(value),
        toml::Value::Integer(value) => DocumentValue::Number(value as f64),
        toml::Value::Float(value) => DocumentValue::Number(value),
        toml::Value::Boolean(value) => DocumentValue::Boolean(value),
        toml::Value::Datetime(value) => DocumentValue::String(value.to_string()),
        toml::Value::Array(values) => DocumentValue::List(values.into_iter().map(from_toml).collect()),
        toml::Value::Table(table) => {
            DocumentValue::Map(table.into_iter().map(|(key, value)| (key, from_toml(value))).collect())
        }
    }
}

/// The deepest nesting of values that become V8's.
const DEEPEST: usize = 512;

/// Returns the value; `None` for a value that is nested more deeply than V8 may be given.
fn shallow(value: DocumentValue) -> Option<DocumentValue> {
    let mut below = vec![(&value, 0)];
    while let Some((value, depth)) = below.pop() {
        if depth > DEEPEST {
            return None;
        }
        match value {
            DocumentValue::List(values) => below.extend(values.iter().map(|value| (value, depth + 1))),
            DocumentValue::Map(entries) => below.extend(entries.iter().map(|(_, value)| (value, depth + 1))),
            DocumentValue::Null | DocumentValue::Boolean(_) | DocumentValue::Number(_) | DocumentValue::String(_) => {}
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::{DocumentValue, toml, yaml};

    #[test]
    fn what_is_nested_without_end_is_an_error() {
        let deep = |open: &str, middle: &str, times: usize| format!("{}{middle}", open.repeat(times));
        for times in [2_000, 20_000] {
            for text in [deep("a.", "a = 1", times), deep("a = [", "", times)] {
                assert!(toml(&text).is_err(), "{}", &text[..20]);
            }
            for text in [deep("- ", "1", times), deep("[", "", times)] {
                assert!(yaml(&text).is_err(), "{}", &text[..20]);
            }
        }
        assert!(toml(&deep("a.", "a = 1", 20)).is_ok() && yaml(&deep("- ", "1", 300)).is_ok());
    }

    #[test]
    fn what_a_map_says_itself_wins_over_what_is_merged() {
        let text = "base: &base { a: 1, b: 2 }\nall:\n  <<: *base\n  a: 3\n";
        let Ok(DocumentValue::Map(map)) = yaml(text) else {
            panic!("no map");
        };
        let expected = [
            ("a".to_owned(), DocumentValue::Number(3.0)),
            ("b".to_owned(), DocumentValue::Number(2.0)),
        ];
        assert_eq!(map[1].1, DocumentValue::Map(expected.into()));
    }

    #[test]
    fn a_value_is_an_expression_of_javascript() {
        let text = "a: [1, 1.5, .inf, -.inf, true, null]\n__proto__: \"q\\\"\"\n";
        let expected = r#"{ ["a"]: [1, 1.5, Infinity, -Infinity, true, null], ["__proto__"]: "q\"" }"#;
        assert_eq!(yaml(text).unwrap().expression(), expected);
    }

    #[test]
    fn no_document_is_null_and_several_are_a_list() {
        assert_eq!(yaml(""), Ok(DocumentValue::Null));
        assert_eq!(
            yaml("--- 1\n--- .inf\n"),
            Ok(DocumentValue::List(vec![
                DocumentValue::Number(1.0),
                DocumentValue::Number(f64::INFINITY)
            ]))
        );
        assert!(yaml("a: [").is_err_and(|error| error.starts_with("YAML Parse error")));
    }
}
