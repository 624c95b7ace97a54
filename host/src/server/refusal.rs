//! The answers of the host itself to requests that the project does not answer: no generation serves the request, or
//! the isolate has no answer.

use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use js_runtime_api::{CallError, LoadError};

use super::calls::Route;
use super::readiness::not_ready;
use super::{Server, json_errors};
use crate::generation::LeaseRefusal;
use crate::status::UnreadyReason;
use crate::wire;

/// Answers a request that nothing could serve in time. The answer is the host's own: it has none of the SDK's
/// headers, so nobody takes it for an answer of the function or of the sync.
pub(super) fn unavailable(server: &Server, gone: &LeaseRefusal) -> Response {
    let reason = not_ready(&server.table);
    let message = match reason {
        Some(UnreadyReason::Loading) => format!("{gone}: the code is being loaded"),
        _ => gone.to_string(),
    };
    let rejected = server.table.view().last_rejected.clone();
    let help = match rejected.filter(|_| reason == Some(UnreadyReason::Rejected)) {
        Some((_, error)) => format!("Fix the code, which does not load: {}", in_a_line(&error)),
        None => "Retry in a few seconds.".to_owned(),
    };
    let response = json_errors::error_with_reason(StatusCode::SERVICE_UNAVAILABLE, reason, message, help);
    json_errors::retry_after(response, 5)
}

fn in_a_line(error: &LoadError) -> String {
    match (&error.file, error.line) {
        (Some(file), Some(line)) => format!("{file}:{line}: {}", error.message),
        (Some(file), None) => format!("{file}: {}", error.message),
        (None, _) => error.message.clone(),
    }
}

/// The reach of the details of a failed call: an error's message and stack may hold passwords and paths.
pub(super) enum Details {
    /// An admin sees them, and in `baton dev` programs on this machine.
    Shown,
    /// Nobody else sees them: the log has them under this id.
    InLog(FailureId),
}

/// The id that joins an answer to its line in the log.
pub(super) struct FailureId(String);

impl FailureId {
    fn new() -> Self {
        let mut bytes = [0_u8; 6];
        // Without chance all ids are the same, and the time tells the failures apart.
        let _ = getrandom::fill(&mut bytes);
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Details {
    /// Decides on the details of a failure that is about to be logged.
    pub(super) fn of_failure(is_trusted: bool) -> Self {
        if is_trusted {
            Self::Shown
        } else {
            Self::InLog(FailureId::new())
        }
    }

    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Shown => None,
            Self::InLog(FailureId(id)) => Some(id),
        }
    }
}

/// Answers a request for which the isolate has no answer. Inngest is told to try again soon: without the SDK's
/// headers it would wait 15 s and more, and with `no-retry` it would fail the run.
pub(super) fn failed(error: &CallError, route: &Route, details: &Details) -> Response {
    let help = match error {
        CallError::IsolateDied => "Wait: Inngest tries again.",
        CallError::Threw(_) => "Read the stack: the error was thrown outside of a step.",
        CallError::NeverSettles => "Look for a promise in the handler that never settles.",
        CallError::HungUp => "Call again, and wait for the answer.",
        CallError::NoAnswer(_) => "Look for code that closes the server, or writes to its socket without Node's HTTP.",
    };
    let response = match (error, details) {
        (CallError::Threw(_) | CallError::NoAnswer(_), Details::InLog(FailureId(id))) => {
            let help = format!("The log has the details, with the failure {id}.");
            json_errors::error(StatusCode::INTERNAL_SERVER_ERROR, "the handler failed", help)
        }
        _ => json_errors::error(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), help),
    };
    if matches!(route, Route::Other { .. }) {
        return response;
    }
    let mut response = json_errors::retry_after(response, 1);
    let headers = response.headers_mut();
    headers.insert(
        wire::SDK,
        HeaderValue::from_static(concat!("baton:v", env!("CARGO_PKG_VERSION"))),
    );
    headers.insert(wire::NO_RETRY, HeaderValue::from_static("false"));
    response.into_response()
}

#[cfg(test)]
mod tests {
    use js_runtime_api::CallError;

    use super::{Details, FailureId, Route, failed};

    #[tokio::test]
    async fn only_the_log_tells_strangers_why_a_handler_threw() {
        let threw = CallError::Threw("Error: cannot connect to postgres://admin:hunter2@db".to_owned());
        for (details, told) in [
            (Details::Shown, true),
            (Details::InLog(FailureId("f00d".to_owned())), false),
        ] {
            for route in [Route::Inngest { app: None }, Route::Other { path: "/".to_owned() }] {
                let response = failed(&threw, &route, &details);
                let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
                let text = String::from_utf8_lossy(&body).into_owned();
                assert_eq!(text.contains("hunter2"), told, "{text}");
                assert_eq!(text.contains("f00d"), !told, "{text}");
            }
        }
    }

    #[test]
    fn a_lost_isolate_is_answered_so_that_inngest_tries_again_soon() {
        let response = failed(&CallError::IsolateDied, &Route::Inngest { app: None }, &Details::Shown);
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(response.status(), 500);
        assert!(header("x-inngest-sdk").is_some());
        assert_eq!(header("x-inngest-no-retry"), Some("false"));
        assert_eq!(header("retry-after"), Some("1"));
    }
}
