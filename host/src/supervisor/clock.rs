//! Notices that the machine's clock was set back: Inngest's signatures are then in the future, and the SDK refuses
//! them. Pure; the supervisor keeps the time and logs.

use std::time::{Duration, SystemTime};

/// The difference that is tolerated: clocks are corrected by less than this all the time.
const TOLERATED: Duration = Duration::from_secs(30);

/// Returns the time by which the clock is behind a moment that is known to have been.
#[must_use]
pub fn set_back(known: SystemTime, now: SystemTime) -> Option<Duration> {
    known.duration_since(now).ok().filter(|by| *by > TOLERATED)
}

/// Compares the clock that can be set with the one that cannot.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: SystemTime,
    steady: Duration,
}

impl Clock {
    #[must_use]
    pub const fn starting(wall: SystemTime, steady: Duration) -> Self {
        Self { wall, steady }
    }

    /// Returns the time by which the clock was set back since the last look.
    pub fn look(&mut self, wall: SystemTime, steady: Duration) -> Option<Duration> {
        let expected = self.wall + steady.saturating_sub(self.steady);
        *self = Self { wall, steady };
        set_back(expected, wall)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::Clock;

    #[test]
    fn a_clock_that_is_set_back_is_noticed_once() {
        let second = Duration::from_secs(1);
        let start = SystemTime::UNIX_EPOCH + 1000 * second;
        let mut clock = Clock::starting(start, 5 * second);
        assert_eq!(clock.look(start + 60 * second, 65 * second), None);
        assert_eq!(clock.look(start + 118 * second, 125 * second), None, "a correction");
        let back = start - 82 * second;
        assert_eq!(clock.look(back, 125 * second), Some(200 * second));
        assert_eq!(clock.look(back + second, 126 * second), None);
        let later = back + 10_000 * second;
        assert_eq!(clock.look(later, 127 * second), None, "set forward is no harm");
    }
}
