//! The queue of runs: each waits until its app has a place, which it has only while a worker is connected
//! (inngest/inngest: `pkg/registration/process.go`, "app semaphore").

use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;

use super::book::Book;
use super::executor::{Attempt, RunReport};
use crate::deadline;

/// One of an app's places, given back on drop.
pub(super) struct Place {
    book: Arc<Book>,
    app: String,
}

impl Place {
    /// Waits for a place.
    pub(super) async fn take(book: &Arc<Book>, app: &str) -> Self {
        let mut place = book.change(|state| state.take_place(app));
        while place.is_none() {
            book.when(|state| state.has_place(app).then_some(())).await;
            tokio::time::sleep(book.timing.queue).await;
            place = book.change(|state| state.take_place(app));
        }
        Self {
            book: Arc::clone(book),
            app: app.to_owned(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.book.change(|state| state.give_place_back(&self.app));
    }
}

/// A run that was begun.
#[derive(Debug)]
pub struct Ticket {
    pub(super) run: String,
    pub(super) attempts: Arc<Mutex<Vec<Attempt>>>,
    pub(super) task: JoinHandle<RunReport>,
}

impl Ticket {
    /// The id of the run.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Returns the attempts that have ended so far.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().expect("no poison").clone()
    }

    /// Tells whether the run has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for the end of the run, as long as a phase may take.
    pub async fn report(self) -> RunReport {
        let what = format!("the end of run {}", self.run);
        let attempts = Arc::clone(&self.attempts);
        let context = || format!("its attempts: {:#?}", attempts.lock().expect("no poison"));
        deadline::within(&what, context, self.finish()).await
    }

    /// Waits for the end of the run, however long it takes.
    pub async fn finish(self) -> RunReport {
        self.task.await.expect("a run that is driven to its end")
    }
}
