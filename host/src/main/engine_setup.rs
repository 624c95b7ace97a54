//! V8 in this process: it comes up while there is one thread, and has folders for its files.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use host::telemetry::logs;
use host::{cli, descriptors, posix};
use js_runtime::startup_snapshot::{self, SnapshotError};
use js_runtime::{SnapshotSource, V8Engine};
use js_runtime_api::Engine;
use js_runtime_bun::BUN;
use tokio::runtime::Runtime;

use super::failure::Failure;

/// The startup snapshot that `bin/release` puts into the binary; other binaries make their own.
#[cfg(embedded_snapshot)]
static EMBEDDED_SNAPSHOT: Option<&[u8]> = Some(include_bytes!(env!("BATON_STARTUP_SNAPSHOT")));
#[cfg(not(embedded_snapshot))]
static EMBEDDED_SNAPSHOT: Option<&[u8]> = None;

/// Brings V8 up, then the threads that write the log. `source_maps`: for debuggers.
pub(super) fn start(source_maps: bool) -> Result<Arc<V8Engine>, SnapshotError> {
    descriptors::raise_limit();
    descriptors::keep_reserve();
    let folder = cache_folder();
    let code = code_cache(&folder);
    let maker = cli::snapshot_maker();
    let snapshot = EMBEDDED_SNAPSHOT.map_or(SnapshotSource::Made(&maker), SnapshotSource::Embedded);
    let engine = V8Engine::builder(folder, snapshot)
        .code_cache(code)
        .source_maps(source_maps)
        .built_in(BUN)
        // These settings are for the whole process: one host has it alone, and all its isolates share it.
        .empty_standard_input()
        .share_freed_memory()
        .install_tls_provider()
        .keep_heaps_small()
        .audit_accesses()
        .contain_failures()
        .start();
    logs::flow();
    engine.map(Arc::new)
}

/// Does the same as [`start`], for a command that has a terminal to itself.
pub(super) fn start_quietly() -> Result<Arc<V8Engine>, SnapshotError> {
    logs::start_quietly();
    start(false)
}

pub(super) fn as_engine(engine: Arc<V8Engine>) -> Arc<dyn Engine> {
    engine
}

/// Runs on these threads to the end, then takes the threads and the engine down.
pub(super) fn run<T>(
    engine: Option<Arc<V8Engine>>,
    threads: io::Result<Runtime>,
    life: impl Future<Output = T>,
) -> Result<T, Failure> {
    let threads = threads.map_err(|error| Failure::new(1, miette::miette!("cannot start threads: {error}")))?;
    let lived = threads.block_on(life);
    // A call that was cut may still hold a thread; the process ends all the same.
    threads.shutdown_background();
    if let Some(engine) = engine {
        engine.close();
    }
    Ok(lived)
}

/// Makes the startup snapshot, for a process that starts.
pub(super) fn make_snapshot(path: &Path) -> Result<ExitCode, miette::Report> {
    match startup_snapshot::make(path) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(miette::miette!(
            "cannot make the startup snapshot {}: {error}",
            path.display()
        )),
    }
}

/// Returns the folder for files that can be made again: `$XDG_CACHE_HOME/baton`, else `~/.cache/baton`; without a
/// home a folder of this user alone, among the temporary files.
fn cache_folder() -> PathBuf {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    match cache {
        Some(cache) => cache.join("baton"),
        None => std::env::temp_dir().join(format!("baton-{}", posix::effective_user())),
    }
}

/// Returns the folder for files that are made from the project's files: `BATON_CODE_CACHE`; none if that is `off`;
/// else a folder below the cache folder.
fn code_cache(cache_folder: &Path) -> Option<PathBuf> {
    match std::env::var_os("BATON_CODE_CACHE").filter(|value| !value.is_empty()) {
        Some(value) if value == "off" => None,
        Some(folder) => Some(folder.into()),
        None => Some(cache_folder.join("code")),
    }
}
