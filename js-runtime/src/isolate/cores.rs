//! Which cores isolates run on while user code holds half of them or more. Linux moves a thread that spins to and fro, and
//! what shares a core with it waits for milliseconds, in the middle of a call. So an isolate that spins stays on one core,
//! where V8's helpers join it, and the others are woken on what remains. The host's own threads go first on each.
//!
//! What user code starts has the cores of the thread that starts it. So an isolate that answers calls is kept off some only
//! while it sleeps, one that has child processes is left alone, and what one that spun has started is given all.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::resolve::analysis::BESIDE_STACK;

use super::affinity::{
    Core, core_of, cores_of, has_children, set_cores, this_thread, threads, threads_named, threads_of_children,
};

/// V8's, as Linux shows it.
const HELPER: &str = "V8 DefaultWorke";

/// One that spins uses more than this part of the time: it may wait for its core, or for garbage to be collected.
const SPINS_FROM: u32 = 5;

static ISOLATES: Mutex<Isolates> = Mutex::new(Isolates {
    next: 0,
    threads: BTreeMap::new(),
    given: BTreeSet::new(),
});

/// While one spins. Apart from the others, for each isolate asks whenever it falls asleep.
static KEPT_FREE: RwLock<Option<KeptFree>> = RwLock::new(None);

thread_local! {
    /// The cores that this thread is to have when it wakes.
    static WAKES_ON: Cell<Option<BTreeSet<Core>>> = const { Cell::new(None) };
}

/// Those of this process that are for calls.
#[derive(Debug)]
struct Isolates {
    next: u64,
    threads: BTreeMap<u64, Thread>,
    /// The sets of cores that threads were given instead of all.
    given: BTreeSet<BTreeSet<Core>>,
}

#[derive(Debug)]
struct Thread {
    /// Its number in the system.
    id: i32,
    /// It is blocked, and computes.
    spins: bool,
    /// When it was looked at, and what it had used of a processor by then.
    looked_at: (Instant, Duration),
}

#[derive(Debug)]
struct KeptFree {
    all: BTreeSet<Core>,
    /// Those without one that spins.
    free: BTreeSet<Core>,
}

/// That an isolate's thread is for calls, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(u64);

impl Place {
    pub(super) fn of_this_thread() -> Self {
        let mut isolates = isolates();
        let key = isolates.next;
        isolates.next += 1;
        let thread = Thread {
            id: this_thread(),
            spins: false,
            // So that the first look finds nothing used since.
            looked_at: (Instant::now(), Duration::MAX),
        };
        isolates.threads.insert(key, thread);
        Self(key)
    }

    /// By which others name it.
    pub(super) fn key(&self) -> u64 {
        self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut isolates = isolates();
        let gone = isolates.threads.remove(&self.0);
        if gone.is_some_and(|thread| thread.spins) {
            isolates.arrange();
        }
    }
}

/// To be told of each isolate, again and again: whether it counts as blocked, and how much of a processor it has used.
pub(super) fn look_at(place: u64, blocked: bool, used: Duration) {
    let mut isolates = isolates();
    let Some(thread) = isolates.threads.get_mut(&place) else {
        return;
    };
    let (before, used_before) = thread.looked_at;
    thread.looked_at = (Instant::now(), used);
    let spun = thread.spins;
    thread.spins = blocked && used.saturating_sub(used_before) > before.elapsed() / SPINS_FROM;
    if spun || thread.spins {
        isolates.arrange();
    }
}

/// The loop of an isolate's thread, as Deno makes it, but that it sleeps where nobody spins.
///
/// # Errors
/// When the system has no descriptors left.
pub(super) fn event_loop() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        // Of those that read files and compute beside the loop, each with room for a parser.
        .max_blocking_threads(32)
        .thread_stack_size(BESIDE_STACK)
        .on_thread_park(falls_asleep)
        .on_thread_unpark(wakes)
        .build()
}

fn falls_asleep() {
    let kept_free = KEPT_FREE.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(KeptFree { all, free }) = &*kept_free
        && set_cores(this_thread(), free).is_ok()
    {
        WAKES_ON.set(Some(all.clone()));
    }
}

fn wakes() {
    if let Some(all) = WAKES_ON.take() {
        // It was allowed a moment ago.
        let _ = set_cores(this_thread(), &all);
    }
}

impl Isolates {
    fn arrange(&mut self) {
        if cfg!(not(target_os = "linux")) {
            return;
        }
        if self.given.is_empty() && !self.threads.values().any(|thread| thread.spins) {
            return;
        }
        if let Err(error) = self.try_arrange() {
            tracing::debug!(%error, "threads cannot be given cores");
        }
    }

    fn try_arrange(&mut self) -> io::Result<()> {
        // The first thread is never given others.
        let all = cores_of(std::process::id().cast_signed())?;
        let spinning = self.threads.values().filter(|thread| thread.spins);
        let alone = spinning.filter(|thread| !has_children(thread.id));
        let holding = alone.filter_map(|thread| Some((thread.id, core_of(thread.id)?)));
        let Some(Plan { own, free }) = Plan::of(&all, &holding.collect()) else {
            return self.give_back(&all);
        };
        let held: BTreeSet<Core> = own.values().copied().collect();
        if self.given.is_empty() {
            tracing::debug!(?held, ?free, "isolates keep off the cores that others hold");
        }
        let helpers = threads_named(HELPER)?;
        let helpers = helpers.into_iter().map(|helper| (helper, held.clone()));
        let placed: BTreeMap<i32, BTreeSet<Core>> = own
            .into_iter()
            .map(|(thread, core)| (thread, BTreeSet::from([core])))
            .chain(helpers)
            .collect();
        self.restore(&all, &placed)?;
        for (thread, cores) in placed {
            if cores_of(thread)? != cores {
                set_cores(thread, &cores)?;
            }
            self.given.insert(cores);
        }
        keep_free(Some(KeptFree { all, free }));
        Ok(())
    }

    fn give_back(&mut self, all: &BTreeSet<Core>) -> io::Result<()> {
        if self.given.is_empty() {
            return Ok(());
        }
        keep_free(None);
        self.restore(all, &BTreeMap::new())?;
        self.given.clear();
        tracing::debug!(cores = ?all, "isolates run on every core again");
        Ok(())
    }

    /// Gives all cores to the threads that have some, and to what they started, but for these.
    fn restore(&self, all: &BTreeSet<Core>, but: &BTreeMap<i32, BTreeSet<Core>>) -> io::Result<()> {
        for thread in threads()?.into_iter().chain(threads_of_children()?) {
            // One that has ended meanwhile needs none.
            let has_some = || cores_of(thread).is_ok_and(|cores| self.given.contains(&cores));
            if !but.contains_key(&thread) && has_some() {
                let _ = set_cores(thread, all);
            }
        }
        Ok(())
    }
}

fn keep_free(kept: Option<KeptFree>) {
    *KEPT_FREE.write().unwrap_or_else(PoisonError::into_inner) = kept;
}

fn isolates() -> MutexGuard<'static, Isolates> {
    // Nothing panics while it holds the lock.
    ISOLATES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which thread runs where.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// Of each thread that holds a core, the one that it keeps.
    own: BTreeMap<i32, Core>,
    /// What remains.
    free: BTreeSet<Core>,
}

impl Plan {
    /// For threads that hold the cores on which they were seen. `None` where the others find room by themselves, or there
    /// is none.
    fn of(all: &BTreeSet<Core>, holding: &BTreeMap<i32, Core>) -> Option<Self> {
        if holding.is_empty() || holding.len() * 2 < all.len() || holding.len() >= all.len() {
            return None;
        }
        let mut free = all.clone();
        let (mut own, moved): (BTreeMap<i32, Core>, BTreeMap<i32, Core>) =
            holding.iter().partition(|(_, core)| free.remove(core));
        for thread in moved.into_keys() {
            own.insert(thread, free.pop_first()?);
        }
        Some(Self { own, free })
    }
}

#[cfg(test)]
mod tests {
    use super::{Core, Plan};

    fn plan(cores: usize, holding: &[(i32, Core)]) -> Option<Plan> {
        Plan::of(&(0..cores).collect(), &holding.iter().copied().collect())
    }

    fn keeps(own: &[(i32, Core)], free: &[Core]) -> Option<Plan> {
        Some(Plan {
            own: own.iter().copied().collect(),
            free: free.iter().copied().collect(),
        })
    }

    #[test]
    fn a_thread_that_holds_a_core_keeps_it_and_the_rest_is_free() {
        assert_eq!(plan(2, &[(7, 1)]), keeps(&[(7, 1)], &[0]));
        assert_eq!(plan(4, &[(7, 3), (8, 0)]), keeps(&[(7, 3), (8, 0)], &[1, 2]));
    }

    #[test]
    fn of_two_on_one_core_one_gets_another() {
        assert_eq!(plan(3, &[(7, 2), (8, 2)]), keeps(&[(7, 2), (8, 0)], &[1]));
        assert_eq!(
            plan(4, &[(7, 0), (8, 0), (9, 0)]),
            keeps(&[(7, 0), (8, 1), (9, 2)], &[3])
        );
    }

    #[test]
    fn nobody_is_placed_where_most_cores_are_free_or_none_is() {
        assert_eq!(plan(2, &[]), None);
        assert_eq!(plan(4, &[(7, 1)]), None);
        assert_eq!(plan(1, &[(7, 0)]), None);
        assert_eq!(plan(2, &[(7, 0), (8, 1)]), None);
    }
}
