//! Leases: who holds a request, and until when (inngest/inngest: `pkg/connect/state/lua/lease.lua`,
//! `extend_lease.lua`). A lease belongs to a request and not to a connection; its id is a ULID of its end.

use std::collections::HashMap;
use std::time::Duration;

use connect_wire::ulid;

/// The leases of all requests. Times are those of the clock, since 1970.
#[derive(Debug, Default)]
pub(super) struct Leases {
    of: HashMap<String, Lease>,
    number: u128,
}

#[derive(Debug)]
struct Lease {
    id: String,
    /// The id before the last extension, and the instance that asked for it.
    previous: Option<(String, String)>,
    /// The instance that has the request, where its capacity is limited.
    assigned: Option<String>,
}

/// A refused extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nack {
    /// Nobody holds the request.
    NoLease,
    /// The id is not the one that is held.
    OtherLease,
    /// The request was given to another worker.
    OtherWorker,
}

impl Leases {
    /// Leases a request, and returns the lease's id.
    pub(super) fn lease(&mut self, request: &str, now: Duration, length: Duration) -> String {
        let id = self.id(now + length);
        let lease = Lease {
            id: id.clone(),
            previous: None,
            assigned: None,
        };
        self.of.insert(request.to_owned(), lease);
        id
    }

    /// Gives a request to a worker whose capacity is limited.
    pub(super) fn assign(&mut self, request: &str, instance: Option<&str>) {
        if let Some(lease) = self.of.get_mut(request) {
            lease.assigned = instance.map(str::to_owned);
        }
    }

    /// Extends a lease for a worker; `limited` tells that its capacity is. Returns the new id.
    pub(super) fn extend(
        &mut self,
        request: &str,
        id: &str,
        worker: (&str, bool),
        now: Duration,
        length: Duration,
    ) -> Result<String, Nack> {
        let next = self.id(now + length);
        let (instance, limited) = worker;
        let lease = self.of.get_mut(request).ok_or(Nack::NoLease)?;
        if limited && lease.assigned.as_deref() != Some(instance) {
            return Err(Nack::OtherWorker);
        }
        if lease.id != id && ends(&lease.id) > now {
            // The acknowledgement of the last extension may have been lost with its socket.
            return match &lease.previous {
                Some((previous, asked)) if previous == id && (limited || asked == instance) => Ok(lease.id.clone()),
                _ => Err(Nack::OtherLease),
            };
        }
        let before = std::mem::replace(&mut lease.id, next.clone());
        lease.previous = Some((before, instance.to_owned()));
        Ok(next)
    }

    /// Tells whether a request is leased.
    pub(super) fn is_leased(&self, request: &str, now: Duration) -> bool {
        self.ends(request).is_some_and(|end| end > now)
    }

    /// Returns the end of a request's lease.
    pub(super) fn ends(&self, request: &str) -> Option<Duration> {
        self.of.get(request).map(|lease| ends(&lease.id))
    }

    /// The number of requests that a worker of limited capacity has.
    pub(super) fn assigned(&self, instance: &str) -> usize {
        let mut all = self.of.values();
        let mut count = 0;
        while all.by_ref().any(|lease| lease.assigned.as_deref() == Some(instance)) {
            count += 1;
        }
        count
    }

    pub(super) fn end(&mut self, request: &str) {
        self.of.remove(request);
    }

    pub(super) fn forget(&mut self) {
        self.of.clear();
    }

    fn id(&mut self, end: Duration) -> String {
        self.number += 1;
        ulid::text(end, self.number)
    }
}

fn ends(id: &str) -> Duration {
    ulid::time(id).expect("an id of ours")
}
