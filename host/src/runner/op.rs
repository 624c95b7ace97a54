//! The requests of a function to its executor; each is an element of a 206 body (inngest/inngest:
//! `pkg/enums/opcode.go`, `pkg/execution/state/opcode.go`).

use serde_json::Value;

use super::moment::Moment;
use crate::wire::Opcode;

/// An op that was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// A step ran, and this is its result.
    Ran { step: Step, data: Value },
    /// A step threw. `again` is false when the SDK knows that the failure is for good.
    Threw { step: Step, error: Value, again: bool },
    /// A step wants a call of its own.
    Planned(Step),
    /// A step whose outcome comes from outside of the code.
    Waits { step: Step, wait: Wait },
    /// The function returned.
    Returned(Value),
    /// The SDK asks to be called from the beginning once more.
    Rediscover,
    /// Work of Inngest's that a run does not wait for.
    Lazy { code: String },
    /// An op that is not known here.
    Unknown { code: String },
}

/// A step as its op describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// The id on the wire: SHA-1 of the user's name for the step, with a counter for repetitions.
    pub id: String,
    /// The user's id for the step: the text that `id` is made of.
    pub user_id: String,
    /// The user's name for the step: its id, unless the step has a name besides (`{ id, name }`).
    pub name: String,
    /// The kind that the SDK gives the step, such as `step.sendEvent`; nothing for a plain `step.run`.
    pub kind: Option<String>,
    /// Tells that the function goes on with the first step of the group to end (`group.parallel({mode: "race"})`).
    pub race: bool,
    /// The options of the op, such as the arguments that `step.run` passes on (`input`).
    pub opts: Value,
}

/// The thing that a step waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum Wait {
    Sleep(Moment),
    Event {
        name: String,
        /// The CEL expression over `event`, which began the run, and `async`, which has come.
        expression: Option<String>,
        timeout: Option<Moment>,
    },
    Signal {
        signal: String,
        timeout: Option<Moment>,
    },
    Invoke {
        /// `<app>-<function>`.
        function: String,
        payload: Value,
        timeout: Option<Moment>,
    },
    /// A request that Inngest makes on the function's behalf.
    Http(HttpRequest),
}

/// The request of `step.fetch` or `step.ai.infer`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpRequest {
    pub url: String,
    pub method: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Tells whether the request is to a language model: then the JSON of the answer is the outcome, and an answer
    /// without success is an error.
    pub infer: bool,
}

impl Op {
    #[must_use]
    pub fn read(op: &Value) -> Self {
        let code = || op["op"].as_str().unwrap_or_default().to_owned();
        let step = Step::read(op);
        let opts = &op["opts"];
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let timeout = text(&opts["timeout"]).map(|text| Moment::read(&text));
        let named = |option: &str| text(&opts[option]).or_else(|| text(&op["name"])).unwrap_or_default();
        match Opcode::of(op) {
            Opcode::StepRun => Self::Ran {
                step,
                data: op["data"].clone(),
            },
            code @ (Opcode::StepError | Opcode::StepFailed) => Self::Threw {
                again: code == Opcode::StepError && op["error"]["noRetry"] != true,
                error: op["error"].clone(),
                step,
            },
            Opcode::StepPlanned => Self::Planned(step),
            Opcode::Sleep => Self::Waits {
                step,
                wait: Wait::Sleep(Moment::read(&named("duration"))),
            },
            Opcode::WaitForEvent => Self::Waits {
                step,
                wait: Wait::Event {
                    name: named("event"),
                    expression: text(&opts["if"]),
                    timeout,
                },
            },
            Opcode::WaitForSignal => Self::Waits {
                step,
                wait: Wait::Signal {
                    signal: named("signal"),
                    timeout,
                },
            },
            Opcode::InvokeFunction => Self::Waits {
                step,
                wait: Wait::Invoke {
                    function: text(&opts["function_id"]).unwrap_or_default(),
                    payload: opts["payload"].clone(),
                    timeout,
                },
            },
            Opcode::AiGateway => Self::Waits {
                step,
                wait: Wait::Http(HttpRequest::infer(opts)),
            },
            Opcode::Gateway => Self::Waits {
                step,
                wait: Wait::Http(HttpRequest::fetch(opts)),
            },
            Opcode::RunComplete => Self::Returned(op["data"].clone()),
            Opcode::DiscoveryRequest => Self::Rediscover,
            Opcode::DeferAdd | Opcode::DeferAbort => Self::Lazy { code: code() },
            Opcode::Unknown => Self::Unknown { code: code() },
        }
    }

    /// The step that the op is about.
    #[must_use]
    pub const fn step(&self) -> Option<&Step> {
        match self {
            Self::Ran { step, .. } | Self::Threw { step, .. } | Self::Planned(step) | Self::Waits { step, .. } => {
                Some(step)
            }
            Self::Returned(_) | Self::Rediscover | Self::Lazy { .. } | Self::Unknown { .. } => None,
        }
    }
}

impl Step {
    fn read(op: &Value) -> Self {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let id = text(&op["id"]).unwrap_or_default();
        let user_id = text(&op["userland"]["id"]);
        let name = text(&op["displayName"]).or_else(|| user_id.clone());
        let name = name.or_else(|| text(&op["name"])).unwrap_or_else(|| id.clone());
        Self {
            user_id: user_id.unwrap_or_else(|| name.clone()),
            name,
            opts: op["opts"].clone(),
            kind: text(&op["opts"]["type"]),
            race: op["opts"]["parallelMode"] == "race",
            id,
        }
    }
}

impl HttpRequest {
    fn fetch(opts: &Value) -> Self {
        Self {
            url: opts["url"].as_str().unwrap_or_default().to_owned(),
            method: opts["method"].as_str().unwrap_or("GET").to_owned(),
            headers: headers(&opts["headers"]),
            body: body(&opts["body"]),
            infer: false,
        }
    }

    /// Reads a request to a language model. The key goes where the provider wants it (inngest/inngest:
    /// `pkg/util/aigateway`).
    fn infer(opts: &Value) -> Self {
        let mut headers = headers(&opts["headers"]);
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        let mut url = opts["url"].as_str().unwrap_or_default().to_owned();
        let key = opts["auth_key"].as_str().unwrap_or_default();
        match opts["format"].as_str() {
            Some("anthropic") => {
                headers.push(("x-api-key".to_owned(), key.to_owned()));
                if !headers
                    .iter()
                    .any(|(name, _)| name.eq_ignore_ascii_case("anthropic-version"))
                {
                    headers.push(("anthropic-version".to_owned(), "2023-06-01".to_owned()));
                }
            }
            Some("gemini") if !key.is_empty() && !url.contains("key=") => {
                let separator = if url.contains('?') { '&' } else { '?' };
                url = format!("{url}{separator}key={key}");
            }
            Some("gemini") => {}
            _ => headers.push(("authorization".to_owned(), format!("Bearer {key}"))),
        }
        Self {
            url,
            method: "POST".to_owned(),
            headers,
            body: body(&opts["body"]),
            infer: true,
        }
    }
}

fn headers(value: &Value) -> Vec<(String, String)> {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn body(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
