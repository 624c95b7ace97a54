//! The part of Inngest's HTTP API that functions use while they run.
//!
//! | method, path | what |
//! |---|---|
//! | `POST /e/{key}` | sends events |
//! | `POST /v1/signals` | sends a signal |
//! | `GET /v0/runs/{run}/batch`, `/v0/runs/{run}/actions` | the events and steps of a run whose state is large |
//! | `PUT/POST /fn/register` | is taken and forgotten |
//! | everything else | 404: there is no server |

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get, post};
use axum::{Router, body::Bytes};
use serde_json::{Value, json};

use super::id;
use super::session::Session;

pub fn router(session: Arc<Session>) -> Router {
    Router::new()
        .route("/e/{key}", post(events))
        .route("/v1/signals", post(signal))
        .route("/v0/runs/{run}/batch", get(batch))
        .route("/v0/runs/{run}/actions", get(steps))
        .route("/fn/register", any(async || Json(json!({"ok": true}))))
        .fallback(async || refused(StatusCode::NOT_FOUND, "`baton invoke` is no Inngest server"))
        // Events may be many.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(session)
}

async fn events(State(session): State<Arc<Session>>, body: Bytes) -> Response {
    let events = match serde_json::from_slice(&body) {
        Ok(Value::Array(events)) => events,
        Ok(event @ Value::Object(_)) => vec![event],
        _ => return refused(StatusCode::BAD_REQUEST, "events are JSON objects"),
    };
    if events.iter().any(|event| !event["name"].is_string()) {
        return refused(StatusCode::BAD_REQUEST, "each event has a name");
    }
    Json(json!({"ids": session.sent(events), "status": 200})).into_response()
}

async fn signal(State(session): State<Arc<Session>>, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if session.signalled(body["signal"].as_str().unwrap_or_default(), &body["data"]) {
        Json(json!({"data": {"run_id": id::ulid()}})).into_response()
    } else {
        refused(StatusCode::NOT_FOUND, "nothing waits for this signal")
    }
}

async fn batch(State(session): State<Arc<Session>>, Path(run): Path<String>) -> Response {
    match session.state_of(&run) {
        Some(state) => Json(state.events).into_response(),
        None => refused(StatusCode::NOT_FOUND, "no such run"),
    }
}

async fn steps(State(session): State<Arc<Session>>, Path(run): Path<String>) -> Response {
    match session.state_of(&run) {
        Some(state) => Json(state.steps).into_response(),
        None => refused(StatusCode::NOT_FOUND, "no such run"),
    }
}

fn refused(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error, "status": status.as_u16()}))).into_response()
}
