//! The time of the next look at a tag. Pure.

use std::time::Duration;

/// The longest time between two looks while the registry is away.
const LONGEST: Duration = Duration::from_mins(5);

/// Looks that failed in a row, and the wait that the registry asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LookPace {
    failures: u32,
    asked: Option<Duration>,
}

impl LookPace {
    /// Notes a look that succeeded.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Notes a look that failed. `asked`: the time for which the registry wants to be left alone.
    pub(super) fn failed(&mut self, asked: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        self.asked = asked;
    }

    /// Returns the time until the next look. Hosts that were started together are to look apart: `chance` is 0 to 1,
    /// and moves the look by a fifth.
    pub(super) fn next(self, poll: Duration, chance: f64) -> Duration {
        let doubled = poll.saturating_mul(1 << self.failures.min(16));
        let wait = doubled.min(LONGEST.max(poll)).max(self.asked.unwrap_or_default());
        wait.mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0))
            .min(Duration::from_hours(24))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::LookPace;

    #[test]
    fn looks_are_rarer_while_the_registry_is_away_and_as_rare_as_it_asks() {
        let (poll, mut pace) = (Duration::from_secs(15), LookPace::default());
        assert_eq!(pace.next(poll, 0.5), poll);
        pace.failed(None);
        assert_eq!(pace.next(poll, 0.5), 2 * poll);
        for _ in 0..100 {
            pace.failed(None);
        }
        assert_eq!(pace.next(poll, 0.5), Duration::from_secs(300));
        pace.failed(Some(Duration::from_secs(900)));
        assert_eq!(pace.next(poll, 0.5), Duration::from_secs(900));
        pace.succeeded();
        assert_eq!(pace.next(poll, 0.0), Duration::from_secs(12));
        assert_eq!(pace.next(poll, 1.0), Duration::from_secs(18));
        assert_eq!(pace.next(Duration::from_secs(600), 0.5), Duration::from_secs(600));
    }
}
