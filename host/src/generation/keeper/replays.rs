//! The replays of live runs at a reload: before it is admitted where they may refuse it, else beside it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use js_runtime_api::{LoadError, Manifest, Sources};
use tokio::time::Instant;
use tracing::{info, warn};

use super::KeeperTask;
use crate::generation::live::Generation;
use crate::generation::reload_queue::WantedCode;
use crate::generation::state::GenerationId;
use crate::lint::{self, WarningCode};
use crate::replay::{ReplayLimits, ReplayReport, ReplayedCode, replay};
use crate::tasks::OwnedTask;

/// The time without a further reload before replays beside a reload begin: the next load comes first.
const QUIET: Duration = Duration::from_secs(2);

impl KeeperTask {
    /// Begins the replays whose outcome belongs to the answer: those of a check, and those that may refuse a reload.
    pub(super) fn replay_first(
        &self,
        want: WantedCode,
        (id, manifest, sources): (GenerationId, &Manifest, &Arc<dyn Sources>),
    ) -> Option<BoxFuture<'static, ReplayReport>> {
        let is_first = match want {
            WantedCode::Check => true,
            WantedCode::Reload { .. } => self.limits.deny.contains(&lint::LIVE_RUNS),
            WantedCode::Rollback(_) | WantedCode::LastGood { .. } | WantedCode::Continue(_) => false,
        };
        is_first.then(|| self.replay(id, manifest, sources)).flatten()
    }

    /// Replays the live runs beside a reload that goes on, and logs the outcome.
    pub(super) fn replay_beside(&mut self, want: WantedCode, generation: &Arc<Generation>) {
        if !matches!(want, WantedCode::Reload { .. } | WantedCode::Rollback(_)) {
            return;
        }
        let Generation {
            id, manifest, sources, ..
        } = &**generation;
        let id = *id;
        // Dropping the task before gives its isolates up: its code is not the newest any more.
        self.replaying = self.replay(id, manifest, sources).map(|replay| {
            OwnedTask::spawn("replays of live runs", async move {
                tokio::time::sleep(QUIET).await;
                tell(id, &replay.await);
            })
        });
    }

    /// The replays of the runs that are live now; `None` where there are none, or nothing serves.
    fn replay(
        &self,
        id: GenerationId,
        manifest: &Manifest,
        sources: &Arc<dyn Sources>,
    ) -> Option<BoxFuture<'static, ReplayReport>> {
        let current = self.table.current()?;
        let kept = self.table.live_calls.live(Instant::now());
        if kept.calls.is_empty() && kept.without_body == 0 {
            return None;
        }
        let before = ReplayedCode::new(current.id.0, current.sources.clone(), &current.manifest);
        let after = ReplayedCode::new(id.0, sources.clone(), manifest);
        let limits = ReplayLimits {
            load: self.limits.load,
            memory: self.limits.memory,
        };
        let engine = self.engine.clone();
        Some(async move { replay(&engine, (&before, &after), kept, limits).await }.boxed())
    }
}

/// Logs the outcome of replays.
pub(super) fn tell(GenerationId(generation): GenerationId, report: &ReplayReport) {
    let ReplayReport {
        live,
        compared,
        disturbed,
        not_compared,
    } = report;
    let reasons: Vec<_> = not_compared.iter().map(|runs| &*runs.reason).collect();
    let reasons = (!reasons.is_empty()).then(|| reasons.join("; "));
    if disturbed.is_empty() {
        info!(
            generation,
            live,
            compared,
            not_compared = reasons,
            "live runs were replayed"
        );
    } else {
        let functions: Vec<_> = disturbed.iter().map(ToString::to_string).collect();
        warn!(
            generation,
            live,
            compared,
            runs = report.disturbed_runs(),
            functions = functions.join(", "),
            not_compared = reasons,
            "live runs would plan other steps"
        );
    }
}

/// Refuses code that would disturb live runs, if the configuration says so.
pub(super) fn refuse(report: &ReplayReport, deny: &[WarningCode]) -> Result<(), LoadError> {
    let warnings: Vec<_> = report.warning().into_iter().collect();
    lint::denied(&warnings, deny).map_or(Ok(()), Err)
}
