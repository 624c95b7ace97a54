//! The newest call of each live run, bounded in number, in bytes and in time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

/// The most runs whose calls are kept; beyond that the runs with the oldest calls are forgotten.
const MOST_RUNS: usize = 256;
/// The most bytes of all kept bodies; beyond that the oldest bodies are dropped, and their runs counted.
const MOST_BYTES: usize = 4 << 20;
/// The time for which a run without another call counts as live.
const LIVE_FOR: Duration = Duration::from_hours(1);

/// The newest call of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCall {
    pub run: String,
    pub function: String,
    pub body: Bytes,
}

/// The kept calls at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeptRuns {
    /// The calls, the newest first.
    pub calls: Vec<KeptCall>,
    /// The number of live runs whose bodies are too large to be kept.
    pub without_body: usize,
}

/// The newest call of each live run.
#[derive(Debug, Default)]
pub struct KeptCalls(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    bytes: usize,
    /// The place of each run in the order of the newest calls.
    places: HashMap<String, u64>,
    entries: BTreeMap<u64, RunEntry>,
}

#[derive(Debug)]
struct RunEntry {
    run: String,
    function: String,
    /// `None` when the body was too large, or had to make room.
    body: Option<Bytes>,
    at: Instant,
}

impl Inner {
    fn remove(&mut self, run: &str) {
        let entry = self.places.remove(run).and_then(|place| self.entries.remove(&place));
        self.bytes -= entry.and_then(|entry| entry.body).map_or(0, |body| body.len());
    }

    fn remove_first_if(&mut self, condition: impl FnOnce(&RunEntry) -> bool) -> bool {
        let first = self.entries.first_key_value().filter(|(_, entry)| condition(entry));
        let Some(run) = first.map(|(_, entry)| entry.run.clone()) else {
            return false;
        };
        self.remove(&run);
        true
    }
}

impl KeptCalls {
    /// Keeps a call, in place of an earlier one of its run. The body is shared, not copied.
    pub fn keep(&self, run: &str, function: &str, body: &Bytes, now: Instant) {
        let mut inner = self.lock();
        inner.remove(run);
        let place = inner.next;
        inner.next += 1;
        let body = Some(body).filter(|body| body.len() <= MOST_BYTES).cloned();
        inner.bytes += body.as_ref().map_or(0, Bytes::len);
        inner.places.insert(run.to_owned(), place);
        let entry = RunEntry {
            run: run.to_owned(),
            function: function.to_owned(),
            body,
            at: now,
        };
        inner.entries.insert(place, entry);
        while inner.remove_first_if(|first| now.duration_since(first.at) >= LIVE_FOR) {}
        if inner.entries.len() > MOST_RUNS {
            inner.remove_first_if(|_| true);
        }
        let Inner { bytes, entries, .. } = &mut *inner;
        let mut oldest = entries.values_mut();
        while *bytes > MOST_BYTES
            && let Some(entry) = oldest.next()
        {
            *bytes -= entry.body.take().map_or(0, |body| body.len());
        }
    }

    /// Forgets a run that has ended.
    pub fn forget(&self, run: &str) {
        self.lock().remove(run);
    }

    /// Returns the calls of the last hour.
    #[must_use]
    pub fn live(&self, now: Instant) -> KeptRuns {
        let inner = self.lock();
        let entries = inner.entries.values().rev();
        let mut kept = KeptRuns::default();
        for entry in entries.filter(|entry| now.duration_since(entry.at) < LIVE_FOR) {
            match &entry.body {
                Some(body) => kept.calls.push(KeptCall {
                    run: entry.run.clone(),
                    function: entry.function.clone(),
                    body: body.clone(),
                }),
                None => kept.without_body += 1,
            }
        }
        kept
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change under the lock leaves the state consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::time::Instant;

    use super::{KeptCalls, LIVE_FOR, MOST_BYTES, MOST_RUNS};

    fn runs(kept: &KeptCalls, now: Instant) -> Vec<String> {
        kept.live(now).calls.into_iter().map(|call| call.run).collect()
    }

    #[test]
    fn the_newest_call_of_each_live_run_is_kept_and_an_ended_run_is_forgotten() {
        let (kept, now) = (KeptCalls::default(), Instant::now());
        for (run, body) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
            kept.keep(run, "app-f", &Bytes::from(body), now);
        }
        kept.forget("b");
        kept.forget("unknown");
        let live = kept.live(now);
        let told: Vec<_> = live.calls.iter().map(|call| (&*call.run, &*call.body)).collect();
        assert_eq!(told, [("c", &b"4"[..]), ("a", &b"3"[..])]);
        assert!(runs(&kept, now + LIVE_FOR).is_empty(), "an hour later nothing is live");
    }

    #[test]
    fn the_number_of_runs_is_bounded() {
        let (kept, now) = (KeptCalls::default(), Instant::now());
        for run in 0..MOST_RUNS + 10 {
            kept.keep(&run.to_string(), "app-f", &Bytes::from("{}"), now);
        }
        let runs = runs(&kept, now);
        assert_eq!(runs.len(), MOST_RUNS);
        assert_eq!(
            (runs.first(), runs.last()),
            (Some(&(MOST_RUNS + 9).to_string()), Some(&"10".to_owned()))
        );
        kept.keep("late", "app-f", &Bytes::from("{}"), now + LIVE_FOR);
        assert_eq!(kept.lock().entries.len(), 1, "runs that are not live any more go");
        assert_eq!(kept.lock().places.len(), 1);
    }

    #[test]
    fn the_bytes_are_bounded_and_runs_without_bodies_are_counted() {
        let (kept, now) = (KeptCalls::default(), Instant::now());
        let third = Bytes::from(vec![0; MOST_BYTES / 3]);
        for run in ["a", "b", "c", "d"] {
            kept.keep(run, "app-f", &third, now);
        }
        kept.keep("huge", "app-f", &Bytes::from(vec![0; MOST_BYTES + 1]), now);
        assert_eq!(runs(&kept, now), ["d", "c", "b"]);
        assert_eq!(kept.live(now).without_body, 2);
        for run in ["a", "b", "c", "d", "huge"] {
            kept.forget(run);
        }
        assert_eq!(kept.lock().bytes, 0);
    }
}
