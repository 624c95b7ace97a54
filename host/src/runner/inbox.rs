//! The part of Inngest's HTTP API that functions use while they run.
//!
//! | method, path | what |
//! |---|---|
//! | `POST /e/{key}` | sends events |
//! | `POST /v1/signals` | sends a signal |
//! | `GET /v0/runs/{run}/batch`, `/v0/runs/{run}/actions` | the events and steps of a run whose state is large |
//! | `PUT/POST /fn/register` | is taken and forgotten |
//! | everything else | 404: there is no server |

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get, post};
use axum::{Router, body::Bytes};
use serde_json::{Value, json};

use super::id;
use super::sdk_request::run_of_trace;
use super::session::{Session, complete};

/// The sessions whose functions send to one inbox.
#[derive(Default)]
pub struct InboxSessions(Mutex<Vec<Arc<Session>>>);

impl InboxSessions {
    pub fn enter(&self, session: Arc<Session>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    pub fn leave(&self, session: &Arc<Session>) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|known| !Arc::ptr_eq(known, session));
    }

    fn all(&self) -> Vec<Arc<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn state_of(&self, run: &str) -> Option<super::session::RunState> {
        self.all().iter().find_map(|session| session.state_of(run))
    }

    /// Returns the sessions that a request may come from: that of its run, else those that work, else all.
    fn behind(&self, headers: &HeaderMap) -> Vec<Arc<Session>> {
        let sessions = self.all();
        let trace = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let run = trace.and_then(run_of_trace);
        let of_run = sessions
            .iter()
            .find(|session| run.as_deref().is_some_and(|run| session.has_run(run)));
        if let Some(session) = of_run {
            return vec![session.clone()];
        }
        let busy: Vec<Arc<Session>> = sessions.iter().filter(|session| session.is_busy()).cloned().collect();
        if busy.is_empty() { sessions } else { busy }
    }
}

pub fn router(sessions: Arc<InboxSessions>) -> Router {
    Router::new()
        .route("/e/{key}", post(events))
        .route("/v1/signals", post(signal))
        .route("/v0/runs/{run}/batch", get(batch))
        .route("/v0/runs/{run}/actions", get(steps))
        .route("/fn/register", any(async || Json(json!({"ok": true}))))
        .fallback(async || refused(StatusCode::NOT_FOUND, "`baton invoke` is not an Inngest server"))
        // Events may be many.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(sessions)
}

async fn events(State(sessions): State<Arc<InboxSessions>>, headers: HeaderMap, body: Bytes) -> Response {
    let events = match serde_json::from_slice(&body) {
        Ok(Value::Array(events)) => events,
        Ok(event @ Value::Object(_)) => vec![event],
        _ => return refused(StatusCode::BAD_REQUEST, "events are JSON objects"),
    };
    if events.iter().any(|event| !event["name"].is_string()) {
        return refused(StatusCode::BAD_REQUEST, "each event has a name");
    }
    let events: Vec<Value> = events.into_iter().map(complete).collect();
    for session in sessions.behind(&headers) {
        session.sent(events.clone());
    }
    let ids: Vec<&Value> = events.iter().map(|event| &event["id"]).collect();
    Json(json!({"ids": ids, "status": 200})).into_response()
}

async fn signal(State(sessions): State<Arc<InboxSessions>>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let signal = body["signal"].as_str().unwrap_or_default();
    let mut sessions = sessions.behind(&headers).into_iter();
    if sessions.any(|session| session.signalled(signal, &body["data"])) {
        Json(json!({"data": {"run_id": id::ulid()}})).into_response()
    } else {
        refused(StatusCode::NOT_FOUND, "nothing waits for this signal")
    }
}

async fn batch(State(sessions): State<Arc<InboxSessions>>, Path(run): Path<String>) -> Response {
    match sessions.state_of(&run) {
        Some(state) => Json(state.events).into_response(),
        None => refused(StatusCode::NOT_FOUND, "no such run"),
    }
}

async fn steps(State(sessions): State<Arc<InboxSessions>>, Path(run): Path<String>) -> Response {
    match sessions.state_of(&run) {
        Some(state) => Json(state.steps).into_response(),
        None => refused(StatusCode::NOT_FOUND, "no such run"),
    }
}

fn refused(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error, "status": status.as_u16()}))).into_response()
}
