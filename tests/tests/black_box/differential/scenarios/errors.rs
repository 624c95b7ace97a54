//! Errors and other values that functions throw.

use crate::differential::scenario::{BOTH, Scenario, calls, run, run_of, run_with};

const THROWN: [&str; 26] = [
    "error",
    "type-error",
    "custom-error",
    "error-with-cause",
    "non-retriable",
    "retry-after-text",
    "retry-after-number",
    "retry-after-date",
    "aggregate-error",
    "dom-exception",
    "thrown-text",
    "thrown-object",
    "thrown-null",
    "thrown-undefined",
    "thrown-unicode",
    "error-without-message",
    "runtime-null",
    "runtime-undefined-call",
    "runtime-json",
    "runtime-url",
    "runtime-stack",
    "runtime-array",
    "runtime-structured-clone",
    "runtime-atob",
    "runtime-header",
    "runtime-abort",
];

pub(super) fn errors() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for thrown in THROWN {
        for place in ["function", "step"] {
            let name: &'static str = format!("{thrown}-in-{place}").leak();
            scenarios.push(run(name, format!("`{thrown}` thrown in a {place}").leak(), BOTH));
        }
    }
    scenarios.extend([
        run("caught-step", "a `StepError` that is caught", BOTH),
        run("nested-catch", "nested `try` around steps", BOTH),
        run("uncaught-step", "a `StepError` that is not caught", BOTH),
        run("rethrown", "a `StepError` as the cause of another", BOTH),
        calls(
            "thrown-half-a-letter",
            "a message that is not valid Unicode",
            BOTH,
            |side| {
                let call = |name| side.executor().request(&run_of(name), "step");
                vec![
                    ("POST, in a function", call("thrown-half-a-letter-in-function")),
                    ("POST, in a step", call("thrown-half-a-letter-in-step")),
                ]
            },
        ),
        run_with("last-attempt", "an error on the last attempt", BOTH, || {
            run_of("error-in-function").attempt(2)
        }),
        run_with("on-failure", "`onFailure`", BOTH, || {
            let error = serde_json::json!({ "name": "Error", "message": "it broke", "stack": "Error: it broke" });
            run_of("guarded-failure")
                .on("inngest/function.failed")
                .with_data(serde_json::json!({
                    "function_id": "parity-guarded",
                    "run_id": "01JFAILED000000000000000000",
                    "error": error,
                    "event": { "name": "parity/guarded", "data": {} },
                }))
        }),
    ]);
    scenarios
}
