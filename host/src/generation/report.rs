//! The report on a reload, as its requester reads it: the answer of `PUT /api/reload`.

use std::collections::BTreeMap;

use js_runtime_api::{Function, LoadError, Manifest, Warning};
use serde::{Deserialize, Serialize};

use super::state::GenerationId;
use crate::canary::Share;
use crate::release::ReleaseName;
use crate::replay::ReplayReport;

/// The report on a request for a load. It is serialised as the routes answer it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The time from the request's turn to the answer, in milliseconds.
    pub took_ms: f64,
}

/// The outcome of a request for a load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// New code serves.
    Activated {
        generation: GenerationId,
        previous: Option<GenerationId>,
        /// The earlier generation whose code this is.
        #[serde(skip_serializing_if = "Option::is_none")]
        restored_from: Option<GenerationId>,
        hash: String,
        git: Option<String>,
        /// The release that the code is of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        release: Option<ReleaseName>,
        functions: FunctionChanges,
        draining: Vec<DrainingGeneration>,
        warnings: Vec<Warning>,
        /// The replays of live runs, where `deny` had them come first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replay: Option<ReplayReport>,
    },
    /// New code gets a part of the new runs.
    Canary {
        generation: GenerationId,
        /// The generation that serves all other runs.
        current: GenerationId,
        share: Share,
        hash: String,
        git: Option<String>,
        functions: FunctionChanges,
        warnings: Vec<Warning>,
        /// The functions of the gate, which have completed in it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        gate: Vec<String>,
    },
    /// No file differs from what the current generation read.
    Unchanged { generation: GenerationId, hash: String },
    /// The code could be served; it is not, since only a check was asked for.
    Checked {
        /// The generation that still serves.
        generation: Option<GenerationId>,
        hash: String,
        git: Option<String>,
        functions: FunctionChanges,
        warnings: Vec<Warning>,
        /// The replays of live runs; none where no run is live.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replay: Option<ReplayReport>,
    },
    /// The code cannot be served; nothing changed.
    Rejected {
        /// The generation that still serves.
        generation: Option<GenerationId>,
        error: LoadError,
    },
    /// There is no such generation to go back to.
    NotKept {
        generation: Option<GenerationId>,
        /// The generations that one can go back to.
        kept: Vec<GenerationId>,
        error: RollbackRefusal,
    },
    /// The host ended before the load.
    ShuttingDown,
    /// Another host took over before the request's turn came: that host is to be asked.
    HandedOver,
}

/// The reason why a rollback has nothing to go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackRefusal {
    pub message: String,
    pub help: String,
}

impl RollbackRefusal {
    pub(super) fn new(wanted: Option<GenerationId>, kept: &[GenerationId]) -> Self {
        let message = match wanted {
            Some(id) => format!("the code of generation {id} is not kept"),
            None => "no generation served before the current one".to_owned(),
        };
        let kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
        let help = match kept.as_slice() {
            [] => "Reload first: Baton keeps the code of each generation that has served.".to_owned(),
            kept => format!("Choose one of the kept generations: {}.", kept.join(", ")),
        };
        Self { message, help }
    }
}

impl Outcome {
    /// The `status` of the answer.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Activated { .. } => "activated",
            Self::Canary { .. } => "canary",
            Self::Unchanged { .. } => "unchanged",
            Self::Checked { .. } => "checked",
            Self::Rejected { .. } => "rejected",
            Self::NotKept { .. } => "not_kept",
            Self::ShuttingDown => "shutting_down",
            Self::HandedOver => "handed_over",
        }
    }

    /// The generation that serves after the request.
    #[must_use]
    pub const fn serving(&self) -> Option<GenerationId> {
        match self {
            Self::Activated { generation, .. } | Self::Unchanged { generation, .. } => Some(*generation),
            Self::Canary { current, .. } => Some(*current),
            Self::Checked { generation, .. } | Self::Rejected { generation, .. } | Self::NotKept { generation, .. } => {
                *generation
            }
            Self::ShuttingDown | Self::HandedOver => None,
        }
    }
}

/// The differences between the functions of two generations, as ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionChanges {
    pub count: usize,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    /// The functions whose configuration changed, or the project's code that they are made of.
    pub changed: Vec<String>,
}

/// A generation that finishes its calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainingGeneration {
    pub generation: GenerationId,
    pub in_flight: usize,
}

impl FunctionChanges {
    /// Compares the functions of the current generation, if there is one, with a new one's.
    #[must_use]
    pub fn between(current: Option<&Manifest>, new: &Manifest) -> Self {
        let by_id = |manifest: &Manifest| -> BTreeMap<String, Function> {
            manifest
                .functions()
                .map(|(_, function)| (function.id.clone(), function.clone()))
                .collect()
        };
        let old = current.map(by_id).unwrap_or_default();
        let new = by_id(new);
        let mut changes = Self {
            count: new.len(),
            removed: old.keys().filter(|id| !new.contains_key(*id)).cloned().collect(),
            ..Self::default()
        };
        for (id, function) in new {
            match old.get(&id) {
                None => changes.added.push(id),
                Some(before) if *before != function => changes.changed.push(id),
                Some(_) => {}
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use js_runtime_api::{App, Function, Manifest};

    use super::FunctionChanges;

    fn manifest(functions: &[(&str, &str)]) -> Manifest {
        let functions = functions.iter().map(|(id, hash)| Function {
            id: (*id).to_owned(),
            source_hash: Some((*hash).to_owned()),
            ..Function::default()
        });
        let app = App {
            id: "app".to_owned(),
            functions: functions.collect(),
            ..App::default()
        };
        Manifest {
            apps: vec![app],
            ..Manifest::default()
        }
    }

    #[test]
    fn functions_are_told_apart_by_id_and_by_what_they_are_made_of() {
        let old = manifest(&[("gone", "1"), ("same", "1"), ("edited", "1")]);
        let new = manifest(&[("same", "1"), ("edited", "2"), ("fresh", "1")]);
        let changes = FunctionChanges::between(Some(&old), &new);
        assert_eq!(changes.count, 3);
        assert_eq!(changes.added, ["fresh"]);
        assert_eq!(changes.removed, ["gone"]);
        assert_eq!(changes.changed, ["edited"]);
    }

    #[test]
    fn at_the_start_everything_is_added() {
        let changes = FunctionChanges::between(None, &manifest(&[("one", "1")]));
        assert_eq!(changes.added, ["one"]);
    }
}
