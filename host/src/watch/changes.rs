//! The slot that carries changes out of the watching thread. It merges the changes that nobody has
//! heard yet.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A reason to compare the followed files, since some of them may have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The paths that may have changed, by the set's own names: paths of the set, and modules and
    /// folders of its trees.
    pub paths: BTreeSet<PathBuf>,
    /// Tells whether everything else that is followed may have changed, too: a folder was replaced,
    /// or events were lost.
    pub rescan: bool,
}

impl Change {
    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty() && !self.rescan
    }

    pub(super) fn merge(&mut self, newer: Self) {
        self.paths.extend(newer.paths);
        self.rescan |= newer.rescan;
    }
}

/// Makes both ends of a slot.
pub(super) fn channel() -> (ChangeSender, Changes) {
    let slot = Arc::new(ChangeSlot::default());
    (ChangeSender { slot: slot.clone() }, Changes { slot })
}

#[derive(Debug, Default)]
struct ChangeSlot {
    state: Mutex<SlotState>,
    news: Notify,
}

#[derive(Debug, Default)]
struct SlotState {
    unheard: Option<Change>,
    ended: bool,
}

impl ChangeSlot {
    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of the slot that tells changes. Dropping it ends the other side.
#[derive(Debug)]
pub(super) struct ChangeSender {
    slot: Arc<ChangeSlot>,
}

impl ChangeSender {
    pub(super) fn tell(&self, change: Change) {
        self.slot.state().unheard.get_or_insert_default().merge(change);
        self.slot.news.notify_one();
    }
}

impl Drop for ChangeSender {
    fn drop(&mut self) {
        self.slot.state().ended = true;
        self.slot.news.notify_one();
    }
}

/// The end of the slot that hears of changes. Changes that nobody asked for yet become one change.
#[derive(Debug)]
pub struct Changes {
    slot: Arc<ChangeSlot>,
}

impl Changes {
    /// Returns the next change, or `None` once nothing is watched any more. The future may be
    /// dropped, and the method called again.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            {
                let mut state = self.slot.state();
                if let Some(change) = state.unheard.take() {
                    return Some(change);
                }
                if state.ended {
                    return None;
                }
            }
            self.slot.news.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, channel};

    fn change(path: &str) -> Change {
        Change {
            paths: [path.into()].into(),
            rescan: false,
        }
    }

    #[tokio::test]
    async fn changes_that_nobody_heard_yet_become_one() {
        let (teller, mut changes) = channel();
        teller.tell(change("/a"));
        teller.tell(change("/b"));
        let both = changes.next().await.unwrap();
        assert_eq!(both.paths, ["/a".into(), "/b".into()].into());
        teller.tell(change("/c"));
        assert_eq!(changes.next().await, Some(change("/c")));
    }

    #[tokio::test]
    async fn the_last_change_is_heard_before_the_end() {
        let (teller, mut changes) = channel();
        teller.tell(change("/a"));
        drop(teller);
        assert_eq!(changes.next().await, Some(change("/a")));
        assert_eq!(changes.next().await, None);
        assert_eq!(changes.next().await, None);
    }
}
