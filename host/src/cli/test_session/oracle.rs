//! Mocks that are functions of a test: their outcomes are asked for in lines.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::session_lines::SessionLine;
use crate::runner::answer::error;
use crate::runner::mocks::{MockQuestion, Oracle, Reply};

/// The questions that have no answer yet, and the way of lines to the tests.
pub(super) struct Questions {
    said: mpsc::UnboundedSender<SessionLine>,
    last: AtomicU64,
    open: Mutex<BTreeMap<u64, oneshot::Sender<Reply>>>,
}

impl Questions {
    pub(super) fn new(said: mpsc::UnboundedSender<SessionLine>) -> Self {
        Self {
            said,
            last: AtomicU64::new(0),
            open: Mutex::default(),
        }
    }

    pub(super) fn say(&self, said: SessionLine) {
        // Nobody reads lines at the end.
        let _ = self.said.send(said);
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<Reply>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn answered(&self, question: u64, reply: Reply) {
        if let Some(asker) = self.open().remove(&question) {
            // The run that asked may have ended.
            let _ = asker.send(reply);
        }
    }
}

/// The functions of one run's mocks. A reply has no limit of time but the test's own, with which the run ends.
pub(super) struct TestOracle {
    run: u64,
    questions: Arc<Questions>,
}

impl TestOracle {
    pub(super) const fn new(run: u64, questions: Arc<Questions>) -> Self {
        Self { run, questions }
    }
}

impl Oracle for TestOracle {
    fn ask(&self, question: MockQuestion) -> BoxFuture<'static, Reply> {
        let number = self.questions.last.fetch_add(1, Ordering::Relaxed);
        let (asker, replied) = oneshot::channel();
        {
            let mut open = self.questions.open();
            open.retain(|_, asker| !asker.is_closed());
            open.insert(number, asker);
        }
        let MockQuestion {
            function,
            step,
            attempt,
        } = question;
        self.questions.say(SessionLine::Question {
            run: self.run,
            question: number,
            function,
            step: step.user_id,
            name: step.name,
            attempt,
            opts: step.opts,
        });
        async move {
            let lost = |_| Err(error("MockError", "the tests have gone"));
            replied.await.unwrap_or_else(lost)
        }
        .boxed()
    }
}
