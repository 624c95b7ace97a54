//! The pause before a host that died is started again: none, unless hosts die at once again and again. Pure.

use std::time::Duration;

/// The life from which on a host did not die of its start.
const STABLE: Duration = Duration::from_secs(10);
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);
/// The number of hosts that may die young before the next host waits.
const FREE: u32 = 2;

/// The number of hosts in a row that died young.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    young: u32,
}

impl Backoff {
    /// No host has died.
    pub const NONE: Self = Self { young: 0 };

    /// Tells whether the next host is to be of another binary, because hosts die at once again and again. That is
    /// every second host, for the other binary may be worse.
    #[must_use]
    pub const fn prefers_another_binary(self) -> bool {
        match self.young.checked_sub(FREE + 1) {
            Some(since) => since.is_multiple_of(2),
            None => false,
        }
    }

    /// Notes that a host has died after that life. Returns the time to wait before the next host.
    pub fn died(&mut self, lived: Duration) -> Duration {
        if lived >= STABLE {
            *self = Self::default();
            return Duration::ZERO;
        }
        self.young = self.young.saturating_add(1);
        match self.young.checked_sub(FREE + 1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST.saturating_mul(1 << doublings.min(16)).min(LONGEST),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, LONGEST, STABLE};

    #[test]
    fn a_host_that_lived_is_replaced_at_once_however_often() {
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            assert_eq!(backoff.died(STABLE), Duration::ZERO);
        }
    }

    #[test]
    fn hosts_that_die_at_once_again_and_again_are_replaced_ever_later() {
        let mut backoff = Backoff::default();
        let young = Duration::from_millis(50);
        let waits: Vec<_> = (0..40).map(|_| backoff.died(young)).collect();
        assert_eq!(waits[..2], [Duration::ZERO; 2], "twice is no pattern");
        assert!(waits[2] > Duration::ZERO);
        assert!(waits.is_sorted(), "{waits:?}");
        assert_eq!(waits.last(), Some(&LONGEST));
        assert_eq!(backoff.died(STABLE), Duration::ZERO, "and then all is well again");
        assert_eq!(backoff.died(young), Duration::ZERO);
    }

    #[test]
    fn another_binary_is_tried_in_turn_with_the_same_once_hosts_die_again_and_again() {
        let mut backoff = Backoff::default();
        let turns: Vec<_> = (0..6)
            .map(|_| {
                backoff.died(Duration::ZERO);
                backoff.prefers_another_binary()
            })
            .collect();
        assert_eq!(turns, [false, false, true, false, true, false]);
    }
}
