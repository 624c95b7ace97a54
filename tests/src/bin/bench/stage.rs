//! The settings and folders that all measurements of a run share.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::arguments::{Arguments, Effort};
use crate::subject::Subject;

/// The settings of a run, and a folder with every subject's caches, which is removed on drop.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) effort: Effort,
    rounds: Option<usize>,
    /// Tells whether Baton is measured without the others.
    alone: bool,
    home: TempDir,
}

impl Stage {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let home = tempfile::Builder::new().prefix("baton-bench-").tempdir();
        let home = home.expect("a temporary folder");
        for folder in ["cache", "tmp"] {
            fs::create_dir(home.path().join(folder)).expect("a folder");
        }
        Self {
            effort: arguments.effort,
            rounds: arguments.rounds,
            alone: arguments.alone,
            home,
        }
    }

    /// Returns the number of turns that every subject has.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or_else(|| self.effort.choose(1, 5))
    }

    /// Returns the subjects of `wanted` that are measured, in the order of a round: each round begins
    /// with another subject.
    pub(crate) fn turns(&self, wanted: &[Subject], round: usize) -> Vec<Subject> {
        let mut turns = wanted.to_vec();
        turns.retain(|subject| !self.alone || *subject == Subject::Baton);
        if !turns.is_empty() {
            let first = round % turns.len();
            turns.rotate_left(first);
        }
        turns
    }

    /// Returns the variables that name the folders for all that a subject keeps between two starts:
    /// caches, also those below the folder of temporary files.
    pub(crate) fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let home = self.home.path();
        vec![
            ("HOME", home.to_owned()),
            ("XDG_CACHE_HOME", home.join("cache")),
            ("XDG_STATE_HOME", home.join("state")),
            ("DENO_DIR", home.join("cache/deno")),
            ("TMPDIR", home.join("tmp")),
        ]
    }

    /// Empties all caches, but for V8's startup snapshot: it is part of a binary that is shipped, and
    /// only a binary that cargo built has it in the cache folder.
    pub(crate) fn forget(&self) {
        forget(self.home.path());
    }
}

fn forget(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            forget(&entry.path());
            continue;
        }
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !(name.starts_with("startup-") && name.ends_with(".snapshot")) {
            fs::remove_file(entry.path()).expect("a file of a cache");
        }
    }
}
