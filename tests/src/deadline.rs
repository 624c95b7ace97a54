//! Waiting for a phase: a test asks until the phase is there, and gives up with
//! a message that says what was awaited. This is the only clock in the tests.

use std::future::Future;
use std::time::{Duration, Instant};

/// The time that any phase may take. It is far more than a phase should take,
/// even for a debug build on a busy machine: a test asserts that something
/// happens, not when it does.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// The time between two questions of [`until`].
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// Asks `poll` until it answers `Some`; panics after [`DEADLINE`] with `what`
/// and what `context` says then.
pub async fn until<T, F>(what: &str, context: impl Fn() -> String, mut poll: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(found) = poll().await {
            return found;
        }
        assert!(
            start.elapsed() < DEADLINE,
            "waited {DEADLINE:?} in vain: {what}\n{}",
            context()
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Awaits `future`; panics after [`DEADLINE`] with `what` and what `context`
/// says then.
pub async fn within<T>(what: &str, context: impl Fn() -> String, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} in vain: {what}\n{}", context()),
    }
}
