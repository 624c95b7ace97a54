//! The answer to a call, read as Inngest's executor reads it (inngest/inngest:
//! `pkg/execution/driver/httpdriver`).

use serde_json::{Value, json};

use super::moment::Moment;
use super::op::Op;
use crate::net::HttpAnswer;
use crate::wire::{self, StreamedAnswer};

/// The content of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The function returned.
    Returned(Value),
    /// The function goes on.
    Ops {
        /// The execution version that the SDK has chosen.
        version: Option<i64>,
        ops: Vec<Op>,
        /// The moment at which a step that threw is to be tried again.
        after: Option<Moment>,
    },
    /// The function threw, or there is no answer that can be read.
    Failed {
        error: Value,
        again: bool,
        after: Option<Moment>,
    },
}

impl Answer {
    #[must_use]
    pub fn read(raw: &HttpAnswer) -> Self {
        let after = raw.header("retry-after").and_then(Moment::retry_after);
        let body: Result<Value, _> = serde_json::from_slice(&raw.body);
        let failed = |error| Self::Failed {
            error,
            // The next call would have no signature either.
            again: raw.status != 401 && raw.header(wire::NO_RETRY) != Some("true"),
            after: after.clone(),
        };
        if !matches!(raw.status, 200 | wire::STREAMED | wire::OPERATIONS) {
            return failed(error_of(raw.status, body.ok(), &raw.body));
        }
        if raw.header(wire::SDK).is_none() {
            return failed(error(
                "NotTheSdk",
                "the answer is not from Inngest's SDK: what the project serves at /api/inngest is something else",
            ));
        }
        let Ok(body) = body else {
            return failed(error("UnreadableAnswer", "the SDK's answer is not valid JSON"));
        };
        match raw.status {
            wire::STREAMED if let Some(streamed) = StreamedAnswer::read(&raw.body) => {
                Self::read(&taken_out(raw, streamed))
            }
            wire::OPERATIONS => Self::Ops {
                version: raw.header(wire::VERSION).and_then(|text| text.parse().ok()),
                ops: match &body {
                    Value::Array(ops) => ops.iter().map(Op::read).collect(),
                    op => vec![Op::read(op)],
                },
                after,
            },
            _ => Self::Returned(body),
        }
    }

    /// Returns the answer to a call that has none: the caller could not reach the host, or the host ended.
    #[must_use]
    pub fn lost(why: &str) -> Self {
        Self::Failed {
            error: error("LostCall", why),
            again: true,
            after: None,
        }
    }
}

/// An error of the runner's own, in the shape of the errors that the SDK serialises.
#[must_use]
pub fn error(name: &str, message: &str) -> Value {
    json!({"name": name, "message": message})
}

/// Returns the name and the message of an error of user code, in one text.
#[must_use]
pub fn title(error: &Value) -> String {
    let message = match &error["message"] {
        Value::String(message) => message.clone(),
        _ => error.to_string(),
    };
    match error["name"].as_str() {
        Some(name) => format!("{name}: {message}"),
        None => message,
    }
}

fn taken_out(raw: &HttpAnswer, streamed: StreamedAnswer) -> HttpAnswer {
    let mut headers = raw.headers.clone();
    headers.retain(|(known, _)| !streamed.headers.keys().any(|name| name.eq_ignore_ascii_case(known)));
    headers.extend(streamed.headers());
    HttpAnswer {
        // An envelope within an envelope is none of the SDK's.
        status: if streamed.status == wire::STREAMED {
            200
        } else {
            streamed.status
        },
        headers,
        body: streamed.into_body(),
    }
}

/// The error in a body: as the SDK serialises it, as the host answers, or as somebody else does.
fn error_of(status: u16, body: Option<Value>, bytes: &[u8]) -> Value {
    match body {
        // Some answers are a serialised error within a string.
        Some(Value::String(text)) => match serde_json::from_str::<Value>(&text) {
            Ok(inner) if inner["message"].is_string() => inner,
            _ => error("Error", &text),
        },
        Some(body) if body["message"].is_string() && status == 401 => error(
            "Unauthorized",
            "the SDK expects signed calls: its client is in cloud mode, and `baton invoke` does not sign. Serve with \
             INNGEST_DEV=1 (`baton dev` does), or leave `isDev: false` out of the client's options",
        ),
        Some(body) if body["message"].is_string() => body,
        Some(body) if body["error"]["message"].is_string() => {
            let message = body["error"]["message"].as_str().unwrap_or_default();
            let help = body["error"]["help"].as_str().unwrap_or_default();
            error("HostError", format!("{message}. {help}").trim())
        }
        Some(body) if body["error"].is_string() => error("Error", body["error"].as_str().unwrap_or_default()),
        _ => {
            let text: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
            error("UnreadableAnswer", &format!("status {status}: {text}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Answer, HttpAnswer};
    use crate::runner::op::Op;

    fn raw(status: u16, headers: &[(&str, &str)], body: &Value) -> HttpAnswer {
        let sdk = ("x-inngest-sdk", "inngest-js:v4");
        let headers = headers.iter().chain([&sdk]);
        HttpAnswer {
            status,
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.to_string().into_bytes(),
        }
    }

    #[test]
    fn a_200_is_what_the_function_returned() {
        assert_eq!(
            Answer::read(&raw(200, &[], &json!({"a": 1}))),
            Answer::Returned(json!({"a": 1}))
        );
    }

    #[test]
    fn a_206_pins_the_version_and_has_one_op_or_many() {
        let op = json!({"op": "StepPlanned", "id": "x", "displayName": "left"});
        for body in [json!([op]), op] {
            let answer = Answer::read(&raw(206, &[("x-inngest-req-version", "2")], &body));
            let Answer::Ops { version, ops, .. } = answer else {
                panic!("{answer:?}")
            };
            assert_eq!(version, Some(2));
            assert!(matches!(&ops[..], [Op::Planned(step)] if step.name == "left"));
        }
    }

    #[test]
    fn an_error_says_whether_and_when_to_try_again() {
        let error = json!({"name": "RetryAfterError", "message": "busy"});
        let headers = [("x-inngest-no-retry", "false"), ("retry-after", "30")];
        let answer = Answer::read(&raw(500, &headers, &error));
        assert!(
            matches!(
                answer,
                Answer::Failed {
                    again: true,
                    after: Some(_),
                    ..
                }
            ),
            "{answer:?}"
        );
        let answer = Answer::read(&raw(400, &[("x-inngest-no-retry", "true")], &error));
        assert!(
            matches!(
                answer,
                Answer::Failed {
                    again: false,
                    after: None,
                    ..
                }
            ),
            "{answer:?}"
        );
    }

    #[test]
    fn who_is_not_the_sdk_is_not_believed() {
        let answer = Answer::read(&HttpAnswer {
            status: 200,
            headers: Vec::new(),
            body: b"<html>".to_vec(),
        });
        assert!(matches!(answer, Answer::Failed { .. }), "{answer:?}");
    }

    #[test]
    fn a_streamed_answer_is_taken_out_of_its_envelope() {
        let body = json!({"status": 500, "headers": {"x-inngest-no-retry": "true"}, "body": "{\"message\":\"boom\"}"});
        let answer = Answer::read(&raw(201, &[], &body));
        assert!(
            matches!(&answer, Answer::Failed { again: false, error, .. } if error["message"] == "boom"),
            "{answer:?}"
        );
    }
}
