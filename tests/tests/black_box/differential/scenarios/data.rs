//! Results of functions and steps, and their input.

use serde_json::json;

use crate::differential::scenario::{BOTH, Scenario, calls, run, run_of, run_with};

const VALUES: [&str; 27] = [
    "undefined",
    "null",
    "false",
    "zero",
    "not-a-number",
    "numbers",
    "empty-text",
    "unicode",
    "date",
    "bigint",
    "looped",
    "with-undefined",
    "class-instance",
    "map-and-set",
    "bytes",
    "error",
    "url",
    "regexp",
    "key-order",
    "to-json",
    "response",
    "headers",
    "function",
    "symbol",
    "boxed",
    "proto",
    "deep",
];

pub(super) fn data() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for value in VALUES {
        for place in ["function", "step"] {
            let name: &'static str = format!("{value}-of-{place}").leak();
            scenarios.push(run(name, format!("`{value}` returned by a {place}").leak(), BOTH));
        }
    }
    scenarios.push(calls("half-a-letter", "text that is not valid Unicode", BOTH, |side| {
        let call = |name| side.executor().request(&run_of(name), "step");
        vec![
            ("POST, of a function", call("half-a-letter-of-function")),
            ("POST, of a step", call("half-a-letter-of-step")),
        ]
    }));
    // Inngest gives the output back by its API, not in the body of a request.
    scenarios.push(calls("big-output", "a step's output of 4 MiB", BOTH, |side| {
        vec![("POST", side.executor().request(&run_of("big-output"), "step"))]
    }));
    scenarios.push(calls("body-too-big", "a request of more than 4 MiB", BOTH, |side| {
        let run = run_of("no-steps").with_data(json!({ "text": "x".repeat(2 << 20) }));
        vec![("POST", side.executor().request(&run, "step"))]
    }));
    scenarios.push(run_with("echo", "an event with each kind of JSON value", BOTH, || {
        run_of("echo").with_data(json!({
            "text": "Grüße 🌍 \u{2028} \u{0} \u{7f}",
            "numbers": [0, -1, 1.5, 1e300, 9_007_199_254_740_991_u64],
            "none": null,
            "nested": { "a": [[], {}, [{}]] },
            "__proto__": { "polluted": true },
        }))
    }));
    scenarios.push(run_with("echo-big", "an event of 1 MiB", BOTH, || {
        run_of("echo").with_data(json!({ "text": "ä".repeat(512 * 1024) }))
    }));
    scenarios
}
