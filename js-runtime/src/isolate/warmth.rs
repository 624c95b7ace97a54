//! While an isolate waits to be told what it is for, it can have the SDK answer calls, so that V8 has compiled the SDK's
//! code before calls come that somebody waits for.

use std::task::Poll;
use std::time::Duration;

use deno_core::PollEventLoopOptions;
use futures::FutureExt;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::load::{Load, from_v8, run};
use super::thread::{Assigned, Assignment};
use super::{memory, room};
use crate::prelude::Prelude;
use crate::source::ahead::Ahead;

/// Rounds of two calls in a spare that the next load is likely to wait for.
const AT_ONCE: u32 = 1;

/// The same where another spare is ready meanwhile. More make the load slower, probably for the garbage.
const MEANWHILE: u32 = 25;

/// Rounds in a spare that rests: what remains then is done while calls wait for nothing else.
const TEPID: u32 = 120;

/// Rounds after which V8 has compiled each function that a call runs for the second time, and better. It does so at the
/// 400th call or later, which the calls that come then would feel.
const WARM: u32 = 280;

/// A spare that was not wanted for so long rests: nobody edits, and the processor has time.
const RESTS: Duration = Duration::from_secs(3);

/// So long the calls of `AT_ONCE` and `MEANWHILE` may take, and one round of the others.
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

    /// Lives on until it is known what for; `None` when it is to end. Gets warm meanwhile if it is asked to, and tepid
    /// at rest.
    pub(super) async fn wait_for(
        &mut self,
        mut assigned: Assigned,
        asked: &Notify,
        prelude: &Prelude,
        ahead: &Ahead,
    ) -> Option<Assignment> {
        // The other spare is to be as the load of an edit wants it.
        let stands_in = !ahead.packages.is_empty() && ahead.modules.is_empty();
        let mut rounds = 0;
        loop {
            let has_room = room::is_made(self.worker.js_runtime.v8_isolate());
            let until = tokio::select! {
                biased;
                assignment = self.told(&mut assigned) => return assignment,
                () = asked.notified() => if has_room { continue } else { WARM },
                () = sleep(RESTS), if has_room || (stands_in && rounds == 0) => TEPID,
            };
            tracing::debug!(rounds, until, "a spare isolate gets warmer");
            while rounds < until {
                if !self.warm_up(prelude, 1).await {
                    return self.told(&mut assigned).await;
                }
                rounds += 1;
                if let Some(assignment) = self.told(&mut assigned).now_or_never() {
                    return assignment;
                }
            }
            if until == WARM {
                room::make(&mut self.worker.js_runtime, self.memory);
            } else {
                memory::collect(self.worker.js_runtime.v8_isolate());
            }
            tracing::debug!(rounds, "a spare isolate is warmer");
        }
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
