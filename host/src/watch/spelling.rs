//! Names that a file system takes for one another: on a Mac `Steps/Ä.ts` opens `steps/ä.ts`, and the events have the
//! spelling on the disk, not the spelling that was asked for. Pure.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization as _;

/// The way in which names are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum NameComparison {
    /// Byte by byte.
    #[default]
    Exact,
    /// Without regard to case and to how letters are composed, as APFS does unless a volume was made otherwise. On a
    /// volume that was made otherwise, this comparison tells too much, and never too little.
    Loose,
}

impl NameComparison {
    /// Returns the comparison that this system's file systems usually make.
    pub(super) const fn of_this_system() -> Self {
        if cfg!(target_os = "macos") {
            Self::Loose
        } else {
            Self::Exact
        }
    }

    /// Tells whether two names are of one entry.
    pub(super) fn is_same(self, one: &OsStr, other: &OsStr) -> bool {
        one == other || (self == Self::Loose && folded(one) == folded(other))
    }
}

/// Paths by their folded texts; there are none where names are compared exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spellings {
    comparison: NameComparison,
    folded: BTreeMap<String, PathBuf>,
}

impl Spellings {
    pub(super) fn of<'a>(comparison: NameComparison, paths: impl Iterator<Item = &'a PathBuf>) -> Self {
        let folded = match comparison {
            NameComparison::Exact => BTreeMap::new(),
            NameComparison::Loose => paths.map(|path| (folded(path.as_os_str()), path.clone())).collect(),
        };
        Self { comparison, folded }
    }

    pub(super) const fn comparison(&self) -> NameComparison {
        self.comparison
    }

    /// Returns the path among these that this one is another spelling of.
    pub(super) fn other(&self, path: &Path) -> Option<&Path> {
        match self.comparison {
            NameComparison::Exact => None,
            NameComparison::Loose => self.folded.get(&folded(path.as_os_str())).map(PathBuf::as_path),
        }
    }
}

fn folded(text: &OsStr) -> String {
    text.to_string_lossy().nfc().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{NameComparison, Spellings};

    #[test]
    fn case_and_composition_make_no_difference_to_a_loose_comparison() {
        for (one, other) in [("a.ts", "A.ts"), ("ä.ts", "a\u{308}.ts"), ("Ä.ts", "a\u{308}.ts")] {
            assert!(
                NameComparison::Loose.is_same(one.as_ref(), other.as_ref()),
                "{one} {other}"
            );
            assert!(
                !NameComparison::Exact.is_same(one.as_ref(), other.as_ref()),
                "{one} {other}"
            );
        }
        assert!(!NameComparison::Loose.is_same("a.ts".as_ref(), "b.ts".as_ref()));
        assert!(NameComparison::Exact.is_same("a.ts".as_ref(), "a.ts".as_ref()));
    }

    #[test]
    fn a_path_is_found_under_another_spelling() {
        let known = ["/p/Größe/steps", "/p"].map(PathBuf::from);
        let loose = Spellings::of(NameComparison::Loose, known.iter());
        let other = loose.other(Path::new("/P/gro\u{308}ße/Steps"));
        assert_eq!(other, Some(Path::new("/p/Größe/steps")));
        assert_eq!(loose.other(Path::new("/q")), None);
        let exact = Spellings::of(NameComparison::Exact, known.iter());
        assert_eq!(exact.other(Path::new("/P")), None);
    }
}
