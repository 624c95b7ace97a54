//! The routes that change the host, and the stream of its changes. Each change writes one line.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use tokio_stream::wrappers::BroadcastStream;

use super::listen::Peer;
use super::{Access, Server, feed, json_errors};
use crate::canary::CanaryWish;
use crate::generation::{
    CanaryCommand, CanaryRefusal, GenerationId, Outcome, PublicState, Reason, Report, Role, State as GenerationState,
    WantedCode,
};
use crate::status::DrainStatus;
use crate::supervisor::UpgradeError;

/// The query of `PUT /api/reload`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReloadQuery {
    #[serde(default, deserialize_with = "flag")]
    dry_run: bool,
    #[serde(default, deserialize_with = "flag")]
    force: bool,
    wait: Option<ReloadWait>,
    #[serde(default = "as_configured", deserialize_with = "canary_wish")]
    canary: CanaryWish,
}

const fn as_configured() -> CanaryWish {
    CanaryWish::AsConfigured
}

/// Reads a wish for a canary: nothing or `1`, a share, or `off`.
fn canary_wish<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CanaryWish, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" | "on" => Ok(CanaryWish::On(None)),
        "off" => Ok(CanaryWish::Off),
        share => share
            .parse()
            .map(|share| CanaryWish::On(Some(share)))
            .map_err(serde::de::Error::custom),
    }
}

/// The thing that a reload's answer waits for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReloadWait {
    /// The answer waits until every older generation has retired.
    Drained,
}

/// `PUT /api/reload`.
pub(super) async fn reload(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    uri: Uri,
    query: Result<Query<ReloadQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Query(query) = match query {
        Ok(query) => query,
        Err(rejection) => {
            let help = "Use dry_run=1, force=1, wait=drained, and canary=on, off or a percentage only.";
            return json_errors::error(StatusCode::BAD_REQUEST, rejection.body_text(), help);
        }
    };
    if let (CanaryWish::On(_), Access::Loopback) = (query.canary, &*server.access) {
        let help = "Reload without a canary; `baton start` has them.";
        return json_errors::error(StatusCode::CONFLICT, "baton dev has no canaries", help);
    }
    let (want, reason) = if query.dry_run {
        (WantedCode::Check, Reason::Check)
    } else {
        let (force, canary) = (query.force, query.canary);
        (WantedCode::Reload { force, canary }, Reason::Api)
    };
    let report = match &server.puller {
        // Another host has the next word on releases, too.
        Some(puller) if !server.table.is_handed_over() => puller.reload(want, reason).await,
        _ => server.keeper.request(want, reason).await,
    };
    if report.outcome == Outcome::HandedOver {
        let nothing = Bytes::new();
        return server.successor.ask(Method::PUT, &uri, HeaderMap::new(), nothing).await;
    }
    audit("reload", peer, &report);
    server.metrics.reload_answered(&report);
    if let Outcome::Activated { generation, .. } = &report.outcome {
        // Whoever is told so may call a function that is new.
        server.connection.swapped(*generation).await;
    }
    if let (Some(ReloadWait::Drained), Outcome::Activated { generation, .. }) = (query.wait, &report.outcome) {
        wait_until_drained(&server, *generation).await;
    }
    reported(&report)
}

async fn wait_until_drained(server: &Server, generation: GenerationId) {
    server.table.holds.end_lingering();
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
    /// The first digits of the digest of a release that is unpacked here.
    release: Option<String>,
}

/// `POST /-/rollback`.
pub(super) async fn rollback(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    uri: Uri,
    body: Bytes,
) -> Response {
    let sent = body.clone();
    let body: RollbackBody = match body.is_empty() {
        true => RollbackBody::default(),
        false => match serde_json::from_slice(&body) {
            Ok(body) => body,
            Err(error) => {
                let help = "Send {\"generation\": 3}, or nothing for the generation before the current one.";
                return json_errors::error(StatusCode::BAD_REQUEST, format!("malformed body: {error}"), help);
            }
        },
    };
    let report = match (&server.puller, &body.release) {
        _ if server.table.is_handed_over() => {
            return server.successor.ask(Method::POST, &uri, HeaderMap::new(), sent).await;
        }
        (Some(puller), Some(release)) => match puller.serve_again(release).await {
            Ok(report) => report,
            Err(error) => {
                return json_errors::error(
                    StatusCode::NOT_FOUND,
                    error.to_string(),
                    "List the releases: `baton releases`.",
                );
            }
        },
        (None, Some(_)) => {
            let help = "Roll back to a generation: `baton rollback 3`.";
            return json_errors::error(StatusCode::NOT_FOUND, "this host serves a folder, not a release", help);
        }
        (_, None) => {
            let want = WantedCode::Rollback(body.generation);
            server.keeper.request(want, Reason::Rollback).await
        }
    };
    if report.outcome == Outcome::HandedOver {
        return server.successor.ask(Method::POST, &uri, HeaderMap::new(), sent).await;
    }
    audit("rollback", peer, &report);
    server.metrics.reload_answered(&report);
    reported(&report)
}

/// `GET /-/canary`: the canary that is on, or was on last.
pub(super) async fn canary(State(server): State<Server>) -> Response {
    Json(server.table.canary()).into_response()
}

/// `POST /-/canary/{command}`: `promote`, `abort` or `hold`. Answers once that is done.
pub(super) async fn decide_on_canary(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(word): Path<String>,
    uri: Uri,
) -> Response {
    let command = match word.as_str() {
        "promote" => CanaryCommand::Promote,
        "abort" => CanaryCommand::Abort,
        "hold" => CanaryCommand::Hold,
        _ => {
            let message = format!("a canary cannot be told to {word}");
            return json_errors::error(StatusCode::NOT_FOUND, message, "Send promote, abort or hold.");
        }
    };
    let decided = server.keeper.decide(command).await;
    let outcome = decided.as_ref().map_or("refused", |canary| canary.state.as_str());
    let (status, help) = match &decided {
        Ok(canary) => {
            tracing::info!(target: "audit", action = "canary", command = word, %peer, outcome, "admin action");
            return Json(canary).into_response();
        }
        Err(CanaryRefusal::HandedOver) if server.table.is_handed_over() => {
            let nothing = Bytes::new();
            return server
                .successor
                .ask(Method::POST, &uri, HeaderMap::new(), nothing)
                .await;
        }
        Err(CanaryRefusal::NoneIsOn) => (StatusCode::CONFLICT, "Begin one with `baton reload --canary`."),
        Err(CanaryRefusal::HandedOver) => (StatusCode::SERVICE_UNAVAILABLE, "Retry in a few seconds."),
        Err(CanaryRefusal::Ending) => (StatusCode::SERVICE_UNAVAILABLE, "Start the host again."),
    };
    tracing::info!(target: "audit", action = "canary", command = word, %peer, outcome, "admin action");
    let message = decided.map_or_else(|refusal| refusal.to_string(), |_| String::new());
    json_errors::error(status, message, help)
}

/// `POST /-/register`: registers at Inngest now, and returns the state of the registration after that.
pub(super) async fn register(State(server): State<Server>, ConnectInfo(peer): ConnectInfo<Peer>) -> Response {
    let shown = server.registration.ask().await;
    tracing::info!(target: "audit", action = "register", %peer, state = shown.state.as_str(), "admin action");
    Json(shown).into_response()
}

/// `POST /-/drain`: drains as SIGTERM does.
pub(super) async fn drain(State(server): State<Server>, ConnectInfo(peer): ConnectInfo<Peer>) -> Response {
    let view = server.table.view();
    let in_flight: usize = view
        .entries
        .iter()
        .filter_map(|entry| entry.live.as_ref())
        .map(|live| live.in_flight().len())
        .sum();
    tracing::info!(target: "audit", action = "drain", %peer, in_flight, "admin action");
    match &server.supervised {
        // The supervisor tells all hosts of the project.
        Some(supervised) => supervised.drain(),
        None => server.table.drain(),
    }
    (
        StatusCode::ACCEPTED,
        Json(DrainStatus {
            status: PublicState::Draining,
            in_flight,
        }),
    )
        .into_response()
}

/// The body of `POST /-/upgrade`; may be empty.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct UpgradeBody {
    /// The binary to go on with. Without it: the binary at the path from which this one was started.
    binary: Option<PathBuf>,
}

/// `POST /-/upgrade`. Answers once another host accepts, or once the reason is known why none does.
pub(super) async fn upgrade(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    uri: Uri,
    sent: Bytes,
) -> Response {
    let body = match sent.is_empty() {
        true => Ok(UpgradeBody::default()),
        false => serde_json::from_slice::<UpgradeBody>(&sent),
    };
    let binary = match body {
        Ok(UpgradeBody { binary }) if binary.as_ref().is_none_or(|path| path.is_absolute()) => binary,
        Ok(_) | Err(_) => {
            let help = "Send {\"binary\": \"/an/absolute/path\"}, or nothing for the usual binary.";
            return json_errors::error(StatusCode::BAD_REQUEST, "malformed body: expected a JSON object", help);
        }
    };
    if binary.is_some() && peer != Peer::Control {
        let help = "Run `baton upgrade PATH` on the machine, or send no binary for the usual one.";
        return json_errors::error(
            StatusCode::FORBIDDEN,
            "only a program on this machine may name a binary",
            help,
        );
    }
    let Some(supervised) = &server.supervised else {
        let help = "Start the host with `baton start`; to upgrade `baton dev`, end it and start it again.";
        return json_errors::error(
            StatusCode::CONFLICT,
            "this host has no supervisor to start another one",
            help,
        );
    };
    if server.table.is_handed_over() {
        return server.successor.ask(Method::POST, &uri, HeaderMap::new(), sent).await;
    }
    let result = supervised.upgrade(binary).await;
    let outcome = if result.is_ok() { "upgraded" } else { "failed" };
    tracing::info!(target: "audit", action = "upgrade", %peer, outcome, "admin action");
    match result {
        Ok(upgraded) => {
            let mut body = json!(upgraded);
            body["status"] = "upgraded".into();
            Json(body).into_response()
        }
        Err(error) => {
            let status = match error {
                UpgradeError::UnderWay | UpgradeError::Ending | UpgradeError::NobodyAccepts => StatusCode::CONFLICT,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            json_errors::error(status, error.to_string(), error.help())
        }
    }
}

/// The query of `GET /-/events`.
#[derive(Debug, Deserialize)]
pub(super) struct EventsQuery {
    /// Tells whether calls are sent too, several times a second.
    #[serde(default, deserialize_with = "flag")]
    calls: bool,
}

/// `GET /-/events`. Ends with the host.
pub(super) async fn events(
    State(server): State<Server>,
    Query(query): Query<EventsQuery>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let calls = query.calls.then(|| feed::calls(server.clone()));
    let draining = server.table.draining().clone().cancelled_owned();
    let mut role = server.table.role();
    let ended = async move {
        tokio::select! {
            () = draining => {}
            _ = Role::reached(&mut role, |role| *role == Role::HandedOver) => {}
        }
    };
    let events = BroadcastStream::new(server.table.events()).filter_map(|event| async move {
        // A client that is too slow misses some events and is not told which: the status has the whole.
        let event = event.ok()?;
        Event::default().event(event.name()).json_data(&event).ok().map(Ok)
    });
    let all = futures::stream::select(events, futures::stream::iter(calls).flatten());
    Sse::new(all.take_until(ended)).keep_alive(KeepAlive::default())
}

fn reported(report: &Arc<Report>) -> Response {
    let status = match &report.outcome {
        Outcome::Activated { .. } | Outcome::Canary { .. } | Outcome::Unchanged { .. } | Outcome::Checked { .. } => {
            StatusCode::OK
        }
        Outcome::Rejected { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Outcome::NotKept { .. } => StatusCode::NOT_FOUND,
        Outcome::ShuttingDown | Outcome::HandedOver => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(report.as_ref())).into_response()
}

fn audit(action: &'static str, peer: Peer, report: &Report) {
    let outcome = report.outcome.word();
    let generation = report.outcome.serving().map(|id| id.0);
    tracing::info!(target: "audit", action, %peer, outcome, generation, took_ms = report.took_ms, "admin action");
}

/// Reads a flag of a query: `1` or `true`, `0` or `false`.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "1" | "true" | "" => Ok(true),
        "0" | "false" => Ok(false),
        other => Err(serde::de::Error::custom(format!("expected 1 or 0, got {other:?}"))),
    }
}
