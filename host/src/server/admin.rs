//! What changes the host, and the stream of what changes in it. Each change writes one line.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use tokio_stream::wrappers::BroadcastStream;

use super::listen::Peer;
use super::{Server, answer};
use crate::generation::{GenerationId, Outcome, Reason, Report, State as GenerationState, Want};

/// The query of `PUT /api/reload`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReloadQuery {
    #[serde(default, deserialize_with = "flag")]
    dry_run: bool,
    #[serde(default, deserialize_with = "flag")]
    force: bool,
    wait: Option<Wait>,
}

/// What a reload's answer waits for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wait {
    /// Until every older generation has retired.
    Drained,
}

/// `PUT /api/reload`.
pub(super) async fn reload(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Result<Query<ReloadQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Query(query) = match query {
        Ok(query) => query,
        Err(rejection) => {
            let help = "It may have dry_run=1, force=1 and wait=drained.";
            return answer::error(StatusCode::BAD_REQUEST, rejection.body_text(), help);
        }
    };
    let (want, reason) = if query.dry_run {
        (Want::Check, Reason::Check)
    } else {
        (Want::Reload { force: query.force }, Reason::Api)
    };
    let report = server.keeper.request(want, reason).await;
    audit("reload", peer, &report);
    server.metrics.reload_answered(&report.outcome);
    if let (Some(Wait::Drained), Outcome::Activated { generation, .. }) = (query.wait, &report.outcome) {
        wait_until_drained(&server, *generation).await;
    }
    reported(&report)
}

async fn wait_until_drained(server: &Server, generation: GenerationId) {
    let drained = server.table.wait_until(|view| {
        let mut older = view.entries.iter().filter(|entry| entry.id < generation);
        older.all(|entry| entry.state.is_final() || entry.state == GenerationState::Loading)
    });
    tokio::select! {
        () = drained => {}
        () = server.table.draining().cancelled() => {}
    }
}

/// The body of `POST /-/rollback`; may be empty.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    generation: Option<GenerationId>,
}

/// `POST /-/rollback`.
pub(super) async fn rollback(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Bytes,
) -> Response {
    let body: RollbackBody = match body.is_empty() {
        true => RollbackBody::default(),
        false => match serde_json::from_slice(&body) {
            Ok(body) => body,
            Err(error) => {
                let help = "Send {\"generation\": 3}, or nothing for the one before the current one.";
                return answer::error(
                    StatusCode::BAD_REQUEST,
                    format!("the body is not understood: {error}"),
                    help,
                );
            }
        },
    };
    let report = server
        .keeper
        .request(Want::Rollback(body.generation), Reason::Rollback)
        .await;
    audit("rollback", peer, &report);
    server.metrics.reload_answered(&report.outcome);
    reported(&report)
}

/// `POST /-/register`: tells Inngest now, and says how it stands then.
pub(super) async fn register(State(server): State<Server>, ConnectInfo(peer): ConnectInfo<Peer>) -> Response {
    let shown = server.registration.ask().await;
    tracing::info!(target: "audit", action = "register", %peer, state = shown.state, "admin action");
    Json(shown.as_ref().clone()).into_response()
}

/// `POST /-/drain`: as SIGTERM does.
pub(super) async fn drain(State(server): State<Server>, ConnectInfo(peer): ConnectInfo<Peer>) -> Response {
    let view = server.table.view();
    let in_flight: usize = view
        .entries
        .iter()
        .filter_map(|entry| entry.live.as_ref())
        .map(|live| live.in_flight().len())
        .sum();
    tracing::info!(target: "audit", action = "drain", %peer, in_flight, "admin action");
    server.table.drain();
    (
        StatusCode::ACCEPTED,
        Json(json!({"status": "draining", "in_flight": in_flight})),
    )
        .into_response()
}

/// `GET /-/events`. Ends with the host.
pub(super) async fn events(State(server): State<Server>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ended = server.table.draining().clone().cancelled_owned();
    let events = BroadcastStream::new(server.table.events()).filter_map(|event| async move {
        // One who is too slow misses some and is not told which: the status has the whole.
        let event = event.ok()?;
        Event::default().event(event.name()).json_data(&event).ok().map(Ok)
    });
    Sse::new(events.take_until(ended)).keep_alive(KeepAlive::default())
}

fn reported(report: &Arc<Report>) -> Response {
    let status = match &report.outcome {
        Outcome::Activated { .. } | Outcome::Unchanged { .. } | Outcome::Checked { .. } => StatusCode::OK,
        Outcome::Rejected { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Outcome::NotKept { .. } => StatusCode::NOT_FOUND,
        Outcome::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(report.as_ref())).into_response()
}

fn audit(action: &'static str, peer: Peer, report: &Report) {
    let outcome = report.outcome.word();
    let generation = report.outcome.serving().map(|id| id.0);
    tracing::info!(target: "audit", action, %peer, outcome, generation, took_ms = report.took_ms, "admin action");
}

/// A flag of a query: `1` or `true`, `0` or `false`.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "1" | "true" | "" => Ok(true),
        "0" | "false" => Ok(false),
        other => Err(serde::de::Error::custom(format!("{other:?} is neither 1 nor 0"))),
    }
}
