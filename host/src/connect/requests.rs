//! The requests that this host has acknowledged: each has a lease, runs once, and keeps its reply until somebody has it.
//!
//! ```text
//!            answered               acknowledged, flushed
//! Running ─────────────▶ Answered ─────────────────────────▶ Delivered ──▶ forgotten, 150 s later
//!    │ the lease is lost     │ 5 s without an acknowledgement, or no session: flushed by HTTP
//!    ▼                       └ 30 s after the end of the lease: dropped, for nobody waits any more
//!   Lost (runs on; its answer is sent all the same)
//! ```
//!
//! Pure: moments come in, frames come out.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use connect_wire::GATEWAY_FRAME_LIMIT;
use connect_wire::message::{
    GatewayExecutorRequestData, SdkResponse, SdkResponseStatus, WorkerRequestExtendLeaseAckData,
    WorkerRequestExtendLeaseData,
};

use super::delivered_replies::DeliveredReplies;
use super::server_clock::{HostMoment, ServerClock};

/// The number of a session of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// The time for which a lease may be uncertain before it counts as lost.
const UNCERTAIN: Duration = Duration::from_secs(150);
/// The time for the gateway to acknowledge a reply.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);
/// The pauses between two attempts to flush a reply; the last one repeats.
const FLUSH_PAUSES: [u64; 6] = [1, 2, 5, 10, 20, 30];
/// The time after the end of a lease for which somebody may still wait for the reply.
const AWAITED: Duration = Duration::from_secs(30);
/// The longest time that Inngest lets a request take, whatever its lease says (`consts.MaxFunctionTimeout`).
const LONGEST_REQUEST: Duration = Duration::from_hours(2);
/// The room that a frame needs beside the body of its reply.
const FRAME_ROOM: usize = 4096;

/// The requests by id.
#[derive(Debug, Default)]
pub struct Requests {
    /// The requests that are not over.
    by_id: BTreeMap<String, AcceptedRequest>,
    delivered: DeliveredReplies,
}

#[derive(Debug)]
struct AcceptedRequest {
    /// The request without its payload.
    request: GatewayExecutorRequestData,
    lease: RequestLease,
    phase: RequestPhase,
    came: HostMoment,
}

#[derive(Debug)]
struct RequestLease {
    id: String,
    ends: HostMoment,
    extend_at: HostMoment,
    /// The session on which an extension was asked for that nobody has answered.
    asked_on: Option<SessionId>,
    /// The moment since which an extension may have been granted without this host knowing its id.
    uncertain_since: Option<HostMoment>,
}

#[derive(Debug)]
enum RequestPhase {
    Running,
    Lost,
    Answered(Box<PendingReply>),
}

#[derive(Debug)]
struct PendingReply {
    response: SdkResponse,
    sent_on: Option<SessionId>,
    /// The moment from which the reply is flushed.
    flush_at: HostMoment,
    flushes: usize,
    is_flushing: bool,
}

/// The meaning of a request that arrives.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrival {
    New,
    /// The request runs already.
    Running,
    /// The request was answered.
    Answered(Box<SdkResponse>),
    /// The request was answered, and its reply was too large to be remembered.
    Forgotten,
}

/// The meaning of the answer to an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    Extended,
    /// Nobody can tell yet whose the lease is.
    Uncertain,
    Lost,
    /// The request is answered, or not this host's.
    Void,
}

/// A way of a reply to Inngest.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    Send(SessionId, SdkResponse),
    Flush(SdkResponse),
}

/// The counts of requests, for the status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCounts {
    pub running: usize,
    pub lost: usize,
    /// The replies that nobody has acknowledged.
    pub replies: usize,
}

impl Requests {
    /// Takes a request that came at this moment. The payload of the kept copy is dropped.
    pub fn arrive(
        &mut self,
        request: &GatewayExecutorRequestData,
        now: HostMoment,
        clock: &ServerClock,
        interval: Duration,
    ) -> Arrival {
        let ends = clock.end_of(&request.lease_id, now);
        if let Some(known) = self.by_id.get_mut(&request.request_id) {
            return match &known.phase {
                RequestPhase::Running | RequestPhase::Lost => {
                    if ends > known.lease.ends {
                        known.lease.id.clone_from(&request.lease_id);
                        known.lease.ends = ends;
                    }
                    Arrival::Running
                }
                RequestPhase::Answered(reply) => Arrival::Answered(Box::new(reply.response.clone())),
            };
        }
        if let Some(reply) = self.delivered.get(&request.request_id) {
            return reply.map_or(Arrival::Forgotten, |reply| Arrival::Answered(Box::new(reply.clone())));
        }
        let mut kept = request.clone();
        kept.request_payload = Bytes::new();
        let entry = AcceptedRequest {
            lease: RequestLease {
                id: request.lease_id.clone(),
                ends,
                extend_at: now + interval,
                asked_on: None,
                uncertain_since: None,
            },
            request: kept,
            phase: RequestPhase::Running,
            came: now,
        };
        self.by_id.insert(request.request_id.clone(), entry);
        Arrival::New
    }

    /// Has the leases of all running requests extended at once.
    pub fn extend_all(&mut self, now: HostMoment) {
        for entry in self.by_id.values_mut() {
            entry.lease.extend_at = entry.lease.extend_at.min(now);
        }
    }

    /// Has the leases extended at once that end soon, since there is a session again.
    pub fn extend_short(&mut self, now: HostMoment, interval: Duration) {
        for entry in self.by_id.values_mut() {
            if entry.lease.ends < now + interval * 2 || entry.lease.uncertain_since.is_some() {
                entry.lease.extend_at = entry.lease.extend_at.min(now);
            }
        }
    }

    /// Returns the extensions that are due, to be sent over this session.
    pub fn due_extensions(
        &mut self,
        now: HostMoment,
        interval: Duration,
        session: SessionId,
    ) -> Vec<WorkerRequestExtendLeaseData> {
        let running = self
            .by_id
            .values_mut()
            .filter(|entry| matches!(entry.phase, RequestPhase::Running));
        running
            .filter(|entry| entry.lease.extend_at <= now)
            .map(|entry| {
                entry.lease.extend_at = now + interval;
                entry.lease.asked_on = Some(session);
                entry.request.extension(entry.lease.id.clone())
            })
            .collect()
    }

    /// Takes the answer to an extension.
    pub fn extended(
        &mut self,
        answer: WorkerRequestExtendLeaseAckData,
        now: HostMoment,
        clock: &ServerClock,
    ) -> Extension {
        let Some(entry) = self.by_id.get_mut(&answer.request_id) else {
            return Extension::Void;
        };
        if !matches!(entry.phase, RequestPhase::Running) {
            return Extension::Void;
        }
        let lease = &mut entry.lease;
        lease.asked_on = None;
        if let Some(id) = answer.new_lease_id {
            lease.ends = clock.end_of(&id, now);
            lease.id = id;
            lease.uncertain_since = None;
            return Extension::Extended;
        }
        if lease.uncertain_since.is_some_and(|since| now < since + UNCERTAIN) {
            return Extension::Uncertain;
        }
        entry.phase = RequestPhase::Lost;
        Extension::Lost
    }

    /// Tells whether extensions are under way.
    #[must_use]
    pub fn awaits_extensions(&self) -> bool {
        let mut running = self
            .by_id
            .values()
            .filter(|entry| matches!(entry.phase, RequestPhase::Running));
        running.any(|entry| entry.lease.asked_on.is_some())
    }

    /// Notes that a session is gone: an extension that it carried may have been granted, and its replies may be lost.
    pub fn session_gone(&mut self, session: SessionId, now: HostMoment) {
        for entry in self.by_id.values_mut() {
            if entry.lease.asked_on == Some(session) {
                entry.lease.asked_on = None;
                entry.lease.uncertain_since.get_or_insert(now);
            }
            if let RequestPhase::Answered(reply) = &mut entry.phase
                && reply.sent_on == Some(session)
            {
                reply.flush_at = reply.flush_at.min(now);
            }
        }
    }

    /// Keeps the reply to a request. A reply that no frame has room for is replaced by an error.
    pub fn answered(&mut self, response: SdkResponse, now: HostMoment) {
        let Some(entry) = self.by_id.get_mut(&response.request_id) else {
            return;
        };
        if !matches!(entry.phase, RequestPhase::Running | RequestPhase::Lost) {
            return;
        }
        let response = match response.body.len() > GATEWAY_FRAME_LIMIT - FRAME_ROOM {
            true => too_large(&entry.request, &response),
            false => response,
        };
        entry.phase = RequestPhase::Answered(Box::new(PendingReply {
            response,
            sent_on: None,
            flush_at: now + ACKNOWLEDGED_WITHIN,
            flushes: 0,
            is_flushing: false,
        }));
    }

    /// Returns the deliveries that are due. `session` is the one that carries replies.
    pub fn deliveries(&mut self, now: HostMoment, session: Option<SessionId>) -> Vec<Delivery> {
        let mut due = Vec::new();
        for entry in self.by_id.values_mut() {
            let RequestPhase::Answered(reply) = &mut entry.phase else {
                continue;
            };
            match session {
                Some(session) if reply.sent_on.is_none() && reply.flushes == 0 => {
                    reply.sent_on = Some(session);
                    reply.flush_at = now + ACKNOWLEDGED_WITHIN;
                    due.push(Delivery::Send(session, reply.response.clone()));
                }
                _ if reply.is_flushing => {}
                None if reply.flushes == 0 => {
                    reply.is_flushing = true;
                    due.push(Delivery::Flush(reply.response.clone()));
                }
                _ if reply.flush_at <= now => {
                    reply.is_flushing = true;
                    due.push(Delivery::Flush(reply.response.clone()));
                }
                _ => {}
            }
        }
        due
    }

    /// Notes that Inngest has the reply to a request. Returns true for the first such news.
    pub fn delivered(&mut self, request_id: &str, now: HostMoment) -> bool {
        let Some(entry) = self.by_id.get_mut(request_id) else {
            return false;
        };
        let RequestPhase::Answered(reply) = &mut entry.phase else {
            return false;
        };
        self.delivered.insert(std::mem::take(&mut reply.response), now);
        self.by_id.remove(request_id);
        true
    }

    /// Notes that a reply could not be flushed.
    pub fn not_flushed(&mut self, request_id: &str, now: HostMoment) {
        if let Some(entry) = self.by_id.get_mut(request_id)
            && let RequestPhase::Answered(reply) = &mut entry.phase
        {
            let pause = FLUSH_PAUSES[reply.flushes.min(FLUSH_PAUSES.len() - 1)];
            reply.flushes += 1;
            reply.is_flushing = false;
            reply.flush_at = now + Duration::from_secs(pause);
        }
    }

    /// Forgets what is over. Returns the requests whose leases were lost by time alone, and the replies that were
    /// dropped since nobody waits for them.
    pub fn expire(&mut self, now: HostMoment) -> (Vec<GatewayExecutorRequestData>, Vec<GatewayExecutorRequestData>) {
        let (mut lost, mut dropped) = (Vec::new(), Vec::new());
        self.delivered.expire(now);
        self.by_id.retain(|_, entry| match &mut entry.phase {
            RequestPhase::Running => {
                let uncertain = entry
                    .lease
                    .uncertain_since
                    .is_some_and(|since| now >= since + UNCERTAIN);
                if uncertain || now >= entry.came + LONGEST_REQUEST || now >= entry.lease.ends + AWAITED {
                    entry.phase = RequestPhase::Lost;
                    lost.push(entry.request.clone());
                }
                true
            }
            RequestPhase::Lost => true,
            RequestPhase::Answered(reply) => {
                let is_awaited = reply.is_flushing || reply.flushes == 0 || now < entry.lease.ends + AWAITED;
                if !is_awaited {
                    dropped.push(entry.request.clone());
                }
                is_awaited
            }
        });
        (lost, dropped)
    }

    /// Tells whether a reply that this session carried is not acknowledged.
    #[must_use]
    pub fn awaits_acknowledgement_on(&self, session: SessionId) -> bool {
        let mut entries = self.by_id.values();
        entries.any(|entry| matches!(&entry.phase, RequestPhase::Answered(reply) if reply.sent_on == Some(session) && !reply.is_flushing && reply.flushes == 0))
    }

    /// Returns the counts of what is not over.
    #[must_use]
    pub fn counts(&self) -> RequestCounts {
        let mut counts = RequestCounts::default();
        for entry in self.by_id.values() {
            match entry.phase {
                RequestPhase::Running => counts.running += 1,
                RequestPhase::Lost => counts.lost += 1,
                RequestPhase::Answered(_) => counts.replies += 1,
            }
        }
        counts
    }

    /// A request that is not over, without its payload.
    #[must_use]
    pub fn request(&self, request_id: &str) -> Option<&GatewayExecutorRequestData> {
        self.by_id.get(request_id).map(|entry| &entry.request)
    }

    /// The ids of the requests that run.
    pub fn running(&self) -> impl Iterator<Item = &str> {
        let is_running = |(_, entry): &(&String, &AcceptedRequest)| matches!(entry.phase, RequestPhase::Running);
        self.by_id.iter().filter(is_running).map(|(id, _)| id.as_str())
    }

    /// The end of the lease that ends first.
    #[must_use]
    pub fn first_end(&self) -> Option<HostMoment> {
        let running = self
            .by_id
            .values()
            .filter(|entry| matches!(entry.phase, RequestPhase::Running));
        running.map(|entry| entry.lease.ends).min()
    }

    /// The moment at which something is due. `has_session` tells whether extensions can be sent.
    #[must_use]
    pub fn next_due(&self, has_session: bool) -> Option<HostMoment> {
        let due = |entry: &AcceptedRequest| match &entry.phase {
            RequestPhase::Running => {
                let lease = &entry.lease;
                let lost = lease.ends + AWAITED;
                let lost = lease.uncertain_since.map_or(lost, |since| lost.min(since + UNCERTAIN));
                let lost = lost.min(entry.came + LONGEST_REQUEST);
                Some(if has_session { lost.min(lease.extend_at) } else { lost })
            }
            RequestPhase::Lost => None,
            RequestPhase::Answered(reply) => (!reply.is_flushing).then_some(reply.flush_at),
        };
        self.by_id.values().filter_map(due).min()
    }
}

fn too_large(request: &GatewayExecutorRequestData, response: &SdkResponse) -> SdkResponse {
    let message = format!(
        "the output is too large: {} bytes, where Inngest takes {}",
        response.body.len(),
        GATEWAY_FRAME_LIMIT - FRAME_ROOM
    );
    SdkResponse {
        body: serde_json::json!({"name": "Error", "message": message})
            .to_string()
            .into(),
        no_retry: true,
        sdk_version: response.sdk_version.clone(),
        request_version: response.request_version,
        ..request.reply(SdkResponseStatus::Error)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use connect_wire::message::{
        GatewayExecutorRequestData, SdkResponse, SdkResponseStatus, WorkerRequestExtendLeaseAckData,
    };

    use super::{Arrival, Delivery, Extension, Requests, SessionId};
    use crate::connect::server_clock::ServerClock;

    const INTERVAL: Duration = Duration::from_secs(30);
    const ONE: SessionId = SessionId(1);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn request(id: &str) -> GatewayExecutorRequestData {
        GatewayExecutorRequestData {
            request_id: id.to_owned(),
            ..GatewayExecutorRequestData::default()
        }
    }

    fn with_one() -> Requests {
        let mut requests = Requests::default();
        let arrival = requests.arrive(&request("a"), at(0), &ServerClock::default(), INTERVAL);
        assert_eq!(arrival, Arrival::New);
        requests
    }

    fn nack() -> WorkerRequestExtendLeaseAckData {
        WorkerRequestExtendLeaseAckData {
            request_id: "a".to_owned(),
            ..WorkerRequestExtendLeaseAckData::default()
        }
    }

    #[test]
    fn a_request_that_comes_again_does_not_run_again() {
        let (mut requests, clock) = (with_one(), ServerClock::default());
        assert_eq!(
            requests.arrive(&request("a"), at(1), &clock, INTERVAL),
            Arrival::Running
        );
        let reply = request("a").reply(SdkResponseStatus::Done);
        requests.answered(reply.clone(), at(2));
        let again = Arrival::Answered(Box::new(reply));
        assert_eq!(requests.arrive(&request("a"), at(3), &clock, INTERVAL), again);
        assert!(requests.delivered("a", at(3)));
        assert!(!requests.delivered("a", at(3)));
        assert_eq!(requests.arrive(&request("a"), at(4), &clock, INTERVAL), again);
        requests.expire(at(153));
        assert_eq!(requests.arrive(&request("a"), at(154), &clock, INTERVAL), Arrival::New);
    }

    #[test]
    fn a_refused_extension_is_a_lost_lease_unless_one_may_have_been_granted_unseen() {
        let (mut requests, clock) = (with_one(), ServerClock::default());
        assert_eq!(requests.due_extensions(at(29), INTERVAL, ONE).len(), 0);
        assert_eq!(requests.due_extensions(at(30), INTERVAL, ONE).len(), 1);
        requests.session_gone(ONE, at(31));
        assert_eq!(requests.extended(nack(), at(40), &clock), Extension::Uncertain);
        assert_eq!(requests.extended(nack(), at(181), &clock), Extension::Lost);
        assert_eq!(requests.due_extensions(at(400), INTERVAL, ONE).len(), 0, "never again");
        assert_eq!(requests.counts().lost, 1);
        let mut requests = with_one();
        assert_eq!(requests.extended(nack(), at(1), &clock), Extension::Lost);
        requests.answered(request("a").reply(SdkResponseStatus::Done), at(2));
        assert_eq!(
            requests.extended(nack(), at(3), &clock),
            Extension::Void,
            "it is answered"
        );
    }

    #[test]
    fn a_reply_is_sent_once_and_flushed_where_nobody_acknowledges_it() {
        let mut requests = with_one();
        requests.answered(request("a").reply(SdkResponseStatus::Done), at(1));
        assert!(matches!(
            requests.deliveries(at(1), Some(ONE))[..],
            [Delivery::Send(ONE, _)]
        ));
        assert_eq!(requests.deliveries(at(5), Some(ONE)), []);
        assert!(matches!(
            requests.deliveries(at(6), Some(ONE))[..],
            [Delivery::Flush(_)]
        ));
        assert_eq!(requests.deliveries(at(60), Some(ONE)), [], "one flush at a time");
        requests.not_flushed("a", at(60));
        assert_eq!(requests.deliveries(at(60), Some(ONE)), []);
        assert!(matches!(requests.deliveries(at(61), None)[..], [Delivery::Flush(_)]));
        requests.not_flushed("a", at(62));
        assert_eq!(requests.expire(at(149)).1.len(), 0);
        assert_eq!(requests.expire(at(150)).1.len(), 1, "nobody waits any more");
        assert_eq!(requests.counts().replies, 0);
    }

    #[test]
    fn a_reply_without_a_session_is_flushed_at_once() {
        let mut requests = with_one();
        requests.answered(request("a").reply(SdkResponseStatus::Done), at(1));
        assert!(matches!(requests.deliveries(at(1), None)[..], [Delivery::Flush(_)]));
        assert!(requests.delivered("a", at(2)));
        let mut requests = with_one();
        requests.answered(request("a").reply(SdkResponseStatus::Done), at(1));
        requests.deliveries(at(1), Some(ONE));
        assert!(requests.awaits_acknowledgement_on(ONE));
        requests.session_gone(ONE, at(2));
        assert!(matches!(requests.deliveries(at(2), None)[..], [Delivery::Flush(_)]));
    }

    #[test]
    fn a_reply_that_would_close_the_connection_is_replaced() {
        let mut requests = with_one();
        let response = SdkResponse {
            body: vec![b'x'; 8 << 20].into(),
            request_version: 2,
            ..request("a").reply(SdkResponseStatus::Done)
        };
        requests.answered(response, at(1));
        let [Delivery::Send(_, sent)] = &requests.deliveries(at(1), Some(ONE))[..] else {
            panic!("nothing was sent");
        };
        assert!(sent.no_retry && sent.body.len() < 200);
        assert_eq!((sent.status(), sent.request_version), (SdkResponseStatus::Error, 2));
    }

    #[test]
    fn delivered_replies_are_remembered_within_bounds() {
        let (mut requests, clock) = (Requests::default(), ServerClock::default());
        for number in 0..12_u64 {
            let request = request(&format!("{number:02}"));
            requests.arrive(&request, at(number), &clock, INTERVAL);
            let body = vec![b'x'; 8 * 1024 * 1024 - 5000].into();
            requests.answered(
                SdkResponse {
                    body,
                    ..request.reply(SdkResponseStatus::Done)
                },
                at(number),
            );
            requests.delivered(&request.request_id, at(number));
        }
        assert_eq!(
            requests.arrive(&request("00"), at(12), &clock, INTERVAL),
            Arrival::Forgotten
        );
        assert!(matches!(
            requests.arrive(&request("11"), at(12), &clock, INTERVAL),
            Arrival::Answered(_)
        ));
        requests.expire(at(200));
        assert_eq!(requests.arrive(&request("11"), at(200), &clock, INTERVAL), Arrival::New);
    }
}
