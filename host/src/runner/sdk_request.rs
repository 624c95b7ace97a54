//! The request of a call, as Inngest's executor writes it (inngest/inngest: `pkg/execution/driver`), but for one
//! thing: the request names no function of Inngest's database (`ctx.fn_id`), without which the SDK does not
//! checkpoint. So each step comes back by itself.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::id;
use super::machine::{Machine, SdkCall};
use crate::wire::{self, FUNCTION_PARAMETER, STEP_PARAMETER};

/// The largest body that a call may have; more state than that is fetched by the SDK.
const BODY_LIMIT: usize = 4 << 20;

/// A request to the SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdkRequest {
    /// Path and query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Tells whether the state was too large for the body: then the SDK asks for it.
    pub use_api: bool,
}

/// The address of the function that a run calls.
#[derive(Debug, Clone)]
pub struct Address {
    /// The path: `/api/inngest`, or that of an app.
    pub path: String,
    /// `<app>-<function>`.
    pub function: String,
    pub run: String,
}

#[must_use]
pub fn request(address: &Address, event: &Value, machine: &Machine, call: &SdkCall) -> SdkRequest {
    let step = call.target.step_id();
    let dispatch = Dispatch {
        request: id::ulid(),
        job: id::ulid(),
    };
    let whole = body(address, event, machine, call, &dispatch, false);
    let use_api = whole.len() > BODY_LIMIT;
    let body = if use_api {
        self::body(address, event, machine, call, &dispatch, true)
    } else {
        whole
    };
    let traceparent = trace(&address.run);
    let headers = [
        // The SDK passes this on where a step sends events, which tells the run that sent them.
        ("traceparent", traceparent.as_str()),
        ("content-type", "application/json"),
        ("user-agent", "Inngest"),
        (wire::RUN, &address.run),
        (wire::REQUEST, &dispatch.request),
        (wire::QUEUE_GENERATION, "1"),
        (wire::JOB, &dispatch.job),
        (wire::VERSION, &machine.version().to_string()),
        (wire::STEP, step),
    ];
    SdkRequest {
        path: format!(
            "{}?{FUNCTION_PARAMETER}={}&{STEP_PARAMETER}={step}",
            address.path,
            encoded(&address.function)
        ),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body,
        use_api,
    }
}

/// Returns the trace of a run, as W3C's Trace Context writes it; the run's id is the trace's.
fn trace(run: &str) -> String {
    let number = id::number(run).unwrap_or_default();
    format!("00-{number:032x}-{:016x}-01", (number & u128::from(u64::MAX)) | 1)
}

/// Returns the run to whose trace a `traceparent` belongs.
#[must_use]
pub fn run_of_trace(traceparent: &str) -> Option<String> {
    let number = traceparent.split('-').nth(1)?;
    u128::from_str_radix(number, 16).ok().map(id::text)
}

/// Encodes a text as a part of a URL.
#[must_use]
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

struct Dispatch {
    request: String,
    job: String,
}

fn body(
    address: &Address,
    event: &Value,
    machine: &Machine,
    call: &SdkCall,
    dispatch: &Dispatch,
    use_api: bool,
) -> String {
    let memory = machine.memory();
    let steps: Map<String, Value> = if use_api {
        Map::new()
    } else {
        memory.iter().cloned().collect()
    };
    let stack: Vec<&String> = memory.iter().map(|(id, _)| id).collect();
    json!({
        "event": event,
        "events": [event],
        "steps": steps,
        "defers": {},
        "ctx": {
            "run_id": address.run,
            "env": "",
            "step_id": call.target.step_id(),
            "attempt": call.attempt,
            "max_attempts": machine.max_attempts(),
            "stack": { "stack": stack, "current": stack.len() },
            "qi_id": dispatch.job,
            "job_id": dispatch.job,
            "request_id": dispatch.request,
            "generation_id": 1,
            "disable_immediate_execution": machine.plan_only(),
            "use_api": use_api,
        },
        "version": machine.version(),
        "use_api": use_api,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_trace_names_its_run() {
        let run = super::id::ulid();
        let trace = super::trace(&run);
        assert_eq!(trace.len(), 55);
        assert_eq!(super::run_of_trace(&trace).as_deref(), Some(&*run));
        assert_eq!(super::run_of_trace("x"), None);
    }

    #[test]
    fn ids_may_be_any_text() {
        assert_eq!(super::encoded("my app-hello_1"), "my%20app-hello_1");
        assert_eq!(super::encoded("é&?"), "%C3%A9%26%3F");
    }
}
