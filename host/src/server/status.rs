//! The views of a host: liveness, readiness, metrics, and the whole status.

use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use js_runtime_api::DrainWork;
use serde::Deserialize;

use super::readiness::not_ready;
use super::{Access, Server, hosts};
use crate::generation::{
    GenerationEntry, GenerationId, Holds, IsolateObservation, PublicState, Reason, Role, Table, View,
};
use crate::release::ReleaseName;
use crate::status::{
    CallStatus, FunctionStatus, GenerationStatus, HostMode, IsolateStatus, LossStatus, Readiness, RegistrationState,
    RejectedStatus, SourceStatus, Status,
};

/// `GET /-/live`: any answer tells that the process lives.
pub(super) async fn live() -> Json<serde_json::Value> {
    Json(serde_json::json!({"live": true}))
}

/// The query of `GET /-/ready`. Anything else in it is ignored: health checks may add fields of their own.
#[derive(Debug, Deserialize)]
pub(super) struct ReadyQuery {
    wait: Option<String>,
}

/// The longest wait of `?wait=drain`.
const DRAIN_WAIT: Duration = Duration::from_secs(20);

/// Answers 200 while a generation is current and the host stays, and where calls come over a connection while that is
/// there; else 503 with the reason. With `?wait=drain` it
/// answers once the host drains or another one takes over, or after 20 s. A host that drains takes no connection any
/// more, so a client that wants to know at once has to ask before.
pub(super) async fn ready(State(server): State<Server>, Query(query): Query<ReadyQuery>) -> Response {
    if query.wait.as_deref() == Some("drain") {
        until_it_leaves(&server.table).await;
    }
    let current = server.table.current();
    let connecting = || server.connection.shown().and_then(|connection| connection.not_ready());
    let reason = not_ready(&server.table).or_else(connecting);
    let status = if reason.is_none() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let registers = server.registration.shown().state != RegistrationState::Off;
    let view = server.table.view();
    let entry = view
        .entries
        .iter()
        .find(|entry| Some(entry.id) == current.as_ref().map(|current| current.id));
    let readiness = Readiness {
        host: registers.then(|| server.registration.host().to_owned()),
        code_time: entry.and_then(GenerationEntry::code_time).filter(|_| registers),
        ready: reason.is_none(),
        last_good: is_last_good(&view, current.as_ref().map(|current| current.id)),
        generation: current.map(|current| current.id),
        reason,
    };
    (status, Json(readiness)).into_response()
}

async fn until_it_leaves(table: &Table) {
    let mut role = table.role();
    tokio::select! {
        () = table.draining().cancelled() => {}
        _ = Role::reached(&mut role, |role| *role == Role::HandedOver) => {}
        () = tokio::time::sleep(DRAIN_WAIT) => {}
    }
}

fn is_last_good(view: &View, current: Option<GenerationId>) -> bool {
    let current = view.entries.iter().find(|entry| Some(entry.id) == current);
    current.is_some_and(|entry| entry.reason == Reason::LastGood)
}

/// `GET /-/metrics`.
pub(super) async fn metrics(State(server): State<Server>) -> Response {
    server
        .metrics
        .registration_is(server.registration.shown().state.as_str());
    if let Some(connection) = server.connection.shown() {
        let (state, events) = (connection.state.as_str(), connection.counts.events());
        server
            .metrics
            .connection_is(state, connection.in_flight, connection.replies, &events);
    }
    match server.metrics.render(&server.table) {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => super::json_errors::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            error.to_string(),
            "Please report it.",
        ),
    }
}

/// The query of `GET /-/status`.
#[derive(Debug, Deserialize)]
pub(super) struct StatusQuery {
    /// The mark of a request by another host of the project, which asks for this host only.
    alone: Option<String>,
    /// The generation whose functions are told: `canary`, or a number. The current one where none or no live one is
    /// named.
    functions_of: Option<String>,
}

/// Answers with the whole status, as JSON.
pub(super) async fn status(State(server): State<Server>, Query(query): Query<StatusQuery>) -> Response {
    let of = match query.alone {
        Some(_) => StatusScope::ThisHost,
        None => StatusScope::AllHosts,
    };
    let mut status = self::of(&server, of).await;
    let named = query
        .functions_of
        .and_then(|name| server.table.named(name.parse().ok()?));
    if let Some(generation) = named {
        status.functions = FunctionStatus::all(&generation.manifest);
    }
    Json(status).into_response()
}

/// The hosts of the project that a status tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusScope {
    ThisHost,
    AllHosts,
}

/// Makes the whole status, for the dashboard too.
pub(super) async fn of(server: &Server, whose: StatusScope) -> Status {
    let view = server.table.view();
    let current = server.table.current();
    let changed = match server.table.newest() {
        // This asks for every file, on this thread: while user code keeps every core busy, another thread is waited
        // for.
        Some(newest) => tokio::task::block_in_place(|| newest.sources.changed_on_disk()),
        None => Vec::new(),
    };
    let (supervisor, hosts) = match whose {
        StatusScope::ThisHost => (None, Vec::new()),
        StatusScope::AllHosts => hosts::all(server).await,
    };
    let lost = server.table.losses.lost();
    Status {
        current: current.as_ref().map(|current| current.id),
        uptime_s: server.started.elapsed().as_secs(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        mode: Some(match *server.access {
            Access::Loopback => HostMode::Dev,
            Access::Token(_) => HostMode::Start,
        }),
        address: Some(server.address),
        supervisor,
        hosts,
        functions: current
            .iter()
            .flat_map(|current| FunctionStatus::all(&current.manifest))
            .collect(),
        generations: view
            .entries
            .iter()
            .map(|entry| generation_status(entry, &server.table.holds))
            .collect(),
        canary: server.table.canary().map(|canary| (*canary).clone()),
        watch: Some(server.watch),
        registration: server.registration.shown(),
        connection: server.connection.shown(),
        warnings: current
            .iter()
            .flat_map(|current| current.manifest.warnings.clone())
            .collect(),
        lost: LossStatus {
            threads: lost.threads,
            memory_mb: lost.memory >> 20,
        },
        release: server
            .puller
            .as_ref()
            .map(|puller| tokio::task::block_in_place(|| puller.shown())),
        source: SourceStatus {
            newer_than_loaded: !changed.is_empty(),
            changed: changed.iter().map(|path| path.display().to_string()).collect(),
            last_rejected: rejected_status(&view),
        },
    }
}

fn generation_status(entry: &GenerationEntry, holds: &Holds) -> GenerationStatus {
    let in_flight = entry.live.iter().flat_map(|live| live.in_flight());
    GenerationStatus {
        id: entry.id,
        state: entry.state.public(),
        reason: Some(entry.reason),
        restored_from: entry.restored_from,
        hash: entry.hash.clone(),
        git: entry.git.clone(),
        release: entry.release.as_deref().map(ReleaseName::of),
        environment: entry.live.as_ref().map(|live| live.sources.environment()),
        load_stage: entry
            .load_stage
            .as_ref()
            .filter(|_| entry.state.public() == PublicState::Loading)
            .map(ToString::to_string),
        loaded_at: entry.loaded_at,
        in_flight: in_flight
            .map(|(call, since)| CallStatus {
                attempt: call.attempt(),
                function: call.function,
                run: call.run,
                step: call.step,
                request: call.request,
                since_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
                generation: None,
            })
            .collect(),
        expected: holds.expected(entry.id),
        queued: entry.live.as_ref().map_or(0, |live| live.pool.queued()),
        isolates: entry
            .live
            .iter()
            .flat_map(|live| live.pool.observed())
            .map(isolate_status)
            .collect(),
    }
}

fn isolate_status(IsolateObservation { id, vitals, blocked }: IsolateObservation) -> IsolateStatus {
    let blocked_for = if blocked { vitals.blocked_for.as_millis() } else { 0 };
    #[allow(clippy::cast_precision_loss, reason = "a tenth of a megabyte is all that is shown")]
    let megabytes = |bytes: u64| (bytes as f64 / f64::from(1 << 20) * 10.0).round() / 10.0;
    IsolateStatus {
        id,
        calls: vitals.calls.len(),
        heap_mb: megabytes(vitals.heap_used),
        buffers_mb: megabytes(vitals.buffers_used),
        condemned: vitals.condemned,
        paused: vitals.paused,
        blocked_ms: u64::try_from(blocked_for).unwrap_or(u64::MAX),
        finishing: vitals.finishing.is_some(),
        finishes_for: vitals.finishing.map(|event| DrainWork::as_str(event).to_owned()),
    }
}

fn rejected_status(view: &View) -> Option<RejectedStatus> {
    let (generation, error) = view.last_rejected.clone()?;
    Some(RejectedStatus { generation, error })
}
