//! A request while it is worked on: first the comparison with the disk, then the load itself, beside the generation
//! that serves.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt as _};
use js_runtime_api::{
    CallQueue, Engine, LoadError, LoadErrorKind, LoadProgress, LoadRequest, LoadStage, LoadedIsolate, MemoryLimits,
    Reach, Sources,
};

use tracing::warn;

use super::project_place::ProjectPlace;
use super::reload_queue::{Reason, WantedCode};
use super::state::GenerationId;
use crate::replay::ReplayReport;
use crate::{blocking, descriptors, git};

/// The one request that is worked on.
pub(super) struct RunningLoad {
    pub(super) want: WantedCode,
    pub(super) reason: Reason,
    pub(super) began: Instant,
    phase: LoadPhase,
    /// The sources that are being loaded, once their reading has begun.
    sources: Arc<OnceLock<Arc<dyn Sources>>>,
    load_began: Instant,
    progress: LoadProgress,
}

/// The time after which whoever waits for a load is told its stage.
const LONG: Duration = Duration::from_secs(1);

/// The limit for finding out whether the disk changed. A disk that does not answer for so long is loaded from.
const COMPARED_WITHIN: Duration = Duration::from_secs(60);

/// The limit for the disk to list a project's modules.
const LISTED_WITHIN: Duration = Duration::from_secs(60);

/// The number of loads in a row that are given up for newer edits. The next load runs to its end, so that edits
/// without end are served too.
const SUPERSEDED_IN_A_ROW: u32 = 10;

/// Loads in a row that were given up for newer edits.
#[derive(Debug, Clone, Copy)]
pub(super) struct SupersededLoads {
    /// The beginning of the first of them.
    pub(super) since: Instant,
    times: u32,
}

impl SupersededLoads {
    /// Counts one more load that is given up and that began then.
    pub(super) fn once_more(before: Option<Self>, began: Instant) -> Self {
        Self {
            since: before.map_or(began, |before| before.since),
            times: before.map_or(1, |before| before.times + 1),
        }
    }

    /// Tells whether one load more may be given up.
    pub(super) fn may_go_on(before: Option<Self>) -> bool {
        before.is_none_or(|before| before.times < SUPERSEDED_IN_A_ROW)
    }
}

enum LoadPhase {
    Comparing(BoxFuture<'static, DiskComparison>),
    Loading(GenerationId, BoxFuture<'static, LoadResult>),
    Admitting(BoxFuture<'static, Box<Admission>>),
}

/// The end of a phase.
pub(super) enum LoadPhaseEnd {
    /// The disk was compared; a generation begins only if something changed.
    Compared(DiskComparison),
    Loaded(GenerationId, Box<LoadResult>),
    /// The gates have said whether the generation may get runs.
    Admitted(Box<Admission>),
}

/// A loaded generation that waits to get runs, and the word about it.
pub(super) struct Admission {
    pub(super) id: GenerationId,
    pub(super) loaded: LoadedIsolate,
    pub(super) sources: Arc<dyn Sources>,
    pub(super) origin: SourceOrigin,
    pub(super) queue: Arc<CallQueue>,
    /// The outcome of replaying live runs, where that came first.
    pub(super) replay: Option<ReplayReport>,
    pub(super) word: Result<(), LoadError>,
}

/// The outcome of comparing the disk with the sources that were read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiskComparison {
    Changed,
    /// The disk reads as it did for the current generation.
    AsCurrent,
    /// The disk reads as it did when it was read last; that code does not serve.
    AsReadLast,
}

pub(super) struct LoadResult {
    pub(super) loaded: Result<LoadedIsolate, LoadError>,
    /// `None` when not even the list of modules could be read.
    pub(super) sources: Option<Arc<dyn Sources>>,
    pub(super) origin: SourceOrigin,
    /// Tells whether the load failed and the disk changed meanwhile: the load may have read something half done.
    pub(super) torn: bool,
    /// The queue from which the isolate takes its calls.
    pub(super) queue: Arc<CallQueue>,
}

/// The origin of a generation's sources.
#[derive(Debug, Clone)]
pub(super) struct SourceOrigin {
    /// The commit that was checked out, where there is git.
    pub(super) git: Option<String>,
    /// The project that they are of.
    pub(super) place: ProjectPlace,
    /// The earlier generation whose sources these are.
    pub(super) restored_from: Option<GenerationId>,
}

/// The input of a load.
pub(super) struct LoadInput {
    pub(super) id: GenerationId,
    pub(super) place: ProjectPlace,
    /// The sources to load; `None`: those on the disk.
    pub(super) sources: Option<(SourceOrigin, Arc<dyn Sources>)>,
    pub(super) timeout: Duration,
    pub(super) memory: MemoryLimits,
}

impl RunningLoad {
    /// Begins with comparing the disk with the sources that serve, and with those that were read last.
    pub(super) fn compare(
        want: WantedCode,
        reason: Reason,
        began: Instant,
        current: Option<Arc<dyn Sources>>,
        read_last: Option<Arc<dyn Sources>>,
    ) -> Self {
        // Mostly the two are the same.
        let read_last = read_last.filter(|last| current.as_ref().is_none_or(|current| !Arc::ptr_eq(current, last)));
        let compared = async {
            let reads_as = |sources: Arc<dyn Sources>| !sources.is_changed_on_disk() && !sources.secrets_changed();
            let compared = blocking::run("comparing the files", COMPARED_WITHIN, move || {
                if current.is_some_and(reads_as) {
                    DiskComparison::AsCurrent
                } else if read_last.is_some_and(reads_as) {
                    DiskComparison::AsReadLast
                } else {
                    DiskComparison::Changed
                }
            });
            // A comparison without an outcome is settled by a load.
            compared.await.unwrap_or_else(|error| {
                warn!(%error, "cannot compare the files with the current generation: loading them");
                DiskComparison::Changed
            })
        };
        Self {
            want,
            reason,
            began,
            phase: LoadPhase::Comparing(compared.boxed()),
            sources: Arc::default(),
            load_began: began,
            progress: LoadProgress::default(),
        }
    }

    /// Loads the generation.
    pub(super) fn load(
        want: WantedCode,
        reason: Reason,
        began: Instant,
        engine: Arc<dyn Engine>,
        making: LoadInput,
    ) -> Self {
        let id = making.id;
        let sources = Arc::<OnceLock<_>>::default();
        let progress = LoadProgress::default();
        Self {
            want,
            reason,
            began,
            phase: LoadPhase::Loading(
                id,
                load_or_say_why(engine, making, sources.clone(), progress.clone()).boxed(),
            ),
            sources,
            load_began: Instant::now(),
            progress,
        }
    }

    /// Waits for the replays of a generation that was loaded, and then for the words of the gates, one after the other:
    /// each may refuse it.
    pub(super) fn admit(
        want: WantedCode,
        reason: Reason,
        began: Instant,
        replays: impl Future<Output = (Option<ReplayReport>, Result<(), LoadError>)> + Send + 'static,
        words: Vec<BoxFuture<'static, Result<(), LoadError>>>,
        mut admission: Box<Admission>,
    ) -> Self {
        let admitted = async move {
            (admission.replay, admission.word) = replays.await;
            for word in words {
                if admission.word.is_ok() {
                    admission.word = word.await;
                }
            }
            admission
        };
        Self {
            want,
            reason,
            began,
            phase: LoadPhase::Admitting(admitted.boxed()),
            sources: Arc::default(),
            load_began: began,
            progress: LoadProgress::default(),
        }
    }

    /// The generation that is being loaded.
    pub(super) fn generation(&self) -> Option<GenerationId> {
        match self.phase {
            LoadPhase::Comparing(_) | LoadPhase::Admitting(_) => None,
            LoadPhase::Loading(id, _) => Some(id),
        }
    }

    /// The generation whose load takes long, the load's stage, and the time that it has run.
    pub(super) fn long_load(&self) -> Option<(GenerationId, LoadStage, Duration)> {
        let elapsed = self.load_began.elapsed();
        match self.phase {
            LoadPhase::Loading(id, _) if elapsed >= LONG => Some((id, self.progress.stage(), elapsed)),
            LoadPhase::Comparing(_) | LoadPhase::Loading(..) | LoadPhase::Admitting(_) => None,
        }
    }

    /// The sources of the generation that is being loaded, once their reading has begun.
    pub(super) fn read(&self) -> Option<Arc<dyn Sources>> {
        self.sources.get().cloned()
    }
}

/// The generation of a running load, and the answer to whether files that the load has read have changed since.
pub(super) type OutdatedCheck = BoxFuture<'static, (GenerationId, bool)>;

/// Begins to find out whether the disk differs from what the load has read so far.
pub(super) fn find_out_whether_outdated((id, sources): (GenerationId, Arc<dyn Sources>)) -> OutdatedCheck {
    let compare = move || sources.is_changed_on_disk();
    let changed = blocking::run("comparing the files", COMPARED_WITHIN, compare);
    // A load that reads a disk that does not answer has a limit of its own.
    async move { (id, changed.await.unwrap_or(false)) }.boxed()
}

/// Waits for the answer of [`find_out_whether_outdated`]; without end while nobody asks.
pub(super) async fn next_outdated(outdated: &mut Option<OutdatedCheck>) -> (GenerationId, bool) {
    match outdated.as_mut() {
        Some(asked) => {
            let answer = asked.await;
            *outdated = None;
            answer
        }
        None => std::future::pending().await,
    }
}

/// Loads a generation. A panic of the engine is an answer, too: the keeper is to outlive it.
async fn load_or_say_why(
    engine: Arc<dyn Engine>,
    making: LoadInput,
    reading: Arc<OnceLock<Arc<dyn Sources>>>,
    progress: LoadProgress,
) -> LoadResult {
    let origin = SourceOrigin {
        git: None,
        place: making.place.clone(),
        restored_from: making.sources.as_ref().and_then(|(origin, _)| origin.restored_from),
    };
    let _room = descriptors::make_room();
    let loading = load(engine, making, reading.clone(), progress);
    AssertUnwindSafe(loading)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| LoadResult {
            loaded: Err(panicked()),
            sources: reading.get().cloned(),
            origin,
            torn: false,
            queue: Arc::default(),
        })
}

/// The error of a load that panicked.
pub(super) fn panicked() -> LoadError {
    LoadError {
        kind: LoadErrorKind::System,
        message: "the load panicked".to_owned(),
        help: Some("This is a bug in Baton: please report it with the log above.".to_owned()),
        ..LoadError::default()
    }
}

async fn load(
    engine: Arc<dyn Engine>,
    making: LoadInput,
    reading: Arc<OnceLock<Arc<dyn Sources>>>,
    progress: LoadProgress,
) -> LoadResult {
    let LoadInput {
        id,
        place,
        sources,
        timeout,
        memory,
    } = making;
    let queue = Arc::new(CallQueue::default());
    let request = |sources| LoadRequest {
        name: format!("generation-{id}"),
        sources,
        timeout,
        queue: queue.clone(),
        memory,
        progress: progress.clone(),
        reach: Reach::World,
    };
    if let Some((origin, sources)) = sources {
        return LoadResult {
            loaded: engine.load(request(sources.clone())).await,
            sources: Some(sources),
            origin,
            torn: false,
            queue,
        };
    }
    let (project, root) = (place.project.clone(), place.project.root.clone());
    let loading = async {
        let begin = blocking::run("listing the modules", LISTED_WITHIN, {
            let engine = engine.clone();
            move || engine.read(project)
        });
        let read = begin.await.unwrap_or_else(|error| {
            Err(LoadError {
                kind: LoadErrorKind::System,
                message: format!("cannot read the project's folder: {error}"),
                help: Some("Look whether its disk answers, then run `baton reload`.".to_owned()),
                ..LoadError::default()
            })
        });
        match read {
            Ok(sources) => {
                // Set once, here.
                let _ = reading.set(sources.clone());
                (engine.load(request(sources.clone())).await, Some(sources))
            }
            Err(error) => (Err(error), None),
        }
    };
    let commit = async {
        match &place.release {
            // The commit is that of the machine that made the release.
            Some(release) => release.config.git.clone(),
            None => git::head(&root).await.map(|head| head.to_string()),
        }
    };
    let ((loaded, sources), git) = tokio::join!(loading, commit);
    let torn = match (&loaded, sources.clone()) {
        (Err(_), Some(read)) => {
            let compare = move || read.is_changed_on_disk();
            let changed = blocking::run("comparing the files", COMPARED_WITHIN, compare).await;
            changed.unwrap_or_default()
        }
        _ => false,
    };
    LoadResult {
        loaded,
        sources,
        torn,
        origin: SourceOrigin {
            git,
            place,
            restored_from: None,
        },
        queue,
    }
}

/// Waits until the phase of the running request ends; without end while none runs. The future may be dropped and the
/// function called again.
pub(super) async fn next_done(running: &mut Option<RunningLoad>) -> LoadPhaseEnd {
    match running.as_mut().map(|running| &mut running.phase) {
        Some(LoadPhase::Comparing(changed)) => LoadPhaseEnd::Compared(changed.await),
        Some(LoadPhase::Loading(id, result)) => LoadPhaseEnd::Loaded(*id, Box::new(result.await)),
        Some(LoadPhase::Admitting(admitted)) => LoadPhaseEnd::Admitted(admitted.await),
        None => std::future::pending().await,
    }
}
