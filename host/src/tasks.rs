//! Tasks that have an owner. An [`OwnedTask`] ends with its owner. A [`TaskSet`] holds tasks of one kind that come
//! and go. [`WatchedTasks`] are the tasks that a host cannot do without: a watched task that panics, or ends before
//! the host does, ends the host in an orderly way. The running calls are finished, and the supervisor starts another
//! host meanwhile.
//!
//! All other code starts tasks only by these types (`clippy.toml` forbids the rest), or by tokio's own `JoinSet` and
//! `TaskTracker`.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, warn};

/// The limit for aborted tasks to be gone. A task that blocks its thread takes longer.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// A task with one owner: dropping it aborts the task.
#[must_use = "dropping it aborts the task"]
#[derive(Debug)]
pub struct OwnedTask<T> {
    name: &'static str,
    handle: AbortOnDropHandle<T>,
}

impl<T: Send + 'static> OwnedTask<T> {
    /// Starts a task in the caller's runtime.
    pub fn spawn(name: &'static str, task: impl Future<Output = T> + Send + 'static) -> Self {
        Self::spawn_on(&Handle::current(), name, task)
    }

    /// Starts a task in a runtime, for a thread that does not belong to that runtime.
    pub fn spawn_on(runtime: &Handle, name: &'static str, task: impl Future<Output = T> + Send + 'static) -> Self {
        #[allow(clippy::disallowed_methods, reason = "the handle gets an owner here")]
        let handle = AbortOnDropHandle::new(runtime.spawn(task));
        Self { name, handle }
    }

    /// Waits until the task has ended by itself; `None` if it panicked.
    pub async fn ended(self) -> Option<T> {
        let Self { name, handle } = self;
        match handle.await {
            Ok(output) => Some(output),
            Err(error) => {
                tell_panic(name, &error);
                None
            }
        }
    }

    /// Aborts the task, and waits until it is gone, for five seconds at most.
    pub async fn end(self) {
        let name = self.name;
        self.handle.abort();
        if tokio::time::timeout(ENDS_WITHIN, self.ended()).await.is_err() {
            tell_stuck(name, 1);
        }
    }
}

/// Tasks of one kind that come and go. Dropping the set aborts the remaining tasks.
#[derive(Debug)]
pub struct TaskSet {
    name: &'static str,
    tasks: Mutex<JoinSet<()>>,
}

impl TaskSet {
    /// Makes an empty set of tasks of that name.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            tasks: Mutex::default(),
        }
    }

    /// Starts a task in the caller's runtime.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.lock();
        while let Some(ended) = tasks.try_join_next() {
            self.note(ended);
        }
        tasks.spawn(task);
    }

    /// Waits until the tasks that were started before have ended by themselves, up to a limit; then aborts the
    /// remaining tasks.
    pub async fn finish(&self, limit: Duration) {
        let mut tasks = self.take();
        let finished = async {
            while let Some(ended) = tasks.join_next().await {
                self.note(ended);
            }
        };
        if tokio::time::timeout(limit, finished).await.is_err() {
            self.abort(tasks).await;
        }
    }

    /// Aborts the tasks, and waits until they are gone, for five seconds at most.
    pub async fn end(&self) {
        let tasks = self.take();
        self.abort(tasks).await;
    }

    async fn abort(&self, mut tasks: JoinSet<()>) {
        if tokio::time::timeout(ENDS_WITHIN, tasks.shutdown()).await.is_err() {
            tell_stuck(self.name, tasks.len());
        }
    }

    fn note(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended {
            tell_panic(self.name, &error);
        }
    }

    fn take(&self) -> JoinSet<()> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        // Nothing panics while it holds the lock.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell_panic(name: &'static str, error: &JoinError) {
    if error.is_panic() {
        error!(task = name, "a task panicked: this is a bug in Baton, please report it");
    }
}

fn tell_stuck(name: &'static str, count: usize) {
    warn!(task = name, count, "tasks are still running: they end with the process");
}

/// Watches the tasks of a host, and owns them.
#[derive(Debug, Clone)]
pub struct WatchedTasks {
    watch: Arc<TaskWatch>,
    kept: Arc<TaskSet>,
}

#[derive(Debug, Default)]
struct TaskWatch {
    failure: watch::Sender<Option<TaskFailure>>,
    /// Tells that the host ends, and that its tasks may end, too.
    ending: AtomicBool,
}

/// The reason why a host cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TaskFailure {
    /// The task of that name panicked.
    #[error("the host's task {0:?} panicked: this is a bug in Baton, please report it")]
    Panicked(&'static str),
    /// The task of that name returned while the host was to go on.
    #[error("the host's task {0:?} ended before the host: this is a bug in Baton, please report it")]
    EndedEarly(&'static str),
}

impl Default for WatchedTasks {
    fn default() -> Self {
        Self {
            watch: Arc::default(),
            kept: Arc::new(TaskSet::new("tasks of the host")),
        }
    }
}

impl WatchedTasks {
    /// Starts a task that is to run until [`Self::end`].
    pub fn keep(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.kept.spawn(self.watched(name, task));
    }

    /// Starts a task that is to run for as long as the host does, or until the caller ends it.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> OwnedTask<()> {
        OwnedTask::spawn(name, self.watched(name, task))
    }

    fn watched(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        // The task gets only this part: with all of `self` the tasks would own themselves.
        let watch = self.watch.clone();
        async move {
            let failure = match AssertUnwindSafe(task).catch_unwind().await {
                Ok(()) if watch.ending.load(Ordering::Acquire) => return,
                Ok(()) => TaskFailure::EndedEarly(name),
                Err(_) => TaskFailure::Panicked(name),
            };
            error!(task = name, %failure, "a task of the host failed");
            // Only the first failure is kept: it tells the reason.
            watch.failure.send_if_modified(|known| {
                let is_first = known.is_none();
                known.get_or_insert(failure);
                is_first
            });
        }
    }

    /// Lets tasks end, since the host ends, too.
    pub fn may_end(&self) {
        self.watch.ending.store(true, Ordering::Release);
    }

    /// Aborts the tasks that are kept here, and waits until they are gone.
    pub async fn end(&self) {
        self.may_end();
        self.kept.end().await;
    }

    /// The failure of the first task that failed.
    #[must_use]
    pub fn failed(&self) -> Option<TaskFailure> {
        *self.watch.failure.borrow()
    }

    /// Resolves once a task has failed.
    pub async fn failure(&self) -> TaskFailure {
        let mut failure = self.watch.failure.subscribe();
        match failure.wait_for(Option::is_some).await.map(|failure| *failure) {
            Ok(Some(failure)) => failure,
            // The sender lives as long as `self`.
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::{OwnedTask, TaskFailure, TaskSet, WatchedTasks};

    /// Returns a task that never ends by itself, and a receiver that hears of its end.
    fn endless() -> (impl Future<Output = ()> + Send + 'static, oneshot::Receiver<()>) {
        let (held, gone) = oneshot::channel::<()>();
        let task = async move {
            std::future::pending::<()>().await;
            drop(held);
        };
        (task, gone)
    }

    #[tokio::test]
    async fn a_task_ends_with_its_owner() {
        let (task, gone) = endless();
        drop(OwnedTask::spawn("dropped", task));
        assert!(gone.await.is_err());
        let (task, gone) = endless();
        OwnedTask::spawn("ended", task).end().await;
        assert!(gone.await.is_err());
        assert_eq!(OwnedTask::spawn("short", async { 7 }).ended().await, Some(7));
        let panicked = OwnedTask::spawn("panicked", async { panic!("in the test") });
        assert_eq!(panicked.ended().await, None::<()>);
    }

    #[tokio::test]
    async fn a_sets_tasks_are_finished_or_end_with_it() {
        let set = TaskSet::new("the test");
        let (done, is_done) = oneshot::channel();
        set.spawn(async move { done.send(7).unwrap() });
        let (task, gone) = endless();
        set.spawn(task);
        set.finish(Duration::from_millis(10)).await;
        assert_eq!(is_done.await, Ok(7));
        assert!(gone.await.is_err(), "it was aborted at the limit");
        let (task, gone) = endless();
        set.spawn(task);
        drop(set);
        assert!(gone.await.is_err());
    }

    #[tokio::test]
    async fn a_task_that_panics_or_ends_early_is_told_by_its_name_and_the_first_counts() {
        let tasks = WatchedTasks::default();
        tasks.keep("lasting", std::future::pending());
        assert_eq!(tasks.failed(), None);
        tasks.keep("first", async { panic!("in the test") });
        assert_eq!(tasks.failure().await, TaskFailure::Panicked("first"));
        tasks.spawn("second", async {}).ended().await.unwrap();
        assert_eq!(tasks.failed(), Some(TaskFailure::Panicked("first")));
        let tasks = WatchedTasks::default();
        tasks.keep("short", async {});
        assert_eq!(tasks.failure().await, TaskFailure::EndedEarly("short"));
    }

    #[tokio::test]
    async fn tasks_may_end_with_the_host_and_be_aborted_at_any_time() {
        let tasks = WatchedTasks::default();
        let (task, gone) = endless();
        tasks.spawn("aborted", task).end().await;
        assert!(gone.await.is_err());
        tasks.may_end();
        tasks.spawn("short", async {}).ended().await.unwrap();
        assert_eq!(tasks.failed(), None);
    }

    #[tokio::test]
    async fn the_tasks_of_a_host_are_gone_once_it_has_ended_them_or_forgotten_them() {
        let tasks = WatchedTasks::default();
        let held = Arc::new(());
        let holds = held.clone();
        tasks.keep("lasting", async move {
            std::future::pending::<()>().await;
            drop(holds);
        });
        tasks.end().await;
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(tasks.failed(), None);
        let (task, gone) = endless();
        tasks.keep("lasting", task);
        drop(tasks);
        assert!(gone.await.is_err());
    }
}
