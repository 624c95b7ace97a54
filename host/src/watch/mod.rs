//! Notices that files on the disk changed, by events or by looking.
//!
//! ```text
//! WatchSet ─▶ survey ─▶ coverage ─▶ the kernel's events ─▶ event ─┐
//!             which      by events,                               ├─▶ relevance ─▶ settle ─▶ Changes
//!             folders    or by looks ────▶ poll ──────────────────┘   whose?       when?
//! ```
//!
//! One thread does all of it. It guarantees that every change of anything in the [`WatchSet`] is told, however the
//! file was saved: in place, by a rename over it, by a symlink that is swapped, by a folder that goes and comes back.
//! A [`Change`] is a reason to look, not a proof: the receiver compares contents. A change may be told in vain, but
//! it is never left out.
//!
//! - The thread watches folders, never files: a watch on a file follows the inode that an editor replaces. Each
//!   folder on the way to a file is watched, also a folder that is reached by a symlink, so that any of them may be
//!   replaced. Of `node_modules` only the folders on the way to a followed file are watched.
//! - Files that were written while nothing watched are told too: a path that comes into the set is told once, and so
//!   is a folder that appears.
//! - The thread never reads a file's contents, and knows nothing of their purpose.
//!
//! # Files
//!
//! - `survey.rs`: the folders to watch
//! - `coverage.rs`: the way in which each folder is watched
//! - `relevance.rs`: the changes that matter; `patterns.rs`: the names by which files matter; `spelling.rs`: the
//!   names that a Mac takes for one; `settle.rs`: the time at which a change is told (all pure)
//! - `watch_thread.rs`: the thread

mod changes;
mod coverage;
mod entry_event;
mod filesystem;
mod limit;
mod names;
mod patterns;
mod poll;
mod relevance;
mod set;
mod settle;
mod spelling;
mod survey;
mod watch_thread;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use changes::Changes;
pub use coverage::Polling;
pub use limit::probe;
pub use patterns::{Patterns, check_glob};
pub use set::WatchSet;
use tracing::warn;
use watch_thread::{Message, Worker};

use crate::blocking;

/// The limit for the thread to end once it was told to.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// The reason why files cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("cannot start the thread that watches files: {0}")]
    Thread(std::io::Error),
}

/// Follows files until it is dropped.
///
/// Dropping it ends its thread, without waiting for it: a look at a network file system that does not answer must not
/// hold up the code that drops the watch. [`Self::end`] waits, up to a limit.
#[derive(Debug)]
pub struct FileWatch {
    messages: mpsc::Sender<Message>,
    /// The thread, until somebody waits for its end.
    thread: Option<JoinHandle<()>>,
}

impl FileWatch {
    /// Starts the thread, which watches nothing yet.
    ///
    /// # Errors
    /// When there is no thread to be had. A kernel that gives no events is no error: then files are
    /// polled, and a warning says so.
    pub fn start(polling: Polling) -> Result<(Self, Changes), WatchError> {
        let (messages, inbox) = mpsc::channel();
        let (teller, changes) = changes::channel();
        let worker = Worker::new(polling, messages.clone(), teller);
        let thread = std::thread::Builder::new()
            .name("baton-watch".to_owned())
            .spawn(move || worker.run(&inbox))
            .map_err(WatchError::Thread)?;
        let thread = Some(thread);
        Ok((Self { messages, thread }, changes))
    }

    /// Replaces the followed set. Returns at once; as soon as the whole set is watched, one change names each path
    /// and tree that was not followed before, since it may have been written meanwhile.
    pub fn follow(&self, set: WatchSet) {
        // Sending fails when the thread has ended, and `Changes` tells that.
        let _ = self.messages.send(Message::Follow(set));
    }

    /// Ends the thread and waits until it is gone, for a second at most.
    pub async fn end(mut self) {
        let _ = self.messages.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let joined = blocking::run("ending the thread that watches files", ENDS_WITHIN, || thread.join());
            if let Err(error) = joined.await {
                warn!(%error, "the thread that watches files ends with the process");
            }
        }
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Stop);
    }
}
