//! Bodies of requests. Small bodies are read whole, bodies for an app are passed on as they come, and a body is given
//! up when its client sends nothing any more.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use js_runtime_api::{BodyError, BodyStream};

use super::json_errors;
use super::room::{ConnectionPhase, Place};

/// The largest body that Inngest sends; a run with more state is fetched by the SDK (`use_api`).
const BODY_LIMIT: usize = 4 << 20;

/// The longest pause within the body of a request.
const BODY_PAUSE: Duration = Duration::from_secs(30);
/// The time for the whole body of a call: as Node has it for a request.
const BODY_WITHIN: Duration = Duration::from_mins(5);
/// The part of a too large body that is read all the same, and the time for that.
const DISCARDED: usize = 64 << 20;
const DISCARDING: Duration = Duration::from_secs(5);

/// Has a route's body read whole before the route begins.
pub(super) async fn read_first(request: Request, next: Next) -> Response {
    let place = request.extensions().get::<Place>().cloned();
    let (parts, body) = request.into_parts();
    match whole(body, place.as_ref()).await {
        Ok(body) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Err(response) => response,
    }
}

/// Reads the whole body of a request. No call has begun before the body is there.
///
/// # Errors
/// With the answer to a request whose body is too large, ends early, or stands still.
pub(super) async fn whole(mut body: Body, place: Option<&Place>) -> Result<Bytes, Response> {
    let enter = |phase| place.map_or((), |place| place.enter(phase));
    enter(ConnectionPhase::Body);
    let read = tokio::time::timeout(BODY_WITHIN, read(&mut body)).await;
    enter(ConnectionPhase::Answering);
    match read.unwrap_or_else(|_| Err(BodyStall::Late.into())) {
        Ok(body) => Ok(body),
        Err(error) if error.is::<BodyStall>() => {
            let help = "Send the request again.";
            Err(json_errors::error(StatusCode::REQUEST_TIMEOUT, error.to_string(), help))
        }
        Err(error) if error.is::<LengthLimitError>() => {
            discard(body).await;
            let message = format!("the request's body is larger than {} MiB", BODY_LIMIT >> 20);
            let help = "Send a smaller body: Inngest sends no larger ones, and the SDK fetches a run's larger state.";
            Err(json_errors::error(StatusCode::PAYLOAD_TOO_LARGE, message, help))
        }
        Err(error) => {
            let message = format!("the request's body ended early: {error}");
            Err(json_errors::error(
                StatusCode::BAD_REQUEST,
                message,
                "Send the request again, with its whole body.",
            ))
        }
    }
}

/// A body that stands still, or takes for ever.
#[derive(Debug, thiserror::Error)]
enum BodyStall {
    #[error("no byte of the request's body has come for {} s", BODY_PAUSE.as_secs())]
    Pause,
    #[error("the request's body has not come within {} s", BODY_WITHIN.as_secs())]
    Late,
}

/// Returns the body of a request to an app, as it comes. A client that sends nothing while its body is waited for has
/// gone.
pub(super) fn patient(body: Body) -> BodyStream {
    // The stream ends with its first failure.
    let next = |parts: Option<axum::body::BodyDataStream>| async move {
        let mut parts = parts?;
        match tokio::time::timeout(BODY_PAUSE, parts.next()).await {
            Ok(part) => match part? {
                Ok(part) => Some((Ok(part), Some(parts))),
                Err(error) => Some((Err(BodyError(error.to_string())), None)),
            },
            Err(_) => Some((Err(BodyError(BodyStall::Pause.to_string())), None)),
        }
    };
    futures::stream::unfold(Some(body.into_data_stream()), next)
        .fuse()
        .boxed()
}

/// Reads the whole body of a request.
///
/// # Errors
/// When it is too large, ends early, or stands still.
async fn read(body: &mut Body) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let mut limited = Limited::new(body, BODY_LIMIT);
    let mut all = BytesMut::new();
    loop {
        let frame = tokio::time::timeout(BODY_PAUSE, limited.frame())
            .await
            .map_err(|_| BodyStall::Pause)?;
        match frame.transpose()? {
            Some(frame) => all.extend(frame.into_data()),
            None => return Ok(all.freeze()),
        }
    }
}

/// Reads on for a while: a client that still writes does not look for an answer.
async fn discard(mut body: Body) {
    let discarding = async {
        let mut length = 0;
        while let Some(Ok(frame)) = body.frame().await {
            length += frame.data_ref().map_or(0, Bytes::len);
            if length > DISCARDED {
                return;
            }
        }
    };
    // A request whose body stands still is answered all the same.
    let _ = tokio::time::timeout(DISCARDING, discarding).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures::StreamExt as _;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_is_given_up_and_one_that_goes_on_is_not() {
        let parts = |pauses: &'static [u64]| {
            let parts = futures::stream::iter(pauses).then(|seconds| async move {
                tokio::time::sleep(Duration::from_secs(*seconds)).await;
                Ok::<_, std::io::Error>(Bytes::from_static(b"part "))
            });
            super::Body::from_stream(parts)
        };
        let read = super::read(&mut parts(&[29, 29, 29])).await.unwrap();
        assert_eq!(read, "part part part ");
        let stalled = super::read(&mut parts(&[1, 31])).await.unwrap_err();
        assert!(stalled.is::<super::BodyStall>(), "{stalled}");
        let to_app: Vec<_> = super::patient(parts(&[29, 31, 1])).collect().await;
        assert!(
            matches!(&to_app[..], [Ok(_), Err(error)] if error.0.contains("30 s")),
            "{to_app:?}"
        );
    }
}
