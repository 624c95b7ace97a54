//! What an isolate does while it waits to be told what it is for: it has the SDK answer calls, so that V8 has compiled the
//! SDK's code before calls come that somebody waits for.

use std::task::Poll;
use std::time::{Duration, Instant};

use deno_core::PollEventLoopOptions;
use futures::FutureExt;
use tokio::time::timeout;

use super::load::{Load, from_v8, run};
use super::memory::Held;
use super::thread::{Assigned, Assignment};
use crate::prelude::Prelude;
use crate::source::ahead::Ahead;

/// Rounds of two calls in a spare that the next load is likely to wait for.
const AT_ONCE: u32 = 1;

/// The same where another spare is ready meanwhile. More make the load slower, probably for the garbage.
const MEANWHILE: u32 = 25;

/// V8 compiles a function once more, and better, at its 400th call or so.
const AT_REST: u32 = 300;

/// A spare that was not wanted for so long rests: nobody edits, and the processor has time.
const RESTS: Duration = Duration::from_secs(3);

/// So long the calls of `AT_ONCE` and `MEANWHILE` may take, and one round at rest.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many rounds there are before an isolate is ready that has evaluated this.
pub(super) const fn before_it_is_ready(ahead: &Ahead) -> u32 {
    if ahead.modules.is_empty() { AT_ONCE } else { MEANWHILE }
}

impl Load<'_> {
    /// Has the SDK answer; whether all went well.
    pub(super) async fn warm_up(&mut self, prelude: &Prelude, rounds: u32) -> bool {
        let warmed = timeout(PATIENCE, async {
            for _ in 0..rounds {
                let runtime = &mut self.worker.js_runtime;
                let Ok(went_well) = run(runtime, self.control, &prelude.warm_up, &[]).await else {
                    return false;
                };
                if !from_v8(runtime, &went_well).unwrap_or(false) {
                    return false;
                }
            }
            true
        });
        warmed.await.unwrap_or(false)
    }

    /// Lives on until it is known what for; `None` when it is to end. At rest the one that serves whatever comes next gets
    /// as warm as an isolate that has had some hundred calls.
    pub(super) async fn wait_for(
        &mut self,
        mut assigned: Assigned,
        prelude: &Prelude,
        ahead: &Ahead,
    ) -> Option<Assignment> {
        if ahead.packages.is_empty() || !ahead.modules.is_empty() {
            return self.told(&mut assigned).await;
        }
        let mut pause = RESTS;
        for _ in 0..AT_REST {
            if let Ok(assignment) = timeout(pause, self.told(&mut assigned)).await {
                return assignment;
            }
            let began = Instant::now();
            if !self.warm_up(prelude, 1).await {
                return self.told(&mut assigned).await;
            }
            // Others want the processor too.
            pause = began.elapsed();
        }
        let isolate = self.worker.js_runtime.v8_isolate();
        isolate.low_memory_notification();
        tracing::debug!(heap = Held::by(isolate).heap, "a spare isolate is warm");
        self.told(&mut assigned).await
    }

    /// May be dropped and called again.
    async fn told(&mut self, assigned: &mut Assigned) -> Option<Assignment> {
        let runtime = &mut self.worker.js_runtime;
        std::future::poll_fn(|context| {
            if self.control.poll_stopped(context).is_some() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(assignment) = assigned.poll_unpin(context) {
                return Poll::Ready(assignment.ok());
            }
            // What packages have begun goes on.
            while let Poll::Ready(Err(error)) = runtime.poll_event_loop(context, PollEventLoopOptions::default()) {
                tracing::error!(%error, "uncaught in user code");
            }
            Poll::Pending
        })
        .await
    }
}
