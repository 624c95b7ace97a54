//! Work that blocks its thread: reading files, running commands, asking name servers. Its threads are made at the
//! start and stay: later the system may have no thread left, and tokio panics where it gets no thread for such work.
//! More threads are made while there is more work. Work waits for a thread where none can be made.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// The number of threads that are there from the start.
const FROM_THE_START: usize = 4;
/// The most threads for such work. A disk that does not answer holds the threads that wait for it.
const MOST: usize = 64;
/// The time for which an idle thread stays: the system may give no other thread in its place.
const STAY: Duration = Duration::from_hours(24 * 365 * 10);
/// The limit for the threads of the start to be there.
const START_WITHIN: Duration = Duration::from_secs(10);

/// The reason why blocking work has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockingError {
    /// The work has not ended within the limit, and goes on without a caller.
    #[error("{what} did not end within {limit:?}")]
    TooLong {
        /// The work, as the beginning of a sentence.
        what: &'static str,
        /// The time that the work had.
        limit: Duration,
    },
    /// The work panicked.
    #[error("{what} panicked: this is a bug in Baton, please report it")]
    Panicked {
        /// The work, as the beginning of a sentence.
        what: &'static str,
    },
}

/// Starts the threads that take requests and answer them, on half of the cores: isolates need the other cores, and a
/// thread that is woken for a call wakes the next thread to look for more work.
///
/// # Errors
/// When the system has no threads or descriptors for it.
pub fn serving_threads() -> io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    runtime(Builder::new_multi_thread().worker_threads((cores / 2).max(1)))
}

/// Starts threads for a command that ends soon.
///
/// # Errors
/// When the system has no threads or descriptors for it.
pub fn any_threads() -> io::Result<Runtime> {
    runtime(&mut Builder::new_multi_thread())
}

/// Builds a runtime whose threads for blocking work are there from the start.
///
/// # Errors
/// When the system has no threads or descriptors for it.
pub fn runtime(builder: &mut Builder) -> io::Result<Runtime> {
    let builder = builder.max_blocking_threads(MOST).thread_keep_alive(STAY);
    // tokio panics where it cannot start a thread.
    let built = catch_unwind(AssertUnwindSafe(|| {
        let runtime = builder.enable_all().build()?;
        start_threads(&runtime)?;
        Ok(runtime)
    }));
    built.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::WouldBlock)))
}

fn start_threads(runtime: &Runtime) -> io::Result<()> {
    // Each task holds its thread until all threads are there.
    let all = Arc::new(Barrier::new(FROM_THE_START));
    let (sender, there) = mpsc::channel();
    for _ in 0..FROM_THE_START {
        let (all, sender) = (all.clone(), sender.clone());
        drop(runtime.spawn_blocking(move || {
            all.wait();
            // The receiver may have given up.
            let _ = sender.send(());
        }));
    }
    for _ in 0..FROM_THE_START {
        if there.recv_timeout(START_WITHIN).is_err() {
            return Err(io::Error::from(io::ErrorKind::WouldBlock));
        }
    }
    Ok(())
}

/// Does blocking work, and waits for its result. Work that takes too long keeps its thread until the work ends, and
/// nobody waits for that work any more.
///
/// # Errors
/// When it has no result within the limit.
pub async fn run<T: Send + 'static>(
    what: &'static str,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BlockingError> {
    match tokio::time::timeout(limit, tokio::task::spawn_blocking(work)).await {
        Ok(done) => done.map_err(|_| BlockingError::Panicked { what }),
        Err(_) => Err(BlockingError::TooLong { what, limit }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::runtime::Builder;

    use super::{BlockingError, FROM_THE_START, run, runtime};

    /// The threads of this process that are a runtime's.
    fn threads() -> usize {
        let all = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let names = all.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
        names.filter(|name| name.starts_with("tokio")).count()
    }

    #[test]
    fn threads_are_there_before_they_are_wanted() {
        let before = threads();
        let _runtime = runtime(Builder::new_multi_thread().worker_threads(1)).unwrap();
        assert!(threads() >= before + FROM_THE_START);
    }

    #[tokio::test]
    async fn work_that_never_ends_or_panics_is_an_answer() {
        let limit = Duration::from_millis(10);
        let (end, ended) = mpsc::channel::<()>();
        let what = "the test";
        let stuck = run(what, limit, move || ended.recv().is_ok()).await;
        assert_eq!(stuck, Err(BlockingError::TooLong { what, limit }));
        drop(end);
        let panicked = run(what, Duration::from_secs(60), || panic!("in the test")).await;
        assert_eq!(panicked, Err::<(), _>(BlockingError::Panicked { what }));
        assert_eq!(run(what, Duration::from_secs(60), || 7).await, Ok(7));
    }
}
