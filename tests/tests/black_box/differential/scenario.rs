//! A scenario, which is played on both sides: one row of the table of
//! comparisons.

use harness::http::Call;
use harness::{Op, Run, Sdk};
use serde_json::{Value, json};

use super::side::Side;

/// One thing to compare.
pub(super) struct Scenario {
    /// Its name in the list of differences.
    pub(super) name: &'static str,
    /// The method, option or case, for the table.
    pub(super) covers: &'static str,
    /// The SDKs that have it.
    pub(super) sdks: &'static [Sdk],
    pub(super) script: Script,
}

/// The way in which a scenario is played.
pub(super) enum Script {
    /// A run from its first call to its end.
    Run(Box<dyn Fn() -> Run + Send + Sync>),
    /// Requests in this order, each with a name.
    Calls(Calls),
}

type Calls = fn(&Side) -> Vec<(&'static str, Call)>;

pub(super) const BOTH: &[Sdk] = &[Sdk::V4, Sdk::V3];
pub(super) const V4: &[Sdk] = &[Sdk::V4];
pub(super) const V3: &[Sdk] = &[Sdk::V3];

/// Makes a scenario of a run of the function with this name, which is the
/// scenario's name too.
pub(super) fn run(name: &'static str, covers: &'static str, sdks: &'static [Sdk]) -> Scenario {
    run_with(name, covers, sdks, move || run_of(name))
}

/// Makes a scenario as [`run`] does, with a run of its own.
pub(super) fn run_with(
    name: &'static str,
    covers: &'static str,
    sdks: &'static [Sdk],
    run: impl Fn() -> Run + Send + Sync + 'static,
) -> Scenario {
    Scenario {
        name,
        covers,
        sdks,
        script: Script::Run(Box::new(run)),
    }
}

/// Makes a scenario of requests.
pub(super) fn calls(name: &'static str, covers: &'static str, sdks: &'static [Sdk], calls: Calls) -> Scenario {
    Scenario {
        name,
        covers,
        sdks,
        script: Script::Calls(calls),
    }
}

/// Returns a run of a function of the fixture.
pub(super) fn run_of(function: &str) -> Run {
    Run::of(&format!("parity-{function}")).with_data(json!({ "id": 7, "name": "Ada" }))
}

/// Returns the outcome of an op that Inngest executes itself.
pub(super) fn outcome(op: &Op) -> Value {
    match op.code() {
        "Sleep" | "DeferAdd" => Value::Null,
        "WaitForEvent" => json!({ "name": op.0["name"], "data": { "id": 7, "by": "Grace" } }),
        "WaitForSignal" => json!({ "data": { "signal": op.0["opts"]["signal"], "data": { "by": "Grace" } } }),
        "InvokeFunction" => json!({ "data": { "invoked": op.0["opts"]["function_id"] } }),
        "AIGateway" => json!({ "data": { "choices": [{ "message": { "content": "42" } }] } }),
        "Gateway" => json!({ "data": {
            "status_code": 201,
            "headers": { "content-type": "text/plain", "x-from": "the gateway" },
            "body": "fetched for you",
        } }),
        code => panic!("an op that nobody has heard of: {code}: {op:?}"),
    }
}
