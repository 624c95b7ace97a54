//! The machine of the connection: events in, actions out. It has no clock and does no IO.
//!
//! ```text
//!            presented            ready                  lost
//!  Off ───────────────▶ Connecting ────▶ Active ─────────────────▶ Reconnecting ──▶ Active
//!                           │ refused      │ told to stop
//!                           ▼              ▼
//!                        Refused         Paused ──▶ Closed
//! ```
//!
//! The presentation that is *wanted* is that of the current generation, or of the one that is about to become current. One
//! session serves; while it presents something else than is wanted, or its gateway goes, a successor is opened beside
//! it. The successor serves once its presentation is that of the current generation: the session before is paused,
//! and closed once its replies are acknowledged. Leases belong to no session: they are extended over the one that
//! serves.

use std::sync::Arc;
use std::time::Duration;

use connect_wire::Frame;
use connect_wire::message::{GatewayExecutorRequestData, SdkResponse, SystemError, WorkerStatusData};

use super::apps::Presentation;
use super::dial_backoff::DialBackoff;
use super::gateway_session::{GatewaySession, Regular, SessionPhase};
use super::requests::{Arrival, Delivery, Extension, RequestCounts, Requests, SessionId};
use super::server_clock::{HostMoment, ServerClock};
use crate::config::OnStop;

/// The time for the gateway to have the functions synced (`connect` of inngest/inngest: 60 s, and retries).
const READY_WITHIN: Duration = Duration::from_secs(75);
/// The time for the replies of a session that was paused to be acknowledged.
const PAUSED_WITHIN: Duration = Duration::from_secs(5);
/// The time for the extensions before the connection is closed at a stop.
const LAST_EXTENSION: Duration = Duration::from_secs(2);

/// The part that this host has among the hosts of its project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// The host loads beside one that accepts: it may present, and does not serve.
    Beside,
    /// The host loads, and nobody accepts.
    Waiting,
    Accepting,
    /// Nobody accepts for a moment.
    Stopped,
    /// Another host accepts.
    HandedOver,
}

/// An event of the outside.
#[derive(Debug)]
pub enum ConnectionEvent {
    Tick,
    Duty(Duty),
    /// Another generation is current, or its presentation cannot be made.
    Current(Option<Arc<Presentation>>),
    /// A generation is about to become current.
    Offered(Arc<Presentation>),
    /// A session was given its id and its gateway.
    Started {
        session: SessionId,
        connection_id: String,
        group: String,
    },
    /// The presentation was sent.
    Presented(SessionId),
    Frame(SessionId, Frame),
    Gone(SessionId, Loss),
    Answered(SdkResponse),
    Flushed(String),
    NotFlushed(String),
    /// The host ends, and no other host of this machine takes over.
    Stop(OnStop),
}

/// The reason why a session is gone, or never came to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    #[error("Inngest does not accept the signing key")]
    Unauthorized,
    #[error("Inngest allows no more connections")]
    TooManyConnections,
    #[error("{0}")]
    Failed(String),
    #[error("the gateway closed the connection: {code} {reason}")]
    Closed { code: u16, reason: String },
    #[error("the gateway has not answered two heartbeats")]
    Silent,
    #[error("the gateway has not said within {READY_WITHIN:?} that the connection is ready")]
    NeverReady,
}

impl Loss {
    /// Returns what somebody can do about an attempt that failed.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unauthorized => "Set INNGEST_SIGNING_KEY to the key of this environment.",
            Self::TooManyConnections => "End another host that is connected, or have Inngest allow more connections.",
            Self::Failed(_) | Self::NeverReady => {
                "See that this machine reaches Inngest: INNGEST_DEV and INNGEST_BASE_URL have its address, \
                 connect.gateway_url that of its gateway."
            }
            Self::Closed { .. } | Self::Silent => return None,
        })
    }
}

/// An act of the task.
#[derive(Debug, PartialEq)]
pub enum ConnectionAction {
    Open(Opening),
    Send(SessionId, Frame),
    Close(SessionId),
    /// Run the request, which was acknowledged.
    Run(Box<GatewayExecutorRequestData>, Arc<Presentation>),
    Flush(SdkResponse),
    /// The offered presentation is settled.
    Settle(Result<(), SystemError>),
    Tell(ConnectionNews),
}

/// The input for a session to be opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening {
    pub session: SessionId,
    pub presentation: Arc<Presentation>,
    pub manual: bool,
    /// The bearer to begin with.
    pub bearer: usize,
    pub exclude: Vec<String>,
}

/// News for the log and the metrics.
#[derive(Debug, Clone, PartialEq)]
pub enum ConnectionNews {
    Active {
        session: SessionId,
        replaced: bool,
    },
    Lost {
        loss: Loss,
        in_flight: usize,
    },
    Failed {
        loss: Loss,
        failures: usize,
    },
    Refused(SystemError),
    /// The gateway goes.
    GatewayCloses,
    Duplicate(String),
    LeaseLost(Box<GatewayExecutorRequestData>),
    ReplyDropped(Box<GatewayExecutorRequestData>),
    LeaseExtended,
    /// A request came for an app that is not presented, or on a session that takes none.
    NotTaken(String),
    Closed,
}

/// The state of the whole, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Off,
    Connecting,
    Active,
    Reconnecting,
    Refused(SystemError),
    Paused,
    Closed,
}

/// The machine.
#[derive(Debug)]
pub struct ConnectionMachine {
    duty: Duty,
    current: Option<Arc<Presentation>>,
    /// A presentation that is about to become current, and whether its outcome was told.
    offered: Option<(Arc<Presentation>, bool)>,
    sessions: Vec<GatewaySession>,
    next_session: u64,
    requests: Requests,
    clock: ServerClock,
    backoff: DialBackoff,
    bearer: usize,
    refused: Option<SystemError>,
    was_active: bool,
    /// The connections of the plan are used up: a successor has to come after the session before it.
    one_at_a_time: bool,
    stop: Option<Stopping>,
    chance: f64,
    actions: Vec<ConnectionAction>,
}

/// A stop: the connection is closed once the leases are extended once more, or once the calls in flight have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    Extending { until: HostMoment },
    Pausing,
    Closed,
}

impl ConnectionMachine {
    #[must_use]
    pub fn new(duty: Duty) -> Self {
        Self {
            duty,
            current: None,
            offered: None,
            sessions: Vec::new(),
            next_session: 1,
            requests: Requests::default(),
            clock: ServerClock::default(),
            backoff: DialBackoff::default(),
            bearer: 0,
            refused: None,
            was_active: false,
            one_at_a_time: false,
            stop: None,
            chance: 0.5,
            actions: Vec::new(),
        }
    }

    /// Takes an event. `chance` is between 0 and 1.
    pub fn apply(&mut self, event: ConnectionEvent, now: HostMoment, chance: f64) -> Vec<ConnectionAction> {
        self.chance = chance;
        self.take(event, now);
        self.keep_alive(now);
        self.promote(now);
        self.settle_offer();
        self.retire(now);
        self.open(now);
        self.extend(now);
        self.deliver(now);
        self.go_on_stopping(now);
        std::mem::take(&mut self.actions)
    }

    /// The moment at which a tick is due.
    #[must_use]
    pub fn next_due(&self) -> Option<HostMoment> {
        let serves = self.serving().is_some();
        let sessions = self.sessions.iter().filter_map(|session| {
            let due = session.next_due();
            match session.phase {
                SessionPhase::Paused { since } if serves => due.map(|due| due.min(since + PAUSED_WITHIN)),
                _ => due,
            }
        });
        let opening = self.lacks_session().then(|| self.backoff.retry_at());
        let stopping = match self.stop {
            Some(Stopping::Extending { until }) => Some(until),
            Some(Stopping::Pausing | Stopping::Closed) | None => None,
        };
        let requests = self.requests.next_due(self.lease_session().is_some());
        sessions.chain(opening).chain(stopping).chain(requests).min()
    }

    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.stop == Some(Stopping::Closed) {
            return Standing::Closed;
        }
        let has = |of: fn(&GatewaySession) -> bool| self.sessions.iter().any(of);
        if has(|session| session.phase == SessionPhase::Serving) {
            return Standing::Active;
        }
        match (&self.refused, self.wanted()) {
            _ if has(|session| matches!(session.phase, SessionPhase::Paused { .. })) => Standing::Paused,
            (_, None) => Standing::Off,
            (Some(error), _) => Standing::Refused(error.clone()),
            (None, _) if self.duty == Duty::HandedOver => Standing::Closed,
            (None, _) if self.was_active => Standing::Reconnecting,
            (None, _) => Standing::Connecting,
        }
    }

    /// The session that people are shown: the one that serves, else the newest.
    #[must_use]
    pub fn shown_session(&self) -> Option<&GatewaySession> {
        self.serving().or_else(|| self.sessions.last())
    }

    #[must_use]
    pub const fn requests(&self) -> &Requests {
        &self.requests
    }

    #[must_use]
    pub fn counts(&self) -> RequestCounts {
        self.requests.counts()
    }

    #[must_use]
    pub fn sessions(&self) -> &[GatewaySession] {
        &self.sessions
    }

    /// Tells whether Inngest knows what is wanted: a session is ready that presents it.
    #[must_use]
    pub fn is_presented(&self) -> bool {
        let mut ready = self.sessions.iter().filter(|session| session.takes_requests());
        ready.any(|session| Some(&session.presentation) == self.wanted())
    }

    /// Tells whether the session that serves presents the current generation, or none serves.
    #[must_use]
    pub fn is_swapped(&self) -> bool {
        let serving = self.serving().map(|session| &session.presentation);
        serving.is_none_or(|serving| Some(serving) == self.current.as_ref())
    }

    /// Tells whether nothing is left to do: no request runs whose answer somebody waits for, and no reply is on its way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let RequestCounts { running, replies, .. } = self.requests.counts();
        running == 0 && replies == 0
    }

    fn take(&mut self, event: ConnectionEvent, now: HostMoment) {
        match event {
            ConnectionEvent::Tick => {}
            ConnectionEvent::Duty(duty) => self.duty_is(duty, now),
            ConnectionEvent::Current(current) => {
                if self.current != current {
                    // What was refused may be mended.
                    self.refused = None;
                    self.backoff.now(now);
                }
                self.current = current;
                self.offered = None;
            }
            ConnectionEvent::Offered(presentation) => {
                self.offered = Some((presentation, false));
                self.backoff.now(now);
            }
            ConnectionEvent::Started {
                session,
                connection_id,
                group,
            } => {
                self.clock.learn(&connection_id, now);
                self.backoff.know(&group);
                if let Some(session) = self.session(session) {
                    session.connection_id = connection_id;
                    session.group = group;
                }
            }
            ConnectionEvent::Presented(session) => {
                if let Some(session) = self
                    .session(session)
                    .filter(|session| session.phase == SessionPhase::Opening)
                {
                    session.phase = SessionPhase::Presented {
                        until: now + READY_WITHIN,
                    };
                }
            }
            ConnectionEvent::Frame(session, frame) => self.frame(session, frame, now),
            ConnectionEvent::Gone(session, loss) => self.gone(session, loss, now),
            ConnectionEvent::Answered(response) => self.requests.answered(response, now),
            ConnectionEvent::Flushed(request_id) => {
                self.requests.delivered(&request_id, now);
            }
            ConnectionEvent::NotFlushed(request_id) => self.requests.not_flushed(&request_id, now),
            ConnectionEvent::Stop(_) if self.stop.is_some() => {}
            ConnectionEvent::Stop(OnStop::Close) => {
                self.requests.extend_all(now);
                self.stop = Some(Stopping::Extending {
                    until: now + LAST_EXTENSION,
                });
            }
            ConnectionEvent::Stop(OnStop::Pause) => {
                self.pause_serving(now);
                self.stop = Some(Stopping::Pausing);
            }
        }
    }

    fn duty_is(&mut self, duty: Duty, now: HostMoment) {
        self.duty = duty;
        if matches!(duty, Duty::Stopped | Duty::HandedOver) {
            self.pause_serving(now);
        }
    }

    /// Tells the gateway to send nothing new.
    fn pause_serving(&mut self, now: HostMoment) {
        for session in &mut self.sessions {
            if session.phase == SessionPhase::Serving {
                session.phase = SessionPhase::Paused { since: now };
                self.actions
                    .push(ConnectionAction::Send(session.id, Frame::WorkerPause));
            }
        }
    }

    fn frame(&mut self, id: SessionId, frame: Frame, now: HostMoment) {
        let Some(session) = self.session(id) else {
            return;
        };
        session.heard(now);
        match frame {
            Frame::GatewayConnectionReady(told) if session.is_opening() => session.ready(&told, now),
            Frame::SyncFailed(error) if session.is_opening() => {
                let presentation = session.presentation.clone();
                self.forget(id, now);
                self.actions.push(ConnectionAction::Close(id));
                self.backoff.failed(now, self.in_flight(), self.chance);
                match &self.offered {
                    Some((offered, false)) if *offered == presentation => self.settle(Err(error)),
                    _ => {
                        self.actions
                            .push(ConnectionAction::Tell(ConnectionNews::Refused(error.clone())));
                        self.refused = Some(error);
                    }
                }
            }
            Frame::GatewayClosing if session.takes_requests() => {
                session.phase = SessionPhase::Closing;
                let group = session.group.clone();
                self.backoff.exclude(&group);
                self.backoff.now(now);
                self.actions.push(ConnectionAction::Tell(ConnectionNews::GatewayCloses));
            }
            Frame::GatewayExecutorRequest(request) => self.arrive(id, request, now),
            Frame::WorkerReplyAck(ack) => {
                self.requests.delivered(&ack.request_id, now);
            }
            Frame::WorkerRequestExtendLeaseAck(answer) => {
                let request_id = answer.request_id.clone();
                match self.requests.extended(answer, now, &self.clock) {
                    Extension::Lost => {
                        let request = self.requests.request(&request_id).cloned().unwrap_or_default();
                        self.actions
                            .push(ConnectionAction::Tell(ConnectionNews::LeaseLost(Box::new(request))));
                    }
                    Extension::Extended => self.actions.push(ConnectionAction::Tell(ConnectionNews::LeaseExtended)),
                    Extension::Uncertain | Extension::Void => {}
                }
            }
            _ => {}
        }
    }

    fn arrive(&mut self, id: SessionId, request: GatewayExecutorRequestData, now: HostMoment) {
        let Some(session) = self.session(id) else {
            return;
        };
        let is_taken = session.takes_requests() && session.presentation.has_app(&request.app_name);
        if !is_taken || request.request_id.is_empty() {
            self.actions
                .push(ConnectionAction::Tell(ConnectionNews::NotTaken(request.request_id)));
            return;
        }
        let (interval, presentation) = (session.intervals.extension, session.presentation.clone());
        // The gateway waits for this word, and routes the request elsewhere without it.
        self.actions
            .push(ConnectionAction::Send(id, Frame::WorkerRequestAck(request.ack())));
        let arrival = self.requests.arrive(&request, now, &self.clock, interval);
        if arrival != Arrival::New {
            self.actions.push(ConnectionAction::Tell(ConnectionNews::Duplicate(
                request.request_id.clone(),
            )));
        }
        match arrival {
            Arrival::New => self
                .actions
                .push(ConnectionAction::Run(Box::new(request), presentation)),
            Arrival::Answered(reply) => self
                .actions
                .push(ConnectionAction::Send(id, Frame::WorkerReply(*reply))),
            Arrival::Running | Arrival::Forgotten => {}
        }
    }

    fn gone(&mut self, id: SessionId, loss: Loss, now: HostMoment) {
        let Some(session) = self.forget(id, now) else {
            return;
        };
        let in_flight = self.in_flight();
        if loss == Loss::Unauthorized && session.presentation.bearers.len() > 1 {
            self.bearer = (self.bearer + 1) % session.presentation.bearers.len();
        }
        if session.is_opening() {
            if loss == Loss::TooManyConnections && self.serving().is_some() {
                self.one_at_a_time = true;
            } else {
                self.backoff.exclude(&session.group);
            }
            match &loss {
                Loss::Closed { reason, .. } if reason == CLOSING => self.backoff.gateway_closes(now, self.chance),
                _ => self.backoff.failed(now, in_flight, self.chance),
            }
            // The outcome of an offer is not known: the generation goes on, and is presented once that is possible.
            if let Some((offered, false)) = &self.offered
                && *offered == session.presentation
            {
                self.settle(Ok(()));
            }
            let failures = self.backoff.failures();
            self.actions
                .push(ConnectionAction::Tell(ConnectionNews::Failed { loss, failures }));
            return;
        }
        let is_loss = matches!(session.phase, SessionPhase::Serving | SessionPhase::Ready);
        if is_loss {
            self.backoff.exclude(&session.group);
            match &loss {
                Loss::Closed { reason, .. } if reason == CLOSING => self.backoff.gateway_closes(now, self.chance),
                _ => self.backoff.lost(now, self.chance),
            }
            let in_flight = self.requests.counts().running;
            self.actions
                .push(ConnectionAction::Tell(ConnectionNews::Lost { loss, in_flight }));
        }
    }

    /// Sends what is regular, and gives dead sessions up.
    fn keep_alive(&mut self, now: HostMoment) {
        let mut dead = Vec::new();
        let running = || self.requests.running().map(str::to_owned).collect();
        for session in &mut self.sessions {
            if let SessionPhase::Presented { until } = session.phase
                && now >= until
            {
                dead.push((session.id, Loss::NeverReady));
            }
            match session.regular(now) {
                None => {}
                Some(Regular::Silence) => dead.push((session.id, Loss::Silent)),
                Some(Regular::Heartbeat) => self
                    .actions
                    .push(ConnectionAction::Send(session.id, Frame::WorkerHeartbeat)),
                Some(Regular::Status) => {
                    let status = WorkerStatusData {
                        in_flight_request_ids: running(),
                        shutdown_requested: self.stop.is_some(),
                    };
                    self.actions
                        .push(ConnectionAction::Send(session.id, Frame::WorkerStatus(status)));
                }
            }
        }
        for (id, loss) in dead {
            self.actions.push(ConnectionAction::Close(id));
            self.gone(id, loss, now);
        }
        let (lost, dropped) = self.requests.expire(now);
        for request in lost {
            self.actions
                .push(ConnectionAction::Tell(ConnectionNews::LeaseLost(Box::new(request))));
        }
        for request in dropped {
            self.actions
                .push(ConnectionAction::Tell(ConnectionNews::ReplyDropped(Box::new(request))));
        }
    }

    /// Has the ready successor serve whose presentation is that of the current generation.
    fn promote(&mut self, now: HostMoment) {
        if self.duty != Duty::Accepting || self.stop.is_some() {
            return;
        }
        if self.current.is_none() {
            self.pause_serving(now);
        }
        let mut ready = self
            .sessions
            .iter()
            .filter(|session| session.phase == SessionPhase::Ready);
        let Some(next) = ready.find(|session| Some(&session.presentation) == self.current.as_ref()) else {
            return;
        };
        let (id, manual, interval) = (next.id, next.manual, next.intervals.extension);
        let mut replaced = false;
        for session in &mut self.sessions {
            if session.phase == SessionPhase::Serving {
                replaced = true;
                session.phase = SessionPhase::Paused { since: now };
                self.actions
                    .push(ConnectionAction::Send(session.id, Frame::WorkerPause));
            }
            if session.id == id {
                session.phase = SessionPhase::Serving;
            }
        }
        if manual {
            self.actions.push(ConnectionAction::Send(id, Frame::WorkerReady));
        }
        self.backoff.succeeded();
        self.refused = None;
        self.was_active = true;
        self.one_at_a_time = false;
        self.requests.extend_short(now, interval);
        self.actions
            .push(ConnectionAction::Tell(ConnectionNews::Active { session: id, replaced }));
    }

    fn settle_offer(&mut self) {
        let Some((offered, false)) = &self.offered else {
            return;
        };
        let serves = self.serving().map(|session| &session.presentation);
        let ready = self
            .sessions
            .iter()
            .any(|session| session.takes_requests() && session.presentation == *offered);
        // Without a connection nobody can say whether Inngest would take it.
        if ready || serves.is_none() || self.duty != Duty::Accepting || self.stop.is_some() {
            self.settle(Ok(()));
        }
    }

    fn settle(&mut self, outcome: Result<(), SystemError>) {
        match (&mut self.offered, &outcome) {
            (Some((_, told)), Ok(())) => *told = true,
            (offered, _) => *offered = None,
        }
        self.actions.push(ConnectionAction::Settle(outcome));
    }

    /// Closes the sessions that are of no use any more.
    fn retire(&mut self, now: HostMoment) {
        let serves = self.serving().is_some();
        let wanted = self.wanted().filter(|_| self.may_open()).cloned();
        let leaves = (self.duty == Duty::HandedOver || self.current.is_none()) && self.is_idle();
        let is_over = |session: &GatewaySession| match session.phase {
            SessionPhase::Opening | SessionPhase::Presented { .. } | SessionPhase::Ready => {
                Some(&session.presentation) != wanted.as_ref()
            }
            SessionPhase::Serving => false,
            SessionPhase::Closing => serves || leaves,
            SessionPhase::Paused { since } if serves => {
                now >= since + PAUSED_WITHIN || !self.requests.awaits_acknowledgement_on(session.id)
            }
            SessionPhase::Paused { .. } => leaves,
        };
        let over: Vec<_> = self
            .sessions
            .iter()
            .filter(|session| is_over(session))
            .map(|session| session.id)
            .collect();
        for id in over {
            self.actions.push(ConnectionAction::Close(id));
            self.forget(id, now);
        }
        // The successor comes after the session before it, and the leases are kept meanwhile.
        if self.one_at_a_time
            && self.offered.is_none()
            && let Some(serving) = self.serving()
            && Some(&serving.presentation) != self.current.as_ref()
        {
            let id = serving.id;
            self.requests.extend_all(now);
            self.extend(now);
            self.actions.push(ConnectionAction::Close(id));
            self.forget(id, now);
            self.backoff.now(now);
        }
    }

    fn open(&mut self, now: HostMoment) {
        if !self.lacks_session() || now < self.backoff.retry_at() {
            return;
        }
        let Some(presentation) = self.wanted().cloned() else {
            return;
        };
        let id = SessionId(self.next_session);
        self.next_session += 1;
        // The gateway may send requests at once only where no other session of this project takes them.
        let manual = self.duty != Duty::Accepting || self.serving().is_some() || self.offered.is_some();
        let session = GatewaySession::opening(id, presentation.clone(), manual, now);
        self.sessions.push(session);
        self.actions.push(ConnectionAction::Open(Opening {
            session: id,
            bearer: self.bearer.min(presentation.bearers.len().saturating_sub(1)),
            presentation,
            manual,
            exclude: self.backoff.excluded(),
        }));
    }

    /// Tells whether a session is to be opened as soon as the pause is over.
    fn lacks_session(&self) -> bool {
        let Some(wanted) = self.wanted().filter(|_| self.may_open()) else {
            return false;
        };
        let is_on_its_way = self.sessions.iter().any(GatewaySession::is_opening);
        let is_there = self
            .sessions
            .iter()
            .any(|session| session.takes_requests() && session.presentation == *wanted);
        let waits_for_room = self.one_at_a_time && self.serving().is_some();
        !is_on_its_way && !is_there && !waits_for_room
    }

    fn may_open(&self) -> bool {
        matches!(self.duty, Duty::Accepting | Duty::Beside) && self.stop.is_none()
    }

    fn extend(&mut self, now: HostMoment) {
        let Some(session) = self.lease_session() else {
            return;
        };
        let (id, interval) = (session.id, session.intervals.extension);
        for extension in self.requests.due_extensions(now, interval, id) {
            self.actions
                .push(ConnectionAction::Send(id, Frame::WorkerRequestExtendLease(extension)));
        }
    }

    fn deliver(&mut self, now: HostMoment) {
        let session = self.reply_session().map(|session| session.id);
        for delivery in self.requests.deliveries(now, session) {
            self.actions.push(match delivery {
                Delivery::Send(session, reply) => ConnectionAction::Send(session, Frame::WorkerReply(reply)),
                Delivery::Flush(reply) => ConnectionAction::Flush(reply),
            });
        }
    }

    /// Closes the connection once a stop allows it: work stays in Inngest's queue while nobody is connected, and calls
    /// that still run have the time of their leases.
    fn go_on_stopping(&mut self, now: HostMoment) {
        let is_over = match self.stop {
            None | Some(Stopping::Closed) => return,
            Some(_) if self.lease_session().is_none() => true,
            Some(Stopping::Extending { until }) => now >= until || !self.requests.awaits_extensions(),
            Some(Stopping::Pausing) => self.is_idle(),
        };
        if !is_over {
            return;
        }
        self.stop = Some(Stopping::Closed);
        let ids: Vec<_> = self.sessions.iter().map(|session| session.id).collect();
        for id in ids {
            self.actions.push(ConnectionAction::Close(id));
            self.forget(id, now);
        }
        if let Some((_, false)) = self.offered {
            self.settle(Ok(()));
        }
        if self.was_active {
            self.actions.push(ConnectionAction::Tell(ConnectionNews::Closed));
        }
        self.deliver(now);
    }

    fn forget(&mut self, id: SessionId, now: HostMoment) -> Option<GatewaySession> {
        let at = self.sessions.iter().position(|session| session.id == id)?;
        self.requests.session_gone(id, now);
        Some(self.sessions.remove(at))
    }

    fn session(&mut self, id: SessionId) -> Option<&mut GatewaySession> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    fn in_phase(&self, wanted: impl Fn(SessionPhase) -> bool) -> Option<&GatewaySession> {
        self.sessions.iter().rev().find(|session| wanted(session.phase))
    }

    fn serving(&self) -> Option<&GatewaySession> {
        self.in_phase(|phase| phase == SessionPhase::Serving)
    }

    /// The session over which leases are extended.
    fn lease_session(&self) -> Option<&GatewaySession> {
        self.serving()
            .or_else(|| self.in_phase(|phase| phase == SessionPhase::Ready))
            .or_else(|| self.in_phase(|phase| matches!(phase, SessionPhase::Paused { .. })))
            .or_else(|| self.in_phase(|phase| phase == SessionPhase::Closing))
    }

    /// The session over which replies are sent.
    fn reply_session(&self) -> Option<&GatewaySession> {
        self.serving()
            .or_else(|| self.in_phase(|phase| matches!(phase, SessionPhase::Paused { .. } | SessionPhase::Closing)))
    }

    fn wanted(&self) -> Option<&Arc<Presentation>> {
        let offered = self.offered.as_ref().map(|(offered, _)| offered);
        offered.or(self.current.as_ref())
    }

    fn in_flight(&self) -> bool {
        self.requests.counts().running > 0
    }
}

/// The reason of a gateway that goes.
const CLOSING: &str = "connect_gateway_closing";

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
