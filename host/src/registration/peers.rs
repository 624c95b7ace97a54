//! Asks the hosts behind this host's own address who they are, and how old their code is.
//!
//! A balancer answers each question by a host that it chooses, so the address is asked until the answers bring nobody
//! new. The questions change nothing: `GET /-/ready` is open. A host tells its id and the time of its code there while
//! it registers. Of the hosts with one address the one with the newest code registers; [`AddressPeer`] is that order.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::Instant;

use super::holder::{of_readiness, origin};
use super::state::HolderReading;
use super::subject::Subject;
use crate::net::{HttpAnswer, http};
use crate::status::Readiness;

/// The limit for all questions at one address together.
const QUESTIONS_LIMIT: Duration = Duration::from_secs(10);
/// The number of answers in a row, for each host that was met, that must bring nobody new. A balancer that chooses by
/// chance among three hosts leaves one of them out with a probability of one in a thousand.
const ANSWERS_FOR_EACH: u32 = 6;
/// The most questions.
const MOST_QUESTIONS: u32 = 60;

/// A host behind an address; the greater one has newer code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AddressPeer {
    /// The time at which the release was pushed, or else at which the generation was loaded.
    pub(super) code_time: Timestamp,
    /// The random id of the host.
    pub(super) host: String,
}

/// The result of asking the hosts behind an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PeersReading {
    /// No other host was met.
    Alone,
    /// No host that was met has newer code than this one.
    Newest,
    /// The host that was met with the newest code of all.
    Newer(AddressPeer),
}

/// The hosts that were met so far.
#[derive(Debug)]
struct Meetings<'a> {
    own: &'a AddressPeer,
    met: BTreeSet<String>,
    /// The host with the newest code, where that is newer than this one's.
    newer: Option<AddressPeer>,
    questions: u32,
    /// The number of answers in a row that brought nobody new.
    familiar: u32,
}

impl<'a> Meetings<'a> {
    const fn new(own: &'a AddressPeer) -> Self {
        Self {
            own,
            met: BTreeSet::new(),
            newer: None,
            questions: 0,
            familiar: 0,
        }
    }

    /// Returns the result if nobody else is met.
    fn so_far(&self) -> PeersReading {
        match &self.newer {
            Some(newer) => PeersReading::Newer(newer.clone()),
            None if self.met.iter().any(|host| *host != self.own.host) => PeersReading::Newest,
            None => PeersReading::Alone,
        }
    }

    /// Takes an answer; `None` is one that names no host that registers. Returns the result once there is one.
    fn take(&mut self, peer: Option<AddressPeer>) -> Option<PeersReading> {
        self.questions += 1;
        match peer.as_ref().is_some_and(|peer| self.met.insert(peer.host.clone())) {
            true => self.familiar = 0,
            false => self.familiar += 1,
        }
        self.newer = peer
            .filter(|peer| peer.host != self.own.host && peer > self.own)
            .max(self.newer.take());
        let hosts = u32::try_from(self.met.len()).unwrap_or(MOST_QUESTIONS).max(2);
        let is_enough = self.familiar >= ANSWERS_FOR_EACH * hosts || self.questions >= MOST_QUESTIONS;
        is_enough.then(|| self.so_far())
    }
}

/// Asks at each address that other hosts may share.
pub(super) async fn ask(subject: &Subject, own: &AddressPeer) -> PeersReading {
    let origins: BTreeSet<_> = subject
        .apps
        .iter()
        .filter(|app| app.shared)
        .map(|app| origin(&app.url))
        .collect();
    let mut all = PeersReading::Alone;
    for origin in origins {
        match ask_at(origin, own).await {
            newer @ PeersReading::Newer(_) => return newer,
            PeersReading::Newest => all = PeersReading::Newest,
            PeersReading::Alone => {}
        }
    }
    all
}

async fn ask_at(origin: &str, own: &AddressPeer) -> PeersReading {
    let url = format!("{origin}/-/ready");
    let mut meetings = Meetings::new(own);
    let until = Instant::now() + QUESTIONS_LIMIT;
    loop {
        let asked = http::fetch(&url, "GET", &[], Bytes::new());
        let peer = match tokio::time::timeout_at(until, asked).await {
            Ok(Ok(answer)) => peer(&answer),
            // The address leads nowhere yet, or a host behind it ends.
            Ok(Err(_)) => None,
            Err(_) => return meetings.so_far(),
        };
        if let Some(reading) = meetings.take(peer) {
            return reading;
        }
    }
}

/// Reads the host from the answer of `GET /-/ready`. A host that ends, or has no code, does not count.
fn peer(answer: &HttpAnswer) -> Option<AddressPeer> {
    of_readiness(answer).filter(|reading| *reading == HolderReading::Serves)?;
    let readiness: Readiness = serde_json::from_slice(&answer.body).ok()?;
    Some(AddressPeer {
        code_time: readiness.code_time?,
        host: readiness.host?,
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::{ANSWERS_FOR_EACH, AddressPeer, MOST_QUESTIONS, Meetings, PeersReading, peer};
    use crate::net::HttpAnswer;

    fn host(name: &str, second: i64) -> AddressPeer {
        AddressPeer {
            code_time: Timestamp::from_second(second).unwrap(),
            host: name.to_owned(),
        }
    }

    /// Returns the result of these answers, again and again, and the number of questions.
    fn check(own: &AddressPeer, answers: &[Option<AddressPeer>]) -> (PeersReading, u32) {
        let mut meetings = Meetings::new(own);
        for answer in answers.iter().cycle() {
            if let Some(reading) = meetings.take(answer.clone()) {
                return (reading, meetings.questions);
            }
        }
        panic!("nobody answers")
    }

    #[test]
    fn the_host_with_the_newest_code_is_the_newest_and_equals_are_told_apart_by_their_ids() {
        let (a, b, c) = (host("a", 1), host("b", 2), host("c", 2));
        let all = [Some(a.clone()), Some(b.clone()), Some(c.clone())];
        assert_eq!(check(&a, &all).0, PeersReading::Newer(c.clone()));
        assert_eq!(check(&b, &all).0, PeersReading::Newer(c.clone()));
        assert_eq!(check(&c, &all).0, PeersReading::Newest);
        // The same host, after a reload.
        assert_eq!(check(&a, &[Some(host("a", 9))]).0, PeersReading::Alone);
    }

    #[test]
    fn the_address_is_asked_until_nobody_new_answers() {
        let own = host("own", 9);
        assert_eq!(check(&own, &[None]).1, 2 * ANSWERS_FOR_EACH);
        assert_eq!(check(&own, &[Some(own.clone())]).1, 1 + 2 * ANSWERS_FOR_EACH);
        let three = [Some(own.clone()), Some(host("a", 1)), Some(host("b", 1))];
        assert_eq!(check(&own, &three).1, 3 + 3 * ANSWERS_FOR_EACH);
        let many: Vec<_> = (0..200).map(|number| Some(host(&number.to_string(), 1))).collect();
        assert_eq!(check(&own, &many).1, MOST_QUESTIONS);
    }

    #[test]
    fn a_host_counts_while_it_serves_and_registers() {
        let read = |changes: serde_json::Value| {
            let mut body = json!({"ready": true, "generation": 1, "reason": null, "last_good": false,
                                  "host": "a", "code_time": "1970-01-01T00:00:05Z"});
            for (key, value) in changes.as_object().unwrap() {
                body[key] = value.clone();
            }
            peer(&HttpAnswer {
                body: body.to_string().into(),
                ..HttpAnswer::default()
            })
        };
        assert_eq!(read(json!({})), Some(host("a", 5)));
        assert_eq!(read(json!({"ready": false, "reason": "draining"})), None);
        assert_eq!(read(json!({"host": null})), None);
        assert_eq!(read(json!({"code_time": null})), None);
    }
}
