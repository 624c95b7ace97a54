//! The spare: an isolate that is booted, and has evaluated the packages that the next load will want.
//!
//! It has a source snapshot of its own, in which are the packages' files alone. A load that reads the disk
//! takes that snapshot, if all of it reads the same still, and with it the isolate; what it adds are the
//! project's own modules. So the snapshot of a generation is one of a single moment here as well, and what
//! changed a package, the lockfile or the environment throws the spare away.

use std::sync::{Arc, Mutex, PoisonError};

use deno_core::url::Url;
use js_runtime_api::{MemoryLimits, Project};

use crate::isolate::{Begun, Unsuited};
use crate::source::snapshot::SourceSnapshot;

/// At most one.
#[derive(Default)]
pub(crate) struct Spares(Mutex<State>);

#[derive(Default)]
struct State {
    spare: Option<Spare>,
    /// Those that could not be evaluated ahead of the project, or made a difference.
    unsuited: Vec<Url>,
}

/// See the module's documentation.
pub(crate) struct Spare {
    pub(crate) sources: Arc<SourceSnapshot>,
    pub(crate) memory: MemoryLimits,
    pub(crate) packages: Vec<Url>,
    pub(crate) isolate: Begun,
}

impl Spares {
    /// What of these packages is worth evaluating ahead.
    pub(crate) fn suited(&self, packages: Vec<Url>) -> Vec<Url> {
        let mut state = self.state();
        state.collect_failed();
        if packages == state.unsuited {
            Vec::new()
        } else {
            packages
        }
    }

    /// Whether there is one like this.
    pub(crate) fn has(&self, project: &Project, memory: MemoryLimits, packages: &[Url]) -> bool {
        let state = self.state();
        let spare = state.spare.as_ref();
        spare.is_some_and(|spare| {
            spare.is_of(project) && spare.memory == memory && spare.packages == packages && spare.isolate.is_alive()
        })
    }

    /// Keeps this one, in place of another.
    pub(crate) fn put(&self, spare: Spare) {
        let replaced = self.state().spare.replace(spare);
        drop(replaced);
    }

    /// The sources that belong to the spare, with the project's modules listed anew; `None` when there is no
    /// spare for the project as it is now. Reads the disk.
    pub(crate) fn sources(&self, project: &Project) -> Option<Arc<SourceSnapshot>> {
        let sources = {
            let mut state = self.state();
            state.collect_failed();
            let spare = state.spare.as_ref().filter(|spare| spare.is_of(project))?;
            spare.sources.clone()
        };
        let fits = sources.reads_the_same() && sources.list_entries_again().is_ok();
        if !fits {
            tracing::debug!("the spare isolate is outdated: what it has read changed");
            drop(self.take(&sources));
            return None;
        }
        Some(sources)
    }

    /// The spare, if these are its sources.
    pub(crate) fn take(&self, sources: &Arc<SourceSnapshot>) -> Option<Spare> {
        let mut state = self.state();
        state.collect_failed();
        let is_its = state
            .spare
            .as_ref()
            .is_some_and(|spare| Arc::ptr_eq(&spare.sources, sources));
        if is_its { state.spare.take() } else { None }
    }

    /// Whatever there is.
    pub(crate) fn take_any(&self) -> Option<Spare> {
        self.state().spare.take()
    }

    /// These packages were not to be evaluated ahead.
    pub(crate) fn found_unsuited(&self, packages: Vec<Url>, why: Unsuited) {
        match why {
            Unsuited::Failed | Unsuited::EnvironmentWritten => self.state().unsuited = packages,
            // The next list is that of the code as it is then.
            Unsuited::ImportedOtherwise => {}
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // What is done under the lock leaves it consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One that ended by itself had packages that do not bear it.
    fn collect_failed(&mut self) {
        if let Some(failed) = self.spare.take_if(|spare| !spare.isolate.is_alive()) {
            self.unsuited = failed.packages;
        }
    }
}

impl Spare {
    fn is_of(&self, project: &Project) -> bool {
        self.sources.asked() == project
    }
}
