//! The spares: isolates that are booted, and have evaluated modules that the next load will want.
//!
//! One spare has evaluated the packages alone, and serves for any edit. Another spare has evaluated the project's own
//! modules too, but for those that somebody works on: where the next edit is of these again, little remains to be
//! done.
//!
//! The first spare stands in, too, where a generation needs another isolate: it joins that generation's source
//! snapshot.
//!
//! `preparation` makes them: `edit_history` and [`crate::ahead`] decide which modules are evaluated ahead, and the
//! isolate sees what their evaluation begins. Whether that made a difference is known once the load has read the disk:
//! its isolate asks [`ImportedModules::has`].
//!
//! Each spare has a source snapshot of its own, with only the files that it has read. A load that reads the disk
//! takes that snapshot, if all of it still reads the same, and with it the isolate; the load adds the remaining
//! files. So the snapshot of a generation is one of a single moment here as well. A change of a package, the lockfile
//! or the environment throws the spares away.

mod edit_history;
mod preparation;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deno_core::url::Url;
use js_runtime_api::{MemoryLimits, Project};

pub(crate) use self::preparation::SparePreparation;

use self::edit_history::EditHistory;
use crate::ahead::{AheadModules, ImportedModules, files};
use crate::isolate::{AheadMismatch, BootReadiness, BootedIsolate};
use crate::source::snapshot::SourceSnapshot;

/// The spares, at most two.
#[derive(Default)]
pub(crate) struct Spares(Mutex<SpareState>);

#[derive(Default)]
struct SpareState {
    with_packages: Option<Spare>,
    with_modules: Option<Spare>,
    /// A spare that the next load cannot use, and for whose end it should not wait.
    outdated: Option<Spare>,
    /// The packages that could not be evaluated ahead of the project, or made a difference.
    unsuited: Vec<Url>,
    edits: EditHistory,
    /// The modules and packages' files that are not evaluated ahead, for they act; with their content.
    acting: HashMap<PathBuf, blake3::Hash>,
    /// Tells whether evaluating modules ahead went wrong, and no module is to blame.
    without_modules: bool,
}

/// One spare, as the module's documentation describes it.
pub(crate) struct Spare {
    pub(crate) sources: Arc<SourceSnapshot>,
    pub(crate) memory: MemoryLimits,
    pub(crate) ahead: AheadModules,
    pub(crate) isolate: BootedIsolate,
}

impl Spares {
    /// Returns those of the packages that may be evaluated ahead: all before the first that acts. `like` has read
    /// them.
    pub(crate) fn suited(&self, packages: &[Url], like: &SourceSnapshot) -> Vec<Url> {
        let mut state = self.state();
        state.collect_failed();
        if packages == state.unsuited {
            return Vec::new();
        }
        let acts = |url: &Url| {
            let known = url.to_file_path().ok();
            let known = known.and_then(|path| Some((*state.acting.get(&path)?, like.file(&path)?.hash)));
            known.is_some_and(|(acted, read)| acted == read)
        };
        packages.iter().take_while(|url| !acts(url)).cloned().collect()
    }

    /// Returns the project's modules that are worth evaluating ahead: those that the next edit will leave alone.
    /// `packages` are evaluated before them.
    pub(crate) fn modules(&self, imported: &ImportedModules, packages: &[Url]) -> Vec<PathBuf> {
        let mut state = self.state();
        state.collect_failed();
        if state.without_modules {
            return Vec::new();
        }
        let acts = |path: &Path| {
            let known = state.acting.get(path);
            known.is_some() && known.copied() == state.edits.last_read(path)
        };
        let suits = |path: &Path| !acts(path);
        let packages = files(packages);
        let left = state
            .edits
            .to_leave(|left| imported.modules_without(left, &packages, suits).len());
        left.map_or_else(Vec::new, |left| imported.modules_without(&left, &packages, suits))
    }

    /// Returns the readiness of a spare like this; `None` if there is no such spare.
    pub(crate) fn readiness(
        &self,
        project: &Project,
        memory: MemoryLimits,
        ahead: &AheadModules,
    ) -> Option<BootReadiness> {
        let mut state = self.state();
        let spare = state.like(ahead).as_ref()?;
        let is_it = spare.is_of(project) && spare.memory == memory && spare.ahead == *ahead && spare.isolate.is_alive();
        is_it.then(|| spare.isolate.readiness())
    }

    /// Keeps this spare, in place of another.
    pub(crate) fn put(&self, spare: Spare) {
        let replaced = self.state().like(&spare.ahead).replace(spare);
        drop(replaced);
    }

    /// Returns the sources that belong to a spare, with the project's modules listed anew; `None` when there is no
    /// spare for the project as it is now. Reads the disk.
    pub(crate) fn sources(&self, project: &Project) -> Option<Arc<SourceSnapshot>> {
        let (with_modules, with_packages) = {
            let mut state = self.state();
            state.collect_failed();
            // A spare that is not ready yet would keep the load waiting for work that the load may do itself.
            let unready = state.with_modules.take_if(|spare| !spare.isolate.is_ready());
            drop(unready);
            let sources =
                |spare: &Option<Spare>| Some(spare.as_ref().filter(|spare| spare.is_of(project))?.sources.clone());
            (sources(&state.with_modules), sources(&state.with_packages))
        };
        let mut sources = [with_modules, with_packages].into_iter().flatten();
        sources.find(|sources| {
            let fits = sources.reads_the_same() && sources.list_entries_again().is_ok();
            if !fits {
                tracing::debug!("a spare isolate is outdated: files that it has read changed");
                let outdated = self.take(sources);
                self.state().outdated = outdated;
            }
            fits
        })
    }

    /// Takes the spare with these sources.
    pub(crate) fn take(&self, sources: &Arc<SourceSnapshot>) -> Option<Spare> {
        let mut state = self.state();
        state.collect_failed();
        let SpareState {
            with_packages,
            with_modules,
            ..
        } = &mut *state;
        let is_its = |spare: &mut Spare| Arc::ptr_eq(&spare.sources, sources);
        with_modules.take_if(is_its).or_else(|| with_packages.take_if(is_its))
    }

    /// Takes a spare that has read nothing but files that these sources have read too: it has joined them. Waits for
    /// a spare that is being made, which takes less time than to make another one.
    pub(crate) async fn take_joined(&self, sources: &Arc<SourceSnapshot>, timeout: Duration) -> Option<Spare> {
        let readiness = {
            let state = self.state();
            let spare = state.with_packages.as_ref();
            spare
                .filter(|spare| spare.is_of(sources.asked()))
                .map(|spare| spare.isolate.readiness())
        };
        if let Some(readiness) = readiness {
            readiness.wait_or_stop(timeout).await;
        }
        let mut state = self.state();
        state.collect_failed();
        let joins = |spare: &mut Spare| spare.isolate.is_ready() && spare.sources.join(sources);
        // The next edit is better off with the other spare.
        let joined = state.with_packages.take_if(joins)?;
        tracing::debug!("a spare isolate was taken as another isolate of a generation");
        Some(joined)
    }

    /// Takes all spares.
    pub(crate) fn take_all(&self) -> Vec<Spare> {
        let mut state = self.state();
        let all = [
            state.with_packages.take(),
            state.with_modules.take(),
            state.outdated.take(),
        ];
        all.into_iter().flatten().collect()
    }

    /// Ends the spare that no load will use.
    pub(crate) fn end_outdated(&self) {
        let outdated = self.state().outdated.take();
        drop(outdated);
    }

    /// Notes that a load has read these, and succeeded or failed.
    pub(crate) fn note_read(&self, sources: &SourceSnapshot) {
        let files = sources.own_files();
        self.state().edits.note(&files);
    }

    /// Notes that a spare should not have evaluated these modules ahead.
    pub(crate) fn found_unsuited(&self, ahead: AheadModules, why: AheadMismatch) {
        let mut state = self.state();
        match why {
            AheadMismatch::Failed if !ahead.modules.is_empty() => state.without_modules = true,
            AheadMismatch::Failed | AheadMismatch::EnvironmentWritten => state.unsuited = ahead.packages,
            // The next list follows the code as it is then.
            AheadMismatch::ImportedOtherwise => {}
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, SpareState> {
        // Every change under the lock leaves the state consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpareState {
    /// Returns the place for a spare that has evaluated such modules.
    fn like(&mut self, ahead: &AheadModules) -> &mut Option<Spare> {
        if ahead.modules.is_empty() {
            &mut self.with_packages
        } else {
            &mut self.with_modules
        }
    }

    /// Collects a spare that ended by itself: its packages or modules do not bear evaluation ahead.
    fn collect_failed(&mut self) {
        let failed = |spare: &mut Spare| !spare.isolate.is_alive();
        if let Some(failed) = self.with_packages.take_if(failed)
            && !self.note_acting(&failed)
        {
            self.unsuited = failed.ahead.packages;
        }
        if let Some(failed) = self.with_modules.take_if(failed)
            && !self.note_acting(&failed)
        {
            self.without_modules = true;
        }
    }

    /// Notes the module of a spare that acted; false where no module is to blame.
    fn note_acting(&mut self, failed: &Spare) -> bool {
        let acting = failed.isolate.acts();
        let acting = acting.and_then(|module| Some((module, failed.sources.file(module)?)));
        acting.is_some_and(|(module, file)| {
            self.acting.insert(module.clone(), file.hash);
            true
        })
    }
}

impl Spare {
    fn is_of(&self, project: &Project) -> bool {
        self.sources.asked() == project
    }
}
