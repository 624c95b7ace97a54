//! Decides when changes are told. Pure: the time is passed in.
//!
//! A reload that begins in the middle of a save reads half a file, and a reload that begins in the
//! middle of a checkout mixes two commits. So a change waits for silence, for as little of it as is
//! safe:
//!
//! - A change that is known to be complete (the writer closed the file, or the file was moved into
//!   place) is told after [`SHORTEST_SILENCE`]. The longer a burst has lasted, the longer the
//!   silence that ends it (a quarter of that time): a program that writes for 100 ms may pause for
//!   20.
//! - A change that may go on (a file was written to but not closed) is told after [`LONG_SILENCE`].
//! - A file that is gone may come back: editors move the old file away before they write the new
//!   one. The change is told after [`LONG_SILENCE`], and complete changes wait for it, so that a
//!   checkout that removes files and writes others is one change.
//! - No change waits longer than [`LONGEST_WAIT`], however much goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::changes::Change;

const SHORTEST_SILENCE: Duration = Duration::from_millis(3);
const LONG_SILENCE: Duration = Duration::from_millis(30);
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// The state of a change, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    /// The change may go on.
    Unfinished,
    /// The file may come back.
    Gone,
    /// Nothing more belongs to the change.
    Complete,
}

/// The thing that changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ChangeSubject {
    Path(PathBuf),
    /// Anything that is followed.
    Everything,
}

#[derive(Debug, Clone, Copy)]
struct UnsettledChange {
    since: Instant,
    last: Instant,
    progress: Progress,
}

impl UnsettledChange {
    /// Returns the time at which the change is told although it may go on.
    fn due(self) -> Instant {
        (self.last + LONG_SILENCE).min(self.since + LONGEST_WAIT)
    }
}

/// The changes that were not told yet.
#[derive(Debug, Default)]
pub(super) struct UnsettledChanges {
    waiting: BTreeMap<ChangeSubject, UnsettledChange>,
    /// The time of the last change; `None` before the first one.
    last: Option<Instant>,
}

impl UnsettledChanges {
    /// Notes a change.
    pub(super) fn note(&mut self, now: Instant, subject: ChangeSubject, progress: Progress) {
        self.last = Some(now);
        let waiting = self.waiting.entry(subject).or_insert(UnsettledChange {
            since: now,
            last: now,
            progress,
        });
        waiting.last = now;
        // A change that was complete once is told in time, also when somebody begins to write the
        // file again.
        if waiting.progress != Progress::Complete {
            waiting.progress = progress;
        }
    }

    /// Returns the time at which [`UnsettledChanges::take`] will have a change; `None` while no change waits.
    pub(super) fn due(&self) -> Option<Instant> {
        let others = self.unfinished().map(UnsettledChange::due);
        others.chain(self.burst_due()).min()
    }

    /// Takes the changes that are to be told now.
    pub(super) fn take(&mut self, now: Instant) -> Option<Change> {
        if self.due()? > now {
            return None;
        }
        let burst_ends = self.burst_due().is_some_and(|due| due <= now);
        // A change that is due an instant later is told with the others.
        let soon = now + SHORTEST_SILENCE;
        let told = self.waiting.extract_if(.., |_, waiting| match waiting.progress {
            Progress::Unfinished => waiting.due() <= soon,
            Progress::Gone | Progress::Complete => burst_ends,
        });
        let mut change = Change::default();
        for (subject, _) in told {
            match subject {
                ChangeSubject::Path(path) => {
                    change.paths.insert(path);
                }
                ChangeSubject::Everything => change.rescan = true,
            }
        }
        (!change.is_empty()).then_some(change)
    }

    /// Returns the time at which the complete changes and the removals are told, together.
    fn burst_due(&self) -> Option<Instant> {
        let burst = || {
            self.waiting
                .values()
                .filter(|waiting| waiting.progress != Progress::Unfinished)
        };
        let since = burst().map(|waiting| waiting.since).min()?;
        let last = self.last?;
        let silence = SHORTEST_SILENCE.max(last.saturating_duration_since(since) / 4);
        let gone = burst().filter(|waiting| waiting.progress == Progress::Gone);
        let returns = gone.map(|waiting| waiting.last + LONG_SILENCE).max();
        let quiet = returns.unwrap_or(last).max(last + silence);
        Some(quiet.min(since + LONGEST_WAIT))
    }

    fn unfinished(&self) -> impl Iterator<Item = UnsettledChange> {
        let all = self.waiting.values().copied();
        all.filter(|waiting| waiting.progress == Progress::Unfinished)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{ChangeSubject, LONG_SILENCE, LONGEST_WAIT, Progress, SHORTEST_SILENCE, UnsettledChanges};

    const MS: Duration = Duration::from_millis(1);

    fn path(name: impl ToString) -> ChangeSubject {
        ChangeSubject::Path(name.to_string().into())
    }

    /// Returns the changes that are told, each with the time that passed since the start.
    fn told(steps: &[(u32, &str, Progress)]) -> Vec<(Duration, Vec<String>)> {
        let start = Instant::now();
        let mut settle = UnsettledChanges::default();
        let mut told = Vec::new();
        let mut until = |settle: &mut UnsettledChanges, end: Option<Instant>| {
            while let Some(due) = settle.due().filter(|due| end.is_none_or(|end| *due <= end)) {
                let paths = settle.take(due).unwrap().paths.into_iter();
                told.push((due - start, paths.map(|path| path.display().to_string()).collect()));
            }
        };
        for (at, name, progress) in steps {
            let now = start + *at * MS;
            until(&mut settle, Some(now));
            settle.note(now, path(name), *progress);
        }
        until(&mut settle, None);
        told
    }

    #[test]
    fn a_single_save_is_told_after_the_shortest_silence() {
        assert_eq!(
            told(&[(0, "a", Progress::Complete)]),
            [(SHORTEST_SILENCE, vec!["a".to_owned()])]
        );
        let written = [
            (0, "a", Progress::Unfinished),
            (1, "a", Progress::Unfinished),
            (2, "a", Progress::Complete),
        ];
        assert_eq!(told(&written), [(2 * MS + SHORTEST_SILENCE, vec!["a".to_owned()])]);
    }

    #[test]
    fn an_editor_that_moves_the_old_file_away_first_is_never_told_as_a_removal() {
        let vim = [
            (0, "a", Progress::Gone),
            (2, "a", Progress::Unfinished),
            (20, "a", Progress::Complete),
        ];
        assert_eq!(told(&vim), [(25 * MS, vec!["a".to_owned()])]);
        let gone = [(0, "a", Progress::Gone)];
        assert_eq!(told(&gone), [(LONG_SILENCE, vec!["a".to_owned()])]);
    }

    #[test]
    fn a_file_that_is_being_written_does_not_hold_up_another_ones_save() {
        let steps = [
            (0, "log", Progress::Unfinished),
            (10, "a", Progress::Complete),
            (16, "log", Progress::Unfinished),
        ];
        assert_eq!(
            told(&steps),
            [
                (10 * MS + SHORTEST_SILENCE, vec!["a".to_owned()]),
                (16 * MS + LONG_SILENCE, vec!["log".to_owned()])
            ]
        );
    }

    #[test]
    fn a_checkout_that_removes_files_and_writes_others_is_one_change() {
        let steps = [
            (0, "a", Progress::Complete),
            (1, "b", Progress::Gone),
            (3, "c", Progress::Complete),
        ];
        let all = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(told(&steps), [(MS + LONG_SILENCE, all)]);
    }

    #[test]
    fn a_long_burst_may_pause_for_longer() {
        let mut steps: Vec<_> = (0..40).map(|n| (n, "a", Progress::Complete)).collect();
        steps.push((48, "b", Progress::Complete));
        assert_eq!(
            told(&steps).len(),
            1,
            "nine milliseconds are less than a quarter of 39 and more than five"
        );
    }

    fn progress() -> impl Strategy<Value = Progress> {
        prop_oneof![
            Just(Progress::Unfinished),
            Just(Progress::Gone),
            Just(Progress::Complete)
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_lost_nothing_is_made_up_and_nothing_waits_too_long(
            steps in proptest::collection::vec((0_u32..60, 0_u8..6, progress()), 0..200),
        ) {
            let mut now = Instant::now();
            let mut settle = UnsettledChanges::default();
            let mut untold: BTreeMap<PathBuf, Instant> = BTreeMap::new();
            let mut rescan: Option<Instant> = None;
            let mut steps = steps.into_iter();
            loop {
                let step = steps.next();
                let next = step.map(|(gap, ..)| now + gap * MS);
                // A caller that waits for the due time always gets a change, and never waits
                // forever.
                while let Some(due) = settle.due().filter(|due| next.is_none_or(|next| *due <= next)) {
                    let change = settle.take(due).expect("due, so there is something");
                    for path in change.paths {
                        let since = untold.remove(&path).expect("only what happened is told");
                        prop_assert!(due - since <= LONGEST_WAIT);
                    }
                    if change.rescan {
                        prop_assert!(due - rescan.take().expect("it happened") <= LONGEST_WAIT);
                    }
                }
                let Some((gap, name, progress)) = step else { break };
                now += gap * MS;
                if name == 0 {
                    settle.note(now, ChangeSubject::Everything, progress);
                    rescan.get_or_insert(now);
                } else {
                    settle.note(now, path(name), progress);
                    untold.entry(name.to_string().into()).or_insert(now);
                }
                let due = settle.due().expect("something waits");
                prop_assert!(due >= now && due <= now + LONGEST_WAIT);
            }
            prop_assert!(untold.is_empty() && rescan.is_none());
        }

        #[test]
        fn a_burst_is_one_change(gaps in proptest::collection::vec(0_u64..3000, 1..200)) {
            let start = Instant::now();
            let mut now = start;
            let mut settle = UnsettledChanges::default();
            let mut names = BTreeSet::new();
            for (name, gap) in gaps.into_iter().enumerate() {
                let next = now + Duration::from_micros(gap);
                if next - start >= LONGEST_WAIT {
                    break;
                }
                now = next;
                prop_assert!(settle.take(now).is_none(), "it is not over");
                settle.note(now, path(name), Progress::Unfinished);
                settle.note(now, path(name), Progress::Complete);
                names.insert(PathBuf::from(name.to_string()));
            }
            let change = settle.take(start + LONGEST_WAIT + LONG_SILENCE).unwrap();
            prop_assert_eq!(change.paths, names);
            prop_assert_eq!(settle.due(), None);
        }

        #[test]
        fn what_comes_back_in_time_is_told_once_and_complete(away in 0_u32..29, writing in 0_u32..29) {
            let steps = [
                (0, "a", Progress::Gone),
                (away, "a", Progress::Unfinished),
                (away + writing, "a", Progress::Complete),
            ];
            prop_assert_eq!(told(&steps), [((away + writing) * MS + SHORTEST_SILENCE.max((away + writing) * MS / 4), vec!["a".to_owned()])]);
        }
    }
}
