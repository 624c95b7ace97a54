//! The way back of an answer to its caller.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::StreamExt as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use js_runtime_api::{Body as Bytewise, BodyError, BodyStream, Duplex, header_bytes};
use tokio_util::sync::CancellationToken;

use super::Server;
use super::room::{ConnectionPhase, Place};

/// The time that an answer may last when the host ends.
pub(super) enum AnswerLifetime {
    /// The answer may last as long as calls of functions may.
    Call,
    /// The answer may last as long as streams may: pages, events, and WebSockets of an app, on this connection.
    Stream(Option<Place>),
}

/// Returns the isolate's answer as it is, but for the headers that belong to the connection.
pub(super) fn into_http(
    server: &Server,
    response: js_runtime_api::Response,
    on_upgrade: Option<OnUpgrade>,
    lasting: AnswerLifetime,
) -> Response {
    let end = match &lasting {
        AnswerLifetime::Call => CancellationToken::new(),
        AnswerLifetime::Stream(_) => server.streams_end.clone(),
    };
    let (body, of_connection): (_, &[HeaderName]) = match response.body {
        Bytewise::Full(body) => (
            Body::from(body),
            &[header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING],
        ),
        // The announced length is right, also for the empty answer to HEAD.
        Bytewise::Stream(parts) => (
            Body::from_stream(until(end, parts, is_events(&response.headers))),
            &[header::CONNECTION, header::TRANSFER_ENCODING],
        ),
        Bytewise::Upgraded(app) => {
            let place = match lasting {
                AnswerLifetime::Call => None,
                AnswerLifetime::Stream(place) => place,
            };
            server.executor.tasks.spawn(connect(on_upgrade, app, place, end));
            (Body::empty(), &[])
        }
    };
    let mut http = Response::new(body);
    *http.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers {
        let (Ok(name), Ok(value)) = (
            HeaderName::try_from(name),
            HeaderValue::from_bytes(&header_bytes(&value)),
        ) else {
            continue;
        };
        if !of_connection.contains(&name) {
            http.headers_mut().append(name, value);
        }
    }
    http
}

/// Tells whether an answer is a stream of server-sent events.
fn is_events(headers: &[(String, String)]) -> bool {
    let is_events = |(name, value): &(String, String)| name == "content-type" && value.starts_with("text/event-stream");
    headers.iter().any(is_events)
}

/// Returns a stream that ends early when `end` is cancelled. A client of events then asks for them anew, elsewhere;
/// any other body breaks off, so that nobody takes a part for the whole.
fn until(end: CancellationToken, parts: BodyStream, is_events: bool) -> BodyStream {
    let next = move |state: Option<(BodyStream, CancellationToken)>| async move {
        let (mut parts, end) = state?;
        tokio::select! {
            biased;
            () = end.cancelled() => {
                let broken_off = Err(BodyError("the host is ending".to_owned()));
                (!is_events).then_some((broken_off, None))
            }
            part = parts.next() => Some((part?, Some((parts, end)))),
        }
    };
    futures::stream::unfold(Some((parts, end)), next).fuse().boxed()
}

/// Carries the bytes of both sides after an upgrade, until one side has gone, or until the host's end.
async fn connect(caller: Option<OnUpgrade>, mut app: Box<dyn Duplex>, place: Option<Place>, end: CancellationToken) {
    let Some(caller) = caller else {
        return;
    };
    let caller = match caller.await {
        Ok(caller) => caller,
        Err(error) => return tracing::debug!(%error, "an upgraded connection was not established"),
    };
    // The answer of the connection is over, and the connection is not idle.
    if let Some(place) = place {
        place.enter(ConnectionPhase::Answering);
    }
    let mut caller = TokioIo::new(caller);
    tokio::select! {
        ended = tokio::io::copy_bidirectional(&mut caller, &mut app) => {
            tracing::debug!(?ended, "an upgraded connection ended");
        }
        () = end.cancelled() => tracing::debug!("an upgraded connection was cut at the end of the host"),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::StreamExt as _;
    use js_runtime_api::BodyError;
    use tokio_util::sync::CancellationToken;

    use super::until;

    #[tokio::test]
    async fn at_the_end_events_end_and_other_bodies_break_off() {
        for is_events in [true, false] {
            let end = CancellationToken::new();
            let endless = futures::stream::repeat(Ok::<_, BodyError>(Bytes::from_static(b"part")));
            let mut parts = until(end.clone(), endless.boxed(), is_events);
            assert_eq!(parts.next().await, Some(Ok(Bytes::from_static(b"part"))));
            end.cancel();
            assert_eq!(parts.next().await.is_none(), is_events);
            assert_eq!(parts.next().await, None);
        }
    }
}
