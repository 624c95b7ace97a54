//! What an isolate is made of, what it is for, and why it may not be.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use js_runtime_api::{CallQueue, LoadError, LoadProgress, Manifest, MemoryLimits};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

use crate::ahead::Ahead;
use crate::built_in::BuiltIns;
use crate::source::caches::Caches;
use crate::source::snapshot::SourceSnapshot;
use crate::startup_snapshot::StartupSnapshot;

/// What an isolate is made of.
pub(crate) struct Spec {
    pub(crate) sources: Arc<SourceSnapshot>,
    pub(crate) caches: Arc<Caches>,
    pub(crate) built_ins: Arc<BuiltIns>,
    pub(crate) startup: StartupSnapshot,
    /// Where Deno keeps what it stores for a program.
    pub(crate) deno_dir: PathBuf,
    pub(crate) memory: MemoryLimits,
    /// What it evaluates before it knows what it is for.
    pub(crate) ahead: Ahead,
    /// Where an app's sockets are; it goes with the isolate.
    pub(crate) sockets: Option<TempDir>,
}

/// What an isolate is for.
pub(crate) struct Assignment {
    pub(crate) name: String,
    /// Where the calls come from.
    pub(crate) queue: Arc<CallQueue>,
    pub(crate) ready: oneshot::Sender<Result<Manifest, NotLoaded>>,
    pub(crate) progress: LoadProgress,
}

pub(super) type Assigned = oneshot::Receiver<Assignment>;

/// How it comes to know what it is for.
pub(crate) struct Coming {
    pub(crate) assigned: Assigned,
    /// Told once it waits for that.
    pub(crate) waits: watch::Sender<bool>,
    /// Told of a module that must not be evaluated ahead.
    pub(crate) acts: Arc<OnceLock<PathBuf>>,
}

/// Why an isolate takes no calls.
#[derive(Debug)]
pub(crate) enum NotLoaded {
    Failed(LoadError),
    /// What it has evaluated ahead made a difference: the project is to be loaded in an isolate that has not.
    Unsuited(Unsuited),
}

/// Why what was evaluated ahead was not to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsuited {
    /// It cannot be.
    Failed,
    /// The project's modules write to the environment, and packages might read that.
    EnvironmentWritten,
    /// Not all of it is imported any more, or not before everything that matters.
    ImportedOtherwise,
}
