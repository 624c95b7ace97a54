//! Watches every folder of a survey: by the kernel's events, by looking at it in intervals, or both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};

use super::filesystem::Filesystems;
use super::limit::Limit;
use super::survey::{FolderIdentity, Survey};

/// The rules for looking at files in intervals, beside or instead of waiting for events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polling {
    /// Tells whether every file is looked at, and events are not used at all. Otherwise only those files are looked
    /// at for which events cannot be relied on: on network and shared file systems, and in folders that the kernel
    /// refuses to watch.
    pub everywhere: bool,
    /// The time between two looks; it is longer where a look takes long.
    pub interval: Duration,
}

impl Default for Polling {
    fn default() -> Self {
        Self {
            everywhere: false,
            interval: Duration::from_secs(1),
        }
    }
}

/// Makes the source of the kernel's events.
pub(super) type MakeWatcher = Box<dyn Fn() -> notify::Result<Box<dyn Watcher + Send>> + Send>;

/// The watched folders, and the way in which each of them is watched.
pub(super) struct Coverage {
    polling: Polling,
    make_watcher: MakeWatcher,
    /// The source of the kernel's events; `None` if it was not made yet, is not wanted, or was refused.
    watcher: Option<Box<dyn Watcher + Send>>,
    /// The folders whose events the kernel tells.
    watched: BTreeMap<PathBuf, WatchedFolder>,
    /// The folders that are looked at in intervals.
    polled: BTreeSet<PathBuf>,
    filesystems: Filesystems,
    /// Tells whether the log was told already that events do not come.
    complained: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WatchedFolder {
    /// The folder that has this number.
    This(FolderIdentity),
    /// The folder that had this path when the watch began; it may have gone, and the watch with it.
    Doubtful,
}

/// The result of covering a survey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CoverResult {
    /// Tells whether folders are watched now that were not before. Nobody was told of the entries that they held by
    /// then.
    pub(super) fresh: bool,
    /// Tells whether events of the other folders may have been lost meanwhile.
    pub(super) interrupted: bool,
}

impl Coverage {
    pub(super) fn new(polling: Polling, make_watcher: MakeWatcher) -> Self {
        Self {
            polling,
            make_watcher,
            watcher: None,
            watched: BTreeMap::new(),
            polled: BTreeSet::new(),
            filesystems: Filesystems::default(),
            complained: false,
        }
    }

    /// Returns the folders that are looked at in intervals.
    pub(super) fn polled(&self) -> &BTreeSet<PathBuf> {
        &self.polled
    }

    /// Notes that another folder may have this path now: the next [`Self::cover`] makes the watches on it and below
    /// it anew. A watch is on an inode, and the number of an inode is given again. Returns whether there are any such
    /// watches.
    pub(super) fn doubt(&mut self, path: &Path) -> bool {
        let mut any = false;
        let below = self.watched.range_mut(path.to_owned()..);
        for (_, watched) in below.take_while(|(folder, _)| folder.starts_with(path)) {
            *watched = WatchedFolder::Doubtful;
            any = true;
        }
        any
    }

    /// Watches the folders that the survey names, and no others.
    pub(super) fn cover(&mut self, survey: &Survey) -> CoverResult {
        let was_polled = std::mem::take(&mut self.polled);
        let mut refused = BTreeSet::new();
        let changed = !self.polling.everywhere && self.watch(survey, &mut refused);
        for (path, folder) in &survey.folders {
            let mut shared = || {
                let device = folder.identity.map(|identity| identity.device);
                device.is_some_and(|device| self.filesystems.is_shared(device, path))
            };
            if self.polling.everywhere || refused.contains(path) || shared() {
                self.polled.insert(path.clone());
            }
        }
        CoverResult {
            fresh: changed || !self.polled.is_subset(&was_polled),
            // To watch one folder more, FSEvents stops, and begins anew (`FSEventStreamCreate` has a fixed list).
            interrupted: changed && cfg!(target_os = "macos"),
        }
    }

    /// Returns whether there are new watches. Adds the folders that cannot be watched to `refused`.
    fn watch(&mut self, survey: &Survey, refused: &mut BTreeSet<PathBuf>) -> bool {
        if self.watcher.is_none() {
            match (self.make_watcher)() {
                Ok(watcher) => self.watcher = Some(watcher),
                Err(error) => {
                    refused.extend(survey.folders.keys().cloned());
                    self.complain(&error, refused.len());
                    return false;
                }
            }
        }
        let stands = |path: &Path, watched: &WatchedFolder| {
            let folder = survey.folders.get(path);
            let identity = folder.and_then(|folder| folder.identity);
            identity.is_some_and(|identity| *watched == WatchedFolder::This(identity))
        };
        let stale: Vec<PathBuf> = self
            .watched
            .extract_if(.., |path, watched| !stands(path, watched))
            .map(|(path, _)| path)
            .collect();
        let mut wanted = self.wanted(survey, refused);
        // The folders that the user edits come first, in case there are too few watches.
        wanted.sort_by_key(|(path, _)| path.components().any(|part| part.as_os_str() == "node_modules"));
        let Some(watcher) = &mut self.watcher else {
            return false;
        };
        if stale.is_empty() && wanted.is_empty() {
            return false;
        }
        let mut paths = watcher.paths_mut();
        for path in stale {
            // Removing the watch fails for a folder that is gone.
            let _ = paths.remove(&path);
        }
        let mut changed = false;
        let mut full = None;
        for (path, identity) in wanted {
            match paths.add(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path.to_owned(), WatchedFolder::This(identity));
                    changed = true;
                }
                Err(error) => {
                    refused.insert(path.to_owned());
                    if Limit::of(&error).is_some() {
                        full = Some(error);
                        break;
                    }
                    // The folder has gone (the next survey tells), or may not be read, but its entries still can be.
                    tracing::debug!(folder = %path.display(), %error, "cannot watch a folder");
                }
            }
        }
        if let Err(error) = paths.commit() {
            tracing::debug!(%error, "cannot watch any folder");
            self.watched.clear();
            refused.extend(survey.folders.keys().cloned());
        }
        if let Some(error) = full {
            let missed = survey.folders.keys().filter(|path| !self.watched.contains_key(*path));
            refused.extend(missed.cloned());
            self.complain(&error, refused.len());
        }
        changed
    }

    /// Returns the folders that are not watched yet. Two paths of one folder would share one watch, whose events name
    /// only one of the paths; so the second path is added to `refused`.
    fn wanted<'a>(&self, survey: &'a Survey, refused: &mut BTreeSet<PathBuf>) -> Vec<(&'a Path, FolderIdentity)> {
        let mut taken: BTreeSet<(u64, u64)> = BTreeSet::new();
        for watched in self.watched.values() {
            if let WatchedFolder::This(identity) = watched {
                taken.insert((identity.device, identity.inode));
            }
        }
        let mut wanted = Vec::new();
        for (path, folder) in &survey.folders {
            let Some(identity) = folder.identity else { continue };
            if self.watched.contains_key(path) {
                continue;
            }
            if taken.insert((identity.device, identity.inode)) {
                wanted.push((path.as_path(), identity));
            } else {
                refused.insert(path.clone());
            }
        }
        wanted
    }

    /// Says once why events do not come.
    fn complain(&mut self, error: &notify::Error, folders: usize) {
        if std::mem::replace(&mut self.complained, true) {
            return;
        }
        let seconds = self.polling.interval.as_secs_f64();
        match Limit::of(error) {
            Some(limit) => tracing::warn!(
                "{}. Until then {folders} folders are polled every {seconds} s instead",
                limit.advice(limit.number())
            ),
            None => tracing::warn!(
                "the system does not report changed files ({error}): {folders} folders are polled every {seconds} s \
                 instead"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex};

    use notify::{Config, Error, ErrorKind, EventHandler, RecursiveMode, Watcher, WatcherKind};

    use super::{CoverResult, Coverage, Polling};
    use crate::watch::survey::{Folder, FolderIdentity, Survey};

    /// A kernel with room for so many watches, and the requests that it got.
    #[derive(Debug, Clone, Default)]
    struct Kernel {
        room: usize,
        watched: Arc<Mutex<BTreeSet<PathBuf>>>,
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl Watcher for Kernel {
        fn new<F: EventHandler>(_: F, _: Config) -> notify::Result<Self> {
            Ok(Self::default())
        }

        fn watch(&mut self, path: &Path, mode: RecursiveMode) -> notify::Result<()> {
            assert_eq!(mode, RecursiveMode::NonRecursive);
            let mut watched = self.watched.lock().unwrap();
            if watched.len() == self.room {
                return Err(Error::new(ErrorKind::MaxFilesWatch));
            }
            watched.insert(path.to_owned());
            self.asked.lock().unwrap().push(format!("+{}", path.display()));
            Ok(())
        }

        fn unwatch(&mut self, path: &Path) -> notify::Result<()> {
            self.watched.lock().unwrap().remove(path);
            self.asked.lock().unwrap().push(format!("-{}", path.display()));
            Ok(())
        }

        fn kind() -> WatcherKind {
            WatcherKind::NullWatcher
        }
    }

    fn kernel(room: usize) -> (Kernel, Coverage) {
        let kernel = Kernel {
            room,
            ..Kernel::default()
        };
        let watcher = kernel.clone();
        let coverage = Coverage::new(Polling::default(), Box::new(move || Ok(Box::new(watcher.clone()))));
        (kernel, coverage)
    }

    /// Makes a survey of folders with these numbers of their inodes.
    fn survey(folders: &[(&str, u64)]) -> Survey {
        let folder = |inode| Folder {
            identity: Some(FolderIdentity { device: 0, inode }),
            ..Folder::default()
        };
        Survey {
            folders: folders
                .iter()
                .map(|(path, inode)| (path.into(), folder(*inode)))
                .collect(),
            ..Survey::default()
        }
    }

    fn asked(kernel: &Kernel) -> Vec<String> {
        std::mem::take(&mut kernel.asked.lock().unwrap())
    }

    #[test]
    fn what_is_watched_follows_the_survey_and_nothing_is_asked_twice() {
        let (kernel, mut coverage) = kernel(10);
        assert!(coverage.cover(&survey(&[("/", 1), ("/a", 2)])).fresh);
        assert_eq!(asked(&kernel), ["+/", "+/a"]);
        assert!(!coverage.cover(&survey(&[("/", 1), ("/a", 2)])).fresh);
        assert_eq!(asked(&kernel), [""; 0]);
        assert!(coverage.cover(&survey(&[("/", 1), ("/b", 3)])).fresh);
        assert_eq!(asked(&kernel), ["-/a", "+/b"]);
        assert!(coverage.polled().is_empty());
    }

    #[test]
    fn a_folder_that_was_made_again_is_watched_again() {
        let (kernel, mut coverage) = kernel(10);
        coverage.cover(&survey(&[("/a", 1), ("/a/b", 2), ("/aa", 3)]));
        asked(&kernel);
        assert!(coverage.cover(&survey(&[("/a", 1), ("/a/b", 4), ("/aa", 3)])).fresh);
        assert_eq!(asked(&kernel), ["-/a/b", "+/a/b"], "another inode");
        assert!(coverage.doubt("/a".as_ref()) && !coverage.doubt("/b".as_ref()));
        assert!(coverage.cover(&survey(&[("/a", 1), ("/a/b", 4), ("/aa", 3)])).fresh);
        assert_eq!(
            asked(&kernel),
            ["-/a", "-/a/b", "+/a", "+/a/b"],
            "the same number, given again"
        );
    }

    #[test]
    fn what_exceeds_the_limit_is_polled_until_there_is_room_and_packages_come_last() {
        let (kernel, mut coverage) = kernel(2);
        let survey = survey(&[("/", 1), ("/node_modules/zod", 2), ("/src", 3)]);
        assert!(coverage.cover(&survey).fresh);
        assert_eq!(asked(&kernel), ["+/", "+/src"]);
        assert_eq!(*coverage.polled(), ["/node_modules/zod".into()].into());
        assert!(coverage.complained);
        assert!(!coverage.cover(&survey).fresh, "polled before");
        kernel.watched.lock().unwrap().remove(Path::new("/"));
        assert!(coverage.cover(&survey).fresh);
        assert!(coverage.polled().is_empty());
    }

    #[test]
    fn without_events_everything_is_polled() {
        let refuse = || Err(Error::io(std::io::Error::from_raw_os_error(24)));
        let mut coverage = Coverage::new(Polling::default(), Box::new(refuse));
        let survey = survey(&[("/", 1), ("/a", 2)]);
        assert!(coverage.cover(&survey).fresh);
        assert_eq!(*coverage.polled(), ["/".into(), "/a".into()].into());
        assert!(!coverage.cover(&survey).fresh);
    }

    #[test]
    fn nothing_is_asked_of_the_kernel_if_everything_is_to_be_polled() {
        let never = || panic!("asked");
        let polling = Polling {
            everywhere: true,
            ..Polling::default()
        };
        let mut coverage = Coverage::new(polling, Box::new(never));
        let covered = coverage.cover(&survey(&[("/a", 1)]));
        assert_eq!(
            covered,
            CoverResult {
                fresh: true,
                interrupted: false
            }
        );
        assert_eq!(*coverage.polled(), ["/a".into()].into());
    }

    #[test]
    fn a_folder_that_has_two_paths_is_watched_by_one_and_polled_by_the_other() {
        let (kernel, mut coverage) = kernel(10);
        let survey = survey(&[("/a", 7), ("/mounted", 7)]);
        coverage.cover(&survey);
        assert_eq!(asked(&kernel), ["+/a"]);
        assert_eq!(*coverage.polled(), ["/mounted".into()].into());
        assert!(!coverage.cover(&survey).fresh);
        assert_eq!(*coverage.polled(), ["/mounted".into()].into());
    }
}
