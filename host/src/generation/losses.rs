//! The final losses of a host with isolates that V8 could not end: threads that sleep, and their heaps. The keeper
//! counts them. A host that has lost too much leaves its place to another one, as in an upgrade; where nobody starts
//! another one, it says so.

use js_runtime_api::Losses;
use tokio::sync::watch;

/// The most threads that a host may lose.
const MOST_THREADS: u64 = 16;

/// The most memory that a host may lose, in heaps of an isolate.
const MOST_HEAPS: u64 = 4;

/// The losses of a host, and whether they are too much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    lost: Losses,
    is_too_much: bool,
}

/// The losses of a host: see the module's documentation.
#[derive(Debug, Default)]
pub struct LossCount(watch::Sender<Count>);

impl LossCount {
    /// Notes the losses up to now; true where they have become too much. `heap` is the memory that an isolate may
    /// hold, in bytes.
    pub(super) fn note(&self, lost: Losses, heap: usize) -> bool {
        let is_too_much = lost.threads > MOST_THREADS || lost.memory > MOST_HEAPS.saturating_mul(heap as u64);
        let count = Count { lost, is_too_much };
        let mut becomes = false;
        self.0.send_if_modified(|known| {
            becomes = is_too_much && !known.is_too_much;
            std::mem::replace(known, count) != count
        });
        becomes
    }

    #[must_use]
    pub fn lost(&self) -> Losses {
        self.0.borrow().lost
    }

    /// Resolves once the host has lost too much.
    pub async fn too_much(&self) {
        // The sender is this one, so it is never gone.
        let _ = self.0.subscribe().wait_for(|count| count.is_too_much).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use js_runtime_api::Losses;

    use super::{LossCount, MOST_HEAPS, MOST_THREADS};

    const HEAP: usize = 64 << 20;

    fn losses(threads: u64, heaps: u64) -> Losses {
        Losses {
            threads,
            memory: heaps * HEAP as u64,
        }
    }

    #[test]
    fn what_is_lost_is_told_and_becomes_too_much_once() {
        for too_much in [losses(MOST_THREADS + 1, 0), losses(1, MOST_HEAPS + 1)] {
            let count = LossCount::default();
            assert!(!count.note(losses(MOST_THREADS, MOST_HEAPS), HEAP));
            assert_eq!(count.lost(), losses(MOST_THREADS, MOST_HEAPS));
            assert_eq!(count.too_much().now_or_never(), None);
            assert!(count.note(too_much, HEAP));
            assert!(!count.note(too_much, HEAP), "it is told once");
            assert_eq!(count.too_much().now_or_never(), Some(()));
        }
    }
}
