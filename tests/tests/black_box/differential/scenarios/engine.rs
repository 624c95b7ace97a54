//! `@inngest/test` inside a function.

use crate::differential::scenario::{BOTH, Scenario, run};

pub(super) fn engine() -> Vec<Scenario> {
    vec![
        run("engine-execute", "`execute`", BOTH),
        run("engine-execute-step", "`executeStep`", BOTH),
        run("engine-mocked", "mocked steps", BOTH),
        run("engine-parallel", "steps in parallel", BOTH),
        run("engine-error", "a step that fails", BOTH),
        run("engine-exports", "the names that the CommonJS package exports", BOTH),
        run("engine-send-event", "mocked `sendEvent`", BOTH),
    ]
}
