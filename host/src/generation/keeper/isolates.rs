//! Looking after the isolates of generations. Blocked isolates are reported, and get help from another isolate, as do
//! isolates that have more calls than they can take. Isolates that died are replaced.

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use js_runtime_api::{Isolate, IsolateEnd, LoadError, LoadProgress, LoadRequest, LoadedIsolate, Reach};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{KeeperTask, STOP_GRACE};
use crate::descriptors;
use crate::generation::live::{CallInfo, Generation};
use crate::generation::load::panicked;
use crate::generation::pool::{EndedIsolate, IsolateId, IsolateObservation};
use crate::generation::state::{GenerationId, State};

/// The longest time that user code may hold the thread of an isolate that is to end.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// The time after which isolates are asked for a sign of life again.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The time that a generation has for its first calls, which have their code compiled.
const FIRST_CALLS: Duration = Duration::from_secs(1);
/// The most isolates of a generation with those that are about to end, as a multiple of their limit.
const ENDING_TOO: usize = 4;
/// The wait before another isolate is tried after one could not be made. It doubles up to the longest wait.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Isolates that live, and further ones that are being made.
#[derive(Debug, Default)]
pub(super) struct Isolates {
    living: JoinSet<(GenerationId, IsolateId, IsolateEnd)>,
    making: JoinSet<(GenerationId, Result<LoadedIsolate, LoadError>)>,
    /// Generations whose code finishes its work, since another generation gets the calls.
    draining: JoinSet<()>,
    /// Waits for calls that stall, for each generation that has isolates.
    stalls: JoinSet<GenerationId>,
    watched: HashMap<GenerationId, AbortHandle>,
    /// Generations for which an isolate is being made.
    wanted: BTreeSet<GenerationId>,
    /// Generations for which no isolate could be made the last time.
    failed: HashMap<GenerationId, Patience>,
}

/// The wait before another isolate of a generation is tried.
#[derive(Debug, Clone, Copy)]
struct Patience {
    until: Instant,
    wait: Duration,
}

impl Patience {
    fn after(before: Option<Self>) -> Self {
        let wait = before.map_or(TRY_AGAIN_AFTER, |before| (before.wait * 2).min(LONGEST_WAIT));
        Self {
            until: Instant::now() + wait,
            wait,
        }
    }
}

/// The news about isolates.
#[derive(Debug)]
pub(super) enum IsolateNews {
    Ended(GenerationId, IsolateId, IsolateEnd),
    Made(GenerationId, Result<LoadedIsolate, LoadError>),
    /// The code of a generation has finished its work, after another generation got the calls.
    Drained,
    /// Calls of a generation wait, and each of its isolates has a thread that somebody holds.
    Stalled(GenerationId),
}

impl Isolates {
    /// Waits for the next news. The future may be dropped and the method called again.
    pub(super) async fn next(&mut self) -> IsolateNews {
        tokio::select! {
            Some(Ok((generation, id, why))) = self.living.join_next() => IsolateNews::Ended(generation, id, why),
            Some(Ok((generation, made))) = self.making.join_next() => IsolateNews::Made(generation, made),
            Some(_) = self.draining.join_next() => IsolateNews::Drained,
            generation = next_stalled(&mut self.stalls) => IsolateNews::Stalled(generation),
        }
    }

    /// Has a generation stay until its code has finished its work, since another generation gets the calls.
    pub(super) fn drain(&mut self, generation: &Arc<Generation>) {
        self.draining.spawn(generation.drain());
    }

    /// Watches for calls of a generation that stall, from `after` on. See [`Pool::stalled`].
    ///
    /// [`Pool::stalled`]: crate::generation::pool::Pool::stalled
    fn watch_calls(&mut self, generation: &Generation, after: Duration, first_calls: Instant) {
        let (id, stalled) = (generation.id, generation.pool.stalled(first_calls));
        let watch = self.stalls.spawn(async move {
            tokio::time::sleep(after).await;
            stalled.await;
            id
        });
        if let Some(before) = self.watched.insert(id, watch) {
            before.abort();
        }
    }

    /// Forgets a generation that has no isolates any more.
    pub(super) fn forget(&mut self, id: GenerationId) {
        self.failed.remove(&id);
        if let Some(watch) = self.watched.remove(&id) {
            watch.abort();
        }
    }

    /// Gives up the isolates that are being made.
    async fn make_no_more(&mut self) {
        self.making.shutdown().await;
    }
}

impl KeeperTask {
    /// Adds an isolate to its generation: it takes calls from now on.
    pub(super) fn isolate_joins(&mut self, generation: &Generation, isolate: Arc<dyn Isolate>) {
        let ended = isolate.ended();
        let (id, isolate) = (generation.id, generation.pool.add(isolate));
        // A panic on the way to the isolate's end is a panic of the isolate.
        let ended = AssertUnwindSafe(ended).catch_unwind();
        let end = async move { (id, isolate, ended.await.unwrap_or(IsolateEnd::Panicked)) };
        self.isolates.living.spawn(end);
        let is_first = generation.pool.len() == 1;
        let first_calls = Instant::now() + if is_first { FIRST_CALLS } else { Duration::ZERO };
        self.isolates.watch_calls(generation, Duration::ZERO, first_calls);
    }

    pub(super) fn isolate_news(&mut self, news: IsolateNews) {
        match news {
            IsolateNews::Ended(generation, isolate, why) => self.isolate_ended(generation, isolate, &why),
            IsolateNews::Made(id, Ok(loaded)) => {
                self.isolates.wanted.remove(&id);
                self.isolates.failed.remove(&id);
                self.preparing.schedule_later();
                let Some(generation) = self.live(id) else {
                    // The isolate ends with its handle, which is dropped here.
                    return;
                };
                self.isolate_joins(&generation, loaded.isolate);
                let isolates = generation.pool.lasting();
                info!(generation = id.0, isolates, "another isolate takes calls");
                match self.generations.state(id) {
                    Some(State::Draining) => generation.pool.drain(),
                    Some(State::Closing | State::Stopping) => generation.pool.close(),
                    _ => {}
                }
            }
            // The last lease of the generation tells that by itself.
            IsolateNews::Drained => {}
            IsolateNews::Stalled(id) => {
                if let Some(generation) = self.live(id) {
                    // A person who debugs keeps calls waiting.
                    if !generation.pool.is_debugged() {
                        self.help(&generation, Need::CallsStall);
                    }
                    self.isolates.watch_calls(&generation, LOOK_EVERY, Instant::now());
                }
            }
            IsolateNews::Made(id, Err(load_error)) => {
                self.isolates.wanted.remove(&id);
                self.preparing.schedule_later();
                let patience = Patience::after(self.isolates.failed.get(&id).copied());
                self.isolates.failed.insert(id, patience);
                let Patience { wait, .. } = patience;
                error!(generation = id.0, error = %load_error, ?wait, "cannot make another isolate");
                self.close_if_nothing_is_left(id);
            }
        }
    }

    fn isolate_ended(&mut self, id: GenerationId, isolate: IsolateId, why: &IsolateEnd) {
        let Some(generation) = self.live(id) else {
            return;
        };
        let calls = generation.pool.calls_of(isolate).len();
        generation.pool.remove(isolate);
        if *why != IsolateEnd::Closed {
            let stack = match why {
                IsolateEnd::Exited { stack, .. } => Some(tracing::field::display(stack)),
                _ => None,
            };
            // Each lost call is told where it is answered.
            warn!(generation = id.0, isolate = isolate.0, calls, reason = %why, stack, "isolate ended");
        }
        self.close_if_nothing_is_left(id);
        self.help(&generation, Need::MayBe);
    }

    fn close_if_nothing_is_left(&mut self, id: GenerationId) {
        let closing = self.generations.state(id).is_some_and(State::is_closing);
        let empty = self.live(id).is_some_and(|generation| generation.pool.len() == 0);
        if closing && empty && !self.isolates.wanted.contains(&id) {
            self.closed(id);
        }
    }

    /// Ends the isolates of a generation that has no calls left.
    pub(super) fn close_isolates(&mut self, generation: &Generation) {
        generation.pool.close();
        self.close_if_nothing_is_left(generation.id);
    }

    /// Asks every isolate for a sign of life, tells the changes, and helps where calls would wait.
    pub(super) fn look_after_isolates(&mut self) {
        let mut blocked = 0;
        for generation in self.live_generations() {
            let changes = generation.pool.look();
            for blocked in changes.blocked {
                report_blocked(&generation, &blocked);
            }
            for condemned in changes.condemned {
                report_condemned(&generation, &condemned);
            }
            report_finishing(&generation, &changes.finishing);
            let debugged = generation.pool.is_debugged();
            if !debugged {
                let closing = self.generations.state(generation.id).is_some_and(State::is_closing);
                let stuck_after = STUCK_AFTER.min(self.limits.drain);
                end_stuck(&generation, closing, stuck_after, self.limits.drain);
                let overdue = generation.overdue(self.limits.call);
                end_for(&generation, &overdue, "that took too long", self.limits.call);
            }
            if let Some(limit) = self.limits.cpu.filter(|_| !debugged) {
                let over = generation.pool.over_cpu(limit);
                end_for(&generation, &over, "that used too much processor time", limit);
            }
            for freed in changes.freed {
                info!(generation = generation.id.0, isolate = freed.0, "isolate free again");
            }
            blocked += generation
                .pool
                .observed()
                .iter()
                .filter(|isolate| isolate.blocked)
                .count();
            self.help(&generation, Need::MayBe);
        }
        self.table.timeline.isolates_blocked(blocked, LOOK_EVERY);
        self.count_losses();
    }

    fn count_losses(&self) {
        let lost = self.engine.losses();
        if self.table.losses.note(lost, self.limits.memory.heap) {
            let lost_mb = lost.memory >> 20;
            warn!(
                threads = lost.threads,
                lost_mb, "isolates that V8 could not end hold too much memory: another host is to take over"
            );
        }
    }

    pub(super) fn live_generations(&self) -> Vec<Arc<Generation>> {
        self.entries.values().filter_map(|entry| entry.live.clone()).collect()
    }

    /// Waits until every isolate has ended, after each was told to, or until nothing can end those that are left.
    /// True when all have ended.
    pub(super) async fn isolates_end(&mut self) -> bool {
        self.isolates.make_no_more().await;
        let generations = self.live_generations();
        let until = Instant::now() + self.limits.drain;
        // The time since which all isolates that are left have been terminated.
        let mut hopeless = None::<Instant>;
        let mut look = tokio::time::interval(LOOK_EVERY);
        while generations.iter().any(|generation| generation.pool.len() > 0) {
            tokio::select! {
                news = self.isolates.next() => if let IsolateNews::Ended(id, isolate, _) = news
                    && let Some(generation) = self.live(id)
                {
                    generation.pool.remove(isolate);
                },
                _ = look.tick() => {
                    for generation in &generations {
                        report_finishing(generation, &generation.pool.look().finishing);
                        end_stuck(generation, true, STOP_GRACE, self.limits.drain);
                    }
                    let is_hopeless = generations.iter().all(|generation| generation.pool.all_terminated());
                    hopeless = is_hopeless.then(|| hopeless.unwrap_or_else(Instant::now));
                    if hopeless.is_some_and(|since| since.elapsed() >= STOP_GRACE) || Instant::now() >= until {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Has another isolate made where calls would wait otherwise.
    fn help(&mut self, generation: &Arc<Generation>, need: Need) {
        let id = generation.id;
        let pool = &generation.pool;
        let cores_are_left = pool.lasting() < self.limits.cores;
        let calls_would_wait = match self.generations.state(id) {
            Some(State::Canary | State::Current | State::Draining) if need == Need::CallsStall => true,
            Some(State::Canary | State::Current) => pool.all_blocked() || (pool.is_overloaded() && cores_are_left),
            Some(State::Draining) => pool.all_blocked() && pool.queued() > 0,
            _ => false,
        };
        let patient = self
            .isolates
            .failed
            .get(&id)
            .is_some_and(|patience| Instant::now() < patience.until);
        let full =
            pool.lasting() >= self.limits.isolates || pool.len() >= self.limits.isolates.saturating_mul(ENDING_TOO);
        if !calls_would_wait || full || patient || !self.isolates.wanted.insert(id) {
            return;
        }
        let request = LoadRequest {
            name: format!("generation-{id}+"),
            sources: generation.sources.clone(),
            timeout: self.limits.load,
            queue: pool.queue.clone(),
            memory: self.limits.memory,
            progress: LoadProgress::default(),
            reach: Reach::World,
        };
        let made = AssertUnwindSafe(self.engine.load(request)).catch_unwind();
        let make = async move {
            let _room = descriptors::make_room();
            (id, made.await.unwrap_or_else(|_| Err(panicked())))
        };
        self.isolates.making.spawn(make);
    }
}

/// Waits for the next generation whose calls stall, and forever while none is watched.
async fn next_stalled(stalls: &mut JoinSet<GenerationId>) -> GenerationId {
    loop {
        match stalls.join_next().await {
            Some(Ok(generation)) => return generation,
            // A watch was given up for another one.
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }
}

/// The knowledge that a generation needs another isolate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Its isolates tell.
    MayBe,
    /// Its calls wait, and no isolate takes any.
    CallsStall,
}

/// Ends the isolates in which these calls run: the calls went beyond the limit.
fn end_for(generation: &Generation, calls: &[u64], why: &str, limit: Duration) {
    for EndedIsolate { isolate, call } in generation.pool.terminate_running(calls) {
        for CallInfo {
            function, run, step, ..
        } in generation.describe(&[call])
        {
            warn!(
                generation = generation.id.0,
                isolate = isolate.0,
                function,
                run,
                step,
                ?limit,
                "isolate ended for a call {why}"
            );
        }
    }
}

/// Ends the isolates that are to end, have no calls, and do not end. See [`Pool::terminate_stuck`].
///
/// [`Pool::terminate_stuck`]: crate::generation::pool::Pool::terminate_stuck
fn end_stuck(generation: &Generation, closing: bool, stuck_after: Duration, within: Duration) {
    for isolate in generation.pool.terminate_stuck(closing, stuck_after, within) {
        warn!(
            generation = generation.id.0,
            isolate = isolate.0,
            "isolate ended: its code did not finish after its last call"
        );
    }
}

/// Logs one line for each isolate that stays because its code finishes work.
fn report_finishing(generation: &Generation, isolates: &[IsolateObservation]) {
    for IsolateObservation { id, vitals, .. } in isolates {
        let Some(work) = vitals.finishing else {
            continue;
        };
        info!(
            generation = generation.id.0,
            isolate = id.0,
            work = work.as_str(),
            "user code finishes work before its generation goes"
        );
    }
}

fn report_condemned(generation: &Generation, IsolateObservation { id, vitals, .. }: &IsolateObservation) {
    warn!(
        generation = generation.id.0,
        isolate = id.0,
        calls = vitals.calls.len(),
        heap_mb = vitals.heap_used >> 20,
        buffers_mb = vitals.buffers_used >> 20,
        "isolate condemned: its memory is nearly used up, so it finishes its calls and is replaced"
    );
}

/// Logs one line for each call that may hold the isolate.
fn report_blocked(generation: &Generation, IsolateObservation { id, vitals, .. }: &IsolateObservation) {
    let calls: Vec<u64> = vitals.calls.iter().map(|call| call.id).collect();
    let calls = generation.describe(&calls);
    let candidates = calls.len();
    let blocked_ms = vitals.blocked_for.as_millis();
    for CallInfo {
        function, run, step, ..
    } in calls
    {
        warn!(
            generation = generation.id.0,
            isolate = id.0,
            function,
            run,
            step,
            blocked_ms,
            candidates,
            "isolate blocked"
        );
    }
}
