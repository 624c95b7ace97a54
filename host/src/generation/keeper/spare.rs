//! What is done ahead of the next load: the engine prepares for it while nothing is asked for.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use js_runtime_api::Preparation;

use super::{STOP_GRACE, Task};

/// How long after a load: its first calls come first, and so does another edit.
const AFTER: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(super) enum Preparing {
    #[default]
    No,
    Due,
    Runs(BoxFuture<'static, ()>),
}

impl Preparing {
    /// What was prepared has been used, or may not suit any more.
    pub(super) fn is_due(&mut self) {
        *self = Self::Due;
    }

    /// What is asked for comes first; it is begun again afterwards.
    pub(super) fn pause(&mut self) {
        if matches!(self, Self::Runs(_)) {
            *self = Self::Due;
        }
    }

    /// Resolves when it is done; never while nothing is. May be dropped and called again.
    pub(super) async fn done(&mut self) {
        match self {
            Self::Runs(preparing) => preparing.await,
            Self::No | Self::Due => std::future::pending().await,
        }
        *self = Self::No;
    }
}

impl Task {
    /// Has it begun, once nothing is loaded and there is something to go by.
    pub(super) fn prepare_next_load(&mut self) {
        let idle = self.running.is_none() && self.handover.is_open();
        if !self.limits.spare || !idle || !matches!(self.preparing, Preparing::Due) {
            return;
        }
        if let Some(current) = self.table.current() {
            let prepared = self.engine.prepare(Preparation {
                like: current.sources.clone(),
                timeout: self.limits.load,
                memory: self.limits.memory,
            });
            let later = async move {
                tokio::time::sleep(AFTER).await;
                prepared.await;
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
