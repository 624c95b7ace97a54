//! The server's memory: gateways, connections, groups, leases, replies, and what a test has asked for. One lock, no
//! waiting; whoever waits for a change asks again after each.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use connect_wire::message::{
    GatewayExecutorRequestData, SdkResponse, WorkerReplyAckData, WorkerRequestExtendLeaseAckData,
    WorkerRequestExtendLeaseData,
};
use connect_wire::{Frame, Kind, WORKER_FRAME_LIMIT, ulid};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::faults::Faults;
use super::leases::Leases;
use super::presentation::Group;
use super::record::{ConnectionReport, Ending, Extension, FrameReport, Party, Phase, Sync};
use super::timing::Timing;
use crate::Chance;
use crate::fake_inngest::Kind as ServerKind;

/// The most requests that a connection without a limit is given at a time.
const DEFAULT_CAPACITY: usize = 1000;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) timing: Timing,
    pub(super) kind: ServerKind,
    /// The most connections at a time.
    pub(super) most_connections: Option<usize>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) gateways: Vec<Gateway>,
    /// Every connection that ever was; its place is its number.
    pub(super) connections: Vec<Connection>,
    pub(super) groups: HashMap<String, KnownGroup>,
    /// The functions of each app, as they were registered last.
    pub(super) apps: BTreeMap<String, Vec<Value>>,
    pub(super) syncs: Vec<Sync>,
    pub(super) leases: Leases,
    /// The requests whose acknowledgement the executor waits for.
    pub(super) pending: HashMap<String, Pending>,
    /// The first reply to each request, until it is taken.
    pub(super) replies: HashMap<String, (SdkResponse, Instant)>,
    /// The requests that are executed, app by app.
    pub(super) executing: HashMap<String, usize>,
    pub(super) tokens: HashMap<String, Instant>,
    pub(super) faults: Faults,
    pub(super) frames: Vec<FrameReport>,
    pub(super) extensions: Vec<Extension>,
    /// The requests that were sent twice, as a test had asked for.
    pub(super) duplicated: Vec<String>,
    /// The replies that came by `POST /v0/connect/flush`.
    pub(super) flushed: Vec<SdkResponse>,
    /// The statuses of the answers to `POST /v0/connect/start`.
    pub(super) starts: Vec<u16>,
    /// The number of statuses of workers.
    pub(super) statuses: usize,
    pub(super) chance: Chance,
    numbers: u128,
    /// The time of each lease's last extension.
    extended: HashMap<String, Instant>,
}

#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) name: String,
    pub(super) draining: bool,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) report: ConnectionReport,
    pub(super) groups: Vec<Group>,
    pub(super) ready_since: Instant,
    pub(super) outbox: UnboundedSender<Mail>,
}

/// A group that some connection is of.
#[derive(Debug)]
pub(super) struct KnownGroup {
    pub(super) since: Instant,
    pub(super) connections: usize,
}

/// A request on its way to a worker.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) connection: usize,
    /// The worker's answer: it owns the request, or the connection takes none any more.
    pub(super) owned: Option<bool>,
}

/// The writer's next action.
#[derive(Debug)]
pub(super) enum Mail {
    Binary(Bytes),
    /// The gateway closes.
    Close(u16, String),
    /// The worker has closed, and gets its answer.
    Farewell(Ending),
    Pong(Vec<u8>),
    /// Ends the connection without a word.
    Cut,
}

impl Connection {
    /// The most requests that the worker takes.
    pub(super) fn limit(&self) -> Option<usize> {
        let limit = self.report.presented.as_ref()?.max_worker_concurrency?;
        usize::try_from(limit).ok()
    }
}

/// Returns the time since 1970.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time since 1970")
}

impl Book {
    pub(super) fn new(timing: Timing, kind: ServerKind, gateways: &[String], most_connections: Option<usize>) -> Self {
        let gateways = gateways.iter().map(|name| Gateway {
            name: name.clone(),
            draining: false,
        });
        Self {
            timing,
            kind,
            most_connections,
            state: Mutex::new(State {
                gateways: gateways.collect(),
                connections: Vec::new(),
                groups: HashMap::new(),
                apps: BTreeMap::new(),
                syncs: Vec::new(),
                leases: Leases::default(),
                pending: HashMap::new(),
                replies: HashMap::new(),
                executing: HashMap::new(),
                tokens: HashMap::new(),
                faults: Faults::default(),
                frames: Vec::new(),
                extensions: Vec::new(),
                duplicated: Vec::new(),
                flushed: Vec::new(),
                starts: Vec::new(),
                statuses: 0,
                chance: Chance(42),
                numbers: 0,
                extended: HashMap::new(),
            }),
            changed: Notify::new(),
        }
    }

    /// Reads without a change.
    pub(super) fn read(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no poison")
    }

    /// Changes the memory, and wakes whoever waits for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.read());
        self.changed.notify_waiters();
        result
    }

    /// Waits until `wanted` finds something.
    pub(super) async fn when<T>(&self, mut wanted: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let change = self.changed.notified();
            if let Some(found) = wanted(&mut self.read()) {
                return found;
            }
            change.await;
        }
    }

    /// Takes the reply of a worker, over whichever way it came: the first one counts.
    pub(super) fn take_reply(&self, reply: SdkResponse) {
        self.change(|state| {
            let kept = self.timing.reply;
            state.replies.retain(|_, (_, since)| since.elapsed() < kept);
            let request = reply.request_id.clone();
            state.replies.entry(request).or_insert((reply, Instant::now()));
        });
    }

    /// Sends a frame over a connection; one that is gone swallows it.
    pub(super) fn send(&self, number: usize, frame: &Frame) {
        self.change(|state| state.send(number, frame));
    }

    /// Answers a worker that wants to hold a lease.
    pub(super) fn extend(&self, number: usize, data: &WorkerRequestExtendLeaseData) {
        self.change(|state| {
            let limited = state.connections[number].limit().is_some();
            let instance = state.connections[number].report.instance().to_owned();
            let (now, request) = (now(), data.request_id.as_str());
            let left = state.leases.ends(request).unwrap_or_default().saturating_sub(now);
            let extended = state
                .leases
                .extend(request, &data.lease_id, (&instance, limited), now, self.timing.lease);
            let since = state.extended.get(request).map_or(Duration::ZERO, Instant::elapsed);
            if extended.is_ok() {
                state.extended.insert(request.to_owned(), Instant::now());
            }
            state.extensions.push(Extension {
                request: request.to_owned(),
                connection: state.connections[number].report.id.clone(),
                since,
                left,
                nack: extended.as_ref().err().copied(),
            });
            let ack = WorkerRequestExtendLeaseAckData {
                request_id: data.request_id.clone(),
                account_id: data.account_id.clone(),
                env_id: data.env_id.clone(),
                app_id: data.app_id.clone(),
                function_slug: data.function_slug.clone(),
                new_lease_id: extended.ok(),
            };
            state.send(number, &Frame::WorkerRequestExtendLeaseAck(ack));
        });
    }
}

impl State {
    /// Returns the id of the app that a function belongs to: of the apps that are known, the one with the longest id, or
    /// else the part of the function's id before the first hyphen.
    pub(super) fn app_of(&self, function: &str) -> String {
        let is_its = |app: &&String| {
            function
                .strip_prefix(app.as_str())
                .is_some_and(|rest| rest.starts_with('-'))
        };
        let known = self.apps.keys().filter(is_its).max_by_key(|app| app.len());
        known.cloned().unwrap_or_else(|| {
            let before = function.split_once('-').map_or(function, |(app, _)| app);
            before.to_owned()
        })
    }

    /// Makes an id that the server has not used yet.
    pub(super) fn ulid(&mut self) -> String {
        self.numbers += 1;
        ulid::text(now(), self.numbers)
    }

    /// Leases a request anew.
    pub(super) fn lease(&mut self, request: &str, length: Duration) -> String {
        self.extended.insert(request.to_owned(), Instant::now());
        self.leases.lease(request, now(), length)
    }

    /// Ends a request: nobody waits for it any more.
    pub(super) fn end_request(&mut self, request: &str) {
        self.leases.end(request);
        self.pending.remove(request);
        self.extended.remove(request);
    }

    /// Writes a frame down; `false` if it gets lost.
    pub(super) fn passes(&mut self, number: usize, sender: Party, frame: &Frame) -> bool {
        let lost = self.faults.loses(sender, frame.kind());
        self.frames.push(FrameReport {
            at: Instant::now(),
            connection: self.connections[number].report.id.clone(),
            sender,
            kind: frame.kind(),
            request: request_of(frame).map(str::to_owned),
            lost,
        });
        !lost
    }

    pub(super) fn send(&mut self, number: usize, frame: &Frame) {
        if !self.passes(number, Party::Gateway, frame) {
            return;
        }
        let bytes = frame.encode(WORKER_FRAME_LIMIT).expect("a frame that workers read");
        let bytes = match self.faults.truncates(frame.kind()) {
            true => bytes.slice(..bytes.len() / 2),
            false => bytes,
        };
        // A writer that has ended has closed the connection.
        let _ = self.connections[number].outbox.send(Mail::Binary(bytes));
    }

    /// Sends a request, twice if a test has asked for that.
    pub(super) fn send_request(&mut self, number: usize, request: &GatewayExecutorRequestData) {
        let frame = Frame::GatewayExecutorRequest(request.clone());
        self.send(number, &frame);
        if self.faults.duplicates() {
            let app = request.app_name.as_str();
            let mut others = (0..self.connections.len()).filter(|other| {
                let connection = &self.connections[*other];
                *other != number
                    && connection.report.phase == Phase::Ready
                    && connection.groups.iter().any(|group| group.app == app)
            });
            let other = others.next().unwrap_or(number);
            self.duplicated.push(request.request_id.clone());
            self.send(other, &frame);
        }
    }

    pub(super) fn acknowledge_reply(&mut self, number: usize, request: &str) {
        let ack = WorkerReplyAckData {
            request_id: request.to_owned(),
        };
        self.send(number, &Frame::WorkerReplyAck(ack));
    }

    /// Notes that a worker owns a request.
    pub(super) fn owned(&mut self, number: usize, request: &str) {
        if let Some(pending) = self.pending.get_mut(request)
            && pending.connection == number
        {
            pending.owned = Some(true);
        }
    }

    /// Has a connection take no new requests: those that it has not acknowledged go to another one.
    pub(super) fn drain(&mut self, number: usize) {
        let phase = &mut self.connections[number].report.phase;
        if *phase < Phase::Draining {
            *phase = Phase::Draining;
        }
        self.release(number);
    }

    /// Gives back the requests that a connection has not acknowledged.
    pub(super) fn release(&mut self, number: usize) {
        for pending in self.pending.values_mut().filter(|pending| pending.connection == number) {
            pending.owned.get_or_insert(false);
        }
    }

    /// Notes the end of a connection, and takes its capacity back.
    pub(super) fn gone(&mut self, number: usize, ending: Ending) {
        self.release(number);
        let connection = &mut self.connections[number];
        if connection.report.phase == Phase::Gone {
            return;
        }
        let counted = connection.report.phase >= Phase::Connected;
        connection.report.phase = Phase::Gone;
        connection.report.ending = Some(ending);
        connection.report.ended = Some(Instant::now());
        let hashes: Vec<_> = connection.groups.iter().map(|group| group.hash.clone()).collect();
        for hash in hashes.into_iter().filter(|_| counted) {
            if let Some(group) = self.groups.get_mut(&hash) {
                group.connections -= 1;
                if group.connections == 0 {
                    self.groups.remove(&hash);
                }
            }
        }
    }

    /// Tells whether the gateway of a connection drains.
    pub(super) fn gateway_drains(&self, name: &str) -> bool {
        self.gateways
            .iter()
            .any(|gateway| gateway.name == name && gateway.draining)
    }

    /// Returns the most requests of an app that are executed at a time. Each connection adds to it from its registration
    /// to its end, also while it drains (inngest/inngest: `pkg/connect/lifecycles/semaphore.go`).
    pub(super) fn capacity(&self, app: &str) -> usize {
        let open = self.connections.iter().filter(|connection| {
            (Phase::Connected..Phase::Gone).contains(&connection.report.phase)
                && connection.groups.iter().any(|group| group.app == app)
        });
        open.map(|connection| connection.limit().unwrap_or(DEFAULT_CAPACITY))
            .sum()
    }

    /// Tells whether an app has a place for another request.
    pub(super) fn has_place(&self, app: &str) -> bool {
        self.executing.get(app).copied().unwrap_or_default() < self.capacity(app)
    }

    /// Takes one of an app's places, if there is one.
    pub(super) fn take_place(&mut self, app: &str) -> Option<()> {
        self.has_place(app)
            .then(|| *self.executing.entry(app.to_owned()).or_default() += 1)
    }

    pub(super) fn give_place_back(&mut self, app: &str) {
        if let Some(executing) = self.executing.get_mut(app) {
            *executing -= 1;
        }
    }
}

/// The request that a frame is about.
fn request_of(frame: &Frame) -> Option<&str> {
    Some(match frame {
        Frame::GatewayExecutorRequest(data) => &data.request_id,
        Frame::WorkerRequestAck(data) => &data.request_id,
        Frame::WorkerReply(data) => &data.request_id,
        Frame::WorkerReplyAck(data) => &data.request_id,
        Frame::WorkerRequestExtendLease(data) => &data.request_id,
        Frame::WorkerRequestExtendLeaseAck(data) => &data.request_id,
        _ => return None,
    })
}

/// Tells whether a worker may send frames of a kind.
pub(super) fn is_of_workers(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::WorkerReady
            | Kind::WorkerPause
            | Kind::WorkerHeartbeat
            | Kind::WorkerRequestAck
            | Kind::WorkerRequestExtendLease
            | Kind::WorkerReply
            | Kind::WorkerStatus
    )
}
