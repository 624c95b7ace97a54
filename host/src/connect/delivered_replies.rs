//! The replies that Inngest has: a request that comes again within 150 s is answered by the same reply.
//!
//! There are as many as calls of 150 s, and every event of the connection passes here: nothing looks at all of them.
//!
//! Pure: moments come in, in order.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use connect_wire::message::SdkResponse;

use super::server_clock::HostMoment;

/// The time for which an answered request is remembered.
const REMEMBERED: Duration = Duration::from_secs(150);
/// The most bytes of replies that are remembered.
const MOST_BYTES: usize = 64 << 20;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct DeliveredReplies {
    /// The reply to each request; `None` where there was no room for it.
    by_request: HashMap<String, Option<SdkResponse>>,
    /// The requests and the ends of the times for which they are remembered, the oldest first.
    in_order: VecDeque<(HostMoment, String)>,
    /// The number of the oldest requests whose replies were dropped.
    dropped: usize,
    /// The bytes of the replies.
    bytes: usize,
}

impl DeliveredReplies {
    /// Remembers a reply, and drops the oldest ones that there is no room for.
    pub fn insert(&mut self, reply: SdkResponse, now: HostMoment) {
        self.bytes += reply.body.len();
        self.in_order.push_back((now + REMEMBERED, reply.request_id.clone()));
        self.by_request.insert(reply.request_id.clone(), Some(reply));
        while self.bytes > MOST_BYTES
            && let Some((_, oldest)) = self.in_order.get(self.dropped)
        {
            let oldest = self.by_request.get_mut(oldest).and_then(Option::take);
            self.bytes -= oldest.map_or(0, |reply| reply.body.len());
            self.dropped += 1;
        }
    }

    /// Returns the reply to a request that is remembered; the inner `None` is one that there was no room for.
    #[must_use]
    pub fn get(&self, request_id: &str) -> Option<Option<&SdkResponse>> {
        self.by_request.get(request_id).map(Option::as_ref)
    }

    /// Forgets the requests whose time is over.
    pub fn expire(&mut self, now: HostMoment) {
        while let Some((_, request)) = self.in_order.pop_front_if(|(until, _)| *until <= now) {
            let reply = self.by_request.remove(&request).flatten();
            self.bytes -= reply.map_or(0, |reply| reply.body.len());
            self.dropped = self.dropped.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use connect_wire::message::SdkResponse;

    use super::DeliveredReplies;

    fn reply(id: &str, length: usize) -> SdkResponse {
        SdkResponse {
            request_id: id.to_owned(),
            body: vec![b'x'; length].into(),
            ..SdkResponse::default()
        }
    }

    #[test]
    fn replies_are_remembered_within_bounds_of_time_and_of_memory() {
        let mut replies = DeliveredReplies::default();
        for number in 0..12_u64 {
            replies.insert(reply(&number.to_string(), 8 << 20), Duration::from_secs(number));
        }
        let is_there = |replies: &DeliveredReplies, id: &str| replies.get(id).map(|reply| reply.is_some());
        assert_eq!(is_there(&replies, "3"), Some(false), "there was no room");
        assert_eq!(is_there(&replies, "4"), Some(true));
        assert_eq!(is_there(&replies, "12"), None);
        replies.expire(Duration::from_secs(155));
        assert_eq!(is_there(&replies, "5"), None, "its time is over");
        assert_eq!(is_there(&replies, "6"), Some(true));
        replies.insert(reply("small", 1), Duration::from_secs(155));
        assert_eq!(is_there(&replies, "6"), Some(true), "there is room again");
        replies.expire(Duration::from_secs(305));
        assert_eq!(
            (replies.bytes, replies.in_order.len(), replies.by_request.len()),
            (0, 0, 0)
        );
    }
}
