//! The list of Baton's differences from other runtimes: `tests/behaviours/differences.toml`.
//! Nothing else may differ, and each listed case has to.

use serde::Deserialize;

use super::runtime::Runtime;

const FILE: &str = include_str!("../../../behaviours/differences.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    difference: Vec<Difference>,
}

/// The kind of a difference: it stays, or it has to go.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// Baton differs on purpose.
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
    /// The name of the file of cases.
    pub(super) topic: String,
    pub(super) cases: Vec<String>,
    pub(super) kind: Kind,
    pub(super) reason: String,
}

impl Difference {
    /// Returns all listed differences from a runtime.
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

    /// Returns the difference that lists a case.
    pub(super) fn of<'a>(listed: &'a [Self], topic: &str, case: &str) -> Option<&'a Self> {
        listed
            .iter()
            .find(|difference| difference.topic == topic && difference.cases.iter().any(|name| name == case))
    }
}
