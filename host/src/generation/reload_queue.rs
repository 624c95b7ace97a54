//! The queue of loads: one load runs, at most one of a kind waits, the latest wins.
//!
//! A load does not cover a request that comes while it runs, since it may have read the files already. The request
//! waits, together with every other request of its kind, for the next load. Pure: the keeper acts.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::state::GenerationId;
use crate::canary::CanaryWish;

/// The code that somebody wants loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedCode {
    /// The code on the disk, to serve it. `force`: also when nothing changed.
    Reload { force: bool, canary: CanaryWish },
    /// The code on the disk, only to see whether it could be served.
    Check,
    /// The code of an earlier generation; `None`: of the one before the current one.
    Rollback(Option<GenerationId>),
    /// The newest code that was kept before this generation, since the code on the disk cannot be served; `None`: the
    /// newest of all.
    LastGood { before: Option<GenerationId> },
    /// The code that an earlier host served as this generation, to go on with it; the code on the disk where that was
    /// not kept.
    Continue(GenerationId),
}

impl WantedCode {
    /// The code on the disk, to serve it as the configuration says.
    #[must_use]
    pub const fn reload(force: bool) -> Self {
        Self::Reload {
            force,
            canary: CanaryWish::AsConfigured,
        }
    }

    /// One request that covers both, if there is one.
    fn merged(self, newer: Self) -> Option<Self> {
        match (self, newer) {
            (
                Self::Reload { force, canary },
                Self::Reload {
                    force: newer,
                    canary: wish,
                },
            ) => Some(Self::Reload {
                force: force || newer,
                canary: canary.merged(wish),
            }),
            (one, other) => (one == other).then_some(newer),
        }
    }
}

/// The reason for a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Start,
    Api,
    /// A file changed.
    File,
    /// Another commit was checked out.
    Git,
    /// Another release was pulled.
    Release,
    Rollback,
    /// The host started on code that cannot be served.
    LastGood,
    /// Code that failed is tried again.
    Retry,
    /// The host takes over from one that runs.
    Upgrade,
    /// The host takes the place of one that died.
    Restart,
    Check,
}

impl Reason {
    /// Tells whether somebody asked for the load. A request of a watcher, which only noticed a change, does nothing
    /// where nothing is new.
    #[must_use]
    pub const fn is_asked_for(self) -> bool {
        !matches!(self, Self::File | Self::Git | Self::Release)
    }
}

/// The queue of loads: see the module's documentation. Each requester waits on a `T`.
#[derive(Debug)]
pub struct ReloadQueue<T> {
    running: Option<Vec<T>>,
    waiting: VecDeque<QueuedLoad<T>>,
}

#[derive(Debug)]
struct QueuedLoad<T> {
    want: WantedCode,
    reason: Reason,
    tickets: Vec<T>,
}

impl<T> Default for ReloadQueue<T> {
    fn default() -> Self {
        Self {
            running: None,
            waiting: VecDeque::new(),
        }
    }
}

impl<T> ReloadQueue<T> {
    /// Adds a request.
    pub fn push(&mut self, want: WantedCode, reason: Reason, ticket: T) {
        for waiting in &mut self.waiting {
            if let Some(merged) = waiting.want.merged(want) {
                waiting.want = merged;
                if reason.is_asked_for() {
                    waiting.reason = reason;
                }
                waiting.tickets.push(ticket);
                return;
            }
        }
        self.waiting.push_back(QueuedLoad {
            want,
            reason,
            tickets: vec![ticket],
        });
    }

    /// The next load to run; `None` while one runs or nothing waits.
    pub fn start(&mut self) -> Option<(WantedCode, Reason)> {
        if self.running.is_some() {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.running = Some(next.tickets);
        Some((next.want, next.reason))
    }

    /// Gives up the running load, of this want, for a waiting one that covers it: whoever waited for the running load
    /// waits for the other one. False when no such load waits.
    pub fn supersede(&mut self, running: WantedCode) -> bool {
        for waiting in &mut self.waiting {
            if let Some(merged) = running.merged(waiting.want) {
                waiting.want = merged;
                waiting.tickets.splice(..0, self.running.take().unwrap_or_default());
                return true;
            }
        }
        false
    }

    /// Has the running load, of this want, be done again: whoever waited for it still does.
    pub fn again(&mut self, want: WantedCode, reason: Reason) {
        if !self.supersede(want) {
            let tickets = self.running.take().unwrap_or_default();
            self.waiting.push_front(QueuedLoad { want, reason, tickets });
        }
    }

    /// Empties the queue, since nothing will be loaded any more; returns those who wait.
    pub fn clear(&mut self) -> Vec<T> {
        let waiting = self.waiting.drain(..).flat_map(|waiting| waiting.tickets);
        waiting.collect()
    }

    /// Notes that the running load is done; returns those who waited for it.
    pub fn finish(&mut self) -> Vec<T> {
        self.running.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{CanaryWish, Reason, ReloadQueue, WantedCode};

    const RELOAD: WantedCode = WantedCode::reload(false);

    #[test]
    fn requests_during_a_load_share_the_next_one() {
        let mut queue = ReloadQueue::default();
        queue.push(RELOAD, Reason::Api, 1);
        assert_eq!(queue.start(), Some((RELOAD, Reason::Api)));
        queue.push(RELOAD, Reason::Api, 2);
        queue.push(WantedCode::reload(true), Reason::Api, 3);
        queue.push(RELOAD, Reason::Api, 4);
        assert_eq!(queue.start(), None, "one runs");
        assert_eq!(queue.finish(), [1], "a load answers those who asked before it began");
        assert_eq!(queue.start(), Some((WantedCode::reload(true), Reason::Api)));
        assert_eq!(queue.finish(), [2, 3, 4]);
        assert_eq!(queue.start(), None);
    }

    #[test]
    fn a_wish_for_a_canary_stays_when_a_reload_without_a_wish_joins() {
        let wished = |canary| WantedCode::Reload { force: false, canary };
        let on = CanaryWish::On(None);
        for (older, newer, wanted) in [
            (on, CanaryWish::AsConfigured, on),
            (CanaryWish::AsConfigured, on, on),
            (on, CanaryWish::Off, CanaryWish::Off),
            (CanaryWish::Off, on, on),
        ] {
            let mut queue = ReloadQueue::default();
            queue.push(wished(older), Reason::Api, 1);
            queue.push(wished(newer), Reason::File, 2);
            assert_eq!(queue.start(), Some((wished(wanted), Reason::Api)));
        }
    }

    #[test]
    fn whoever_waited_for_a_load_that_was_given_up_waits_for_the_newer_one() {
        let mut queue = ReloadQueue::default();
        queue.push(RELOAD, Reason::Api, 1);
        assert_eq!(queue.start(), Some((RELOAD, Reason::Api)));
        queue.push(RELOAD, Reason::File, 2);
        assert!(queue.supersede(RELOAD));
        assert_eq!(queue.start(), Some((RELOAD, Reason::File)));
        assert_eq!(queue.finish(), [1, 2]);
    }

    #[test]
    fn a_load_that_is_done_again_comes_first_and_answers_the_same_people() {
        let mut queue = ReloadQueue::default();
        queue.push(RELOAD, Reason::File, 1);
        assert_eq!(queue.start(), Some((RELOAD, Reason::File)));
        queue.push(WantedCode::Check, Reason::Check, 2);
        queue.again(RELOAD, Reason::File);
        assert_eq!(queue.start(), Some((RELOAD, Reason::File)));
        assert_eq!(queue.finish(), [1]);
        assert_eq!(queue.start(), Some((WantedCode::Check, Reason::Check)));
    }

    #[test]
    fn a_check_is_never_answered_by_a_reload_nor_a_reload_by_a_check() {
        let mut queue = ReloadQueue::default();
        queue.push(RELOAD, Reason::Api, 1);
        queue.push(WantedCode::Check, Reason::Check, 2);
        queue.push(RELOAD, Reason::Api, 3);
        assert_eq!(queue.start(), Some((RELOAD, Reason::Api)));
        assert_eq!(queue.finish(), [1, 3]);
        assert_eq!(queue.start(), Some((WantedCode::Check, Reason::Check)));
        assert_eq!(queue.finish(), [2]);
    }
}
