//! The API's two routes, and the upgrade to a WebSocket (inngest/inngest: `pkg/connect/rest/v0/workerapi.go`).

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use connect_wire::SUBPROTOCOL;
use connect_wire::message::{FlushResponse, SdkResponse, StartRequest, StartResponse};
use prost::Message as _;
use serde_json::{Map, Value, json};

use super::book::Book;
use super::faults::Faults;
use super::record::Phase;
use super::session;

pub(super) fn routes(book: Arc<Book>) -> Router {
    Router::new()
        .route("/v0/connect/start", post(start))
        .route("/v0/connect/flush", post(flush))
        .route("/v0/connect/gateway/{name}", get(open))
        .with_state(book)
}

async fn start(State(book): State<Arc<Book>>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = answer_start(&book, &headers, body);
    book.change(|state| state.starts.push(answer.status().as_u16()));
    answer
}

fn answer_start(book: &Book, headers: &HeaderMap, body: Bytes) -> Response {
    if let Some(status) = book.change(|state| Faults::status(&mut state.faults.start)) {
        return refused(status, "as the test wants it");
    }
    let Some(token) = bearer(book, headers) else {
        return refused(401, "authentication failed");
    };
    let Ok(request) = StartRequest::decode(body) else {
        return refused(400, "could not unmarshal request");
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or_default().to_owned();
    let answer = book.change(|state| {
        let open = state
            .connections
            .iter()
            .filter(|connection| connection.report.phase != Phase::Gone);
        if book.most_connections.is_some_and(|most| open.count() >= most) {
            return None;
        }
        let wanted = |name: &String| !request.exclude_gateways.contains(name);
        let active: Vec<_> = state
            .gateways
            .iter()
            .filter(|gateway| !gateway.draining)
            .map(|gateway| gateway.name.clone())
            .collect();
        // The server of one gateway gives that one, whatever is excluded.
        let group = active.iter().find(|name| wanted(name)).or(active.first());
        let group = group.unwrap_or(&state.gateways[0].name).clone();
        let (connection_id, session_token) = (state.ulid(), state.ulid());
        state.tokens.insert(session_token.clone(), Instant::now());
        Some(StartResponse {
            connection_id,
            gateway_endpoint: format!("ws://{host}/v0/connect/gateway/{group}"),
            gateway_group: group,
            session_token,
            sync_token: token,
        })
    });
    match answer {
        Some(answer) => protobuf(&answer),
        None => refused(429, "reached max allowed connections"),
    }
}

async fn flush(State(book): State<Arc<Book>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(status) = book.change(|state| Faults::status(&mut state.faults.flush)) {
        return refused(status, "as the test wants it");
    }
    if bearer(&book, &headers).is_none() {
        return refused(401, "authentication failed");
    }
    if body.is_empty() {
        return refused(400, "missing request body");
    }
    let Ok(reply) = SdkResponse::decode(body) else {
        return refused(400, "could not unmarshal request");
    };
    if serde_json::from_slice::<Map<String, Value>>(&reply.system_trace_ctx).is_err() {
        return refused(400, "could not unmarshal system trace ctx");
    }
    let request_id = reply.request_id.clone();
    book.change(|state| state.flushed.push(reply.clone()));
    book.take_reply(reply);
    protobuf(&FlushResponse { request_id })
}

async fn open(State(book): State<Arc<Book>>, Path(name): Path<String>, mut request: Request) -> Response {
    let offered = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
    let offered = offered.and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !offered.split(',').any(|protocol| protocol.trim() == SUBPROTOCOL) {
        return refused(400, "the subprotocol is missing");
    }
    let Ok((answer, socket)) = fastwebsockets::upgrade::upgrade(&mut request) else {
        return refused(400, "no WebSocket");
    };
    tokio::spawn(session::serve(book, name, socket));
    let mut answer = answer.map(|_| Body::empty());
    answer
        .headers_mut()
        .insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    answer
}

/// Returns the hashed key of a request that may come in; an empty one where none is needed.
fn bearer(book: &Book, headers: &HeaderMap) -> Option<String> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    book.kind.accepts_bearer(authorization).then(|| {
        let token = authorization.and_then(|text| text.strip_prefix("Bearer "));
        token.unwrap_or_default().to_owned()
    })
}

fn refused(status: u16, error: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("an HTTP status");
    (status, json!({ "error": error }).to_string()).into_response()
}

fn protobuf(message: &impl prost::Message) -> Response {
    (
        [(header::CONTENT_TYPE, "application/octet-stream")],
        message.encode_to_vec(),
    )
        .into_response()
}
