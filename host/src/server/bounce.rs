//! Sends calls that this host's code does not know back to the address that several hosts share.
//!
//! While hosts behind one address have different code, a call for a function or a planned step of one code may reach a
//! host that has only the other. An error would cost the run an attempt. A redirect does not: Inngest follows it at
//! once, with the same headers and body (inngest/inngest: `pkg/execution/exechttp`), and the balancer chooses another
//! host. No step has run until then. A call that has come round often enough is executed all the same.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use js_runtime_api::{Body, Request};

use crate::wire::SdkAnswer;

/// The most redirects of one call by one host. Inngest follows 60 of them.
const MOST_BOUNCES: u32 = 3;
/// The time after which a call is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);
/// The most calls that are remembered; beyond that no call is sent back.
const MOST_CALLS: usize = 10_000;
/// A longer id is none of Inngest's, whose ids have 26 characters.
const LONGEST_ID: usize = 64;
/// The header with the id of a call, which is another one for each attempt.
const CALL_ID: &str = "x-request-id";

/// The calls that were sent back.
#[derive(Debug, Default)]
pub struct Bounces {
    calls: Mutex<HashMap<String, (u32, Instant)>>,
}

/// A call that can be sent back.
#[derive(Debug)]
pub(super) struct Bounceable {
    id: String,
    /// The query of the URL. The path is the one by which the caller knows it, and a proxy may change it.
    query: String,
}

impl Bounceable {
    /// Returns `None` for a request that is no call of Inngest's.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let (_, id) = request.headers.iter().find(|(name, _)| name == CALL_ID)?;
        let (_, query) = request.url.split_once('?')?;
        (id.len() <= LONGEST_ID).then(|| Self {
            id: id.clone(),
            query: query.to_owned(),
        })
    }
}

impl Bounces {
    /// Returns the redirect; `None` for a call that has come round often enough.
    pub(super) fn redirect(&self, call: &Bounceable) -> Option<Response> {
        self.count(&call.id, Instant::now()).then(|| {
            let location = format!("?{}", call.query);
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response()
        })
    }

    fn count(&self, id: &str, now: Instant) -> bool {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() >= MOST_CALLS {
            calls.retain(|_, (_, last)| now.duration_since(*last) < FORGOTTEN_AFTER);
        }
        if calls.len() >= MOST_CALLS && !calls.contains_key(id) {
            return false;
        }
        let (bounces, last) = calls.entry(id.to_owned()).or_insert((0, now));
        *bounces += 1;
        *last = now;
        *bounces <= MOST_BOUNCES
    }
}

/// Tells whether the project answered that it does not plan the step.
pub(super) fn lacks_step(response: &js_runtime_api::Response, step: Option<&str>) -> bool {
    match (&response.body, step) {
        (Body::Full(body), Some(step)) => SdkAnswer::read((response.status, &response.headers), body).lacks_step(step),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Bounces, FORGOTTEN_AFTER, MOST_BOUNCES, MOST_CALLS};

    #[test]
    fn a_call_comes_round_a_few_times_and_the_number_of_calls_is_bounded() {
        let (bounces, now) = (Bounces::default(), Instant::now());
        let sent = (0..10).filter(|_| bounces.count("a", now)).count();
        assert_eq!(sent, MOST_BOUNCES as usize);
        for call in 0..MOST_CALLS {
            bounces.count(&call.to_string(), now);
        }
        assert!(!bounces.count("another", now));
        assert!(bounces.count("another", now + FORGOTTEN_AFTER));
    }
}
