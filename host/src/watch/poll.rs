//! Finds changes without events: compares each entry with its state at the last look.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::entry_event::EntryChange;
use super::survey::Survey;

/// The coarsest times that a file system keeps (FAT's).
const COARSEST: Duration = Duration::from_secs(2);

/// The state of each entry of the polled folders at the last look.
#[derive(Debug, Default)]
pub(super) struct Poll {
    seen: BTreeMap<PathBuf, Option<EntryStamp>>,
}

/// The properties that tell one state of an entry from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EntryStamp {
    device: u64,
    inode: u64,
    mode: u32,
    born: Option<SystemTime>,
    /// `None` for a folder: its size and times change whenever its entries do.
    contents: Option<Contents>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Contents {
    size: u64,
    /// The time of the last write, in seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
    /// Tells whether another write could leave the file with the same times.
    is_recent: bool,
}

impl EntryStamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        let age = metadata.modified().ok()?.elapsed().unwrap_or_default();
        let contents = Contents {
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            is_recent: age < COARSEST,
        };
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            mode: metadata.mode(),
            born: metadata.created().ok(),
            contents: (!metadata.is_dir()).then_some(contents),
        })
    }
}

impl Poll {
    /// Looks at the entries that matter in these folders from now on. The present state of a new
    /// entry is no change.
    pub(super) fn cover(&mut self, survey: &Survey, folders: &BTreeSet<PathBuf>) {
        let mut before = std::mem::take(&mut self.seen);
        for (path, folder) in folders.iter().filter_map(|path| survey.folders.get_key_value(path)) {
            for name in folder.ways.iter().chain(folder.files.keys()).chain(&folder.members) {
                let entry = path.join(name);
                let stamp = before.remove(&entry);
                self.seen
                    .entry(entry)
                    .or_insert_with_key(|entry| stamp.unwrap_or_else(|| EntryStamp::of(entry)));
            }
        }
    }

    /// Returns the changes since the last look. A file that was written a moment ago is told once
    /// more when no second write can hide behind its time.
    pub(super) fn look(&mut self) -> Vec<(PathBuf, EntryChange)> {
        let mut events = Vec::new();
        for (path, seen) in &mut self.seen {
            let now = EntryStamp::of(path);
            let before = std::mem::replace(seen, now);
            let what = match (before, now) {
                (before, now) if before == now => continue,
                (None, _) => EntryChange::Appeared,
                (_, None) => EntryChange::Gone,
                (_, Some(_)) => EntryChange::Unclear,
            };
            events.push((path.clone(), what));
        }
        events
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::time::{Duration, SystemTime};

    use super::Poll;
    use crate::watch::WatchSet;
    use crate::watch::entry_event::EntryChange;
    use crate::watch::survey::Survey;

    /// Follows `a.ts` in a folder that is polled; nothing in it was written lately.
    fn polled() -> (tempfile::TempDir, PathBuf, Poll) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let file = root.join("a.ts");
        write(&file, "1");
        let mut poll = Poll::default();
        cover(&mut poll, &root);
        assert_eq!(poll.look(), []);
        (folder, file, poll)
    }

    fn cover(poll: &mut Poll, root: &Path) {
        let set = WatchSet {
            paths: [root.join("a.ts"), root.join("b/c.ts")].into(),
            ..WatchSet::default()
        };
        poll.cover(&Survey::of(&set), &[root.to_owned(), root.join("b")].into());
    }

    /// Writes a file with a time of an hour ago.
    fn write(file: &Path, text: &str) {
        fs::write(file, text).unwrap();
        let long_ago = SystemTime::now() - Duration::from_hours(1);
        fs::File::open(file).unwrap().set_modified(long_ago).unwrap();
    }

    #[test]
    fn a_write_in_place_of_the_same_length_is_seen() {
        let (_folder, file, mut poll) = polled();
        write(&file, "2");
        assert_eq!(poll.look(), [(file, EntryChange::Unclear)]);
        assert_eq!(poll.look(), []);
    }

    #[test]
    fn going_and_coming_are_seen() {
        let (_folder, file, mut poll) = polled();
        fs::remove_file(&file).unwrap();
        assert_eq!(poll.look(), [(file.clone(), EntryChange::Gone)]);
        write(&file, "1");
        assert_eq!(poll.look(), [(file, EntryChange::Appeared)]);
    }

    #[test]
    fn what_happens_beside_is_not_seen() {
        let (folder, _, mut poll) = polled();
        fs::write(folder.path().join("other.ts"), "").unwrap();
        assert_eq!(poll.look(), []);
    }

    #[test]
    fn a_recent_write_is_told_again_when_no_second_one_can_hide_behind_its_time() {
        let (_folder, file, mut poll) = polled();
        fs::write(&file, "2").unwrap();
        let opened = fs::File::open(&file).unwrap();
        let a_second_ago = SystemTime::now() - Duration::from_secs(1);
        opened.set_modified(a_second_ago).unwrap();
        assert_eq!(poll.look().len(), 1);
        let stamp = &mut poll.seen.get_mut(&file).unwrap().unwrap().contents;
        assert!(stamp.unwrap().is_recent);
        let long_ago = SystemTime::now() - Duration::from_secs(3);
        opened.set_modified(long_ago).unwrap();
        assert_eq!(poll.look().len(), 1);
        assert_eq!(poll.look(), []);
    }

    #[test]
    fn covering_anew_forgets_nothing_that_happened() {
        let (folder, file, mut poll) = polled();
        write(&file, "2");
        fs::create_dir(folder.path().join("b")).unwrap();
        cover(&mut poll, file.parent().unwrap());
        let seen: Vec<_> = poll.look().into_iter().map(|(path, _)| path).collect();
        assert_eq!(seen, [file.clone(), file.with_file_name("b")]);
    }
}
