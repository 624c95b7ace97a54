//! The sources of a project: the files that a load reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Certificates, EnvironmentDigest, LoadError};

/// The files that a load read, each read once and kept.
pub trait Sources: Send + Sync + fmt::Debug {
    /// Hex digest over the path and content of every file read so far, and over the environment.
    fn hash(&self) -> String;
    /// Files that read differently on the disk now, that are gone, or that are new and would be
    /// loaded; relative to the project's root where they lie below it. Reads the disk.
    fn changed_on_disk(&self) -> Vec<PathBuf>;
    /// Tells whether [`Self::changed_on_disk`] would name a file. Reads the disk.
    fn is_changed_on_disk(&self) -> bool {
        !self.changed_on_disk().is_empty()
    }
    /// Tells whether its command prints something else now, or fails. Runs it, if there is one.
    fn secrets_changed(&self) -> bool {
        false
    }
    /// Runs the command that prints variables, if there is one and that was not done. Blocks until it ends.
    ///
    /// # Errors
    /// When the command fails.
    fn obtain_secrets(&self) -> Result<(), LoadError> {
        Ok(())
    }
    /// The variables that its environment file and command gave it, without their values.
    fn environment(&self) -> EnvironmentDigest;
    /// A variable as the generation's code finds it when it begins; of the command once it was run. Never shown.
    fn variable(&self, name: &str) -> Option<String>;
    /// The authorities that these variables trust.
    fn certificates(&self) -> Certificates;
    /// Grows whenever more is read, for example by a lazy `import()`.
    fn revision(&self) -> usize;
    /// The files and folders where a change on the disk would change them.
    fn watched(&self) -> Watched;
    /// The sources as data that outlives the process.
    ///
    /// # Errors
    /// With the reason, for example a path that is no text.
    fn keep(&self) -> Result<KeptSources, String>;
    /// The concrete type, for the engine that made it.
    fn as_any(self: Arc<Self>) -> Arc<dyn std::any::Any + Send + Sync>;
}

/// The files and folders where a change on the disk would change the sources that tell them. Paths are absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
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
    /// JSON that only the engine understands; names the files by their hashes.
    pub description: String,
    /// The files' bytes by hash, which is hex of BLAKE3.
    pub files: BTreeMap<String, Arc<[u8]>>,
}
