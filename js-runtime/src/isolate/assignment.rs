//! The parts of an isolate, its assignment, and the reasons why it may not suit.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use js_runtime_api::{CallQueue, LoadError, LoadProgress, Manifest, MemoryLimits, Reach};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

use crate::ahead::AheadModules;
use crate::built_in::BuiltIns;
use crate::source::caches::Caches;
use crate::source::snapshot::SourceSnapshot;
use crate::startup_snapshot::StartupSnapshot;

/// The parts of which an isolate is made.
pub(crate) struct Spec {
    pub(crate) sources: Arc<SourceSnapshot>,
    pub(crate) caches: Arc<Caches>,
    pub(crate) built_ins: Arc<BuiltIns>,
    pub(crate) startup: StartupSnapshot,
    /// The folder in which Deno keeps what it stores for a program.
    pub(crate) deno_dir: PathBuf,
    pub(crate) memory: MemoryLimits,
    pub(crate) reach: Reach,
    /// The modules that the isolate evaluates before it knows its assignment.
    pub(crate) ahead: AheadModules,
    /// The folder of an app's sockets; it goes with the isolate.
    pub(crate) sockets: Option<TempDir>,
}

/// The work that an isolate is for.
pub(crate) struct Assignment {
    pub(crate) name: String,
    /// The queue from which the calls come.
    pub(crate) queue: Arc<CallQueue>,
    pub(crate) ready: oneshot::Sender<Result<Manifest, LoadFailure>>,
    pub(crate) progress: LoadProgress,
}

pub(super) type AssignmentReceiver = oneshot::Receiver<Assignment>;

/// The way in which an isolate gets its assignment.
pub(crate) struct AssignmentInbox {
    pub(crate) assigned: AssignmentReceiver,
    /// Receives `true` once the isolate waits for its assignment.
    pub(crate) waits: watch::Sender<bool>,
    /// Receives a module that must not be evaluated ahead.
    pub(crate) acts: Arc<OnceLock<PathBuf>>,
}

/// The reason why an isolate takes no calls.
#[derive(Debug)]
pub(crate) enum LoadFailure {
    Failed(LoadError),
    /// The modules that were evaluated ahead made a difference: the project is to be loaded in an isolate without
    /// them.
    Unsuited(AheadMismatch),
}

/// The reason why modules should not have been evaluated ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AheadMismatch {
    /// The modules cannot be evaluated ahead.
    Failed,
    /// The project's modules write to the environment, and packages might read that.
    EnvironmentWritten,
    /// Some of the modules are not imported any more, or not before everything that matters.
    ImportedOtherwise,
}
