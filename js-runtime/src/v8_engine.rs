//! The parts that exist once per process: the V8 platform, the TLS provider, the startup snapshot, the caches that
//! all isolates share.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use js_runtime_api::{
    Engine, EngineRelease, KeptSources, LoadError, LoadErrorKind, LoadRequest, LoadStage, LoadedIsolate, Losses,
    Preparation, Project, Reach, Sources, regular_file,
};

use crate::ahead::AheadModules;
use crate::built_in::{BuiltIn, BuiltIns};
use crate::isolate::{self, EndingIsolates, LoadFailure};
use crate::isolate_maker::IsolateMaker;
use crate::position::relative_to;
use crate::source::caches::Caches;
use crate::source::common::CommonParts;
use crate::source::description;
use crate::source::snapshot::SourceSnapshot;
use crate::spare::{SparePreparation, Spares};
use crate::startup_snapshot::StartupSnapshot;
use crate::v8_release;

/// The origin of the startup snapshot.
#[derive(Debug, Clone, Copy)]
pub enum SnapshotSource<'a> {
    /// The snapshot is in this binary: it is what [`startup_snapshot::make`](crate::startup_snapshot::make) wrote.
    Embedded(&'static [u8]),
    /// From the cache folder; made once, by this binary with these arguments, which make it call
    /// [`startup_snapshot::make`](crate::startup_snapshot::make) with the path that follows them.
    Made(&'a [&'a OsStr]),
}

/// Loads projects into V8 isolates.
pub struct V8Engine {
    startup: StartupSnapshot,
    caches: Arc<Caches>,
    common: Arc<CommonParts>,
    built_ins: Arc<BuiltIns>,
    deno_dir: PathBuf,
    /// Tells whether accesses are audited, so that the engine sees what a module reaches that is evaluated ahead.
    prepares: bool,
    spares: Arc<Spares>,
    left_behind: Arc<EndingIsolates>,
}

impl V8Engine {
    /// Makes the engine. V8 has to be up.
    pub(crate) fn new(
        startup: StartupSnapshot,
        caches: Caches,
        built_ins: Vec<BuiltIn>,
        deno_dir: PathBuf,
        prepares: bool,
    ) -> Self {
        Self {
            startup,
            caches: Arc::new(caches),
            common: Arc::default(),
            built_ins: Arc::new(BuiltIns::new(built_ins)),
            deno_dir,
            prepares,
            spares: Arc::default(),
            left_behind: Arc::default(),
        }
    }

    /// Writes the results that are not in the cache folder yet: at the end of the process.
    pub fn close(&self) {
        self.caches.close();
    }

    fn maker(&self) -> IsolateMaker {
        IsolateMaker {
            startup: self.startup,
            caches: self.caches.clone(),
            built_ins: self.built_ins.clone(),
            deno_dir: self.deno_dir.clone(),
            left_behind: self.left_behind.clone(),
        }
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
        let env_file = project.environment.file.clone();
        let sources = SourceSnapshot::begin(project, self.common.clone()).map_err(|(path, error)| {
            let kind = if regular_file::is_lack(&error) {
                LoadErrorKind::System
            } else {
                LoadErrorKind::Resolve
            };
            let is_missing = error.kind() == std::io::ErrorKind::NotFound;
            let is_env_file = is_missing && env_file.as_deref() == Some(path.as_path());
            let help = if is_env_file {
                "Create it, or name another one: --env-file, or [env] file in baton.toml."
            } else {
                "Make it readable, or name another folder or file to serve."
            };
            let error = LoadError {
                kind,
                message: format!("cannot read {}: {error}", path.display()),
                help: (kind != LoadErrorKind::System).then(|| help.to_owned()),
                file: Some(path.display().to_string()),
                ..LoadError::default()
            };
            relative_to(error, &root).with_help()
        })?;
        Ok(sources)
    }

    fn restore(&self, project: Project, kept: &KeptSources) -> Result<Arc<dyn Sources>, String> {
        Ok(description::restore(project, kept, &self.common)?)
    }

    fn load(&self, request: LoadRequest) -> BoxFuture<'static, Result<LoadedIsolate, LoadError>> {
        let (maker, spares) = (self.maker(), self.spares.clone());
        async move {
            let sources = own(request.sources.clone())?;
            sources.take_lack();
            let is_confined = request.reach == Reach::Confined;
            let mut loaded = load(request, sources.clone(), &maker, &spares).await;
            if let Err(error) = &mut loaded
                && sources.take_lack()
            {
                error.kind = LoadErrorKind::System;
            }
            if !is_confined {
                spares.note_read(&sources);
            }
            loaded.map_err(LoadError::with_help)
        }
        .boxed()
    }

    fn prepare(&self, preparation: Preparation) -> BoxFuture<'static, ()> {
        let Preparation { like, timeout, memory } = preparation;
        let (maker, spares, common) = (self.maker(), self.spares.clone(), self.common.clone());
        let prepares = self.prepares;
        async move {
            if prepares && let Ok(like) = own(like) {
                let preparing = SparePreparation {
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

/// Loads in a spare, if there is one and it makes no difference, else in an isolate made for the load. That spare is
/// the one with these sources; where something was loaded from them before, any spare that has read nothing else.
async fn load(
    request: LoadRequest,
    sources: Arc<SourceSnapshot>,
    maker: &IsolateMaker,
    spares: &Spares,
) -> Result<LoadedIsolate, LoadError> {
    let LoadRequest {
        name,
        timeout,
        queue,
        memory,
        progress,
        reach,
        ..
    } = request;
    // A spare has evaluated modules that reached the world.
    let takes_spare = reach == Reach::World;
    let own = takes_spare.then(|| spares.take(&sources)).flatten();
    let is_own = own.is_some();
    let spare = match own {
        Some(own) => Some(own),
        None if takes_spare => spares.take_joined(&sources, timeout).await,
        None => None,
    };
    if let Some(spare) = spare.filter(|spare| spare.memory == memory) {
        match spare
            .isolate
            .load(name.clone(), queue.clone(), timeout, &progress)
            .await
        {
            Ok(loaded) => return Ok(loaded),
            // The modules evaluated ahead are never the reason.
            Err(LoadFailure::Failed(error)) if error.kind != LoadErrorKind::Evaluate || spare.ahead.is_empty() => {
                return Err(error);
            }
            Err(LoadFailure::Failed(_)) => {}
            Err(LoadFailure::Unsuited(why)) => {
                tracing::debug!(?why, "the spare isolate does not suit this code: loading it in another");
                spares.found_unsuited(spare.ahead, why);
            }
        }
        if is_own {
            sources.begin_anew();
        }
    }
    progress.reached(LoadStage::Secrets);
    let isolate = maker
        .begin(sources, (memory, reach), AheadModules::default(), &name)
        .await?;
    progress.reached(LoadStage::Starting);
    isolate
        .load(name, queue, timeout, &progress)
        .await
        .map_err(|not| match not {
            LoadFailure::Failed(error) => error,
            LoadFailure::Unsuited(_) => LoadError::bug("the isolate ended before it loaded the project"),
        })
}

fn own(sources: Arc<dyn Sources>) -> Result<Arc<SourceSnapshot>, LoadError> {
    sources
        .as_any()
        .downcast()
        .map_err(|_| LoadError::bug("the sources belong to another engine"))
}
