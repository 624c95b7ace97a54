//! Values of `baton.toml` that are more than TOML's: durations, numbers within bounds, commands, paths, codes of
//! warnings.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::duration::parse_duration;
use crate::lint::{WarningCode, parse_code};

/// The bounds of a number in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    least: usize,
    most: usize,
    unit: &'static str,
}

impl Bounds {
    /// The bounds for the JavaScript heap. V8 ends the process where an isolate cannot boot.
    pub const HEAP: Self = Self {
        least: 32,
        most: 1 << 20,
        unit: " MiB",
    };
    /// The bounds for array buffers.
    pub const BUFFERS: Self = Self {
        least: 1,
        most: 1 << 20,
        unit: " MiB",
    };
    /// The bounds for the number of isolates of a generation.
    pub const ISOLATES: Self = Self {
        least: 1,
        most: 1024,
        unit: "",
    };

    /// Parses a number within the bounds.
    ///
    /// # Errors
    /// With a text for the person who wrote it.
    pub fn parse(self, text: &str) -> Result<usize, String> {
        let number = text.trim().parse::<usize>();
        let number = number.map_err(|_| format!("expected a number from {self}, got {text:?}"))?;
        self.check(number)
    }

    fn check(self, number: usize) -> Result<usize, String> {
        let is_within = (self.least..=self.most).contains(&number);
        is_within
            .then_some(number)
            .ok_or_else(|| format!("expected a number from {self}, got {number}"))
    }

    fn deserialize<'de, D: Deserializer<'de>>(
        self,
        key: &str,
        deserializer: D,
    ) -> Result<Option<NonZeroUsize>, D::Error> {
        let number = Option::<usize>::deserialize(deserializer)?;
        let number = number.map(|number| self.check(number)).transpose();
        let number = number.map_err(|error| serde::de::Error::custom(format!("{key}: {error}")))?;
        Ok(number.and_then(NonZeroUsize::new))
    }
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} to {}{}", self.least, self.most, self.unit)
    }
}

pub(super) fn heap_limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroUsize>, D::Error> {
    Bounds::HEAP.deserialize("heap_limit", deserializer)
}

pub(super) fn buffer_limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroUsize>, D::Error> {
    Bounds::BUFFERS.deserialize("buffer_limit", deserializer)
}

pub(super) fn isolates<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroUsize>, D::Error> {
    Bounds::ISOLATES.deserialize("isolates", deserializer)
}

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| parse_duration(&text).map_err(serde::de::Error::custom))
        .transpose()
}

pub(super) fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "expected a list of a program and its arguments, or one line for the shell"
    )]
    enum SecretCommandValue {
        Line(String),
        Program(Vec<String>),
    }
    let written = Option::<SecretCommandValue>::deserialize(deserializer)?;
    Ok(written.map(|written| match written {
        SecretCommandValue::Line(line) => vec!["sh".to_owned(), "-c".to_owned(), line],
        SecretCommandValue::Program(program) => program,
    }))
}

pub(super) fn url_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(path) if !path.starts_with('/') => Err(serde::de::Error::custom(format!(
            "expected a path that begins with a slash, as \"/api/inngest\", got {path:?}"
        ))),
        path => Ok(path),
    }
}

pub(super) fn codes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<WarningCode>, D::Error> {
    let codes = Vec::<String>::deserialize(deserializer)?;
    let known = codes
        .iter()
        .map(|code| parse_code(code).map_err(serde::de::Error::custom));
    known.collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::Bounds;
    use crate::config::ConfigFile;

    #[test]
    fn numbers_beyond_their_bounds_are_errors_that_name_the_key() {
        for (text, said) in [
            (
                "heap_limit = 8",
                "heap_limit: expected a number from 32 to 1048576 MiB, got 8",
            ),
            ("heap_limit = 17592186044416", "heap_limit: expected a number from 32"),
            (
                "buffer_limit = 17592186044416",
                "buffer_limit: expected a number from 1 to",
            ),
            ("buffer_limit = 0", "buffer_limit: expected a number from 1 to"),
            (
                "isolates = 9223372036854775807",
                "isolates: expected a number from 1 to 1024, got",
            ),
        ] {
            let error = toml::from_str::<ConfigFile>(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        let accepted: ConfigFile = toml::from_str("heap_limit = 32\nisolates = 1024").unwrap();
        assert_eq!(accepted.isolates, NonZeroUsize::new(1024));
        assert!(Bounds::HEAP.parse("x").unwrap_err().contains("from 32"));
    }
}
