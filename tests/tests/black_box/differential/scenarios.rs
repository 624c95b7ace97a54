//! All scenarios, in the order of the table.

mod calls;
mod configured;
mod data;
mod engine;
mod errors;
mod runtime;
mod signed;
mod steps;

use harness::Sdk;

use super::scenario::Scenario;
use super::side::{Mode, Stage};

/// Scenarios that share a stage.
pub(super) struct Act {
    /// A heading of the table.
    pub(super) title: &'static str,
    pub(super) stage: Stage,
    pub(super) scenarios: Vec<Scenario>,
}

fn act(title: &'static str, stage: Stage, scenarios: Vec<Scenario>) -> Act {
    Act {
        title,
        stage,
        scenarios,
    }
}

/// Returns all acts.
pub(super) fn acts() -> Vec<Act> {
    let cloud = Stage {
        mode: Mode::Cloud,
        ..Stage::DEV
    };
    let streaming = Stage {
        mode: Mode::Streaming,
        ..Stage::DEV
    };
    let keyless = Stage {
        mode: Mode::Keyless,
        ..Stage::DEV
    };
    let apps = Stage {
        folder: "apps",
        ..Stage::DEV
    };
    let checkpoints_answered = |status| Stage {
        checkpoints: status,
        ..Stage::DEV
    };
    vec![
        act("Steps", Stage::DEV, steps::steps()),
        act("Waiting, events, requests", Stage::DEV, steps::waits()),
        act("Middleware", Stage::DEV, steps::middleware()),
        act("Checkpoints", Stage::DEV, steps::checkpoints()),
        act(
            "Checkpoints that Inngest cannot take",
            checkpoints_answered(500),
            vec![steps::checkpointed("checkpointed-refused", "Inngest answers 500")],
        ),
        act(
            "Checkpoints of a stale dispatch",
            checkpoints_answered(409),
            vec![steps::checkpointed("checkpointed-stale", "Inngest answers 409")],
        ),
        act("Errors", Stage::DEV, errors::errors()),
        act("Data", Stage::DEV, data::data()),
        act("Functions of the runtime", Stage::DEV, runtime::runtime()),
        act("The SDK's test engine, inside a function", Stage::DEV, engine::engine()),
        act("Configuration and registration", Stage::DEV, configured::configured()),
        act("Several apps", apps, configured::apps()),
        act("Requests", Stage::DEV, calls::calls()),
        act("A planned step that is missing", Stage::DEV, calls::unknown_step()),
        act("A caller that asks for streaming", streaming, calls::streaming()),
        act("Cloud mode, signed", cloud, signed::cloud()),
        act("Cloud mode without a key", keyless, signed::keyless()),
    ]
}

/// Returns the act with this title, for one SDK.
pub(super) fn act_called(title: &str, sdk: Sdk) -> Act {
    let mut act = acts()
        .into_iter()
        .find(|act| act.title == title)
        .expect("an act of this title");
    act.scenarios.retain(|scenario| scenario.sdks.contains(&sdk));
    act
}
