//! The count of the work that goes on and that could still send an event or a signal.

use tokio::sync::watch;

#[derive(Debug)]
pub struct Activity(watch::Sender<usize>);

/// A piece of work, which goes on until this value is dropped.
#[derive(Debug)]
pub struct ActivityGuard(watch::Sender<usize>);

impl Default for Activity {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Activity {
    #[must_use]
    pub fn begin(&self) -> ActivityGuard {
        self.0.send_modify(|count| *count += 1);
        ActivityGuard(self.0.clone())
    }

    /// Tells whether something is worked on.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Resolves once nothing is worked on.
    pub async fn quiet(&self) {
        let mut count = self.0.subscribe();
        // The sender is in `self`, so the receiver does not fail.
        let _ = count.wait_for(|count| *count == 0).await;
    }
}

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
