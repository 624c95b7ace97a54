//! The folders on the disk to which the followed paths lead, and the entries in them that matter.
//!
//! Each path is walked from the root, symlinks and all. Every folder on the way is noted by its
//! real path, with the entry through which the way goes on. So a replaced file, a replaced symlink
//! and a replaced folder above it are all entries of folders that are watched. Where the way ends
//! because an entry does not exist, that entry stands for the path until it appears.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::path::{Component, Path, PathBuf};

use super::names::{is_module, is_skipped};
use super::patterns::Patterns;
use super::set::WatchSet;
use super::spelling::{NameComparison, Spellings};

/// The greatest number of symlinks on one way: with more, the way is a circle (Linux gives up at
/// 40, too).
const MOST_LINKS: usize = 40;

/// The folders to watch, by their real paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Survey {
    pub(super) folders: BTreeMap<PathBuf, Folder>,
    pub(super) patterns: Patterns,
    /// The folders as events may spell them.
    pub(super) spellings: Spellings,
}

/// The entries that matter in a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Folder {
    /// The identity of the folder; `None` if the folder went while it was looked at.
    pub(super) identity: Option<FolderIdentity>,
    /// The entries that decide where a way leads: folders, symlinks, and names that are missing.
    pub(super) ways: BTreeSet<OsString>,
    /// The entries that are followed, or stand for followed paths, each with its names in the set.
    pub(super) files: BTreeMap<OsString, BTreeSet<PathBuf>>,
    /// The names that the trees have for the folder; empty if it is in no tree.
    pub(super) trees: BTreeSet<PathBuf>,
    /// The modules and the folders in it, if it is in a tree.
    pub(super) members: BTreeSet<OsString>,
}

/// The numbers that tell one folder from another. A folder that is made again under its old name is
/// another one. (It can even get the number of the old one, which is why events count as well.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FolderIdentity {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FolderIdentity {
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

impl Survey {
    /// Looks for the paths of a set on the disk.
    pub(super) fn of(set: &WatchSet) -> Self {
        let mut surveyor = Surveyor::default();
        surveyor.survey.patterns = set.patterns.clone();
        for path in &set.paths {
            surveyor.follow(path, path, 0);
        }
        for tree in set.trees.iter().map(PathBuf::as_path).chain(set.patterns.tree()) {
            match surveyor.folder(tree, 0) {
                PathEnd::Leads(real) => surveyor.walk(&real, tree),
                PathEnd::Ends(folder, name) => surveyor.stands_for(&folder, &name, tree),
            }
        }
        let mut survey = surveyor.survey;
        for (path, folder) in &mut survey.folders {
            folder.identity = fs::metadata(path).ok().map(|metadata| FolderIdentity::of(&metadata));
        }
        survey.spellings = Spellings::of(NameComparison::of_this_system(), survey.folders.keys());
        survey
    }

    /// Returns the entries that matter in a folder that an event names.
    pub(super) fn folder(&self, path: &Path) -> Option<&Folder> {
        let other = || self.folders.get(self.spellings.other(path)?);
        self.folders.get(path).or_else(other)
    }

    /// Tells whether a folder is on the way to something, or in a tree.
    pub(super) fn knows(&self, folder: &Path) -> bool {
        self.folder(folder).is_some()
    }

    /// Returns the modules and folders of trees that are in `other` and not in this survey, by the
    /// trees' names for them.
    pub(super) fn missing(&self, other: &Self) -> Vec<PathBuf> {
        let mut missing = Vec::new();
        for (path, folder) in &other.folders {
            let known = self.folders.get(path).map(|folder| &folder.members);
            let new = folder
                .members
                .iter()
                .filter(|name| known.is_none_or(|known| !known.contains(*name)));
            for name in new {
                let named = folder.trees.iter().map(|tree| tree.join(name));
                missing.extend(named.filter(|path| !other.patterns.ignores(path)));
            }
        }
        missing
    }
}

/// The end of the way to a folder.
#[derive(Debug, Clone)]
enum PathEnd {
    /// The way leads to this folder, whose path is real.
    Leads(PathBuf),
    /// The way leads nowhere: in this real folder, nothing of this name is a folder.
    Ends(PathBuf, OsString),
}

#[derive(Debug, Default)]
struct Surveyor {
    survey: Survey,
    /// The ways to folders that were walked already.
    ways: HashMap<PathBuf, PathEnd>,
}

impl Surveyor {
    fn at(&mut self, folder: &Path) -> &mut Folder {
        // Most folders are there already.
        if !self.survey.folders.contains_key(folder) {
            self.survey.folders.insert(folder.to_owned(), Folder::default());
        }
        self.survey.folders.entry(folder.to_owned()).or_default()
    }

    fn stands_for(&mut self, folder: &Path, name: &OsStr, followed: &Path) {
        let names = self.at(folder).files.entry(name.to_owned()).or_default();
        names.insert(followed.to_owned());
    }

    /// Follows `path`, on behalf of `followed`, to its end.
    fn follow(&mut self, path: &Path, followed: &Path, links: usize) {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            // The root, or a path that ends in `..`: a folder, which has its own way.
            if let PathEnd::Ends(folder, name) = self.folder(path, links) {
                self.stands_for(&folder, &name, followed);
            }
            return;
        };
        match self.folder(parent, links) {
            PathEnd::Leads(real) => {
                self.stands_for(&real, name, followed);
                if let Ok(target) = fs::read_link(real.join(name)) {
                    self.at(&real).ways.insert(name.to_owned());
                    if links < MOST_LINKS {
                        self.follow(&real.join(target), followed, links + 1);
                    }
                }
            }
            PathEnd::Ends(folder, name) => self.stands_for(&folder, &name, followed),
        }
    }

    /// Returns the way to a folder, after so many symlinks.
    fn folder(&mut self, path: &Path, links: usize) -> PathEnd {
        if let Some(way) = self.ways.get(path) {
            return way.clone();
        }
        let way = self.walk_to(path, links);
        self.ways.insert(path.to_owned(), way.clone());
        way
    }

    fn walk_to(&mut self, path: &Path, links: usize) -> PathEnd {
        let parent = path.parent().map(|parent| self.folder(parent, links));
        let real = match parent {
            None => return PathEnd::Leads(path.to_owned()),
            Some(PathEnd::Ends(folder, name)) => return PathEnd::Ends(folder, name),
            Some(PathEnd::Leads(real)) => real,
        };
        let name = match path.components().next_back() {
            Some(Component::Normal(name)) => name,
            Some(Component::ParentDir) => return PathEnd::Leads(real.parent().unwrap_or(&real).to_owned()),
            _ => return PathEnd::Leads(real),
        };
        self.at(&real).ways.insert(name.to_owned());
        let entry = real.join(name);
        match fs::symlink_metadata(&entry) {
            Ok(metadata) if metadata.is_dir() => PathEnd::Leads(entry),
            Ok(metadata) if metadata.is_symlink() && links < MOST_LINKS => match fs::read_link(&entry) {
                Ok(target) => self.folder(&real.join(target), links + 1),
                Err(_) => PathEnd::Ends(real, name.to_owned()),
            },
            _ => PathEnd::Ends(real, name.to_owned()),
        }
    }

    /// Notes a folder of a tree, and the folders below it. A folder that cannot be read is noted,
    /// too.
    fn walk(&mut self, real: &Path, named: &Path) {
        if !self.at(real).trees.insert(named.to_owned()) {
            return;
        }
        for entry in fs::read_dir(real).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !is_skipped(&name) {
                    self.walk(&real.join(&name), &named.join(&name));
                    self.at(real).members.insert(name);
                }
            } else if is_module(&name) || self.survey.patterns.includes(&named.join(&name)) {
                self.at(real).members.insert(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    use tempfile::TempDir;

    use super::{Folder, Survey};
    use crate::watch::WatchSet;

    fn project() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        (folder, root)
    }

    fn survey_of_path(path: &Path) -> Survey {
        Survey::of(&WatchSet {
            paths: [path.to_owned()].into(),
            ..WatchSet::default()
        })
    }

    fn survey_of_tree(path: &Path) -> Survey {
        Survey::of(&WatchSet {
            trees: [path.to_owned()].into(),
            ..WatchSet::default()
        })
    }

    #[track_caller]
    fn stands_for(survey: &Survey, entry: &Path, followed: &Path) -> bool {
        let folder: &Folder = &survey.folders[entry.parent().unwrap()];
        let files = folder.files.get(entry.file_name().unwrap());
        files.is_some_and(|names| names.contains(followed))
    }

    #[track_caller]
    fn is_way(survey: &Survey, entry: &Path) -> bool {
        survey.folders[entry.parent().unwrap()]
            .ways
            .contains(entry.file_name().unwrap())
    }

    #[test]
    fn every_folder_on_the_way_to_a_file_is_watched_and_no_other() {
        let (_folder, root) = project();
        fs::create_dir_all(root.join("node_modules/inngest/dist")).unwrap();
        fs::create_dir_all(root.join("node_modules/zod")).unwrap();
        let file = root.join("node_modules/inngest/dist/index.js");
        fs::write(&file, "").unwrap();
        let survey = survey_of_path(&file);
        assert!(stands_for(&survey, &file, &file) && !is_way(&survey, &file));
        let folders: Vec<_> = file.ancestors().skip(1).collect();
        assert_eq!(survey.folders.keys().rev().collect::<Vec<_>>(), folders);
        assert!(folders.iter().rev().skip(1).all(|folder| is_way(&survey, folder)));
    }

    #[test]
    fn a_path_that_does_not_exist_is_stood_for_by_the_entry_that_is_missing() {
        let (_folder, root) = project();
        let file = root.join("a/b/c.ts");
        let survey = survey_of_path(&file);
        assert!(stands_for(&survey, &root.join("a"), &file) && is_way(&survey, &root.join("a")));
        fs::create_dir(root.join("a")).unwrap();
        assert!(stands_for(&survey_of_path(&file), &root.join("a/b"), &file));
        fs::write(root.join("a/b"), "a file, where a folder should be").unwrap();
        assert!(stands_for(&survey_of_path(&file), &root.join("a/b"), &file));
    }

    #[test]
    fn symlinks_on_the_way_are_followed_and_watched_themselves() {
        let (_folder, root) = project();
        fs::create_dir_all(root.join("releases/1/src")).unwrap();
        fs::write(root.join("shared.ts"), "").unwrap();
        symlink("releases/1", root.join("latest")).unwrap();
        symlink(root.join("latest"), root.join("current")).unwrap();
        symlink("../../../shared.ts", root.join("releases/1/src/a.ts")).unwrap();
        let file = root.join("current/src/a.ts");
        let survey = survey_of_path(&file);
        for way in [
            "current",
            "latest",
            "releases",
            "releases/1",
            "releases/1/src",
            "releases/1/src/a.ts",
        ] {
            assert!(is_way(&survey, &root.join(way)), "{way}");
        }
        assert!(stands_for(&survey, &root.join("releases/1/src/a.ts"), &file));
        assert!(stands_for(&survey, &root.join("shared.ts"), &file));
        assert!(!survey.knows(&root.join("current")), "folders have their real paths");
    }

    #[test]
    fn symlinks_in_a_circle_lead_nowhere() {
        let (_folder, root) = project();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        let survey = survey_of_path(&root.join("a/file.ts"));
        assert!(is_way(&survey, &root.join("a")) && is_way(&survey, &root.join("b")));
        assert!(stands_for(
            &survey_of_path(&root.join("a")),
            &root.join("b"),
            &root.join("a")
        ));
    }

    #[test]
    fn a_tree_is_its_folders_and_their_modules_under_the_name_it_was_given() {
        let (_folder, root) = project();
        for folder in ["real/steps/deep", "real/node_modules/zod", "real/.cache"] {
            fs::create_dir_all(root.join(folder)).unwrap();
            fs::write(root.join(folder).join("a.ts"), "").unwrap();
        }
        fs::write(root.join("real/notes.txt"), "").unwrap();
        symlink("..", root.join("real/steps/up")).unwrap();
        symlink("real", root.join("functions")).unwrap();
        let survey = survey_of_tree(&root.join("functions"));
        let below = survey
            .folders
            .keys()
            .filter(|folder| folder.starts_with(root.join("real")));
        let below: Vec<_> = below
            .map(|folder| folder.strip_prefix(&root).unwrap().to_owned())
            .collect();
        assert_eq!(below, ["real", "real/steps", "real/steps/deep"].map(PathBuf::from));
        let deep = &survey.folders[&root.join("real/steps/deep")];
        assert_eq!(deep.trees, [root.join("functions/steps/deep")].into());
        assert_eq!(survey.folders[&root.join("real")].members, ["steps".into()].into());
        assert_eq!(deep.members, ["a.ts".into()].into());
    }

    #[test]
    fn what_came_into_a_tree_is_found_by_comparing() {
        let (_folder, root) = project();
        let before = survey_of_tree(&root);
        fs::create_dir(root.join("steps")).unwrap();
        fs::write(root.join("steps/a.ts"), "").unwrap();
        let after = survey_of_tree(&root);
        assert_eq!(before.missing(&after), [root.join("steps"), root.join("steps/a.ts")]);
        assert!(after.missing(&before).is_empty());
    }
}
