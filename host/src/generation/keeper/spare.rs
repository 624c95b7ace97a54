//! The spare: the engine prepares for the next load while nobody asks for one.

use std::panic::AssertUnwindSafe;

use futures::future::FutureExt as _;
use js_runtime_api::Preparation;

use super::preparing::PreparationState;
use super::{KeeperTask, STOP_GRACE};

impl KeeperTask {
    /// Has the engine prepare for the next load, once no load runs and there is a current generation to go by.
    pub(super) fn prepare_next_load(&mut self) {
        let PreparationState::Due(after) = self.preparing else {
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
                // A panic is told by itself; the next load is made without a spare.
                let _ = AssertUnwindSafe(prepared).catch_unwind().await;
            };
            self.preparing = PreparationState::Runs(later.boxed());
        }
    }

    /// Gives up the spare, since there will be no next load.
    pub(super) async fn give_up_spare(&mut self) {
        self.preparing = PreparationState::No;
        // A spare that user code holds ends with the process.
        let _ = tokio::time::timeout(STOP_GRACE, self.engine.give_up_prepared()).await;
    }
}
