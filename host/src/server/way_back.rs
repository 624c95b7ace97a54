//! The way back of an answer: what is learned from it, and what its caller is sent.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::channel::mpsc;
use futures::{SinkExt as _, StreamExt as _};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use js_runtime_api::{Body as Bytewise, BodyError, CallError, Duplex};

use super::Server;
use crate::generation::{CallInfo, Head, Lease, STREAMS};

/// Learns from an answer of the SDK what is to come, before the caller has all of it.
pub(super) async fn learn(
    server: &Server,
    lease: &Lease,
    info: &CallInfo,
    head: Head<'_>,
    body: Bytewise,
) -> Result<Bytewise, CallError> {
    let generation = lease.generation().clone();
    let mut parts = match body {
        Bytewise::Full(body) => {
            server.table.holds.learn(&generation, info, head, &body);
            return Ok(Bytewise::Full(body));
        }
        Bytewise::Stream(parts) => parts,
        upgraded @ Bytewise::Upgraded(_) => return Ok(upgraded),
    };
    let mut whole = Vec::new();
    if head.0 != STREAMS {
        while let Some(part) = parts.next().await {
            whole.extend_from_slice(&part.map_err(|error: BodyError| CallError::NoAnswer(error.to_string()))?);
        }
        server.table.holds.learn(&generation, info, head, &whole);
        return Ok(Bytewise::Full(whole.into()));
    }
    let (mut passed_on, body) = mpsc::channel(0);
    let (table, info) = (server.table.clone(), info.clone());
    // To its end, also when the caller has gone.
    server.calls.spawn(async move {
        while let Some(part) = parts.next().await {
            if let Ok(part) = &part {
                whole.extend_from_slice(part);
            }
            let _ = passed_on.send(part).await;
        }
        table.holds.learn(&generation, &info, (STREAMS, &[]), &whole);
    });
    Ok(Bytewise::Stream(body.boxed()))
}

/// The isolate's answer as it is, but for the headers that belong to the connection.
pub(super) fn into_http(
    server: &Server,
    response: js_runtime_api::Response,
    on_upgrade: Option<OnUpgrade>,
) -> Response {
    let (body, of_connection): (_, &[HeaderName]) = match response.body {
        Bytewise::Full(body) => (
            Body::from(body),
            &[header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING],
        ),
        // What is announced is what comes, also where nothing does, after HEAD.
        Bytewise::Stream(parts) => (
            Body::from_stream(parts),
            &[header::CONNECTION, header::TRANSFER_ENCODING],
        ),
        Bytewise::Upgraded(app) => {
            server.calls.spawn(connect(on_upgrade, app));
            (Body::empty(), &[])
        }
    };
    let mut http = Response::new(body);
    *http.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes())) else {
            continue;
        };
        if !of_connection.contains(&name) {
            http.headers_mut().append(name, value);
        }
    }
    http
}

/// Carries what both sides say after an upgrade, until one of them has gone.
async fn connect(caller: Option<OnUpgrade>, mut app: Box<dyn Duplex>) {
    let Some(caller) = caller else {
        return;
    };
    match caller.await {
        Ok(caller) => {
            let ended = tokio::io::copy_bidirectional(&mut TokioIo::new(caller), &mut app).await;
            tracing::debug!(?ended, "an upgraded connection ended");
        }
        Err(error) => tracing::debug!(%error, "an upgrade came to nothing"),
    }
}
