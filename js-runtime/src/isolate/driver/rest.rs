//! The collection of garbage in an isolate without calls: V8 collects only as more is allocated, and the garbage of
//! calls would stay for as long as there are no others.

use std::time::{Duration, Instant};

use crate::control::MemoryUse;

/// The time without a call after which an isolate rests.
const RESTS: Duration = Duration::from_secs(10);

/// The garbage that is worth a collection, in bytes.
const WORTH: usize = 16 << 20;

/// The size of a heap, in bytes, above which garbage is left to V8: a call that came meanwhile would wait for too
/// long.
const LARGEST: usize = 256 << 20;

/// Decides when an isolate without calls collects its garbage; see the module's documentation.
#[derive(Debug)]
pub(super) struct Rest {
    since: Instant,
    /// The size of the heap without garbage.
    kept: usize,
}

impl Rest {
    /// Begins with the memory that is held now.
    pub(super) fn of(held: MemoryUse, now: Instant) -> Self {
        Self {
            since: now,
            kept: held.heap,
        }
    }

    /// Notes that a call has come.
    pub(super) fn restart(&mut self, now: Instant) {
        self.since = now;
    }

    /// Tells whether garbage is to be collected now.
    pub(super) fn wants_collection(&mut self, is_busy: bool, held: MemoryUse, now: Instant) -> bool {
        if is_busy {
            self.restart(now);
        }
        // Code that runs without calls leaves garbage too: in a larger heap only a larger share is worth a
        // collection.
        let worth = WORTH.max(self.kept / 2);
        now.duration_since(self.since) >= RESTS && held.heap >= self.kept + worth && held.heap <= LARGEST
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{LARGEST, RESTS, Rest, WORTH};
    use crate::control::MemoryUse;

    const fn heap(heap: usize) -> MemoryUse {
        MemoryUse {
            heap,
            buffers: 0,
            webassembly: 0,
        }
    }

    #[test]
    fn garbage_is_collected_after_some_time_without_calls_where_it_is_worth_it() {
        let begin = Instant::now();
        let later = |times: u32| begin + RESTS * times;
        let just_before = |at: Instant| at.checked_sub(Duration::from_millis(1)).unwrap();
        let mut rest = Rest::of(heap(WORTH), begin);
        let full = heap(WORTH * 3);
        assert!(!rest.wants_collection(false, full, just_before(later(1))));
        assert!(rest.wants_collection(false, full, later(1)));
        assert!(!rest.wants_collection(false, heap(WORTH * 2 - 1), later(1)));

        rest.restart(later(1));
        assert!(!rest.wants_collection(false, full, just_before(later(2))));
        assert!(!rest.wants_collection(true, full, later(2)), "a call runs");
        assert!(!rest.wants_collection(false, full, just_before(later(3))));
        assert!(rest.wants_collection(false, full, later(3)));
    }

    #[test]
    fn of_what_is_large_more_has_to_be_gained_and_what_is_very_large_is_left_to_v8() {
        let begin = Instant::now();
        let mut rest = Rest::of(heap(WORTH * 8), begin);
        assert!(!rest.wants_collection(false, heap(WORTH * 12 - 1), begin + RESTS));
        assert!(rest.wants_collection(false, heap(WORTH * 12), begin + RESTS));
        assert!(!rest.wants_collection(false, heap(LARGEST + 1), begin + RESTS));
    }
}
