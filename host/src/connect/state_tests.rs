//! Properties of the machine over any order of events, and its courses one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use connect_wire::Frame;
use connect_wire::message::{
    GatewayConnectionReadyData, GatewayExecutorRequestData, SdkResponse, SdkResponseStatus, SystemError,
    WorkerReplyAckData, WorkerRequestExtendLeaseAckData,
};
use proptest::prelude::*;

use super::{
    CLOSING, ConnectionAction, ConnectionEvent, ConnectionMachine, ConnectionNews, Duty, Loss, Opening, Standing,
};
use crate::config::OnStop;
use crate::connect::apps::Presentation;
use crate::connect::apps::tests::presentation;
use crate::connect::requests::SessionId;

const EXTENSION: Duration = Duration::from_secs(30);

fn numbered(number: u8) -> Arc<Presentation> {
    Arc::new(Presentation {
        digest: number.to_string(),
        ..presentation()
    })
}

/// A session as the gateway's side knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    is_ready: bool,
    /// This side has paused it, or the gateway goes.
    is_over: bool,
    serves: bool,
    manual: bool,
}

/// The machine with the world around it, which checks what must hold at any time.
struct World {
    machine: ConnectionMachine,
    now: Duration,
    sessions: BTreeMap<SessionId, Seen>,
    ran: BTreeSet<String>,
    unanswered: BTreeSet<String>,
    /// The answers that this host has made and nobody has.
    answers: BTreeSet<String>,
    given: BTreeSet<String>,
    /// The last moment at which the lease of a request was kept.
    kept: BTreeMap<String, Duration>,
    current: Option<Arc<Presentation>>,
    offered: Option<Arc<Presentation>>,
    settled: Vec<Result<(), SystemError>>,
    opened: Vec<Opening>,
    news: Vec<ConnectionNews>,
    sent: Vec<(SessionId, &'static str)>,
    /// The gateway answers heartbeats.
    gateway_lives: bool,
}

impl World {
    fn new() -> Self {
        Self {
            machine: ConnectionMachine::new(Duty::Accepting),
            now: Duration::ZERO,
            sessions: BTreeMap::new(),
            ran: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            answers: BTreeSet::new(),
            given: BTreeSet::new(),
            kept: BTreeMap::new(),
            current: None,
            offered: None,
            settled: Vec::new(),
            opened: Vec::new(),
            news: Vec::new(),
            sent: Vec::new(),
            gateway_lives: true,
        }
    }

    fn current(&mut self, number: u8) {
        self.offered = None;
        self.current = Some(numbered(number));
        self.apply(ConnectionEvent::Current(self.current.clone()));
    }

    fn offer(&mut self, number: u8) {
        self.offered = Some(numbered(number));
        self.apply(ConnectionEvent::Offered(numbered(number)));
    }

    fn apply(&mut self, event: ConnectionEvent) {
        match &event {
            ConnectionEvent::Gone(session, _) => {
                self.sessions.remove(session);
            }
            ConnectionEvent::Frame(session, Frame::GatewayConnectionReady(_)) => {
                if let Some(seen) = self.sessions.get_mut(session) {
                    seen.is_ready = true;
                    seen.serves = !seen.manual;
                }
            }
            ConnectionEvent::Frame(session, Frame::GatewayClosing) => {
                if let Some(seen) = self.sessions.get_mut(session) {
                    seen.is_over = true;
                }
            }
            _ => {}
        }
        let actions = self.machine.apply(event, self.now, 0.5);
        for action in actions {
            self.act(action);
        }
        let opening = self.sessions.values().filter(|seen| !seen.is_ready).count();
        assert!(opening <= 1, "two sessions are being opened at once");
        let due = self.machine.next_due();
        assert!(
            due.is_none_or(|due| due > self.now),
            "it would spin: {due:?} at {:?}",
            self.now
        );
    }

    fn act(&mut self, action: ConnectionAction) {
        match action {
            ConnectionAction::Open(opening) => {
                let wanted = self.offered.as_ref().or(self.current.as_ref());
                assert_eq!(Some(&opening.presentation), wanted, "an older presentation is told");
                let seen = Seen {
                    manual: opening.manual,
                    ..Seen::default()
                };
                self.sessions.insert(opening.session, seen);
                self.opened.push(opening);
            }
            ConnectionAction::Send(session, frame) => {
                let seen = self.sessions.get_mut(&session);
                let seen = seen.unwrap_or_else(|| panic!("a frame on a session that is gone: {frame:?}"));
                self.sent.push((session, name(&frame)));
                match frame {
                    Frame::WorkerRequestAck(_) => assert!(seen.is_ready && !seen.is_over, "an ack on {seen:?}"),
                    Frame::WorkerPause => {
                        assert!(seen.is_ready);
                        seen.is_over = true;
                    }
                    Frame::WorkerReady => seen.serves = true,
                    Frame::WorkerReply(reply) => {
                        self.given.insert(reply.request_id);
                    }
                    Frame::WorkerRequestExtendLease(extension) => {
                        self.kept.insert(extension.request_id, self.now);
                    }
                    _ => {}
                }
            }
            ConnectionAction::Close(session) => {
                self.sessions.remove(&session);
            }
            ConnectionAction::Run(request, _) => {
                assert!(self.ran.insert(request.request_id.clone()), "a request ran twice");
                self.kept.insert(request.request_id.clone(), self.now);
                self.unanswered.insert(request.request_id);
            }
            ConnectionAction::Flush(reply) => {
                self.given.insert(reply.request_id);
            }
            ConnectionAction::Settle(outcome) => self.settled.push(outcome),
            ConnectionAction::Tell(news) => {
                if let ConnectionNews::LeaseLost(request) = &news {
                    self.kept.remove(&request.request_id);
                }
                self.news.push(news);
            }
        }
    }

    /// Lets time pass, with each tick that is due.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.machine.next_due().filter(|due| *due <= end) {
            self.now = due;
            let before = self.sent.len();
            self.apply(ConnectionEvent::Tick);
            let beats = self.sent[before..].iter().filter(|(_, name)| *name == "heartbeat");
            for session in beats.map(|(session, _)| *session).collect::<Vec<_>>() {
                if self.gateway_lives {
                    self.apply(ConnectionEvent::Frame(session, Frame::GatewayHeartbeat));
                }
            }
            self.check_leases();
        }
        self.now = end;
    }

    /// Checks that each held lease was extended in time where a session was there all the while.
    fn check_leases(&self) {
        let serves = self.machine.standing() == Standing::Active;
        for (request, kept) in self.kept.iter().filter(|(id, _)| self.unanswered.contains(*id)) {
            let late = self.now.saturating_sub(*kept) > EXTENSION + Duration::from_secs(1);
            assert!(!serves || !late, "the lease of {request} was last extended at {kept:?}");
        }
    }

    fn newest(&self) -> Option<SessionId> {
        self.sessions.keys().last().copied()
    }

    fn ready(&mut self, session: SessionId) {
        self.apply(ConnectionEvent::Started {
            session,
            connection_id: String::new(),
            group: "g".to_owned(),
        });
        self.apply(ConnectionEvent::Presented(session));
        let told = GatewayConnectionReadyData {
            heartbeat_interval: "10s".to_owned(),
            extend_lease_interval: "30s".to_owned(),
            status_interval: "0s".to_owned(),
        };
        self.apply(ConnectionEvent::Frame(session, Frame::GatewayConnectionReady(told)));
    }

    fn request(&mut self, session: SessionId, id: &str) {
        let request = request(id);
        self.apply(ConnectionEvent::Frame(session, Frame::GatewayExecutorRequest(request)));
    }

    fn answer(&mut self, id: &str) {
        self.unanswered.remove(id);
        self.answers.insert(id.to_owned());
        self.apply(ConnectionEvent::Answered(request(id).reply(SdkResponseStatus::Done)));
    }

    /// A host that serves.
    fn serving() -> (Self, SessionId) {
        let mut world = Self::new();
        world.current(1);
        let session = world.newest().unwrap();
        world.ready(session);
        assert_eq!(world.machine.standing(), Standing::Active);
        (world, session)
    }

    fn sent_on(&self, session: SessionId) -> Vec<&'static str> {
        let of = |(known, name): &(SessionId, &'static str)| (*known == session).then_some(*name);
        self.sent.iter().filter_map(of).collect()
    }
}

fn name(frame: &Frame) -> &'static str {
    match frame {
        Frame::WorkerReady => "ready",
        Frame::WorkerPause => "pause",
        Frame::WorkerHeartbeat => "heartbeat",
        Frame::WorkerRequestAck(_) => "ack",
        Frame::WorkerReply(_) => "reply",
        Frame::WorkerRequestExtendLease(_) => "extend",
        _ => "other",
    }
}

fn request(id: &str) -> GatewayExecutorRequestData {
    GatewayExecutorRequestData {
        request_id: id.to_owned(),
        app_name: "shop".to_owned(),
        ..GatewayExecutorRequestData::default()
    }
}

fn acknowledged(id: &str) -> Frame {
    Frame::WorkerReplyAck(WorkerReplyAckData {
        request_id: id.to_owned(),
    })
}

fn refusal() -> Frame {
    Frame::SyncFailed(SystemError {
        code: "connect_invalid_function_config".to_owned(),
        data: None,
        message: "bad cron".to_owned(),
    })
}

#[test]
fn the_first_session_serves_without_a_word_and_a_successor_with_one() {
    let (mut world, first) = World::serving();
    assert!(!world.opened[0].manual, "nobody else serves");
    assert_eq!(world.sent_on(first), [""; 0]);
    world.request(first, "a");
    world.offer(2);
    let second = world.newest().unwrap();
    assert!(world.opened[1].manual);
    assert_eq!(world.settled, []);
    world.ready(second);
    assert_eq!(world.settled, [Ok(())], "it may become current");
    assert_eq!(world.sent_on(first), ["ack"], "and does not serve before it is");
    world.request(first, "b");
    world.current(2);
    assert_eq!(world.sent_on(first), ["ack", "ack", "pause"]);
    assert_eq!(world.sent_on(second), ["ready"]);
    assert_eq!(world.sessions.len(), 1, "nothing is awaited on the first one");
    world.pass(EXTENSION);
    assert_eq!(
        world.sent_on(second).iter().filter(|name| **name == "extend").count(),
        2
    );
}

#[test]
fn a_request_that_comes_on_a_paused_session_is_left_to_the_successor() {
    let (mut world, first) = World::serving();
    world.request(first, "a");
    world.answer("a");
    world.offer(2);
    let second = world.newest().unwrap();
    world.ready(second);
    world.current(2);
    assert_eq!(world.sessions.len(), 2, "a reply is not acknowledged");
    world.request(first, "b");
    assert!(!world.ran.contains("b"));
    world.request(second, "b");
    assert!(world.ran.contains("b"));
    world.apply(ConnectionEvent::Frame(first, acknowledged("a")));
    assert_eq!(world.sessions.len(), 1);
}

#[test]
fn a_reload_that_changes_nothing_of_what_is_told_leaves_the_session_alone() {
    let (mut world, first) = World::serving();
    world.offer(1);
    world.current(1);
    assert_eq!(world.settled, [Ok(())]);
    assert_eq!((world.opened.len(), world.sent_on(first)), (1, vec![]));
}

#[test]
fn what_inngest_refuses_does_not_become_current_and_the_session_goes_on() {
    let (mut world, first) = World::serving();
    world.offer(2);
    let second = world.newest().unwrap();
    world.apply(ConnectionEvent::Presented(second));
    world.apply(ConnectionEvent::Frame(second, refusal()));
    assert!(matches!(&world.settled[..], [Err(error)] if error.message == "bad cron"));
    world.offered = None;
    world.pass(Duration::from_secs(600));
    assert_eq!(world.opened.len(), 2, "it is not presented again");
    world.request(first, "a");
    assert!(world.ran.contains("a"));
}

#[test]
fn a_first_presentation_that_is_refused_is_shown_and_tried_again() {
    let mut world = World::new();
    world.current(1);
    let first = world.newest().unwrap();
    world.apply(ConnectionEvent::Presented(first));
    world.apply(ConnectionEvent::Frame(first, refusal()));
    assert!(matches!(world.machine.standing(), Standing::Refused(error) if error.message == "bad cron"));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.opened.len(), 2);
    world.current(2);
    assert_eq!(world.machine.standing(), Standing::Connecting);
}

#[test]
fn a_lost_session_is_replaced_soon_and_its_requests_run_on() {
    let (mut world, first) = World::serving();
    world.request(first, "a");
    world.pass(EXTENSION + Duration::from_secs(1));
    world.apply(ConnectionEvent::Gone(first, Loss::Failed("cut".to_owned())));
    assert_eq!(world.machine.standing(), Standing::Reconnecting);
    world.pass(Duration::from_millis(250));
    let second = world.newest().unwrap();
    assert!(!world.opened[1].manual);
    world.ready(second);
    assert_eq!(
        world.sent_on(second),
        ["extend"],
        "nobody knows whether the extension came through"
    );
    world.answer("a");
    assert_eq!(world.sent_on(second), ["extend", "reply"]);
    world.request(second, "a");
    assert_eq!(world.ran.len(), 1);
    assert_eq!(world.sent_on(second), ["extend", "reply", "ack", "reply"]);
}

#[test]
fn a_reply_without_a_session_is_flushed() {
    let (mut world, first) = World::serving();
    world.request(first, "a");
    world.apply(ConnectionEvent::Gone(first, Loss::Failed("cut".to_owned())));
    world.answer("a");
    assert!(world.given.contains("a"));
    world.apply(ConnectionEvent::Flushed("a".to_owned()));
    assert!(world.machine.is_idle());
}

#[test]
fn a_gateway_that_goes_is_replaced_and_left_at_once() {
    let (mut world, first) = World::serving();
    world.request(first, "a");
    world.answer("a");
    world.apply(ConnectionEvent::Frame(first, Frame::GatewayClosing));
    let second = world.newest().unwrap();
    assert_eq!(world.opened[1].exclude, ["g"]);
    world.ready(second);
    assert!(!world.sessions.contains_key(&first));
    world.pass(Duration::from_secs(1));
    assert!(world.given.contains("a"));
}

#[test]
fn a_gateway_that_answers_no_heartbeat_is_left() {
    let (mut world, first) = World::serving();
    world.gateway_lives = false;
    world.pass(Duration::from_secs(29));
    assert!(world.sessions.contains_key(&first));
    world.pass(Duration::from_secs(1));
    assert!(!world.sessions.contains_key(&first));
    assert!(
        world
            .news
            .iter()
            .any(|news| matches!(news, ConnectionNews::Lost { loss: Loss::Silent, .. }))
    );
    let (mut world, first) = World::serving();
    world.pass(Duration::from_secs(300));
    assert!(world.sessions.contains_key(&first));
}

#[test]
fn where_the_plan_allows_one_connection_the_successor_comes_after_it() {
    let (mut world, first) = World::serving();
    world.request(first, "a");
    world.offer(2);
    let second = world.newest().unwrap();
    world.apply(ConnectionEvent::Gone(second, Loss::TooManyConnections));
    assert_eq!(world.settled, [Ok(())], "what Inngest thinks of it shows later");
    assert!(world.sessions.contains_key(&first));
    world.current(2);
    assert_eq!(world.sent_on(first), ["ack", "extend"]);
    assert!(!world.sessions.contains_key(&first));
    world.pass(Duration::from_millis(1));
    assert!(!world.opened[2].manual);
}

#[test]
fn another_key_is_tried_where_one_is_not_accepted() {
    let mut world = World::new();
    let mut two_keys = presentation();
    two_keys.bearers = ["one", "two"]
        .map(|key| crate::connect::apps::Bearer(key.to_owned()))
        .to_vec();
    world.current = Some(Arc::new(two_keys));
    world.apply(ConnectionEvent::Current(world.current.clone()));
    let first = world.newest().unwrap();
    world.apply(ConnectionEvent::Gone(first, Loss::Unauthorized));
    world.pass(Duration::from_secs(2));
    let bearers: Vec<_> = world.opened.iter().map(|opening| opening.bearer).collect();
    assert_eq!(bearers, [0, 1]);
}

#[test]
fn a_stop_extends_the_leases_closes_and_flushes_what_ends_later() {
    let (mut world, first) = World::serving();
    world.request(first, "a");
    world.apply(ConnectionEvent::Stop(OnStop::Close));
    assert_eq!(world.sent_on(first), ["ack", "extend"]);
    let granted = WorkerRequestExtendLeaseAckData {
        request_id: "a".to_owned(),
        new_lease_id: Some("b".to_owned()),
        ..WorkerRequestExtendLeaseAckData::default()
    };
    world.apply(ConnectionEvent::Frame(
        first,
        Frame::WorkerRequestExtendLeaseAck(granted),
    ));
    assert_eq!((world.machine.standing(), world.sessions.len()), (Standing::Closed, 0));
    assert!(!world.machine.is_idle());
    world.pass(Duration::from_secs(60));
    world.answer("a");
    assert!(world.given.contains("a"));
    world.apply(ConnectionEvent::Flushed("a".to_owned()));
    assert!(world.machine.is_idle());
    assert_eq!(world.opened.len(), 1, "it does not connect again");
    let (mut world, _) = World::serving();
    world.apply(ConnectionEvent::Stop(OnStop::Close));
    assert_eq!(world.sessions.len(), 0, "without a call it closes at once");
}

#[test]
fn a_stop_that_pauses_keeps_the_leases_until_the_last_call_has_ended() {
    let (mut world, first) = World::serving();
    world.request(first, "a");
    world.apply(ConnectionEvent::Stop(OnStop::Pause));
    assert_eq!(world.sent_on(first), ["ack", "pause"]);
    assert_eq!(world.machine.standing(), Standing::Paused);
    world.pass(EXTENSION);
    let kept = world.sent_on(first);
    assert!(kept.contains(&"extend") && kept.contains(&"heartbeat"), "{kept:?}");
    world.apply(ConnectionEvent::Frame(first, Frame::GatewayHeartbeat));
    world.answer("a");
    assert!(world.sessions.contains_key(&first), "the reply is on its way");
    world.apply(ConnectionEvent::Frame(first, acknowledged("a")));
    assert_eq!((world.machine.standing(), world.sessions.len()), (Standing::Closed, 0));
    assert_eq!(world.opened.len(), 1, "it does not connect again");

    let (mut world, first) = World::serving();
    world.request(first, "a");
    world.apply(ConnectionEvent::Stop(OnStop::Pause));
    world.apply(ConnectionEvent::Gone(first, Loss::Silent));
    assert_eq!(world.machine.standing(), Standing::Closed);
    world.answer("a");
    assert!(world.given.contains("a"), "without the session it goes by HTTP");
    let (mut world, _) = World::serving();
    world.apply(ConnectionEvent::Stop(OnStop::Pause));
    assert_eq!(world.sessions.len(), 0, "without a call it closes at once");
}

#[test]
fn of_two_hosts_the_next_one_presents_and_the_one_before_pauses() {
    let mut next = World::new();
    next.machine = ConnectionMachine::new(Duty::Beside);
    next.current(1);
    let session = next.newest().unwrap();
    assert!(next.opened[0].manual);
    assert!(!next.machine.is_presented());
    next.ready(session);
    assert!(next.machine.is_presented());
    assert_eq!(next.sent_on(session), [""; 0]);
    let (mut before, first) = World::serving();
    before.request(first, "a");
    before.apply(ConnectionEvent::Duty(Duty::Stopped));
    assert_eq!(before.sent_on(first), ["ack", "pause"]);
    next.apply(ConnectionEvent::Duty(Duty::Accepting));
    assert_eq!(next.sent_on(session), ["ready"]);
    before.apply(ConnectionEvent::Duty(Duty::HandedOver));
    before.pass(EXTENSION);
    let kept: Vec<_> = before.sent_on(first);
    assert!(kept.contains(&"extend") && kept.contains(&"heartbeat"), "{kept:?}");
    before.apply(ConnectionEvent::Frame(first, Frame::GatewayHeartbeat));
    before.answer("a");
    assert!(before.sent_on(first).contains(&"reply"));
    before.apply(ConnectionEvent::Frame(first, acknowledged("a")));
    assert_eq!(before.sessions.len(), 0);
}

#[test]
fn a_host_that_goes_on_after_all_opens_a_session_anew() {
    let (mut world, first) = World::serving();
    world.apply(ConnectionEvent::Duty(Duty::Stopped));
    world.pass(Duration::from_secs(7));
    assert!(world.sessions.contains_key(&first));
    world.apply(ConnectionEvent::Duty(Duty::Accepting));
    let second = world.newest().unwrap();
    assert_ne!(first, second);
    world.ready(second);
    assert_eq!(world.machine.standing(), Standing::Active);
    assert!(!world.sessions.contains_key(&first));
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Current(u8),
    Offer(u8),
    Ready(usize),
    Refuse(usize),
    Cut(usize, u8),
    Closing(usize),
    Request(usize, u8),
    Answer(u8),
    Acknowledge(usize, u8),
    Flushed(u8),
    NotFlushed(u8),
    Extended(usize, u8, bool),
    Heartbeat(usize),
    Duty(u8),
    Stop(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..40_000_u64).prop_map(Step::Pass),
        1 => (0..3_u8).prop_map(Step::Current),
        1 => (0..3_u8).prop_map(Step::Offer),
        6 => (0..3_usize).prop_map(Step::Ready),
        1 => (0..3_usize).prop_map(Step::Refuse),
        2 => (0..3_usize, 0..4_u8).prop_map(|(session, how)| Step::Cut(session, how)),
        1 => (0..3_usize).prop_map(Step::Closing),
        8 => (0..3_usize, 0..8_u8).prop_map(|(session, id)| Step::Request(session, id)),
        5 => (0..8_u8).prop_map(Step::Answer),
        3 => (0..3_usize, 0..8_u8).prop_map(|(session, id)| Step::Acknowledge(session, id)),
        2 => (0..8_u8).prop_map(Step::Flushed),
        2 => (0..8_u8).prop_map(Step::NotFlushed),
        3 => (0..3_usize, 0..8_u8, any::<bool>()).prop_map(|(session, id, is)| Step::Extended(session, id, is)),
        4 => (0..3_usize).prop_map(Step::Heartbeat),
        1 => (0..5_u8).prop_map(Step::Duty),
        1 => any::<bool>().prop_map(Step::Stop),
    ]
}

impl World {
    fn step(&mut self, step: Step) {
        let at = |world: &Self, index: usize| {
            let sessions: Vec<_> = world.sessions.keys().copied().collect();
            (!sessions.is_empty()).then(|| sessions[index % sessions.len()])
        };
        match step {
            Step::Pass(time) => self.pass(Duration::from_millis(time)),
            Step::Current(number) => self.current(number),
            Step::Offer(number) => self.offer(number),
            Step::Ready(index) => {
                if let Some(session) = at(self, index) {
                    self.ready(session);
                }
            }
            Step::Refuse(index) => {
                if let Some(session) = at(self, index) {
                    let before = self.settled.len();
                    self.apply(ConnectionEvent::Frame(session, refusal()));
                    if self.settled[before..].iter().any(Result::is_err) {
                        self.offered = None;
                    }
                }
            }
            Step::Cut(index, how) => {
                if let Some(session) = at(self, index) {
                    let closed = |reason: &str| Loss::Closed {
                        code: 1001,
                        reason: reason.to_owned(),
                    };
                    let loss = match how {
                        0 => Loss::Failed("cut".to_owned()),
                        1 => closed(CLOSING),
                        2 => Loss::TooManyConnections,
                        _ => Loss::Unauthorized,
                    };
                    self.apply(ConnectionEvent::Gone(session, loss));
                }
            }
            Step::Closing(index) => {
                if let Some(session) = at(self, index).filter(|session| self.sessions[session].is_ready) {
                    self.apply(ConnectionEvent::Frame(session, Frame::GatewayClosing));
                }
            }
            Step::Request(index, id) => {
                if let Some(session) = at(self, index).filter(|session| self.sessions[session].serves) {
                    // An id comes again only within the time for which it is remembered.
                    let id = format!("{id}-{}", self.now.as_secs() / 100);
                    self.request(session, &id);
                }
            }
            Step::Answer(id) => {
                let ids: Vec<_> = self.unanswered.iter().cloned().collect();
                if let Some(id) = ids.get(usize::from(id) % ids.len().max(1)) {
                    self.answer(id);
                }
            }
            Step::Acknowledge(index, id) => {
                let ids: Vec<_> = self.given.iter().cloned().collect();
                if let (Some(session), Some(id)) = (at(self, index), ids.get(usize::from(id) % ids.len().max(1))) {
                    self.apply(ConnectionEvent::Frame(session, acknowledged(id)));
                }
            }
            Step::Flushed(id) | Step::NotFlushed(id) => {
                let ids: Vec<_> = self.given.iter().cloned().collect();
                if let Some(id) = ids.get(usize::from(id) % ids.len().max(1)) {
                    self.apply(match step {
                        Step::Flushed(_) => ConnectionEvent::Flushed(id.clone()),
                        _ => ConnectionEvent::NotFlushed(id.clone()),
                    });
                }
            }
            Step::Extended(index, id, is_extended) => {
                let ids: Vec<_> = self.ran.iter().cloned().collect();
                if let (Some(session), Some(id)) = (at(self, index), ids.get(usize::from(id) % ids.len().max(1))) {
                    let answer = WorkerRequestExtendLeaseAckData {
                        request_id: id.clone(),
                        new_lease_id: is_extended.then(|| "lease".to_owned()),
                        ..WorkerRequestExtendLeaseAckData::default()
                    };
                    self.apply(ConnectionEvent::Frame(
                        session,
                        Frame::WorkerRequestExtendLeaseAck(answer),
                    ));
                }
            }
            Step::Heartbeat(index) => {
                if let Some(session) = at(self, index) {
                    self.apply(ConnectionEvent::Frame(session, Frame::GatewayHeartbeat));
                }
            }
            Step::Duty(duty) => {
                self.apply(ConnectionEvent::Duty(match duty {
                    0 => Duty::Beside,
                    1 => Duty::Stopped,
                    2 => Duty::HandedOver,
                    _ => Duty::Accepting,
                }));
            }
            Step::Stop(pauses) => self.apply(ConnectionEvent::Stop(match pauses {
                true => OnStop::Pause,
                false => OnStop::Close,
            })),
        }
        for answer in &self.answers {
            let is_kept = self.given.contains(answer) || !self.machine.is_idle();
            assert!(is_kept, "the answer to {answer} was neither given nor kept");
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_a_request_runs_once_and_its_answer_is_given(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        world.current(0);
        for step in steps {
            world.step(step);
        }
        let replies: Vec<SdkResponse> = world.unanswered.clone().iter().map(|id| request(id).reply(SdkResponseStatus::Done)).collect();
        for reply in replies {
            world.answer(&reply.request_id);
        }
        world.pass(Duration::from_secs(6));
        prop_assert!(world.answers.is_subset(&world.given));
    }
}
