//! The state of what is done ahead of the next load.

use std::time::Duration;

use futures::future::BoxFuture;

/// How long after a load: its first calls come first, and so does another edit.
const AFTER_LOAD: Duration = Duration::from_millis(20);

/// How long after another isolate was made, which is when processors are short.
const AFTER_ANOTHER: Duration = Duration::from_secs(5);

/// Preparing for the next load.
#[derive(Default)]
pub(super) enum Preparing {
    #[default]
    No,
    /// Once so long has passed.
    Due(Duration),
    Runs(BoxFuture<'static, ()>),
}

impl Preparing {
    /// What was prepared has been used by a load, or may not suit any more.
    pub(super) fn is_due(&mut self) {
        *self = Self::Due(AFTER_LOAD);
    }

    /// What was prepared may have been used by an isolate that was made for calls that would wait.
    pub(super) fn is_due_later(&mut self) {
        if !matches!(self, Self::Due(_)) {
            *self = Self::Due(AFTER_ANOTHER);
        }
    }

    /// What is asked for comes first; it is begun again afterwards.
    pub(super) fn pause(&mut self) {
        if matches!(self, Self::Runs(_)) {
            self.is_due();
        }
    }

    /// Resolves when it is done; never while nothing is. May be dropped and called again.
    pub(super) async fn done(&mut self) {
        match self {
            Self::Runs(preparing) => preparing.await,
            Self::No | Self::Due(_) => std::future::pending().await,
        }
        *self = Self::No;
    }
}
