//! The state of preparing for the next load.

use std::time::Duration;

use futures::future::BoxFuture;

/// The wait after a load: its first calls come first, and so does another edit.
const AFTER_LOAD: Duration = Duration::from_millis(20);

/// The wait after another isolate was made: the calls that have waited for it come first.
const AFTER_ANOTHER: Duration = Duration::from_millis(100);

/// Preparing for the next load.
#[derive(Default)]
pub(super) enum PreparationState {
    #[default]
    No,
    /// Preparing begins once so much time has passed.
    Due(Duration),
    Runs(BoxFuture<'static, ()>),
}

impl PreparationState {
    /// Has preparing begin soon: a load has used the spare, or the spare may not suit any more.
    pub(super) fn schedule(&mut self) {
        *self = Self::Due(AFTER_LOAD);
    }

    /// Has preparing begin later: the spare may have become an isolate that was made for calls that would wait.
    pub(super) fn schedule_later(&mut self) {
        if !matches!(self, Self::Due(_)) {
            *self = Self::Due(AFTER_ANOTHER);
        }
    }

    /// Stops preparing, since a load that is asked for comes first; preparing begins again afterwards.
    pub(super) fn pause(&mut self) {
        if matches!(self, Self::Runs(_)) {
            self.schedule();
        }
    }

    /// Waits until preparing is done; without end while nothing is prepared. The future may be dropped and the method
    /// called again.
    pub(super) async fn done(&mut self) {
        match self {
            Self::Runs(preparing) => preparing.await,
            Self::No | Self::Due(_) => std::future::pending().await,
        }
        *self = Self::No;
    }
}
