//! What is followed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::patterns::Patterns;

/// What is to be followed. All paths are absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchSet {
    /// Files that were read or looked for in vain, and links, under the names by which they were
    /// reached: every component may be a symlink, and every one of them is followed.
    pub paths: BTreeSet<PathBuf>,
    /// Folders in which any module matters, at any depth; except in `node_modules` and dot-folders,
    /// and not through symlinks below the folder. (Modules are told by their extension.)
    pub trees: BTreeSet<PathBuf>,
    /// Files that matter by their names, and files that never do.
    pub patterns: Patterns,
}
