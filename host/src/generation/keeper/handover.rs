//! Handing over to another host of the project. The host stops changing anything, tells its state, and then either
//! goes on or only finishes its calls.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::info;

use super::KeeperTask;
use super::frozen::{FrozenHost, Handover};
use super::keeper_handle::{Keeper, KeeperRequest};
use crate::generation::reload_queue::Reason;
use crate::generation::report::{Outcome, Report};
use crate::generation::state::GenerationId;

impl Keeper {
    /// Begins no more loads, and waits for the running load and for the disk. `None` when the host ends. The freeze
    /// is asked for at once, not only when the future is waited for.
    pub fn freeze(&self) -> impl Future<Output = Option<FrozenHost>> + Send + use<> {
        let (answer, frozen) = oneshot::channel();
        let _ = self.0.send(KeeperRequest::Freeze { answer });
        async move { frozen.await.ok() }
    }

    /// Goes on after a freeze. `given`: the newest number that the other host has given.
    pub fn resume(&self, given: Option<GenerationId>) {
        let _ = self.0.send(KeeperRequest::Resume { given });
    }

    /// Tells that another host goes on: waiting requests are answered [`Outcome::HandedOver`], the current generation
    /// drains.
    pub fn hand_over(&self) {
        let _ = self.0.send(KeeperRequest::HandOver);
    }
}

impl KeeperTask {
    /// Answers the request for a freeze, once no load runs.
    pub(super) async fn answer_freeze(&mut self) {
        if self.running.is_some() || !matches!(self.handover, Handover::Freezing(_)) {
            return;
        }
        if let Handover::Freezing(answer) = std::mem::replace(&mut self.handover, Handover::Frozen) {
            self.look_after_sources();
            self.keep_trial_whole().await;
            self.history.close_whole().await;
            self.give_all_answers();
            let current = self.generations.current();
            let entry = current.and_then(|id| self.entries.get(&id));
            let _ = answer.send(FrozenHost {
                current,
                newest: self.generations.newest(),
                last_good: entry.is_some_and(|entry| entry.reason == Reason::LastGood),
            });
        }
    }

    pub(super) fn resume(&mut self, given: Option<GenerationId>) {
        if matches!(self.handover, Handover::Over) {
            return;
        }
        if let Some(given) = given {
            self.generations.skip(given);
        }
        self.handover = Handover::No;
        self.history.reopen();
    }

    pub(super) async fn hand_over(&mut self) {
        self.handover = Handover::Over;
        self.give_up_spare().await;
        self.table.holds.clear();
        if let Some(current) = self.table.current() {
            current.pool.drain();
            if let Some(trial) = self.table.trial() {
                trial.canary.pool.drain();
            }
            info!(generation = current.id.0, "handed over: finishing its calls");
        }
        self.refuse_waiting();
    }

    /// Tells those who wait for a load that they are to ask the other host.
    pub(super) fn refuse_waiting(&mut self) {
        let report = Arc::new(Report {
            outcome: Outcome::HandedOver,
            took_ms: 0.0,
        });
        for ticket in self.queue.clear() {
            let _ = ticket.send(report.clone());
        }
    }
}
