//! The files of a project that somebody works on: those that differ from load to load. The next edit is most likely
//! of one of them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use crate::source::snapshot::SourceFile;

/// The number of files that somebody works on at a time.
const AT_A_TIME: usize = 4;

/// The number of files that change at once by a checkout, and by nobody's edit.
const MANY: usize = 16;

/// The edits that the module's documentation describes. Pure.
#[derive(Debug, Default)]
pub(crate) struct EditHistory {
    known: HashMap<PathBuf, blake3::Hash>,
    /// The edited files, the newest first.
    edited: VecDeque<PathBuf>,
}

impl EditHistory {
    /// Notes the files that were read for a load: all of them, or those that the load came to.
    pub(crate) fn note(&mut self, files: &[(PathBuf, SourceFile)]) {
        let is_first = self.known.is_empty();
        let mut changed = Vec::new();
        for (path, file) in files {
            if self.known.get(path) != Some(&file.hash) {
                self.known.insert(path.clone(), file.hash);
                changed.push(path);
            }
        }
        if is_first || changed.len() > MANY {
            return;
        }
        for path in changed {
            self.edited.retain(|edited| edited != path);
            self.edited.push_front(path.clone());
        }
        self.edited.truncate(AT_A_TIME);
    }

    /// Returns the files to leave to the load, for they are likely to change: `ahead` counts how many modules remain.
    /// A file that most of the modules import is not left to the load, since little would remain. `None` when nothing
    /// was edited, or when such a file was edited last: modules evaluated ahead would be of no use to its next edit.
    pub(crate) fn to_leave(&self, ahead: impl Fn(&HashSet<PathBuf>) -> usize) -> Option<HashSet<PathBuf>> {
        let last = self.edited.front()?;
        let mut left = HashSet::new();
        let all = ahead(&left);
        for path in &self.edited {
            left.insert(path.clone());
            if ahead(&left) * 2 < all {
                left.remove(path);
            }
        }
        left.contains(last).then_some(left)
    }

    /// Returns the hash with which a file was read last.
    pub(crate) fn last_read(&self, path: &Path) -> Option<blake3::Hash> {
        self.known.get(path).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::PathBuf;

    use super::{EditHistory, MANY};
    use crate::source::snapshot::SourceFile;

    fn files(texts: &[(&str, &str)]) -> Vec<(PathBuf, SourceFile)> {
        let file = |text: &str| SourceFile {
            bytes: text.as_bytes().into(),
            hash: blake3::hash(text.as_bytes()),
        };
        texts.iter().map(|(path, text)| (path.into(), file(text))).collect()
    }

    fn left(edits: &EditHistory) -> Vec<String> {
        let left = edits.to_leave(|_| 1).unwrap_or_default();
        let mut names: Vec<_> = left.iter().map(|path| path.display().to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_differs_from_load_to_load_is_worked_on_and_the_first_load_tells_nothing() {
        let mut edits = EditHistory::default();
        edits.note(&files(&[("a", "1"), ("b", "1"), ("c", "1")]));
        assert_eq!(edits.to_leave(|_| 1), None);
        edits.note(&files(&[("a", "1"), ("b", "2"), ("c", "1")]));
        assert_eq!(left(&edits), ["b"]);
        edits.note(&files(&[("c", "1"), ("new", "1")]));
        assert_eq!(left(&edits), ["b", "new"], "one that was not come to is no edit");
    }

    #[test]
    fn the_newest_few_count_and_a_checkout_does_not() {
        let mut edits = EditHistory::default();
        let all = |text: &str| {
            let names: Vec<_> = (0..=MANY).map(|name| name.to_string()).collect();
            files(&names.iter().map(|name| (name.as_str(), text)).collect::<Vec<_>>())
        };
        edits.note(&all("1"));
        edits.note(&all("2"));
        assert_eq!(edits.to_leave(|_| 1), None);
        for name in ["0", "1", "2", "0", "3", "4"] {
            edits.note(&files(&[(name, &format!("{name} of {:?}", edits.edited.len()))]));
        }
        assert_eq!(left(&edits), ["0", "2", "3", "4"]);
    }

    #[test]
    fn what_most_modules_import_is_not_left_to_the_load() {
        let mut edits = EditHistory::default();
        edits.note(&files(&[("hub", "1"), ("leaf", "1")]));
        edits.note(&files(&[("hub", "2")]));
        let ahead = |left: &HashSet<PathBuf>| if left.contains(&PathBuf::from("hub")) { 1 } else { 10 };
        assert_eq!(edits.to_leave(ahead), None, "it is what was edited last");
        edits.note(&files(&[("leaf", "2")]));
        assert_eq!(edits.to_leave(ahead), Some([PathBuf::from("leaf")].into()));
    }
}
