//! From a request to its answer: compare, load, and then activate, discard or reject.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use js_runtime_api::{CallQueue, LoadError, LoadRequest, SourceChoice};
use tracing::{info, warn};

use super::Task;
use crate::generation::live::Generation;
use crate::generation::load::{Done, LoadResult, Running};
use crate::generation::reload::{Reason, Want};
use crate::generation::report::{FunctionChanges, Outcome};
use crate::generation::state::{Event, GenerationId};
use crate::generation::table::Entry;

impl Task {
    /// Begins what was asked for next, unless something is worked on.
    pub(super) fn begin_next_load(&mut self) {
        while self.running.is_none()
            && let Some((want, reason)) = self.queue.start()
        {
            let began = Instant::now();
            match (want, self.table.current()) {
                (Want::Reload { force: false }, Some(current)) => {
                    self.running = Some(Running::compare(want, reason, began, current.sources.clone()));
                }
                _ => self.begin_load(want, reason, began),
            }
        }
    }

    fn begin_load(&mut self, want: Want, reason: Reason, began: Instant) {
        let sources = match want {
            Want::Reload { .. } | Want::Check => SourceChoice::Disk,
            Want::Rollback(wanted) => match self.history.find(wanted, self.generations.current()) {
                Ok(sources) => SourceChoice::Kept(sources),
                Err(error) => {
                    let generation = self.generations.current();
                    let kept = self.history.kept();
                    return self.answer(
                        Outcome::NotKept {
                            generation,
                            kept,
                            error,
                        },
                        began,
                    );
                }
            },
        };
        let id = self.generations.begin();
        self.entries.insert(id, Entry::loading(id, reason));
        let request = LoadRequest {
            name: format!("generation-{id}"),
            project: self.project.clone(),
            sources,
            timeout: self.limits.load,
            queue: Arc::new(CallQueue::default()),
            memory: self.limits.memory,
        };
        self.running = Some(Running::load(want, reason, began, id, self.engine.clone(), request));
        self.show(id);
    }

    /// A phase of the request that is worked on has ended.
    pub(super) fn proceed(&mut self, done: Done) {
        let Some(Running {
            want, reason, began, ..
        }) = self.running.take()
        else {
            return;
        };
        match done {
            Done::Compared { changed: true } => self.begin_load(want, reason, began),
            Done::Compared { changed: false } => self.end_unchanged(began),
            Done::Loaded(
                id,
                LoadResult {
                    loaded: Err(load_error),
                    ..
                },
            ) => self.reject(want, id, load_error, began),
            Done::Loaded(
                id,
                LoadResult {
                    loaded: Ok(loaded),
                    git,
                    queue,
                },
            ) => {
                let emptied = self.emptied_sender.clone();
                let generation = Arc::new(Generation::new(id, loaded.manifest, loaded.sources, queue, emptied));
                self.isolate_joins(&generation, loaded.isolate);
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.git.clone_from(&git);
                    entry.loaded_at = Some(Timestamp::now());
                    entry.hash = Some(generation.hash.clone());
                    entry.live = Some(generation.clone());
                }
                self.apply(id, Event::Loaded);
                match want {
                    Want::Check => self.discard(&generation, git, began),
                    Want::Reload { .. } | Want::Rollback(_) => self.activate(&generation, git, began),
                }
            }
        }
    }

    /// The disk reads as the current generation did.
    fn end_unchanged(&mut self, began: Instant) {
        self.last_rejected = None;
        self.show_all();
        if let Some(current) = self.table.current() {
            info!(generation = current.id.0, "nothing changed");
            self.answer(
                Outcome::Unchanged {
                    generation: current.id,
                    hash: current.hash.clone(),
                },
                began,
            );
        }
    }

    fn reject(&mut self, want: Want, id: GenerationId, load_error: LoadError, began: Instant) {
        if want != Want::Check {
            self.last_rejected = Some((id, load_error.clone()));
        }
        self.apply(id, Event::LoadFailed);
        warn!(
            generation = id.0,
            kind = load_error.kind.as_str(),
            file = load_error.file,
            line = load_error.line,
            column = load_error.column,
            error = %load_error,
            frame = load_error.frame.as_deref().map(tracing::field::display),
            help = load_error.help.as_deref().map(tracing::field::display),
            "generation rejected"
        );
        let generation = self.generations.current();
        let error = load_error;
        self.answer(Outcome::Rejected { generation, error }, began);
    }

    fn discard(&mut self, generation: &Arc<Generation>, git: Option<String>, began: Instant) {
        let current = self.table.current();
        let outcome = Outcome::Checked {
            generation: current.as_ref().map(|current| current.id),
            hash: generation.hash.clone(),
            git,
            functions: FunctionChanges::between(
                current.as_ref().map(|current| &current.manifest),
                &generation.manifest,
            ),
            warnings: generation.manifest.warnings.clone(),
        };
        // Never published, so nobody can hold a lease.
        let _ = generation.leases.close_if_idle();
        self.apply(generation.id, Event::Discarded);
        self.answer(outcome, began);
    }

    fn activate(&mut self, generation: &Arc<Generation>, git: Option<String>, began: Instant) {
        let previous = self.table.current();
        let functions = FunctionChanges::between(
            previous.as_ref().map(|previous| &previous.manifest),
            &generation.manifest,
        );
        self.last_rejected = None;
        self.history.push(generation.id, generation.sources.clone());
        self.apply(generation.id, Event::Activated);
        info!(
            generation = generation.id.0,
            functions = functions.count,
            git,
            "generation activated"
        );
        for warning in &generation.manifest.warnings {
            warn!(code = warning.code, function = warning.function, "{}", warning.message);
        }
        let outcome = Outcome::Activated {
            generation: generation.id,
            previous: previous.map(|previous| previous.id),
            hash: generation.hash.clone(),
            git,
            functions,
            draining: self.draining(),
            warnings: generation.manifest.warnings.clone(),
        };
        self.answer(outcome, began);
    }
}
