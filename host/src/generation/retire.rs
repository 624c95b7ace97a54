//! The end of generations: their deadlines while they drain, and their isolates while they close.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use js_runtime_api::Isolate;
use tokio::task::JoinSet;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use super::state::GenerationId;

/// Generations on their way out.
#[derive(Debug, Default)]
pub(super) struct Retiring {
    deadlines: DelayQueue<GenerationId>,
    keys: HashMap<GenerationId, Key>,
    closing: JoinSet<GenerationId>,
}

/// What happens to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It drained for too long.
    DeadlinePassed(GenerationId),
    /// Its isolate is gone.
    Closed(GenerationId),
}

impl Retiring {
    /// Sets its deadline, or moves it.
    pub(super) fn set_deadline(&mut self, id: GenerationId, within: Duration) {
        if let Some(key) = self.keys.get(&id) {
            self.deadlines.reset(key, within);
        } else {
            self.keys.insert(id, self.deadlines.insert(id, within));
        }
    }

    /// Ends its isolate; there is no deadline any more.
    pub(super) fn close(&mut self, id: GenerationId, isolate: &Arc<dyn Isolate>) {
        if let Some(key) = self.keys.remove(&id) {
            self.deadlines.try_remove(&key);
        }
        let closed = isolate.close();
        self.closing.spawn(async move {
            closed.await;
            id
        });
    }

    /// The next thing that happens. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Progress {
        tokio::select! {
            Some(expired) = self.deadlines.next() => {
                let id = expired.into_inner();
                self.keys.remove(&id);
                Progress::DeadlinePassed(id)
            }
            Some(Ok(id)) = self.closing.join_next() => Progress::Closed(id),
            else => std::future::pending().await,
        }
    }
}
