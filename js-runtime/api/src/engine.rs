//! The engine: it loads projects into isolates.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::{CallQueue, Isolate, KeptSources, LoadError, LoadProgress, Manifest, Project, Sources};

/// The release of the JavaScript engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineRelease {
    /// Its name: `V8`.
    pub name: &'static str,
    /// Its version: `14.9.207`.
    pub version: &'static str,
    /// The package that it comes in, with its version.
    pub package: &'static str,
    /// The day on which that version was published: `2026-07-26`.
    pub released: &'static str,
}

/// Starts isolates. One per process. Each error of a load has a help ([`LoadError::with_help`]).
pub trait Engine: Send + Sync + 'static {
    /// Returns the release of the JavaScript engine, where there is one.
    fn release(&self) -> Option<EngineRelease> {
        None
    }
    /// Begins the sources of a project as it is on the disk: lists its modules and reads its settings.
    /// The files are read when a load asks for them. Reads the disk.
    ///
    /// # Errors
    /// When the folder or entry file cannot be read.
    fn read(&self, project: Project) -> Result<Arc<dyn Sources>, LoadError>;
    /// Makes sources again that were kept.
    ///
    /// # Errors
    /// With the reason, when they are not this project's or something is missing.
    fn restore(&self, project: Project, kept: &KeptSources) -> Result<Arc<dyn Sources>, String>;
    /// Loads a project into a new isolate: reads, transpiles, evaluates, and collects its
    /// functions. Dropping the future abandons the load and gives its thread and memory back.
    fn load(&self, request: LoadRequest) -> BoxFuture<'static, Result<LoadedIsolate, LoadError>>;
    /// Prepares all that it can for the next load of a project from the disk, in the place of earlier preparations;
    /// resolves when that is done. Reads the disk.
    fn prepare(&self, preparation: Preparation) -> BoxFuture<'static, ()> {
        drop(preparation);
        Box::pin(std::future::ready(()))
    }
    /// Gives up the preparations; resolves when their thread and memory are given back.
    fn give_up_prepared(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
    /// Tells what the process has lost for good.
    fn losses(&self) -> Losses {
        Losses::default()
    }
}

/// The losses of a process with isolates and workers that V8 could not end: their threads sleep until it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// The number of such threads.
    pub threads: u64,
    /// The most that their heaps may hold, in bytes.
    pub memory: u64,
}

/// A load that is asked for.
#[derive(Debug)]
pub struct LoadRequest {
    /// Names the isolate's thread and its log lines, for example `generation-3`.
    pub name: String,
    /// The files and settings that the load sees; files that these sources never read come from the disk.
    pub sources: Arc<dyn Sources>,
    /// After this long a load that is not done is rejected with
    /// [`LoadErrorKind::Timeout`](crate::LoadErrorKind::Timeout).
    pub timeout: Duration,
    /// The queue that the isolate takes its calls from, once it is loaded.
    pub queue: Arc<CallQueue>,
    /// The bounds on the isolate.
    pub memory: MemoryLimits,
    /// The stage of the load, which the engine writes.
    pub progress: LoadProgress,
    /// The part of the world that the code reaches, also while it is evaluated.
    pub reach: Reach,
}

/// The part of the world that the code of an isolate reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// The code reaches what the process reaches.
    #[default]
    World,
    /// The code reads files and variables, and nothing leaves the isolate: connections, writes, child processes,
    /// signals and native libraries are denied. [`Vitals::denied`](crate::Vitals::denied) counts the attempts.
    Confined,
}

/// The preparation of a load.
#[derive(Debug)]
pub struct Preparation {
    /// The sources that were loaded last: the next load will be much the same.
    pub like: Arc<dyn Sources>,
    /// The time after which the preparation is given up.
    pub timeout: Duration,
    /// The bounds on the prepared isolate.
    pub memory: MemoryLimits,
}

/// The most that an isolate may hold, in bytes. Near a limit it is condemned, at the limit terminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// The limit for its JavaScript heap.
    pub heap: usize,
    /// The limit for the contents of its `ArrayBuffer`s and `Buffer`s, which are outside of the heap.
    pub buffers: usize,
}

/// An isolate that is ready for calls, and the contents of its project.
#[derive(Debug)]
pub struct LoadedIsolate {
    /// The isolate, which takes calls from now on.
    pub isolate: Arc<dyn Isolate>,
    /// The functions and apps that its modules export.
    pub manifest: Manifest,
}
