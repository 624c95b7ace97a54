//! The answers to requests for loads. Somebody who asked for a reload or a rollback is answered when the next host would
//! find the generation on the disk: whoever reads "activated" may kill the host and still has what was activated.
//! Nobody waits for the answer of a start or of a saved file, after which the next host looks at the disk itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tracing::warn;

use super::KeeperTask;
use crate::generation::reload_queue::Reason;
use crate::generation::report::{Outcome, Report};
use crate::generation::table::HostEvent;

/// The longest time that an answer waits for the disk.
const KEPT_WITHIN: Duration = Duration::from_secs(2);

/// Answers in the order of their loads: see the module's documentation.
#[derive(Default)]
pub(super) struct Answers {
    waiting: VecDeque<UnsentReport>,
    /// Tells whether somebody asked for the load that runs.
    is_asked_for: bool,
}

struct UnsentReport {
    report: Arc<Report>,
    requesters: Vec<oneshot::Sender<Arc<Report>>>,
    /// Resolves when the generation that the report is about is on the disk.
    kept: BoxFuture<'static, ()>,
}

impl Answers {
    /// Notes the reason of the load that begins.
    pub(super) fn expect(&mut self, reason: Reason) {
        self.is_asked_for = matches!(reason, Reason::Api | Reason::Rollback);
    }

    /// Waits for the first answer that may be given. The future may be dropped and the method called again.
    pub(super) async fn next(&mut self) -> DueAnswer {
        match self.waiting.front_mut() {
            Some(answer) => {
                (&mut answer.kept).await;
                DueAnswer
            }
            None => std::future::pending().await,
        }
    }
}

/// Shows that the first answer that waits may be given.
pub(super) struct DueAnswer;

impl KeeperTask {
    /// Answers those who wait for the load that has ended, once the disk has what the answer tells of.
    pub(super) fn answer(&mut self, outcome: Outcome, began: Instant) {
        let took_ms = (began.elapsed().as_secs_f64() * 10_000.0).round() / 10.0;
        let kept = match &outcome {
            Outcome::Activated { generation, .. } | Outcome::Unchanged { generation, .. }
                if self.answers.is_asked_for =>
            {
                let (generation, kept) = (*generation, self.history.when_kept(*generation));
                let wait = async move {
                    if tokio::time::timeout(KEPT_WITHIN, kept).await.is_err() {
                        warn!(
                            generation = generation.0,
                            "the disk is slow: a host that starts now may not find this generation"
                        );
                    }
                };
                wait.boxed()
            }
            _ => std::future::ready(()).boxed(),
        };
        self.answers.waiting.push_back(UnsentReport {
            report: Arc::new(Report { outcome, took_ms }),
            requesters: self.queue.finish(),
            kept,
        });
    }

    /// Gives the answer that waits first.
    pub(super) fn give_answer(&mut self, DueAnswer: DueAnswer) {
        let Some(UnsentReport { report, requesters, .. }) = self.answers.waiting.pop_front() else {
            return;
        };
        self.table.tell(HostEvent::Reload(report.clone()));
        for requester in requesters {
            // The requester may have gone.
            let _ = requester.send(report.clone());
        }
    }

    /// Gives every answer that waits. The disk has what it took: the history is closed.
    pub(super) fn give_all_answers(&mut self) {
        while !self.answers.waiting.is_empty() {
            self.give_answer(DueAnswer);
        }
    }
}
