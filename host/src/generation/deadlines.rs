//! The deadlines by which generations are to finish their calls.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use super::state::GenerationId;

/// At most one deadline for each generation.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    queue: DelayQueue<GenerationId>,
    keys: HashMap<GenerationId, Key>,
}

impl Deadlines {
    /// Sets a generation's deadline, or moves it.
    pub(super) fn set(&mut self, id: GenerationId, within: Duration) {
        if let Some(key) = self.keys.get(&id) {
            self.queue.reset(key, within);
        } else {
            self.keys.insert(id, self.queue.insert(id, within));
        }
    }

    /// Sets a generation's deadline where it has none.
    pub(super) fn begin(&mut self, id: GenerationId, within: Duration) {
        if !self.keys.contains_key(&id) {
            self.set(id, within);
        }
    }

    pub(super) fn remove(&mut self, id: GenerationId) {
        if let Some(key) = self.keys.remove(&id) {
            self.queue.try_remove(&key);
        }
    }

    /// Waits for the next generation whose deadline passes. The future may be dropped and the method called again.
    pub(super) async fn next(&mut self) -> GenerationId {
        match self.queue.next().await {
            Some(expired) => {
                let id = expired.into_inner();
                self.keys.remove(&id);
                id
            }
            None => std::future::pending().await,
        }
    }
}
