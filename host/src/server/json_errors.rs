//! The answers of the host's own: JSON errors that tell the remedy.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// Makes the answer `{"error":{"message":…,"help":…}}`.
pub(super) fn error(status: StatusCode, message: impl AsRef<str>, help: impl AsRef<str>) -> Response {
    let error = json!({"error": {"message": message.as_ref(), "help": help.as_ref()}});
    (status, Json(error)).into_response()
}

/// Makes the same answer with a word for machines: `{"error":{"reason":…,"message":…,"help":…}}`.
pub(super) fn error_with_reason(
    status: StatusCode,
    reason: impl Serialize,
    message: impl AsRef<str>,
    help: impl AsRef<str>,
) -> Response {
    let error = json!({"error": {"reason": reason, "message": message.as_ref(), "help": help.as_ref()}});
    (status, Json(error)).into_response()
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Response {
    let help = format!("Use {allowed}.");
    let mut response = error(
        StatusCode::METHOD_NOT_ALLOWED,
        "this route does not take the method",
        help,
    );
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Asks the caller to come again after some seconds.
pub(super) fn retry_after(mut response: Response, seconds: u32) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}
