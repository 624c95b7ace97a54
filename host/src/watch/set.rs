//! The set of files and folders that are followed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::patterns::Patterns;

/// The files and folders to follow. All paths are absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchSet {
    /// The files that were read or looked for in vain, and the links, under the names by which they
    /// were reached. Every component of a name may be a symlink, and all of these symlinks are
    /// followed.
    pub paths: BTreeSet<PathBuf>,
    /// The folders in which any module matters, at any depth; except in `node_modules` and
    /// dot-folders, and not through symlinks below the folder. (The extension tells whether a file
    /// is a module.)
    pub trees: BTreeSet<PathBuf>,
    /// The patterns of files that matter by their names, and of files that never do.
    pub patterns: Patterns,
}
