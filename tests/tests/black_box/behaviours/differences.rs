//! The list of where Baton does otherwise: `tests/behaviours/differences.toml`. Nothing else may
//! differ, and what is listed has to.

use serde::Deserialize;

use super::runtime::Runtime;

const FILE: &str = include_str!("../../../behaviours/differences.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    difference: Vec<Difference>,
}

/// Whether a difference stays.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// Baton does so on purpose.
    ByDesign,
    /// Baton has to change.
    ToBeFixed,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Model {
    Node,
    Bun,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Difference {
    from: Model,
    /// The file of cases.
    pub(super) topic: String,
    pub(super) cases: Vec<String>,
    pub(super) kind: Kind,
    pub(super) reason: String,
}

impl Difference {
    /// Everything that is listed as different from a runtime.
    pub(super) fn all_from(runtime: Runtime) -> Vec<Self> {
        let file: File = toml::from_str(FILE).unwrap_or_else(|error| panic!("differences.toml: {error}"));
        let model = match runtime {
            Runtime::Node => Model::Node,
            Runtime::Bun => Model::Bun,
            Runtime::Deno | Runtime::Baton => panic!("Baton is not compared with {}", runtime.name()),
        };
        file.difference
            .into_iter()
            .filter(|difference| difference.from == model)
            .collect()
    }

    /// The one that a case is in.
    pub(super) fn of<'a>(listed: &'a [Self], topic: &str, case: &str) -> Option<&'a Self> {
        listed
            .iter()
            .find(|difference| difference.topic == topic && difference.cases.iter().any(|name| name == case))
    }
}
