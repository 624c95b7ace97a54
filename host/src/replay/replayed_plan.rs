//! The plan that the SDK's answer to a replayed call tells.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::wire::{OPERATIONS, SdkAnswer, cut};

/// The way in which a run would go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayedPlan {
    /// The run goes on with these steps: their names by hashed id.
    Steps(BTreeMap<String, String>),
    /// The function returns.
    Ends,
    /// The function throws outside steps; the error in one line.
    Throws(String),
    /// The replay tells nothing, for this reason.
    Unknown(String),
}

/// The operations that tell the result of a step.
const RESULTS: [&str; 4] = ["Step", "StepRun", "StepError", "StepFailed"];
/// The operations that are no steps of a run.
const NO_STEPS: [&str; 3] = ["DeferAdd", "DeferAbort", "DiscoveryRequest"];

/// An operation of an answer.
#[derive(Deserialize)]
struct NamedOperation {
    id: String,
    op: String,
    #[serde(rename = "displayName")]
    display_name: Option<String>,
}

impl ReplayedPlan {
    /// Reads the plan from an answer.
    #[must_use]
    pub fn read(answer: &SdkAnswer<'_>) -> Self {
        if answer.ends_well() {
            return Self::Ends;
        }
        if answer.fails_function() {
            return Self::Throws(answer.error().unwrap_or_else(|| "an unknown error".to_owned()));
        }
        let status = answer.status();
        let operations = serde_json::from_slice::<Vec<NamedOperation>>(answer.body());
        let operations = operations.ok().filter(|_| status == OPERATIONS);
        let Some(operations) = operations else {
            return Self::Unknown(format!("the SDK answers the replay with status {status}"));
        };
        // The SDK was asked to run nothing.
        if operations.iter().any(|operation| RESULTS.contains(&&*operation.op)) {
            return Self::Unknown("the SDK runs steps where it is asked to plan them".to_owned());
        }
        let steps = operations
            .into_iter()
            .filter(|operation| !NO_STEPS.contains(&&*operation.op));
        Self::Steps(
            steps
                .map(|step| (cut(&step.id), cut(step.display_name.as_deref().unwrap_or(&step.id))))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::ReplayedPlan;
    use crate::wire::SdkAnswer;

    fn plan(status: u16, body: &str) -> ReplayedPlan {
        ReplayedPlan::read(&SdkAnswer::read((status, &[]), body.as_bytes()))
    }

    #[test]
    fn answers_are_read_as_plans() {
        let steps = |steps: &[(&str, &str)]| {
            let steps = steps.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned()));
            ReplayedPlan::Steps(steps.collect())
        };
        let planned = r#"[{"id":"h1","op":"StepPlanned","displayName":"charge"},{"id":"h2","op":"Sleep","name":"1h"},
            {"id":"h3","op":"DeferAdd"}]"#;
        assert_eq!(plan(206, planned), steps(&[("h1", "charge"), ("h2", "h2")]));
        assert_eq!(plan(206, "[]"), steps(&[]));
        assert_eq!(plan(200, "null"), ReplayedPlan::Ends);
        assert_eq!(plan(206, r#"[{"id":"c","op":"RunComplete"}]"#), ReplayedPlan::Ends);
        assert_eq!(
            plan(500, r#"{"name":"TypeError","message":"no"}"#),
            ReplayedPlan::Throws("TypeError: no".to_owned())
        );
        for (status, body) in [(204, ""), (206, "{"), (206, r#"[{"id":"h","op":"StepRun","data":1}]"#)] {
            assert!(
                matches!(plan(status, body), ReplayedPlan::Unknown(_)),
                "{status} {body}"
            );
        }
    }
}
