//! Counting the calls of a generation, so that it ends after its last one and never before.
//!
//! One atomic word holds the number of leases and whether the generation was superseded or closed. Taking a lease and
//! closing are both compare-and-swap on that word: a lease is never given after the close, and a close never succeeds
//! while a lease is out. A call that loses the race learns it and goes to the current generation.

#[cfg(not(feature = "loom"))]
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "loom")]
use loom::sync::atomic::{AtomicU64, Ordering};

/// The bit of a closed generation: no lease will ever be given again.
const CLOSED: u64 = 1 << 63;
/// The bit of a superseded generation: whoever gives the last lease back tells so.
const SUPERSEDED: u64 = 1 << 62;
const COUNT: u64 = SUPERSEDED - 1;

/// The leases of one generation.
#[derive(Debug)]
pub struct Leases(AtomicU64);

impl Default for Leases {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Leases {
    /// Takes a lease, unless the generation is closed. Each lease must be given back.
    #[must_use]
    pub fn take(&self) -> bool {
        let taken = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            (word & CLOSED == 0).then_some(word + 1)
        });
        taken.is_ok()
    }

    /// Gives a lease back. True when it was the last one of a superseded generation, which may be
    /// closed now.
    #[must_use]
    pub fn give_back(&self) -> bool {
        let before = self.0.fetch_sub(1, Ordering::AcqRel);
        before & SUPERSEDED != 0 && before & COUNT == 1
    }

    /// Has the return of the last lease be told from now on. True when no lease is out.
    #[must_use]
    pub fn supersede(&self) -> bool {
        self.0.fetch_or(SUPERSEDED, Ordering::AcqRel) & COUNT == 0
    }

    /// Closes the generation if no lease is out. True for exactly one caller, ever.
    #[must_use]
    pub fn close_if_idle(&self) -> bool {
        let closed = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            (word & (CLOSED | COUNT) == 0).then_some(word | CLOSED)
        });
        closed.is_ok()
    }

    /// The number of leases that are out.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire) & COUNT
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::Leases;

    #[test]
    fn a_generation_with_a_lease_out_is_not_closed() {
        let leases = Leases::default();
        assert!(leases.take());
        assert!(!leases.supersede());
        assert!(!leases.close_if_idle());
        assert!(leases.give_back(), "the last lease of a superseded generation is told");
        assert!(leases.close_if_idle());
    }

    #[test]
    fn a_closed_generation_gives_no_lease_and_is_closed_once() {
        let leases = Leases::default();
        assert!(leases.supersede());
        assert!(leases.close_if_idle());
        assert!(!leases.close_if_idle());
        assert!(!leases.take());
        assert_eq!(leases.count(), 0);
    }

    #[test]
    fn the_current_generation_may_be_idle_without_anybody_being_told() {
        let leases = Leases::default();
        assert!(leases.take());
        assert!(!leases.give_back());
    }
}

/// Every interleaving of taking, giving back and closing. Run by `bin/test` with the `loom` feature,
/// which swaps the atomics for ones that loom can schedule.
#[cfg(all(test, feature = "loom"))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    use super::Leases;

    /// Acts as the keeper does when it hears that a superseded generation is idle.
    fn close(leases: &Leases, closed: &AtomicUsize) {
        if leases.close_if_idle() {
            assert_eq!(leases.count(), 0, "closed with a lease out");
            closed.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn taking_a_lease_and_retiring_race_to_exactly_one_outcome() {
        let mut model = loom::model::Builder::new();
        // Three suffice for nearly every race that was ever found, and end in a second.
        model.preemption_bound = Some(3);
        model.check(|| {
            let leases = Arc::new(Leases::default());
            let closed = Arc::new(AtomicUsize::new(0));
            let callers: Vec<_> = (0..2)
                .map(|_| {
                    let (leases, closed) = (leases.clone(), closed.clone());
                    thread::spawn(move || {
                        if leases.take() {
                            assert_eq!(closed.load(Ordering::SeqCst), 0, "a call runs on a closed generation");
                            if leases.give_back() {
                                close(&leases, &closed);
                            }
                        }
                    })
                })
                .collect();
            if leases.supersede() {
                close(&leases, &closed);
            }
            for caller in callers {
                caller.join().unwrap();
            }
            assert_eq!(
                closed.load(Ordering::SeqCst),
                1,
                "retired exactly once, by whoever was last"
            );
            assert!(!leases.take());
        });
    }
}
