//! Calls that belong to an older generation: steps that it planned, and, where runs are pinned, runs
//! that began on it.
//!
//! Inngest calls a planned step by the id that the plan gave it. Code that was loaded since may name the step
//! otherwise, which would cost the run an attempt and ten seconds. So a plan holds its generation as a call does,
//! until the step has been run, the plan's time is up, or the generation has to go. Where other hosts share the address
//! of this one, they plan steps, too: the generation before the current one lingers for these.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::live::{CallInfo, Generation, GenerationGuard};
use super::state::GenerationId;
use crate::wire::{AnswerHead, DISCOVERY, SdkAnswer};

/// The time that a planned step is waited for.
const PLAN_TTL: Duration = Duration::from_mins(10);
/// The time for which a run of a canary, or beside it, is kept where it began after its last call.
const SPLIT_TTL: Duration = Duration::from_hours(24);
/// The most plans, and the most runs, that are remembered; beyond that the oldest are forgotten.
const MOST: usize = 10_000;
/// The most plans of one answer that are remembered: Inngest takes as many steps of a run.
const MOST_OF_ANSWER: usize = 1000;
/// A longer id is none of the SDK's, whose hashes have 40 characters.
const LONGEST_ID: usize = 512;

/// The generation that a run's calls go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// The calls go to the current generation, but for planned steps.
    Nothing,
    /// The calls go to the generation on which the run began, for so long after its last call.
    Run(Duration),
}

/// The calls that belong to an older generation: see the module's documentation.
#[derive(Debug)]
pub struct Holds {
    pin: Pin,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The planned steps, by run and hashed step id.
    plans: HashMap<(String, String), Hold>,
    runs: HashMap<String, Hold>,
    /// The generation that was current before.
    lingering: Option<Hold>,
}

#[derive(Debug)]
struct Hold {
    held: GenerationGuard,
    until: Instant,
}

/// The number of calls to come that belong to a generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExpectedCalls {
    /// The number of steps that the generation planned.
    pub plans: usize,
    /// The number of runs that are pinned to the generation.
    pub runs: usize,
}

impl Holds {
    #[must_use]
    pub fn new(pin: Pin) -> Self {
        Self {
            pin,
            inner: Mutex::default(),
        }
    }

    /// The generation that the call belongs to; `None` for a call that is not bound to one.
    pub(super) fn find(&self, info: &CallInfo) -> Option<Arc<Generation>> {
        let run = info.run.as_deref()?;
        let inner = self.lock();
        if let Some(step) = info.step.as_deref().filter(|step| *step != DISCOVERY) {
            let planned = inner.plans.get(&(run.to_owned(), step.to_owned()));
            if let Some(hold) = planned {
                return Some(hold.held.generation.clone());
            }
        }
        inner.runs.get(run).map(|hold| hold.held.generation.clone())
    }

    /// Keeps a run on the generation on which it begins, whatever the configuration says.
    pub(super) fn pin(&self, run: &str, generation: &Arc<Generation>) {
        let Some(held) = generation.hold() else {
            return;
        };
        let until = Instant::now() + self.split_ttl();
        let mut inner = self.lock();
        let mut forgotten: Vec<_> = inner
            .runs
            .insert(run.to_owned(), Hold { held, until })
            .into_iter()
            .collect();
        forgotten.extend(surplus(&mut inner.runs));
        drop(inner);
        drop(forgotten);
    }

    /// Keeps a generation that another one has superseded, in place of the one that was kept so before. Other hosts at
    /// the address of this one may have the same code still, and the steps that they plan may be called for here.
    pub(super) fn linger(&self, generation: &Arc<Generation>, time: Duration) {
        let until = Instant::now() + time;
        let hold = generation.hold().map(|held| Hold { held, until });
        let before = std::mem::replace(&mut self.lock().lingering, hold);
        drop(before);
    }

    /// Keeps no generation for calls that nobody has announced.
    pub fn end_lingering(&self) {
        let before = self.lock().lingering.take();
        drop(before);
    }

    /// Forgets the pin of a run that has ended.
    pub(super) fn unpin(&self, run: &str) {
        let forgotten = self.lock().runs.remove(run);
        drop(forgotten);
    }

    /// Forgets the pins of a generation that the configuration does not ask for.
    pub(super) fn unpin_split(&self, id: GenerationId) {
        if self.pin == Pin::Nothing {
            let mut inner = self.lock();
            let of = |_: &String, hold: &mut Hold| hold.held.generation.id == id;
            let forgotten: Vec<_> = inner.runs.extract_if(of).collect();
            drop(inner);
            drop(forgotten);
        }
    }

    const fn split_ttl(&self) -> Duration {
        match self.pin {
            Pin::Nothing => SPLIT_TTL,
            Pin::Run(ttl) => ttl,
        }
    }

    /// Learns from an answer which calls are to come. True when its run has ended.
    pub fn learn(&self, generation: &Arc<Generation>, info: &CallInfo, head: AnswerHead<'_>, body: &[u8]) -> bool {
        let Some(run) = info.run.as_deref() else {
            return false;
        };
        let answer = SdkAnswer::read(head, body);
        let has_ended = answer.ends_run();
        let hold = |ttl| {
            let held = generation.hold()?;
            let until = Instant::now() + ttl;
            Some(Hold { held, until })
        };
        // These holds are dropped after the lock, since the last hold of a generation tells the keeper.
        let mut forgotten = Vec::new();
        let mut inner = self.lock();
        if let Some(step) = &info.step
            && answer.is_done()
        {
            forgotten.extend(inner.plans.remove(&(run.to_owned(), step.clone())));
        }
        let planned = answer.planned_steps().into_iter();
        for step in planned.filter(|step| step.len() <= LONGEST_ID).take(MOST_OF_ANSWER) {
            if let Some(hold) = hold(PLAN_TTL) {
                forgotten.extend(inner.plans.insert((run.to_owned(), step), hold));
            }
        }
        match self.pin {
            _ if has_ended => forgotten.extend(inner.runs.remove(run)),
            Pin::Run(ttl) => {
                if let Some(hold) = hold(ttl) {
                    forgotten.extend(inner.runs.insert(run.to_owned(), hold));
                }
            }
            // A run that is split is pinned all the same.
            Pin::Nothing => {
                if let Some(hold) = inner.runs.get_mut(run) {
                    hold.until = Instant::now() + SPLIT_TTL;
                }
            }
        }
        forgotten.extend(surplus(&mut inner.plans));
        forgotten.extend(surplus(&mut inner.runs));
        drop(inner);
        drop(forgotten);
        has_ended
    }

    /// The number of calls that a generation is to expect.
    #[must_use]
    pub fn expected(&self, id: GenerationId) -> ExpectedCalls {
        let inner = self.lock();
        let of = |hold: &&Hold| hold.held.generation.id == id;
        ExpectedCalls {
            plans: inner.plans.values().filter(of).count(),
            runs: inner.runs.values().filter(of).count(),
        }
    }

    /// Forgets the plans and runs whose time is up.
    pub(super) fn expire(&self) {
        let now = Instant::now();
        self.forget(|hold| hold.until <= now);
    }

    /// Forgets the plans and runs of a generation that has to go.
    pub(super) fn release(&self, id: GenerationId) {
        self.forget(|hold| hold.held.generation.id == id);
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.forget(|_| true);
    }

    fn forget(&self, forgotten: impl Fn(&Hold) -> bool) {
        let mut inner = self.lock();
        let plans: Vec<_> = inner.plans.extract_if(|_, hold| forgotten(hold)).collect();
        let runs: Vec<_> = inner.runs.extract_if(|_, hold| forgotten(hold)).collect();
        let lingering = inner.lingering.take_if(|hold| forgotten(hold));
        drop(inner);
        drop((plans, runs, lingering));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out the oldest holds beyond the limit.
fn surplus<K: Clone + Eq + std::hash::Hash>(holds: &mut HashMap<K, Hold>) -> Vec<Hold> {
    let Some(excess) = holds.len().checked_sub(MOST).filter(|excess| *excess > 0) else {
        return Vec::new();
    };
    let mut ages: Vec<_> = holds.iter().map(|(key, hold)| (hold.until, key.clone())).collect();
    ages.select_nth_unstable_by_key(excess - 1, |(until, _)| *until);
    ages.into_iter()
        .take(excess)
        .filter_map(|(_, key)| holds.remove(&key))
        .collect()
}
