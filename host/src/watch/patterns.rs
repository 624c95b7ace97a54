//! Globs of files that matter though no code reads them, and of files that never lead to anything (`[watch]` in
//! `baton.toml`). Pure.

use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// The globs of `[watch]`. The globs of both kinds are relative to one folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns {
    root: PathBuf,
    include: Globs,
    ignore: Globs,
}

/// A list of globs. Two lists are equal where their texts are.
#[derive(Debug, Clone)]
struct Globs {
    texts: Vec<String>,
    set: GlobSet,
}

impl Default for Globs {
    fn default() -> Self {
        Self {
            texts: Vec::new(),
            set: GlobSet::empty(),
        }
    }
}

impl PartialEq for Globs {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

impl Eq for Globs {}

impl Globs {
    fn of(texts: &[String]) -> Self {
        let mut set = GlobSetBuilder::new();
        for text in texts {
            // A wrong glob was refused where it was read.
            if let Ok(glob) = GlobBuilder::new(text).literal_separator(true).build() {
                set.add(glob);
            }
        }
        Self {
            texts: texts.to_vec(),
            set: set.build().unwrap_or_else(|_| GlobSet::empty()),
        }
    }
}

/// Checks that a text is a glob.
///
/// # Errors
/// With that reason.
pub fn check_glob(text: &str) -> Result<(), String> {
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    glob.map(drop).map_err(|error| error.kind().to_string())
}

impl Patterns {
    /// Makes patterns of globs that are relative to the folder `root`.
    #[must_use]
    pub fn new(root: PathBuf, include: &[String], ignore: &[String]) -> Self {
        Self {
            root,
            include: Globs::of(include),
            ignore: Globs::of(ignore),
        }
    }

    /// Returns the folder below which files matter by their names, if any do.
    pub(super) fn tree(&self) -> Option<&Path> {
        (!self.include.texts.is_empty()).then_some(&self.root)
    }

    pub(super) fn includes(&self, path: &Path) -> bool {
        self.matches(&self.include, path)
    }

    pub(super) fn ignores(&self, path: &Path) -> bool {
        self.matches(&self.ignore, path)
    }

    fn matches(&self, globs: &Globs, path: &Path) -> bool {
        !globs.texts.is_empty() && path.strip_prefix(&self.root).is_ok_and(|path| globs.set.is_match(path))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Patterns, check_glob};

    #[test]
    fn globs_are_relative_to_the_root_and_a_star_is_no_slash() {
        let patterns = Patterns::new("/p".into(), &["prompts/*.md".into()], &["data/**".into()]);
        let includes = |path: &str| patterns.includes(Path::new(path));
        assert!(includes("/p/prompts/a.md"));
        assert!(!includes("/p/prompts/deep/a.md") && !includes("/prompts/a.md") && !includes("/p/a.md"));
        assert!(patterns.ignores(Path::new("/p/data/deep/a.json")));
        assert_eq!(patterns.tree(), Some(Path::new("/p")));
        assert_eq!(Patterns::default().tree(), None);
        assert!(!Patterns::default().ignores(Path::new("/p/a")));
    }

    #[test]
    fn a_text_that_is_no_glob_is_told() {
        assert_eq!(check_glob("a/**/*.{md,txt}"), Ok(()));
        assert!(check_glob("a[").is_err());
    }
}
