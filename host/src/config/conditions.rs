//! The conditions that choose between the exports of a package, beside those that always hold: from `[resolve]` in
//! `baton.toml`, and from the `NODE_OPTIONS` that the host was started with.

use serde::{Deserialize, Deserializer};

use super::ConfigFile;

/// `[resolve]`: the settings for reading specifiers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveSection {
    /// Conditions of `exports` and `imports` in a `package.json`: `["react-server"]`.
    #[serde(default, deserialize_with = "names")]
    pub conditions: Vec<String>,
}

/// Returns the conditions of a project, each once. `node_options`: the variable's value.
pub(super) fn conditions(config: &ConfigFile, node_options: Option<&str>) -> Vec<String> {
    let mut conditions = config.resolve.conditions.clone();
    conditions.extend(of_node_options(node_options.unwrap_or_default()));
    let mut seen = std::collections::BTreeSet::new();
    conditions.retain(|condition| seen.insert(condition.clone()));
    conditions
}

/// The values of `--conditions` and `-C`. All other options in the text are Node's own.
fn of_node_options(options: &str) -> Vec<String> {
    let mut words = words(options).into_iter();
    let mut conditions = Vec::new();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if name == "--conditions" || name == "-C" {
            conditions.extend(value.or_else(|| words.next()));
        }
    }
    conditions
}

/// Splits as Node does: at spaces outside of double quotes, within which a backslash escapes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => word.extend(characters.next()),
            ' ' if !is_quoted => words.push(std::mem::take(&mut word)),
            _ => word.push(character),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a list of conditions, as [\"react-server\"]")]
    enum ConditionNames {
        Names(Vec<String>),
    }
    let ConditionNames::Names(names) = ConditionNames::deserialize(deserializer)?;
    let is_name = |name: &String| !name.is_empty() && !name.contains(char::is_whitespace);
    match names.iter().find(|name| !is_name(name)) {
        Some(wrong) => Err(serde::de::Error::custom(format!(
            "{wrong:?} is not a condition: write a name without spaces, as \"react-server\""
        ))),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::{ConfigFile, ResolveSection, conditions};

    #[test]
    fn conditions_of_the_file_come_before_those_of_node_options_each_once() {
        let of = |own: &[&str], node_options| {
            let resolve = ResolveSection {
                conditions: own.iter().map(|name| (*name).to_owned()).collect(),
            };
            let config = ConfigFile {
                resolve,
                ..ConfigFile::default()
            };
            conditions(&config, node_options)
        };
        assert_eq!(of(&["a", "b"], None), ["a", "b"]);
        assert_eq!(of(&["a"], Some("--conditions=b -C c -C a")), ["a", "b", "c"]);
        assert_eq!(
            of(
                &[],
                Some("--max-old-space-size=4096 --conditions react-server --enable-source-maps")
            ),
            ["react-server"]
        );
        assert_eq!(of(&[], Some("--require \"./a -C no.js\" \"--conditions=x\"")), ["x"]);
        assert!(of(&[], Some("--experimental-default-type=module -C")).is_empty());
        assert!(of(&[], None).is_empty());
    }
}
