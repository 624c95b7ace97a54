//! A request while it is worked on: first, is there anything new? Then the load itself, beside
//! whatever serves.

use std::sync::Arc;
use std::time::Instant;

use futures::future::{BoxFuture, FutureExt as _};
use js_runtime_api::{CallQueue, Engine, LoadError, LoadRequest, Loaded, Sources};

use super::reload::{Reason, Want};
use super::state::GenerationId;
use crate::git;

/// The one request that is worked on.
pub(super) struct Running {
    pub(super) want: Want,
    pub(super) reason: Reason,
    pub(super) began: Instant,
    phase: Phase,
}

enum Phase {
    Comparing(BoxFuture<'static, bool>),
    Loading(GenerationId, BoxFuture<'static, LoadResult>),
}

/// How a phase ended.
pub(super) enum Done {
    /// Only if something changed does a generation begin.
    Compared {
        changed: bool,
    },
    Loaded(GenerationId, LoadResult),
}

pub(super) struct LoadResult {
    pub(super) loaded: Result<Loaded, LoadError>,
    pub(super) git: Option<String>,
    /// Where the isolate takes its calls from.
    pub(super) queue: Arc<CallQueue>,
}

impl Running {
    /// Begins with the question whether the disk differs from what was read.
    pub(super) fn compare(want: Want, reason: Reason, began: Instant, sources: Arc<dyn Sources>) -> Self {
        let changed = async {
            let changed = tokio::task::spawn_blocking(move || sources.changed_on_disk()).await;
            // A comparison that panicked is settled by a load.
            changed.map_or(true, |changed| !changed.is_empty())
        };
        let phase = Phase::Comparing(changed.boxed());
        Self {
            want,
            reason,
            began,
            phase,
        }
    }

    /// Loads the generation.
    pub(super) fn load(
        want: Want,
        reason: Reason,
        began: Instant,
        id: GenerationId,
        engine: Arc<dyn Engine>,
        request: LoadRequest,
    ) -> Self {
        let result = async move {
            let (root, queue) = (request.project.root.clone(), request.queue.clone());
            let (loaded, git) = tokio::join!(engine.load(request), git::describe(&root));
            LoadResult { loaded, git, queue }
        };
        let phase = Phase::Loading(id, result.boxed());
        Self {
            want,
            reason,
            began,
            phase,
        }
    }
}

/// Resolves when the running request's phase ends; never while none runs. May be dropped and
/// called again.
pub(super) async fn next_done(running: &mut Option<Running>) -> Done {
    match running.as_mut().map(|running| &mut running.phase) {
        Some(Phase::Comparing(changed)) => Done::Compared { changed: changed.await },
        Some(Phase::Loading(id, result)) => Done::Loaded(*id, result.await),
        None => std::future::pending().await,
    }
}
