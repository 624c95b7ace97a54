//! Tests of the whole watch on a real disk: every way of saving is told, and nothing else is.

mod anything;
mod folders;
mod fsevents;
mod polling;
mod saves;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use notify::event::Flag;
use notify::{Event, EventKind};
use tempfile::TempDir;

use super::changes::Change;
use super::watch_thread::Message;
use super::{Changes, FileWatch, Polling, WatchSet};

/// Only a test that fails waits for so long.
const DEADLINE: Duration = Duration::from_secs(30);

/// A file in every set. When its change is told, the changes before it were told.
const MARKER: &str = "marker";

/// A project on the disk: a folder of functions, and a package.
pub(crate) struct Disk {
    _folder: TempDir,
    pub(super) root: PathBuf,
}

impl Disk {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let disk = Self { _folder: folder, root };
        disk.write("functions/a.ts", "1");
        disk.write("functions/steps/b.ts", "1");
        disk.write("lib/c.ts", "1");
        disk.write("node_modules/inngest/index.js", "1");
        disk.write("node_modules/zod/index.js", "1");
        for file in ["functions/a.ts", "functions/steps/b.ts", "lib/c.ts"] {
            disk.age(file);
        }
        disk
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Writes in place, and makes what folders it takes.
    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Sets the time of a file to an hour ago.
    pub(super) fn age(&self, path: &str) {
        let long_ago = SystemTime::now() - Duration::from_hours(1);
        let file = fs::File::open(self.path(path)).unwrap();
        file.set_modified(long_ago).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn link(&self, target: &str, link: &str) {
        std::os::unix::fs::symlink(target, self.path(link)).unwrap();
    }

    /// Makes a set of paths and trees to follow, and of the marker.
    pub(super) fn set(&self, paths: &[&str], trees: &[&str]) -> WatchSet {
        let all = |names: &[&str]| names.iter().map(|name| self.path(name)).collect();
        let mut set = WatchSet {
            paths: all(paths),
            trees: all(trees),
            ..WatchSet::default()
        };
        set.paths.insert(self.path(MARKER));
        set
    }

    /// Follows the functions as a tree, and a module and a package beside it.
    pub(super) async fn watched(&self) -> Watched {
        let files = ["functions/a.ts", "lib/c.ts", "node_modules/inngest/index.js"];
        Watched::following(self.set(&files, &["functions"])).await
    }
}

/// A watch, and the changes that it tells.
pub(crate) struct Watched {
    pub(super) watch: FileWatch,
    changes: Changes,
}

impl Watched {
    /// Watches everything of the set from here on.
    pub(crate) async fn following(set: WatchSet) -> Self {
        Self::polling(Polling::default(), set).await
    }

    pub(crate) async fn polling(polling: Polling, set: WatchSet) -> Self {
        let (watch, changes) = FileWatch::start(polling).unwrap();
        let all: Vec<_> = set.paths.iter().chain(&set.trees).cloned().collect();
        watch.follow(set);
        let mut watched = Self { watch, changes };
        watched
            .until(|change| all.iter().all(|path| change.paths.contains(path)))
            .await;
        watched
    }

    /// Waits until all changes until now were told, and returns them without the marker.
    pub(crate) async fn rest(&mut self, disk: &Disk) -> Change {
        let marker = disk.path(MARKER);
        let mut heard = Change::default();
        // The first turn is for the changes themselves, and the second turn for what the surveys after them found. A
        // removal is told after every change that may go on.
        for _ in 0..2 {
            disk.write(MARKER, "");
            heard.merge(self.hear_of(&marker).await);
            fs::remove_file(&marker).unwrap();
            heard.merge(self.hear_of(&marker).await);
        }
        heard.paths.remove(&marker);
        heard
    }

    /// Returns the next change.
    pub(crate) async fn hear_anything(&mut self) -> Change {
        let next = tokio::time::timeout(DEADLINE, self.changes.next()).await;
        next.expect("nothing was told").expect("the watch ended")
    }

    /// Listens until it hears of a change that `is_it` accepts; returns all that it heard.
    #[track_caller]
    pub(crate) fn until(&mut self, is_it: impl Fn(&Change) -> bool) -> impl Future<Output = Change> {
        let mut heard = Change::default();
        async move {
            loop {
                let told = tokio::time::timeout(DEADLINE, self.changes.next()).await;
                let Ok(change) = told else {
                    panic!("it was not told; only {heard:?}")
                };
                let change = change.expect("the watch ended");
                let found = is_it(&change);
                heard.merge(change);
                if found {
                    return heard;
                }
            }
        }
    }

    /// Listens until it hears of a path; returns all that it heard.
    pub(crate) async fn hear_of(&mut self, path: &Path) -> Change {
        self.until(|change| change.paths.contains(path)).await
    }
}

#[tokio::test]
async fn what_comes_into_the_set_is_told_once_since_it_may_have_been_written_before() {
    let disk = Disk::new();
    let (watch, changes) = FileWatch::start(Polling::default()).unwrap();
    let mut watched = Watched { watch, changes };
    watched.watch.follow(disk.set(&["lib/c.ts"], &["functions"]));
    let first = watched.hear_anything().await;
    assert_eq!(
        first.paths,
        ["functions", "lib/c.ts", MARKER].map(|path| disk.path(path)).into()
    );
    watched.watch.follow(disk.set(&["lib/c.ts"], &["functions"]));
    watched
        .watch
        .follow(disk.set(&["lib/c.ts", "lib/missing.ts"], &["functions"]));
    let second = watched.hear_anything().await;
    assert_eq!(second.paths, [disk.path("lib/missing.ts")].into());
}

#[tokio::test]
async fn what_leaves_the_set_is_told_no_more() {
    let disk = Disk::new();
    let mut watched = disk.watched().await;
    let other = "node_modules/zod/index.js";
    watched.watch.follow(disk.set(&[other], &[]));
    watched.hear_of(&disk.path(other)).await;
    disk.write("functions/a.ts", "2");
    disk.write("lib/c.ts", "2");
    disk.write(other, "2");
    assert_eq!(watched.rest(&disk).await.paths, [disk.path(other)].into());
}

#[tokio::test]
async fn after_an_overflow_everything_may_have_changed_and_is_watched_as_before() {
    let disk = Disk::new();
    let mut watched = disk.watched().await;
    let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
    watched.watch.messages.send(Message::Happened(Ok(overflow))).unwrap();
    assert!(watched.hear_anything().await.rescan, "and all is watched anew by then");
    disk.write("lib/c.ts", "2");
    watched.hear_of(&disk.path("lib/c.ts")).await;
}

#[tokio::test]
async fn an_error_of_the_watcher_means_that_everything_may_have_changed() {
    let disk = Disk::new();
    let mut watched = disk.watched().await;
    let error = notify::Error::generic("cannot read events");
    watched.watch.messages.send(Message::Happened(Err(error))).unwrap();
    assert!(watched.hear_anything().await.rescan);
}

#[tokio::test]
async fn dropping_the_watch_ends_the_changes() {
    let disk = Disk::new();
    let Watched { watch, mut changes } = disk.watched().await;
    drop(watch);
    let end = tokio::time::timeout(DEADLINE, changes.next()).await.unwrap();
    assert_eq!(end, None);
}
