//! The sources of the generations that served last, so that one can go back to them: in memory, and
//! on the disk for the next host.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use js_runtime_api::{Engine, Sources};
use tokio::sync::watch;
use tracing::{debug, error, warn};

use super::project_place::{ProjectPlace, Projects};
use super::report::RollbackRefusal;
use super::state::GenerationId;
use super::store::{Store, StoredGeneration};
use crate::blocking;
use crate::tasks::OwnedTask;

/// The number of generations that one can go back to, the current one included.
pub const KEPT: usize = 5;
/// The limit for reading the sources that earlier hosts kept on the disk.
const READ_WITHIN: Duration = Duration::from_secs(15);
/// The limit for the disk to take the sources that are still to be written when the host ends.
const WRITE_GRACE: Duration = Duration::from_secs(5);

/// The generations that served last: see the module's documentation. The newest is last.
#[derive(Debug, Default)]
pub(super) struct History {
    all: VecDeque<PastGeneration>,
    /// The revision of each generation's sources when they were kept on the disk.
    on_disk: BTreeMap<GenerationId, usize>,
    store: Option<Arc<Store>>,
    writer: Option<Writer>,
}

/// A generation that served.
#[derive(Debug, Clone)]
pub(super) struct PastGeneration {
    pub(super) id: GenerationId,
    pub(super) git: Option<String>,
    pub(super) place: ProjectPlace,
    pub(super) sources: Arc<dyn Sources>,
}

/// Writes generations to the disk, one after another, beside everything else.
#[derive(Debug)]
struct Writer {
    /// The newest generation that is to be written: while the disk hangs, only this one waits.
    past: watch::Sender<Option<PastGeneration>>,
    /// The newest generation that was written, or could not be.
    done: watch::Receiver<Option<GenerationId>>,
    task: OwnedTask<()>,
}

impl History {
    /// Reads the generations that an earlier host kept. A store that cannot be read counts as empty.
    pub(super) async fn open(store: Store, engine: Arc<dyn Engine>, projects: Projects) -> Self {
        let restored = blocking::run("reading the kept generations", READ_WITHIN, move || {
            let kept = store.load();
            let restored = kept.into_iter().filter_map(|kept| restore(&kept, &*engine, &projects));
            (restored.collect(), store)
        });
        match restored.await {
            Ok((all, store)) => {
                let store = Arc::new(store);
                Self {
                    all,
                    on_disk: BTreeMap::new(),
                    writer: Some(Writer::start(store.clone(), None)),
                    store: Some(store),
                }
            }
            Err(error) => {
                error!(%error, "cannot read the kept generations");
                Self::default()
            }
        }
    }

    /// Keeps the sources of a generation that serves from now on.
    pub(super) fn push(&mut self, past: PastGeneration) {
        self.all.push_back(past.clone());
        if self.all.len() > KEPT
            && let Some(forgotten) = self.all.pop_front()
        {
            self.on_disk.remove(&forgotten.id);
        }
        self.keep_on_disk(past);
    }

    /// Keeps the newest generation on the disk again if it has read more since it was kept there.
    pub(super) fn refresh(&mut self) {
        let newest = self.all.back().cloned();
        if let Some(past) = newest
            && self
                .on_disk
                .get(&past.id)
                .is_some_and(|kept| *kept != past.sources.revision())
        {
            self.keep_on_disk(past);
        }
    }

    /// Waits until the disk has that generation or a newer one, or has refused it; returns at once where nothing is
    /// written.
    pub(super) fn when_kept(&self, id: GenerationId) -> impl Future<Output = ()> + Send + use<> {
        let done = self.writer.as_ref().map(|writer| writer.done.clone());
        async move {
            if let Some(mut done) = done {
                // A writer that has ended writes nothing more.
                let _ = done.wait_for(|done| *done >= Some(id)).await;
            }
        }
    }

    fn keep_on_disk(&mut self, past: PastGeneration) {
        if let Some(writer) = &self.writer {
            self.on_disk.insert(past.id, past.sources.revision());
            // A writer that has ended has said why.
            writer.past.send_replace(Some(past));
        }
    }

    /// Ends the writer, and waits within a limit until the last generation is written.
    pub(super) async fn close(&mut self) {
        if let Some(Writer { past, task, .. }) = self.writer.take() {
            drop(past);
            if tokio::time::timeout(WRITE_GRACE, task.ended()).await.is_err() {
                warn!("the disk is slow: the last generation may not be kept");
            }
        }
    }

    /// Closes as [`Self::close`] does, and keeps the generations, too, that a newer one superseded before they were
    /// written: the next host is to have all of them.
    pub(super) async fn close_whole(&mut self) {
        self.close().await;
        let Some(store) = self.store.clone() else {
            return;
        };
        let all = self.all.clone();
        let write_missing = move || {
            let kept = store.ids();
            let missing = all.into_iter().filter(|past| !kept.contains(&past.id));
            missing.for_each(|past| write(&store, past));
        };
        let written = blocking::run("writing sources", WRITE_GRACE, write_missing);
        if written.await.is_err() {
            warn!("the disk is slow: the next host may not have all earlier generations");
        }
    }

    /// Starts the writer again, after [`Self::close`].
    pub(super) fn reopen(&mut self) {
        if self.writer.is_none() {
            let newest = self.newest();
            self.writer = self.store.clone().map(|store| Writer::start(store, newest));
        }
    }

    pub(super) fn kept(&self) -> Vec<GenerationId> {
        self.all.iter().map(|past| past.id).collect()
    }

    /// The number of the newest generation that is kept.
    pub(super) fn newest(&self) -> Option<GenerationId> {
        self.all.back().map(|past| past.id)
    }

    /// The newest generation before that one; `None`: the newest of all.
    pub(super) fn before(&self, id: Option<GenerationId>) -> Option<PastGeneration> {
        let mut newest_first = self.all.iter().rev();
        newest_first.find(|past| id.is_none_or(|id| past.id < id)).cloned()
    }

    /// The generation that is wanted, or without a number the newest one that is not the current one.
    pub(super) fn find(
        &self,
        wanted: Option<GenerationId>,
        current: Option<GenerationId>,
    ) -> Result<PastGeneration, RollbackRefusal> {
        let mut newest_first = self.all.iter().rev();
        let found = newest_first.find(|past| wanted.map_or(Some(past.id) != current, |wanted| wanted == past.id));
        found.cloned().ok_or_else(|| RollbackRefusal::new(wanted, &self.kept()))
    }
}

fn restore(kept: &StoredGeneration, engine: &dyn Engine, projects: &Projects) -> Option<PastGeneration> {
    let Some(place) = projects.place_of(kept.release.as_ref()) else {
        warn!(
            generation = kept.id.0,
            "kept generation is not used: its release was removed"
        );
        return None;
    };
    match engine.restore(place.project.clone(), &kept.sources) {
        Ok(sources) => Some(PastGeneration {
            id: kept.id,
            git: kept.git.clone(),
            place,
            sources,
        }),
        Err(error) => {
            warn!(generation = kept.id.0, error, "cannot use a kept generation");
            None
        }
    }
}

impl Writer {
    /// Starts to write what is newer than `done`.
    fn start(store: Arc<Store>, done: Option<GenerationId>) -> Self {
        let (past, mut to_write) = watch::channel(None::<PastGeneration>);
        let (written, done) = watch::channel(done);
        let task = OwnedTask::spawn("writer of sources", async move {
            // A generation that a newer one has superseded already is not written.
            while to_write.changed().await.is_ok() {
                let Some(newest) = to_write.borrow_and_update().clone() else {
                    continue;
                };
                let (store, id) = (store.clone(), newest.id);
                // A write that panicked has said so.
                let _ = tokio::task::spawn_blocking(move || write(&store, newest)).await;
                written.send_replace(Some(id));
            }
        });
        Self { past, done, task }
    }
}

fn write(store: &Store, past: PastGeneration) {
    let PastGeneration {
        id,
        git,
        place,
        sources,
    } = past;
    let kept = sources.keep().map_err(std::io::Error::other).and_then(|sources| {
        let kept = StoredGeneration {
            id,
            git,
            release: place.digest().cloned(),
            sources,
        };
        store.keep(&kept)
    });
    match kept {
        Ok(()) => debug!(generation = id.0, "generation kept"),
        Err(error) => warn!(
            generation = id.0,
            %error,
            "cannot keep the generation on the disk: a host that starts on broken code will not have it"
        ),
    }
}
