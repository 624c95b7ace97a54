//! Judges whether a change matters, and to which paths. Pure but for one question.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::entry_event::EntryChange;
use super::names::{is_module, is_skipped};
use super::settle::Progress;
use super::spelling::NameComparison;
use super::survey::{Folder, Survey};

/// The present kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Folder,
    Link,
    Missing,
}

impl EntryKind {
    /// Asks the disk for the kind of an entry.
    pub(super) fn of(path: &Path) -> Self {
        match std::fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => Self::Folder,
            Ok(metadata) if metadata.is_symlink() => Self::Link,
            Ok(_) => Self::File,
            Err(_) => Self::Missing,
        }
    }
}

/// A change that matters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RelevantChange {
    /// The paths that changed, by the set's own names.
    pub(super) paths: BTreeSet<PathBuf>,
    /// Tells whether paths that are not named may have changed, too.
    pub(super) everything: bool,
    pub(super) progress: Progress,
    /// Tells whether paths may lead elsewhere than before.
    pub(super) survey: bool,
}

/// Returns the meaning of the change `what` of the entry `path`, or `None` if the change does not matter. Asks `kind`
/// at most once for the present kind of the entry.
pub(super) fn judge(
    survey: &Survey,
    path: &Path,
    what: EntryChange,
    kind: impl FnOnce(&Path) -> EntryKind,
) -> Option<RelevantChange> {
    let folder = survey.folder(path.parent()?)?;
    let name = path.file_name()?;
    let comparison = survey.spellings.comparison();
    let on_the_way = match comparison {
        NameComparison::Exact => folder.ways.contains(name),
        NameComparison::Loose => folder.ways.iter().any(|way| comparison.is_same(way, name)),
    };
    let in_tree = !folder.trees.is_empty() && !is_skipped(name);
    let mut paths = followed(folder, name, comparison);
    if paths.is_empty() && !on_the_way && !in_tree {
        return None;
    }
    if in_tree {
        let named = folder.trees.iter().map(|tree| tree.join(name));
        paths.extend(named.filter(|path| is_module(name) || survey.patterns.includes(path)));
    }
    paths.retain(|path| !survey.patterns.ignores(path));
    if matches!(what, EntryChange::Written | EntryChange::Modified) {
        let progress = match what {
            EntryChange::Written => Progress::Complete,
            _ => Progress::Unfinished,
        };
        return finding(paths, false, progress, false);
    }
    let kind = kind(path);
    let is_folder = in_tree && (kind == EntryKind::Folder || survey.knows(path));
    if what == EntryChange::Attributes {
        // The survey finds the entries of a folder that became readable.
        return finding(paths, false, Progress::Complete, on_the_way || is_folder);
    }
    if is_folder {
        let named = folder.trees.iter().map(|tree| tree.join(name));
        paths.extend(named.filter(|path| !survey.patterns.ignores(path)));
    }
    let progress = match (what, kind) {
        (_, EntryKind::Missing) | (EntryChange::Gone, _) => Progress::Gone,
        (EntryChange::Unclear, _) | (EntryChange::Appeared, EntryKind::File | EntryKind::Folder) => {
            Progress::Unfinished
        }
        _ => Progress::Complete,
    };
    let leads_elsewhere =
        on_the_way || is_folder || (!paths.is_empty() && matches!(kind, EntryKind::Link | EntryKind::Folder));
    finding(paths, on_the_way || is_folder, progress, leads_elsewhere)
}

/// Returns the names that an entry has in the set.
fn followed(folder: &Folder, name: &OsStr, comparison: NameComparison) -> BTreeSet<PathBuf> {
    if comparison == NameComparison::Exact {
        return folder.files.get(name).cloned().unwrap_or_default();
    }
    let same = folder.files.iter().filter(|(file, _)| comparison.is_same(file, name));
    same.flat_map(|(_, paths)| paths.clone()).collect()
}

fn finding(paths: BTreeSet<PathBuf>, everything: bool, progress: Progress, survey: bool) -> Option<RelevantChange> {
    let matters = !paths.is_empty() || everything || survey;
    matters.then_some(RelevantChange {
        paths,
        everything,
        progress,
        survey,
    })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{EntryKind, RelevantChange, judge};
    use crate::watch::entry_event::EntryChange;
    use crate::watch::patterns::Patterns;
    use crate::watch::settle::Progress;
    use crate::watch::survey::{Folder, Survey};

    const EVERY: [EntryChange; 8] = [
        EntryChange::Appeared,
        EntryChange::Moved,
        EntryChange::Written,
        EntryChange::Modified,
        EntryChange::Gone,
        EntryChange::Renamed,
        EntryChange::Attributes,
        EntryChange::Unclear,
    ];

    /// Makes a survey in which `/p/package.json` is followed as `/link/package.json`, and `/p/functions`, with
    /// `/p/functions/steps`, is a tree.
    fn survey() -> Survey {
        let mut survey = Survey::default();
        let root = Folder {
            ways: ["p".into(), "link".into()].into(),
            ..Folder::default()
        };
        let project = Folder {
            ways: ["functions".into(), "missing".into()].into(),
            files: [
                ("package.json".into(), ["/link/package.json".into()].into()),
                ("missing".into(), ["/p/missing/a.ts".into()].into()),
            ]
            .into(),
            ..Folder::default()
        };
        let tree = |path: &str| Folder {
            trees: [path.into()].into(),
            ..Folder::default()
        };
        survey.folders.insert("/".into(), root);
        survey.folders.insert("/p".into(), project);
        survey.folders.insert("/p/functions".into(), tree("/link/functions"));
        survey
            .folders
            .insert("/p/functions/steps".into(), tree("/link/functions/steps"));
        survey
    }

    fn check(path: &str, what: EntryChange, kind: EntryKind) -> Option<RelevantChange> {
        judge(&survey(), Path::new(path), what, |_| kind)
    }

    fn paths<const N: usize>(paths: [&str; N]) -> std::collections::BTreeSet<PathBuf> {
        paths.map(PathBuf::from).into()
    }

    #[test]
    fn whatever_happens_to_a_followed_file_matters_under_its_own_name() {
        for what in EVERY {
            let found = check("/p/package.json", what, EntryKind::File).unwrap();
            assert_eq!(found.paths, paths(["/link/package.json"]), "{what:?}");
            assert!(!found.everything && !found.survey, "{what:?}");
        }
    }

    #[test]
    fn a_module_in_a_tree_matters_and_any_other_file_there_does_not() {
        for what in EVERY {
            let found = check("/p/functions/new.ts", what, EntryKind::File).unwrap();
            assert_eq!(found.paths, paths(["/link/functions/new.ts"]), "{what:?}");
            for other in [
                "/p/functions/out.csv",
                "/p/functions/.new.ts.swp",
                "/p/functions/4913",
                "/p/functions/new.ts~",
                "/p/other.ts",
                "/elsewhere/a.ts",
            ] {
                assert_eq!(check(other, what, EntryKind::File), None, "{other} {what:?}");
            }
        }
    }

    #[test]
    fn files_matter_or_do_not_where_a_pattern_says_so() {
        let mut survey = survey();
        let globs = |globs: &[&str]| -> Vec<String> { globs.iter().map(|glob| (*glob).to_owned()).collect() };
        let include = globs(&["functions/*.csv"]);
        survey.patterns = Patterns::new("/link".into(), &include, &globs(&["package.json", "functions/own/**"]));
        survey.folders.insert(
            "/p/functions/own".into(),
            Folder {
                trees: ["/link/functions/own".into()].into(),
                ..Folder::default()
            },
        );
        let check = |path: &str, what| judge(&survey, Path::new(path), what, |_| EntryKind::File);
        for what in EVERY {
            let found = check("/p/functions/in.csv", what).unwrap();
            assert_eq!(found.paths, paths(["/link/functions/in.csv"]), "{what:?}");
            for ignored in ["/p/package.json", "/p/functions/own/a.ts", "/p/functions/in.txt"] {
                assert_eq!(check(ignored, what), None, "{ignored} {what:?}");
            }
        }
    }

    #[test]
    fn folders_of_a_tree_matter_when_they_come_and_when_they_go() {
        let came = check("/p/functions/new", EntryChange::Appeared, EntryKind::Folder).unwrap();
        assert_eq!(came.paths, paths(["/link/functions/new"]));
        assert!(came.survey && came.everything && came.progress == Progress::Unfinished);
        let went = check("/p/functions/steps", EntryChange::Gone, EntryKind::Missing).unwrap();
        assert_eq!(went.paths, paths(["/link/functions/steps"]));
        assert!(went.survey && went.everything && went.progress == Progress::Gone);
        let moved_here = check("/p/functions/new", EntryChange::Moved, EntryKind::Folder).unwrap();
        assert_eq!(moved_here.progress, Progress::Complete);
        for skipped in ["/p/functions/node_modules", "/p/functions/.git"] {
            assert_eq!(check(skipped, EntryChange::Appeared, EntryKind::Folder), None);
        }
    }

    #[test]
    fn what_is_on_the_way_to_something_may_change_everything() {
        for (what, kind) in [
            (EntryChange::Gone, EntryKind::Missing),
            (EntryChange::Moved, EntryKind::Link),
            (EntryChange::Appeared, EntryKind::Link),
        ] {
            let found = check("/link", what, kind).unwrap();
            assert!(found.survey && found.everything, "{what:?}");
        }
        assert_eq!(
            check("/p", EntryChange::Modified, EntryKind::Folder),
            None,
            "what happens in it is told by itself"
        );
        let allowed = check("/p", EntryChange::Attributes, EntryKind::Folder).unwrap();
        assert!(allowed.survey && !allowed.everything);
    }

    #[test]
    fn what_is_missing_matters_when_it_appears() {
        let found = check("/p/missing", EntryChange::Appeared, EntryKind::Folder).unwrap();
        assert_eq!(found.paths, paths(["/p/missing/a.ts"]));
        assert!(found.survey);
    }

    #[test]
    fn a_file_that_becomes_a_link_leads_elsewhere() {
        let found = check("/p/package.json", EntryChange::Moved, EntryKind::Link).unwrap();
        assert!(found.survey && found.progress == Progress::Complete);
    }

    #[test]
    fn a_save_is_complete_when_its_writer_closes_or_moves_it_and_not_before() {
        for (what, kind, progress) in [
            (EntryChange::Appeared, EntryKind::File, Progress::Unfinished),
            (EntryChange::Modified, EntryKind::File, Progress::Unfinished),
            (EntryChange::Written, EntryKind::File, Progress::Complete),
            (EntryChange::Moved, EntryKind::File, Progress::Complete),
            (EntryChange::Renamed, EntryKind::File, Progress::Complete),
            (EntryChange::Renamed, EntryKind::Missing, Progress::Gone),
            (EntryChange::Gone, EntryKind::Missing, Progress::Gone),
            (EntryChange::Unclear, EntryKind::File, Progress::Unfinished),
        ] {
            let found = check("/p/package.json", what, kind).unwrap();
            assert_eq!(found.progress, progress, "{what:?}");
        }
    }
}
