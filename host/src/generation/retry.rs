//! Trying again to load what failed for a reason that may pass: a database that is not up yet, for
//! example. Only while nothing that is on the disk serves; pure.

use std::time::Duration;

use js_runtime_api::LoadErrorKind;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_mins(5);

/// When code that failed is tried again.
#[derive(Debug, Default)]
pub(super) struct Retry(Option<Waiting>);

#[derive(Debug, Clone, Copy)]
struct Waiting {
    until: Instant,
    wait: Duration,
}

impl Retry {
    /// Code that is to serve failed; tells for how long to wait, each time twice as long. `None` where
    /// only an edit helps.
    pub(super) fn failed(&mut self, kind: LoadErrorKind, now: Instant) -> Option<Duration> {
        let may_pass = matches!(
            kind,
            LoadErrorKind::Evaluate | LoadErrorKind::Timeout | LoadErrorKind::Memory | LoadErrorKind::Environment
        );
        if !may_pass {
            self.0 = None;
            return None;
        }
        let wait = self.0.map_or(FIRST, |last| (last.wait * 2).min(LONGEST));
        self.0 = Some(Waiting {
            until: now + wait,
            wait,
        });
        Some(wait)
    }

    /// Code of the disk serves.
    pub(super) fn succeeded(&mut self) {
        self.0 = None;
    }

    /// Whether it is time; true once for each failure.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        match &mut self.0 {
            Some(waiting) if waiting.until <= now => {
                // Until the load has failed or not.
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

    use super::{FIRST, LONGEST, Retry};

    #[test]
    fn each_failure_doubles_the_wait_up_to_the_longest() {
        let mut retry = Retry::default();
        let now = Instant::now();
        assert!(!retry.is_due(now));
        assert_eq!(retry.failed(LoadErrorKind::Evaluate, now), Some(FIRST));
        assert!(!retry.is_due(now));
        assert!(retry.is_due(now + FIRST));
        assert!(!retry.is_due(now + FIRST), "once");
        assert_eq!(retry.failed(LoadErrorKind::Timeout, now), Some(FIRST * 2));
        for _ in 0..20 {
            let _ = retry.failed(LoadErrorKind::Evaluate, now);
        }
        assert_eq!(retry.failed(LoadErrorKind::Evaluate, now), Some(LONGEST));
        retry.succeeded();
        assert!(!retry.is_due(now + Duration::from_secs(100_000)));
    }

    #[test]
    fn what_only_an_edit_can_mend_is_not_tried_again() {
        let mut retry = Retry::default();
        let now = Instant::now();
        assert_eq!(retry.failed(LoadErrorKind::Syntax, now), None);
        assert!(!retry.is_due(now + LONGEST));
    }
}
