//! What one can see: liveness, readiness, metrics, and the whole status.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use js_runtime_api::{EnvironmentDigest, Finishing, LoadError, Warning};
use serde::{Deserialize, Serialize};

use super::Server;
use super::hosts::{self, HostStatus};
use crate::config::WatchMode;
use crate::generation::{Entry, Expected, GenerationId, Holds, IsolateId, Observed, Reason, Role, Table, View};
use crate::registration::Shown;
use crate::supervisor::SupervisorLine;

/// `GET /-/live`: that the process answers is the answer.
pub(super) async fn live() -> Json<serde_json::Value> {
    Json(serde_json::json!({"live": true}))
}

/// `GET /-/ready`.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    ready: bool,
    generation: Option<GenerationId>,
    /// Why not.
    reason: Option<NotReady>,
    /// The code on the disk cannot be served: what serves is what served last.
    last_good: bool,
}

/// The reason why a call would not be answered at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NotReady {
    /// No generation has been loaded yet.
    Loading,
    /// The code cannot be loaded.
    Rejected,
    /// User code holds the thread of every isolate: calls wait.
    IsolatesBlocked,
    /// The host finishes its calls and ends.
    Draining,
    /// A task that the host cannot do without failed: it ends, and another takes over.
    Failing,
}

impl NotReady {
    /// `None` while a generation serves.
    pub(super) fn of(table: &Table) -> Option<Self> {
        if table.draining().is_cancelled() {
            return Some(Self::Draining);
        }
        if table.tasks().failed().is_some() {
            return Some(Self::Failing);
        }
        match table.current() {
            Some(current) => current.pool.all_blocked().then_some(Self::IsolatesBlocked),
            None if table.view().last_rejected.is_some() => Some(Self::Rejected),
            None => Some(Self::Loading),
        }
    }
}

/// The query of `GET /-/ready`. Anything else in it is ignored: health checks may add what they like.
#[derive(Debug, Deserialize)]
pub(super) struct ReadyQuery {
    wait: Option<String>,
}

/// The longest wait of `?wait=drain`.
const DRAIN_WAIT: Duration = Duration::from_secs(20);

/// Answers 200 while a generation is current and the host stays, else 503 with the reason. With
/// `?wait=drain` once the host drains or another one takes over, or after 20 s: a host that drains takes no
/// connection any more, so whoever wants to know at once has asked before.
pub(super) async fn ready(State(server): State<Server>, Query(query): Query<ReadyQuery>) -> Response {
    if query.wait.as_deref() == Some("drain") {
        until_it_leaves(&server.table).await;
    }
    let current = server.table.current();
    let reason = NotReady::of(&server.table);
    let status = if reason.is_none() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let readiness = Readiness {
        ready: reason.is_none(),
        last_good: is_last_good(&server.table.view(), current.as_ref().map(|current| current.id)),
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
    server.metrics.registration_is(server.registration.shown().state);
    match server.metrics.render(&server.table) {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => super::answer::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            error.to_string(),
            "Please report it.",
        ),
    }
}

/// `GET /-/status`.
#[derive(Debug, Serialize)]
struct Status {
    current: Option<GenerationId>,
    uptime_s: u64,
    version: &'static str,
    pid: u32,
    /// Where it listens.
    address: SocketAddr,
    /// Under `baton start`.
    supervisor: Option<SupervisorLine>,
    /// Under `baton start`: this host, and those that load or finish their calls beside it.
    hosts: Vec<HostStatus>,
    functions: Vec<FunctionStatus>,
    generations: Vec<GenerationStatus>,
    /// Which changes on the disk lead to a reload.
    watch: WatchMode,
    /// Whether Inngest knows the functions.
    registration: Arc<Shown>,
    /// What deserves attention in the code that serves.
    warnings: Vec<Warning>,
    source: SourceStatus,
    /// The cost of isolates that V8 could not end, until the host ends.
    lost: LossStatus,
}

#[derive(Debug, Serialize)]
struct FunctionStatus {
    id: String,
    app: String,
    name: String,
    triggers: Vec<serde_json::Value>,
    /// `null`: the function says nothing and Inngest's default applies.
    retries: Option<u32>,
    /// Who says so: `code`, `baton.toml`, or `null` for Inngest's default.
    retries_from: Option<&'static str>,
    /// The rest of the SDK's function configuration.
    config: std::collections::BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Serialize)]
struct GenerationStatus {
    id: GenerationId,
    state: &'static str,
    reason: Reason,
    /// The earlier generation whose code this is.
    restored_from: Option<GenerationId>,
    hash: Option<String>,
    git: Option<String>,
    /// What its environment file gave it; never values.
    environment: Option<EnvironmentDigest>,
    /// The stage of its load, while that takes longer than a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    load_stage: Option<String>,
    loaded_at: Option<Timestamp>,
    in_flight: Vec<CallStatus>,
    /// How many of these no isolate has begun.
    queued: usize,
    /// What keeps it although no call runs in it.
    expected: Expected,
    isolates: Vec<IsolateStatus>,
}

#[derive(Debug, Serialize)]
struct IsolateStatus {
    id: IsolateId,
    calls: usize,
    heap_mb: f64,
    buffers_mb: f64,
    /// Nearly out of memory: it finishes its calls and is replaced.
    condemned: bool,
    /// A debugger has stopped it.
    paused: bool,
    /// How long user code has held its thread; 0 while it does not.
    blocked_ms: u64,
    /// User code finishes work beside calls before its generation goes.
    finishing: bool,
    /// The event or signal that it hears then: `baton:draining`, `SIGTERM`.
    finishes_for: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct CallStatus {
    function: Option<String>,
    run: Option<String>,
    step: Option<String>,
    attempt: Option<u32>,
    /// Of what is no call of Inngest.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    since_ms: u64,
}

#[derive(Debug, Serialize)]
struct SourceStatus {
    /// Files on the disk differ from what the current generation read.
    newer_than_loaded: bool,
    changed: Vec<String>,
    last_rejected: Option<RejectedStatus>,
}

#[derive(Debug, Serialize)]
struct LossStatus {
    threads: u64,
    memory_mb: u64,
}

#[derive(Debug, Serialize)]
struct RejectedStatus {
    generation: GenerationId,
    error: LoadError,
}

/// The query of `GET /-/status`.
#[derive(Debug, Deserialize)]
pub(super) struct StatusQuery {
    /// Asked by another host of the project: of this host only.
    alone: Option<String>,
}

/// The whole, as JSON.
pub(super) async fn status(State(server): State<Server>, Query(query): Query<StatusQuery>) -> Response {
    let of = match query.alone {
        Some(_) => Whose::ThisHost,
        None => Whose::AllHosts,
    };
    Json(self::of(&server, of).await).into_response()
}

/// Which hosts of the project a status tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    ThisHost,
    AllHosts,
}

/// The whole, for the dashboard too.
pub(super) async fn of(server: &Server, whose: Whose) -> impl Serialize + use<> {
    let view = server.table.view();
    let current = server.table.current();
    let changed = match &current {
        // Asks for every file, on this thread: while user code keeps every core busy, another one is waited for.
        Some(current) => tokio::task::block_in_place(|| current.sources.changed_on_disk()),
        None => Vec::new(),
    };
    let functions = current.iter().flat_map(|current| current.manifest.functions());
    let (supervisor, hosts) = match whose {
        Whose::ThisHost => (None, Vec::new()),
        Whose::AllHosts => hosts::all(server).await,
    };
    let lost = server.table.losses.lost();
    Status {
        current: current.as_ref().map(|current| current.id),
        uptime_s: server.started.elapsed().as_secs(),
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        address: server.address,
        supervisor,
        hosts,
        functions: functions
            .map(|(app, function)| FunctionStatus {
                id: function.id.clone(),
                app: app.id.clone(),
                name: function.name.clone(),
                triggers: function.triggers.clone(),
                retries: function.retries,
                retries_from: match (function.retries, function.retries_defaulted) {
                    (None, _) => None,
                    (Some(_), true) => Some("baton.toml"),
                    (Some(_), false) => Some("code"),
                },
                config: function.config.clone(),
            })
            .collect(),
        generations: view
            .entries
            .iter()
            .map(|entry| generation_status(entry, &server.table.holds))
            .collect(),
        watch: server.watch,
        registration: server.registration.shown(),
        warnings: current
            .iter()
            .flat_map(|current| current.manifest.warnings.clone())
            .collect(),
        lost: LossStatus {
            threads: lost.threads,
            memory_mb: lost.memory >> 20,
        },
        source: SourceStatus {
            newer_than_loaded: !changed.is_empty(),
            changed: changed.iter().map(|path| path.display().to_string()).collect(),
            last_rejected: rejected_status(&view),
        },
    }
}

fn generation_status(entry: &Entry, holds: &Holds) -> GenerationStatus {
    let in_flight = entry.live.iter().flat_map(|live| live.in_flight());
    GenerationStatus {
        id: entry.id,
        state: entry.state.word(),
        reason: entry.reason,
        restored_from: entry.restored_from,
        hash: entry.hash.clone(),
        git: entry.git.clone(),
        environment: entry.live.as_ref().map(|live| live.sources.environment()),
        load_stage: entry
            .load_stage
            .as_ref()
            .filter(|_| entry.state.word() == "loading")
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

fn isolate_status(Observed { id, vitals, blocked }: Observed) -> IsolateStatus {
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
        finishes_for: vitals.finishing.map(Finishing::as_str),
    }
}

fn rejected_status(view: &View) -> Option<RejectedStatus> {
    let (generation, error) = view.last_rejected.clone()?;
    Some(RejectedStatus { generation, error })
}
