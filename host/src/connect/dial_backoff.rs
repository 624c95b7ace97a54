//! The pauses between attempts to connect, and the gateway groups that are avoided.

use std::collections::BTreeSet;
use std::time::Duration;

use super::server_clock::HostMoment;

/// The pauses in seconds; the last one repeats, for ever.
const PAUSES: [u64; 9] = [1, 2, 5, 10, 20, 30, 60, 120, 300];
/// The longest pause while calls are in flight: their leases run out in two minutes.
const LONGEST_IN_FLIGHT: Duration = Duration::from_secs(15);
/// The longest pause after the loss of a session that was established.
const AFTER_LOSS: Duration = Duration::from_millis(250);

/// The attempts to connect.
#[derive(Debug, Default)]
pub struct DialBackoff {
    failures: usize,
    retry_at: HostMoment,
    excluded: BTreeSet<String>,
    known: BTreeSet<String>,
}

impl DialBackoff {
    /// Notes a failed attempt. `chance` is between 0 and 1.
    pub fn failed(&mut self, now: HostMoment, in_flight: bool, chance: f64) {
        let pause = Duration::from_secs(PAUSES[self.failures.min(PAUSES.len() - 1)]);
        let pause = match in_flight {
            true => pause.min(LONGEST_IN_FLIGHT),
            false => pause,
        };
        self.failures += 1;
        self.retry_at = now + pause.mul_f64(0.8 + 0.4 * chance);
    }

    /// Notes the loss of an established session.
    pub fn lost(&mut self, now: HostMoment, chance: f64) {
        self.retry_at = now + AFTER_LOSS.mul_f64(chance);
    }

    /// Notes that the gateway goes: others may be up already.
    pub fn gateway_closes(&mut self, now: HostMoment, chance: f64) {
        self.retry_at = now + Duration::from_millis(500) + Duration::from_secs(1).mul_f64(chance);
    }

    /// Has the next attempt be made at once.
    pub fn now(&mut self, now: HostMoment) {
        self.retry_at = now;
    }

    /// Notes a connection that became ready.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.excluded.clear();
    }

    /// Avoids a gateway group.
    pub fn exclude(&mut self, group: &str) {
        if group.is_empty() {
            return;
        }
        self.known.insert(group.to_owned());
        self.excluded.insert(group.to_owned());
        if self.known.is_subset(&self.excluded) && self.known.len() > 1 {
            self.excluded.clear();
        }
    }

    /// Knows a gateway group.
    pub fn know(&mut self, group: &str) {
        self.known.insert(group.to_owned());
    }

    #[must_use]
    pub fn excluded(&self) -> Vec<String> {
        self.excluded.iter().cloned().collect()
    }

    #[must_use]
    pub const fn retry_at(&self) -> HostMoment {
        self.retry_at
    }

    #[must_use]
    pub const fn failures(&self) -> usize {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::DialBackoff;

    #[test]
    fn pauses_grow_and_stay_short_while_calls_wait_for_their_leases() {
        let (mut backoff, now) = (DialBackoff::default(), Duration::ZERO);
        let mut pauses = Vec::new();
        for _ in 0..11 {
            backoff.failed(now, false, 0.5);
            pauses.push(backoff.retry_at().as_secs());
        }
        assert_eq!(pauses, [1, 2, 5, 10, 20, 30, 60, 120, 300, 300, 300]);
        backoff.failed(now, true, 0.5);
        assert_eq!(backoff.retry_at().as_secs(), 15);
        backoff.lost(now, 1.0);
        assert!(backoff.retry_at() <= Duration::from_millis(250));
    }

    #[test]
    fn a_group_is_avoided_while_there_is_another_one() {
        let mut backoff = DialBackoff::default();
        backoff.exclude("a");
        assert_eq!(backoff.excluded(), ["a"]);
        backoff.exclude("b");
        assert_eq!(backoff.excluded(), [""; 0], "all known ones are in it");
        backoff.exclude("b");
        backoff.succeeded();
        assert_eq!(backoff.excluded(), [""; 0]);
    }
}
