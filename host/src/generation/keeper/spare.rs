//! What is done ahead of the next load: the engine prepares for it while nothing is asked for.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use js_runtime_api::Preparation;

use super::{STOP_GRACE, Task};

/// How long after a load: its first calls come first, and so does another edit.
const AFTER_LOAD: Duration = Duration::from_millis(20);

/// How long after another isolate was made, which is when processors are short.
const AFTER_ANOTHER: Duration = Duration::from_secs(5);

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

impl Task {
    /// Has it begun, once nothing is loaded and there is something to go by.
    pub(super) fn prepare_next_load(&mut self) {
        let Preparing::Due(after) = self.preparing else {
            return;
        };
        if !self.limits.spare || self.running.is_some() || !self.handover.is_open() {
            return;
        }
        if let Some(current) = self.table.current() {
            let prepared = self.engine.prepare(Preparation {
                like: current.sources.clone(),
                timeout: self.limits.load,
                memory: self.limits.memory,
            });
            let later = async move {
                tokio::time::sleep(after).await;
                // A panic says what it is by itself; the next load is made without a spare.
                let _ = AssertUnwindSafe(prepared).catch_unwind().await;
            };
            self.preparing = Preparing::Runs(later.boxed());
        }
    }

    /// There will be no next load.
    pub(super) async fn give_up_spare(&mut self) {
        self.preparing = Preparing::No;
        // One that user code holds ends with the process.
        let _ = tokio::time::timeout(STOP_GRACE, self.engine.give_up_prepared()).await;
    }
}
