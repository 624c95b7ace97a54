//! The calls that an isolate takes: all of them at first, and none in the end.

use std::sync::atomic::{AtomicU8, Ordering};

/// The stages of an isolate on its way to no calls. No stage comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Intake {
    /// The isolate takes calls.
    Open,
    /// The isolate takes calls, and user code is to be told that its generation drains.
    Draining,
    /// The isolate takes no more calls.
    Closed,
    /// The isolate takes no more calls, for it is nearly out of memory.
    Condemned,
}

/// A stage that several threads move on.
#[derive(Debug)]
pub(super) struct SharedIntake(AtomicU8);

impl Default for SharedIntake {
    fn default() -> Self {
        Self(AtomicU8::new(Intake::Open as u8))
    }
}

impl SharedIntake {
    /// Moves on to a stage, unless it is reached already.
    pub(super) fn advance(&self, stage: Intake) {
        self.0.fetch_max(stage as u8, Ordering::AcqRel);
    }

    pub(super) fn has_reached(&self, stage: Intake) -> bool {
        self.0.load(Ordering::Acquire) >= stage as u8
    }
}

#[cfg(test)]
mod tests {
    use super::{Intake, SharedIntake};

    #[test]
    fn a_stage_is_reached_with_all_before_it_and_never_left() {
        let intake = SharedIntake::default();
        assert!(intake.has_reached(Intake::Open) && !intake.has_reached(Intake::Draining));
        intake.advance(Intake::Closed);
        assert!(intake.has_reached(Intake::Draining) && intake.has_reached(Intake::Closed));
        assert!(!intake.has_reached(Intake::Condemned));
        intake.advance(Intake::Draining);
        assert!(intake.has_reached(Intake::Closed));
        intake.advance(Intake::Condemned);
        assert!(intake.has_reached(Intake::Condemned));
    }
}
