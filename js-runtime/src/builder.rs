//! The making of an engine: its settings, and the changes that it makes to the process in which it runs.

use std::path::PathBuf;

use deno_core::v8;

use crate::built_in::BuiltIn;
use crate::compat::witness;
use crate::isolate;
use crate::source::caches::Caches;
use crate::startup_snapshot::{self, SnapshotError};
use crate::system::posix::{FreedMemory, empty_standard_input};
use crate::v8_engine::{SnapshotSource, V8Engine};

/// Makes a [`V8Engine`], once per process.
///
/// V8's platform belongs to the process in any case. Every other change to the process is a method of its own:
/// without its call the process stays as it is.
#[derive(Debug)]
#[must_use = "nothing has happened until it is started"]
pub struct Builder<'a> {
    cache_folder: PathBuf,
    snapshot: SnapshotSource<'a>,
    code_cache: Option<PathBuf>,
    source_maps: bool,
    built_ins: Vec<BuiltIn>,
    changes: ProcessChanges,
}

/// The changes to the process.
#[derive(Debug, Default)]
struct ProcessChanges {
    empties_standard_input: bool,
    shares_freed_memory: bool,
    installs_tls_provider: bool,
    keeps_heaps_small: bool,
    audits_accesses: bool,
    contains_failures: bool,
}

impl V8Engine {
    /// Begins to make an engine, with a folder for what can be made again, and the startup snapshot.
    pub fn builder(cache_folder: PathBuf, snapshot: SnapshotSource<'_>) -> Builder<'_> {
        Builder::new(cache_folder, snapshot)
    }
}

impl<'a> Builder<'a> {
    fn new(cache_folder: PathBuf, snapshot: SnapshotSource<'a>) -> Self {
        Self {
            cache_folder,
            snapshot,
            code_cache: None,
            source_maps: false,
            built_ins: Vec::new(),
            changes: ProcessChanges::default(),
        }
    }

    /// Keeps the results made of projects' files in this folder, for the next process.
    pub fn code_cache(mut self, folder: Option<PathBuf>) -> Self {
        self.code_cache = folder;
        self
    }

    /// Gives V8 each file's source map with its code, so that debuggers show the original text.
    pub fn source_maps(mut self, with: bool) -> Self {
        self.source_maps = with;
        self
    }

    /// Makes these modules part of the runtime.
    pub fn built_in(mut self, modules: BuiltIn) -> Self {
        self.built_ins.push(modules);
        self
    }

    /// Has the standard input of the process be empty: no isolate may take what is not its own, nor wait for it.
    pub fn empty_standard_input(mut self) -> Self {
        self.changes.empties_standard_input = true;
        self
    }

    /// Has threads share freed memory (`M_ARENA_MAX` of glibc), for a process whose isolates come and go.
    pub fn share_freed_memory(mut self) -> Self {
        self.changes.shares_freed_memory = true;
        self
    }

    /// Installs the process's provider of TLS (`aws-lc-rs`), unless there is one. Code that connects needs one.
    pub fn install_tls_provider(mut self) -> Self {
        self.changes.installs_tls_provider = true;
        self
    }

    /// Sets V8's flags for many isolates with short calls: small young generations, and memory that goes back to the
    /// system with each isolate.
    pub fn keep_heaps_small(mut self) -> Self {
        self.changes.keeps_heaps_small = true;
        self
    }

    /// Listens to Deno's audit of accesses in the whole process. Without the audit nothing is evaluated ahead of a
    /// load ([`js_runtime_api::Engine::prepare`] does nothing), as nobody would see what the evaluation reaches.
    pub fn audit_accesses(mut self) -> Self {
        self.changes.audits_accesses = true;
        self
    }

    /// Limits a panic on an isolate's thread, or V8 that cannot go on, to that thread, so that the process goes on:
    /// by the process's panic hook, around the one that is there, and by V8's handler of fatal errors. Such a thread
    /// sleeps for ever.
    pub fn contain_failures(mut self) -> Self {
        self.changes.contains_failures = true;
        self
    }

    /// Brings V8 up, while the process has one thread: V8 wants one ancestor for all threads that run isolates.
    ///
    /// # Errors
    /// When there is no startup snapshot and none can be made.
    pub fn start(self) -> Result<V8Engine, SnapshotError> {
        let Self {
            cache_folder,
            snapshot,
            code_cache,
            source_maps,
            built_ins,
            changes,
        } = self;
        changes.before_v8();
        let startup = match snapshot {
            SnapshotSource::Embedded(file) => startup_snapshot::embedded(file)?,
            SnapshotSource::Made(maker) => startup_snapshot::obtain(&cache_folder, maker)?,
        };
        changes.flags_of_v8();
        deno_core::JsRuntime::init_platform(None);
        if changes.contains_failures {
            isolate::contain_failures();
        }
        let deno_dir = cache_folder.join("deno");
        let caches = Caches::kept_in(code_cache, source_maps);
        Ok(V8Engine::new(
            startup,
            caches,
            built_ins,
            deno_dir,
            changes.audits_accesses,
        ))
    }
}

impl ProcessChanges {
    fn before_v8(&self) {
        if self.shares_freed_memory {
            FreedMemory::Shared.tell();
        }
        if self.audits_accesses {
            witness::listen();
        }
        if self.installs_tls_provider {
            // This fails only when a provider is installed already, which is as good.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        if self.empties_standard_input
            && let Err(error) = empty_standard_input()
        {
            tracing::warn!(%error, "cannot replace the standard input: user code can read the host's");
        }
    }

    fn flags_of_v8(&self) {
        if self.keeps_heaps_small {
            // The memory of an isolate that ended is the system's again, and not kept for the next one.
            v8::V8::set_flags_from_string("--no-memory-pool-share-memory-on-teardown");
            // In MiB, an eighth of V8's default. What a call of the SDK leaves is still reachable when V8 looks
            // first, so a larger young generation takes longer to collect, in the middle of a call.
            v8::V8::set_flags_from_string("--max-semi-space-size=4");
            // In MiB. What a load leaves stays: a look for garbage in the middle of it finds next to none.
            v8::V8::set_flags_from_string("--initial-old-space-size=64");
        }
    }
}
