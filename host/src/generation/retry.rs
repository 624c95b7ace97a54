//! Trying again to load code that failed for a reason that may pass: a database that is not up yet, or a system
//! without a free thread, for example. Pure.

use std::time::Duration;

use js_runtime_api::LoadErrorKind;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_mins(5);

/// The same where the system lacked something, which may be there again in a moment.
const FIRST_OF_SYSTEM: Duration = Duration::from_millis(500);
const LONGEST_OF_SYSTEM: Duration = Duration::from_secs(5);

/// The time at which code that failed is tried again.
#[derive(Debug, Default)]
pub(super) struct Retry(Option<RetryWait>);

#[derive(Debug, Clone, Copy)]
struct RetryWait {
    until: Instant,
    wait: Duration,
}

impl Retry {
    /// Notes that code that is to serve failed, and returns the wait before it is tried again, which doubles each
    /// time. `None` where only an edit helps. While code of the disk serves (`served`), it is tried again only after
    /// a failure that says nothing of the code.
    pub(super) fn failed(&mut self, kind: LoadErrorKind, served: bool, now: Instant) -> Option<Duration> {
        let bounds = match kind {
            LoadErrorKind::System => Some((FIRST_OF_SYSTEM, LONGEST_OF_SYSTEM)),
            LoadErrorKind::Evaluate | LoadErrorKind::Timeout | LoadErrorKind::Memory | LoadErrorKind::Environment => {
                (!served).then_some((FIRST, LONGEST))
            }
            _ => None,
        };
        let Some((first, longest)) = bounds else {
            self.0 = None;
            return None;
        };
        let wait = self.0.map_or(first, |last| (last.wait * 2).min(longest));
        self.0 = Some(RetryWait {
            until: now + wait,
            wait,
        });
        Some(wait)
    }

    /// Notes that code of the disk serves.
    pub(super) fn succeeded(&mut self) {
        self.0 = None;
    }

    /// Tells whether it is time to try again; true once for each failure.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        match &mut self.0 {
            Some(waiting) if waiting.until <= now => {
                // The next try waits until this load has failed or not.
                waiting.until = now + LONGEST * 2;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use js_runtime_api::LoadErrorKind;
    use tokio::time::Instant;

    use super::{FIRST, FIRST_OF_SYSTEM, LONGEST, LONGEST_OF_SYSTEM, Retry};

    #[test]
    fn each_failure_doubles_the_wait_up_to_the_longest() {
        let mut retry = Retry::default();
        let now = Instant::now();
        assert!(!retry.is_due(now));
        assert_eq!(retry.failed(LoadErrorKind::Evaluate, false, now), Some(FIRST));
        assert!(!retry.is_due(now));
        assert!(retry.is_due(now + FIRST));
        assert!(!retry.is_due(now + FIRST), "once");
        assert_eq!(retry.failed(LoadErrorKind::Timeout, false, now), Some(FIRST * 2));
        for _ in 0..20 {
            let _ = retry.failed(LoadErrorKind::Evaluate, false, now);
        }
        assert_eq!(retry.failed(LoadErrorKind::Evaluate, false, now), Some(LONGEST));
        retry.succeeded();
        assert!(!retry.is_due(now + Duration::from_secs(100_000)));
    }

    #[test]
    fn what_only_an_edit_can_mend_is_not_tried_again() {
        let mut retry = Retry::default();
        let now = Instant::now();
        assert_eq!(retry.failed(LoadErrorKind::Syntax, false, now), None);
        assert!(!retry.is_due(now + LONGEST));
    }

    #[test]
    fn what_the_system_lacked_is_tried_again_soon_whatever_serves() {
        let mut retry = Retry::default();
        let now = Instant::now();
        assert_eq!(retry.failed(LoadErrorKind::Evaluate, true, now), None);
        assert_eq!(retry.failed(LoadErrorKind::System, true, now), Some(FIRST_OF_SYSTEM));
        assert!(retry.is_due(now + FIRST_OF_SYSTEM));
        for _ in 0..20 {
            let _ = retry.failed(LoadErrorKind::System, true, now);
        }
        assert_eq!(retry.failed(LoadErrorKind::System, true, now), Some(LONGEST_OF_SYSTEM));
    }
}
