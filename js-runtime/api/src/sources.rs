//! The sources of a project: the files that a load reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Certificates, EnvironmentDigest, LoadError};

/// The files that a load read, each read once and kept.
pub trait Sources: Send + Sync + fmt::Debug {
    /// Returns the hex digest over the path and content of every file read so far, and over the environment.
    fn hash(&self) -> String;
    /// Returns the files that read differently on the disk now, that are gone, or that are new and would be loaded;
    /// relative to the project's root where they lie below it. Reads the disk.
    fn changed_on_disk(&self) -> Vec<PathBuf>;
    /// Tells whether [`Self::changed_on_disk`] would name a file. Reads the disk.
    fn is_changed_on_disk(&self) -> bool {
        !self.changed_on_disk().is_empty()
    }
    /// Tells whether the project's command prints something else now, or fails. Runs the command, if there is one.
    fn secrets_changed(&self) -> bool {
        false
    }
    /// Runs the command that prints variables, if there is one and it has not run. Blocks until it ends.
    ///
    /// # Errors
    /// When the command fails.
    fn obtain_secrets(&self) -> Result<(), LoadError> {
        Ok(())
    }
    /// Returns the variables that the environment file and command gave, without their values.
    fn environment(&self) -> EnvironmentDigest;
    /// Returns a variable as the generation's code finds it when it begins; with the command's variables once it has
    /// run. The value is never shown.
    fn variable(&self, name: &str) -> Option<String>;
    /// Returns the authorities that these variables trust.
    fn certificates(&self) -> Certificates;
    /// Returns a number that grows whenever more is read, for example by a lazy `import()`.
    fn revision(&self) -> usize;
    /// Returns the files and folders where a change on the disk would change these sources.
    fn watched(&self) -> WatchedPaths;
    /// Returns the sources as data that outlives the process.
    ///
    /// # Errors
    /// With the reason, for example a path that is no text.
    fn keep(&self) -> Result<KeptSources, String>;
    /// Returns the concrete type, for the engine that made it.
    fn as_any(self: Arc<Self>) -> Arc<dyn std::any::Any + Send + Sync>;
}

/// The files and folders where a change on the disk would change the sources. Paths are absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchedPaths {
    /// Files that were read, or looked for in vain.
    pub files: BTreeSet<PathBuf>,
    /// Folders in which each module matters, at any depth.
    pub trees: BTreeSet<PathBuf>,
    /// Paths that lead over a symbolic link.
    pub links: BTreeSet<PathBuf>,
}

/// Sources in a form that outlives the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSources {
    /// A JSON text that only the engine understands; it names the files by their hashes.
    pub description: String,
    /// The files' bytes by hash, which is hex of BLAKE3.
    pub files: BTreeMap<String, Arc<[u8]>>,
}
