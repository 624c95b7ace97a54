//! `watch` in `baton.toml`: a mode, or a table with one and with globs.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IntoDeserializer as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::WatchMode;
use crate::watch;

/// `watch = "files"`, or `[watch]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchSection {
    /// The changes that lead to a reload.
    pub mode: Option<WatchMode>,
    /// Files that belong to the code though no module reads them, relative to the project's root.
    pub include: Vec<String>,
    /// Files whose changes are no reason to look.
    pub ignore: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WatchTable {
    mode: Option<WatchMode>,
    #[serde(default, deserialize_with = "globs")]
    include: Vec<String>,
    #[serde(default, deserialize_with = "globs")]
    ignore: Vec<String>,
}

fn globs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let globs = Vec::<String>::deserialize(deserializer)?;
    for glob in &globs {
        if glob.starts_with('/') || glob.split('/').any(|part| part == "..") {
            return Err(Error::custom(format!(
                "{glob:?} leads out of the project: write it relative to its root, as \"prompts/**/*.md\""
            )));
        }
        watch::check_glob(glob).map_err(|reason| Error::custom(format!("{glob:?} is not a glob: {reason}")))?;
    }
    Ok(globs)
}

impl<'de> Deserialize<'de> for WatchSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WatchVisitor;
        impl<'de> Visitor<'de> for WatchVisitor {
            type Value = WatchSection;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("\"files\", \"git-ref\" or \"off\", or a table with mode, include and ignore")
            }

            fn visit_str<E: Error>(self, mode: &str) -> Result<WatchSection, E> {
                let mode = WatchMode::deserialize(mode.into_deserializer())?;
                Ok(WatchSection {
                    mode: Some(mode),
                    ..WatchSection::default()
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WatchSection, A::Error> {
                let WatchTable { mode, include, ignore } = WatchTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(WatchSection { mode, include, ignore })
            }
        }
        deserializer.deserialize_any(WatchVisitor)
    }
}
