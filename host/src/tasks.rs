//! The tasks that a host cannot do without. One that panics, or ends before the host does, ends the host in an orderly
//! way: the calls that run are finished, and the supervisor starts another host meanwhile.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::error;

/// Watches the tasks of a host.
#[derive(Debug, Clone, Default)]
pub struct WatchedTasks(Arc<Watch>);

#[derive(Debug, Default)]
struct Watch {
    failure: watch::Sender<Option<TaskFailure>>,
    /// The host ends, and so may its tasks.
    ending: AtomicBool,
}

/// Why a host cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TaskFailure {
    #[error("the host's task {0:?} panicked: a fault of Baton, please report it")]
    Panicked(&'static str),
    #[error("the host's task {0:?} ended before the host: a fault of Baton, please report it")]
    EndedEarly(&'static str),
}

impl WatchedTasks {
    /// Starts a task that is to run for as long as the host does, or until it is aborted.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let watch = self.0.clone();
        tokio::spawn(async move {
            let failure = match AssertUnwindSafe(task).catch_unwind().await {
                Ok(()) if watch.ending.load(Ordering::Acquire) => return,
                Ok(()) => TaskFailure::EndedEarly(name),
                Err(_) => TaskFailure::Panicked(name),
            };
            error!(task = name, %failure, "a task of the host failed");
            // The first one says why.
            watch.failure.send_if_modified(|known| {
                let is_first = known.is_none();
                known.get_or_insert(failure);
                is_first
            });
        })
    }

    /// Lets tasks end: the host ends, too.
    pub fn may_end(&self) {
        self.0.ending.store(true, Ordering::Release);
    }

    /// The failure of the first task that failed.
    #[must_use]
    pub fn failed(&self) -> Option<TaskFailure> {
        *self.0.failure.borrow()
    }

    /// Resolves once a task has failed.
    pub async fn failure(&self) -> TaskFailure {
        let mut failure = self.0.failure.subscribe();
        match failure.wait_for(Option::is_some).await.map(|failure| *failure) {
            Ok(Some(failure)) => failure,
            // The sender lives as long as this.
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TaskFailure, WatchedTasks};

    #[tokio::test]
    async fn a_task_that_panics_or_ends_early_is_told_by_its_name_and_the_first_counts() {
        let tasks = WatchedTasks::default();
        tasks.spawn("lasting", std::future::pending());
        assert_eq!(tasks.failed(), None);
        tasks.spawn("first", async { panic!("in the test") });
        assert_eq!(tasks.failure().await, TaskFailure::Panicked("first"));
        tasks.spawn("second", async {}).await.unwrap();
        assert_eq!(tasks.failed(), Some(TaskFailure::Panicked("first")));
        let tasks = WatchedTasks::default();
        tasks.spawn("short", async {});
        assert_eq!(tasks.failure().await, TaskFailure::EndedEarly("short"));
    }

    #[tokio::test]
    async fn tasks_may_end_with_the_host_and_be_aborted_at_any_time() {
        let tasks = WatchedTasks::default();
        let aborted = tasks.spawn("aborted", std::future::pending());
        aborted.abort();
        assert!(aborted.await.is_err());
        tasks.may_end();
        tasks.spawn("short", async {}).await.unwrap();
        assert_eq!(tasks.failed(), None);
    }
}
