//! The list of Baton's answers that differ from Node's: `tests/differences.toml`. Each entry has a reason.
//! Nothing else may differ, and each listed text has to.

use harness::Sdk;
use serde::Deserialize;

use super::diff;

const FILE: &str = include_str!("../../../differences.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
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

/// One entry: a text in the transcript of Node, and the text that stands everywhere in its place in that of
/// Baton.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Difference {
    /// The scenarios in which the difference has to occur.
    pub(super) scenarios: Vec<String>,
    /// The SDKs with which the difference occurs (`v4`, `v3`); both when not given.
    #[serde(default = "both")]
    pub(super) sdks: Vec<String>,
    /// The text in Node's transcript: a part of a line, or lines.
    pub(super) node: String,
    /// The text in Baton's transcript.
    pub(super) baton: String,
    pub(super) kind: Kind,
    pub(super) reason: String,
}

fn both() -> Vec<String> {
    [Sdk::V4, Sdk::V3].map(|sdk| sdk.folder().to_owned()).into()
}

impl Difference {
    /// Returns all listed differences.
    pub(super) fn all() -> Vec<Self> {
        let file: File = toml::from_str(FILE).unwrap_or_else(|error| panic!("tests/differences.toml: {error}"));
        file.difference
    }

    /// Tells whether the difference is expected of this scenario.
    pub(super) fn concerns(&self, scenario: &str, sdk: Sdk) -> bool {
        self.scenarios.iter().any(|name| name == scenario) && self.sdks.iter().any(|name| name == sdk.folder())
    }

    /// Returns the transcript as it would be if Node did the same as Baton, or nothing when Node's transcript
    /// has no such place.
    fn applied_to(&self, transcript: &str) -> Option<String> {
        let node = trimmed(&self.node);
        transcript
            .contains(&node)
            .then(|| transcript.replace(&node, &trimmed(&self.baton)))
    }
}

/// Returns the faults in the differences of a scenario, or nothing.
pub(super) fn judge(scenario: &str, sdk: Sdk, node: &[String], baton: &[String]) -> Option<String> {
    let mut complaint = String::new();
    let (mut expected, actual) = (node.join("\n"), baton.join("\n"));
    for listed in Difference::all() {
        if !listed.concerns(scenario, sdk) {
            continue;
        }
        match listed.applied_to(&expected) {
            Some(applied) if actual.contains(&trimmed(&listed.baton)) => expected = applied,
            _ => complaint.push_str(&format!(
                "\n  listed in tests/differences.toml, and it does not occur: {}\n--- Node\n{}\n--- Baton\n{}\n",
                listed.reason,
                trimmed(&listed.node),
                trimmed(&listed.baton)
            )),
        }
    }
    let expected: Vec<_> = expected.lines().map(ToOwned::to_owned).collect();
    for hunk in diff::hunks(&expected, baton) {
        complaint.push_str(&format!("\n  Node (-) and Baton (+) differ:\n{hunk}"));
    }
    (!complaint.is_empty()).then(|| format!("{} {scenario}{complaint}", sdk.folder()))
}

fn trimmed(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}
