//! What there is once per process: the V8 platform, the TLS provider, the startup snapshot, the
//! caches that all isolates share.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use deno_core::v8;
use futures::FutureExt;
use futures::future::BoxFuture;
use js_runtime_api::{
    Engine, EngineRelease, Entry, KeptSources, LoadError, LoadErrorKind, LoadRequest, LoadStage, Loaded, Losses,
    MemoryLimits, Preparation, Project, Sources, regular_file,
};

use tempfile::TempDir;

use crate::built_in::{BuiltIn, BuiltIns};
use crate::compat::posix::{empty_standard_input, share_freed_memory};
use crate::compat::witness;
use crate::diagnostics::relative_to;
use crate::isolate::{self, Begun, LeftBehind, NotLoaded, Spec};
use crate::source::caches::Caches;
use crate::source::common::Common;
use crate::source::kept;
use crate::source::snapshot::SourceSnapshot;
use crate::spare::{Ahead, Preparing, Spares};
use crate::startup_snapshot::{self, SnapshotError, StartupSnapshot};
use crate::v8_release;

/// Where the startup snapshot comes from.
#[derive(Debug, Clone, Copy)]
pub enum SnapshotSource<'a> {
    /// From this binary: what [`startup_snapshot::make`] wrote is part of it.
    Embedded(&'static [u8]),
    /// From the cache folder; made once, by this binary with these arguments, which make it call
    /// [`startup_snapshot::make`] with the path that follows them.
    Made(&'a [&'a OsStr]),
}

/// Loads projects into V8 isolates.
pub struct V8Engine {
    startup: StartupSnapshot,
    caches: Arc<Caches>,
    common: Arc<Common>,
    built_ins: Arc<BuiltIns>,
    deno_dir: PathBuf,
    spares: Arc<Spares>,
    left_behind: Arc<LeftBehind>,
}

impl V8Engine {
    /// Brings V8 up. Call it before the process has a second thread: V8 wants one ancestor for
    /// all threads that run isolates.
    ///
    /// From then on the process's standard input is empty: no isolate may take what is not its own,
    /// nor wait for it.
    ///
    /// `cache_folder` keeps what can be made again, `code_cache` what is made of the projects' files.
    ///
    /// # Errors
    /// When there is no startup snapshot and none can be made.
    pub fn start(
        cache_folder: PathBuf,
        code_cache: Option<PathBuf>,
        snapshot: SnapshotSource<'_>,
    ) -> Result<Self, SnapshotError> {
        share_freed_memory();
        witness::listen();
        // Fails only when a provider is installed already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        if let Err(error) = empty_standard_input() {
            tracing::warn!(%error, "user code can read the standard input of the host");
        }
        let startup = match snapshot {
            SnapshotSource::Embedded(file) => startup_snapshot::embedded(file)?,
            SnapshotSource::Made(maker) => startup_snapshot::obtain(&cache_folder, maker)?,
        };
        // The memory of an isolate that ended is the system's again, and not kept for the next one.
        v8::V8::set_flags_from_string("--no-memory-pool-share-memory-on-teardown");
        // In MiB, an eighth of V8's default. What a call of the SDK leaves is still reachable when V8 looks
        // first, so a larger young generation takes longer to collect, in the middle of a call.
        v8::V8::set_flags_from_string("--max-semi-space-size=4");
        // In MiB. What a load leaves stays: a look for garbage in the middle of it finds next to none.
        v8::V8::set_flags_from_string("--initial-old-space-size=64");
        deno_core::JsRuntime::init_platform(None);
        Ok(Self {
            startup,
            caches: Arc::new(Caches::kept_in(code_cache)),
            common: Arc::default(),
            built_ins: Arc::default(),
            deno_dir: cache_folder.join("deno"),
            spares: Arc::default(),
            left_behind: Arc::default(),
        })
    }

    fn maker(&self) -> Maker {
        Maker {
            startup: self.startup,
            caches: self.caches.clone(),
            built_ins: self.built_ins.clone(),
            deno_dir: self.deno_dir.clone(),
            left_behind: self.left_behind.clone(),
        }
    }
}

impl V8Engine {
    /// Gives V8 each file's source map with its code, so that debuggers show what was written. Before the
    /// first load.
    #[must_use]
    pub fn with_source_maps(mut self) -> Self {
        self.caches = Arc::new(self.caches.with_source_maps());
        self
    }

    /// Makes these modules part of the runtime. Before the first load.
    #[must_use]
    pub fn with_built_ins(mut self, built_ins: Vec<BuiltIn>) -> Self {
        self.built_ins = Arc::new(BuiltIns::new(built_ins));
        self
    }

    /// Writes what is not in the cache folder yet: at the end of the process.
    pub fn close(&self) {
        self.caches.close();
    }
}

impl Engine for V8Engine {
    fn release(&self) -> Option<EngineRelease> {
        Some(v8_release::release())
    }

    fn read(&self, project: Project) -> Result<Arc<dyn Sources>, LoadError> {
        if let Some(sources) = self.spares.sources(&project) {
            return Ok(sources);
        }
        let root = project.root.clone();
        let sources = SourceSnapshot::begin(project, self.common.clone()).map_err(|(path, error)| {
            let kind = if regular_file::is_lack(&error) {
                LoadErrorKind::System
            } else {
                LoadErrorKind::Resolve
            };
            let error = LoadError {
                kind,
                message: format!("cannot read {}: {error}", path.display()),
                file: Some(path.display().to_string()),
                ..LoadError::default()
            };
            relative_to(error, &root)
        })?;
        Ok(sources)
    }

    fn restore(&self, project: Project, kept: &KeptSources) -> Result<Arc<dyn Sources>, String> {
        Ok(kept::restore(project, kept, &self.common)?)
    }

    fn load(&self, request: LoadRequest) -> BoxFuture<'static, Result<Loaded, LoadError>> {
        let (maker, spares) = (self.maker(), self.spares.clone());
        async move {
            let sources = own(request.sources.clone())?;
            sources.take_lack();
            let mut loaded = load(request, sources.clone(), &maker, &spares).await;
            if let Err(error) = &mut loaded
                && sources.take_lack()
            {
                error.kind = LoadErrorKind::System;
            }
            spares.note_read(&sources);
            loaded
        }
        .boxed()
    }

    fn prepare(&self, preparation: Preparation) -> BoxFuture<'static, ()> {
        let Preparation { like, timeout, memory } = preparation;
        let (maker, spares, common) = (self.maker(), self.spares.clone(), self.common.clone());
        async move {
            if let Ok(like) = own(like) {
                let preparing = Preparing {
                    maker,
                    spares,
                    common,
                    like,
                    memory,
                    timeout,
                };
                Arc::new(preparing).run().await;
            }
        }
        .boxed()
    }

    fn losses(&self) -> Losses {
        isolate::losses()
    }

    fn give_up_prepared(&self) -> BoxFuture<'static, ()> {
        let ended = self.spares.take_all().into_iter().map(|spare| spare.isolate.end());
        async move { drop(futures::future::join_all(ended).await) }.boxed()
    }
}

/// Loads in a spare, if there is one and it makes no difference, else in an isolate made for it. That is the spare that
/// has these sources; where something was loaded from them before, any that has read nothing else.
async fn load(
    request: LoadRequest,
    sources: Arc<SourceSnapshot>,
    maker: &Maker,
    spares: &Spares,
) -> Result<Loaded, LoadError> {
    let LoadRequest {
        name,
        timeout,
        queue,
        memory,
        progress,
        ..
    } = request;
    let own = spares.take(&sources);
    let is_own = own.is_some();
    let spare = own.or_else(|| spares.take_joined(&sources));
    if let Some(spare) = spare.filter(|spare| spare.memory == memory) {
        match spare
            .isolate
            .load(name.clone(), queue.clone(), timeout, &progress)
            .await
        {
            Ok(loaded) => return Ok(loaded),
            // Never because of what was evaluated ahead.
            Err(NotLoaded::Failed(error)) if error.kind != LoadErrorKind::Evaluate || spare.ahead.is_empty() => {
                return Err(error);
            }
            Err(NotLoaded::Failed(_)) => {}
            Err(NotLoaded::Unsuited(why)) => {
                tracing::debug!(
                    ?why,
                    "the spare isolate makes a difference to this code: loading it in another"
                );
                spares.found_unsuited(spare.ahead, why);
            }
        }
        if is_own {
            sources.begin_anew();
        }
    }
    progress.reached(LoadStage::Secrets);
    let isolate = maker.begin(sources, memory, Ahead::default(), &name).await?;
    progress.reached(LoadStage::Starting);
    isolate
        .load(name, queue, timeout, &progress)
        .await
        .map_err(|not| match not {
            NotLoaded::Failed(error) => error,
            NotLoaded::Unsuited(_) => error("the isolate ended before it was loaded"),
        })
}

/// What isolates are made of, whatever they are for.
pub(crate) struct Maker {
    startup: StartupSnapshot,
    pub(crate) caches: Arc<Caches>,
    built_ins: Arc<BuiltIns>,
    deno_dir: PathBuf,
    left_behind: Arc<LeftBehind>,
}

impl Maker {
    /// Has one begin.
    ///
    /// # Errors
    /// When the command that prints variables fails, or the system has no room for it.
    pub(crate) async fn begin(
        &self,
        sources: Arc<SourceSnapshot>,
        memory: MemoryLimits,
        ahead: Ahead,
        name: &str,
    ) -> Result<Begun, LoadError> {
        let obtained = tokio::task::spawn_blocking({
            let sources = sources.clone();
            move || sources.obtain_secrets()
        });
        match obtained.await {
            Ok(obtained) => obtained?,
            Err(panicked) => return Err(error(format!("secret_command was not run to its end: {panicked}"))),
        }
        let sockets = match sources.project().entry {
            Entry::Folder(_) => None,
            Entry::File(_) => {
                let made = socket_folder();
                Some(made.map_err(|failed| LoadError {
                    kind: LoadErrorKind::System,
                    ..error(format!("cannot make a folder for the isolate's sockets: {failed}"))
                })?)
            }
        };
        let spec = Spec {
            sources,
            caches: self.caches.clone(),
            built_ins: self.built_ins.clone(),
            startup: self.startup,
            deno_dir: self.deno_dir.clone(),
            memory,
            ahead,
            sockets,
        };
        isolate::begin(spec, name, self.left_behind.clone())
    }
}

fn own(sources: Arc<dyn Sources>) -> Result<Arc<SourceSnapshot>, LoadError> {
    sources
        .as_any()
        .downcast()
        .map_err(|_| error("these sources are not of this engine"))
}

fn error(message: impl Into<String>) -> LoadError {
    LoadError {
        message: message.into(),
        ..LoadError::default()
    }
}

/// A folder of this user's alone, for an isolate's sockets. A socket's path may have a hundred bytes
/// and no more, which leaves out many a `TMPDIR`.
fn socket_folder() -> std::io::Result<TempDir> {
    const LONGEST: usize = 70;
    let usual = std::env::temp_dir();
    let folder = if usual.as_os_str().len() > LONGEST {
        PathBuf::from("/tmp")
    } else {
        usual
    };
    tempfile::Builder::new().prefix("baton-").tempdir_in(folder)
}
