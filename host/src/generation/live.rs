//! A generation that has isolates, and the leases that calls hold on it.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use js_runtime_api::{CallError, CallQueue, Manifest, Request, Response, Sources, TimedAnswer};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::lease::Leases;
use super::pool::{IsolateId, Pool};
use super::state::GenerationId;
use super::timeline::{CallResult, CallStart, Timeline};

/// A generation that serves calls: its isolates, and the code that was loaded into them.
#[derive(Debug)]
pub struct Generation {
    pub id: GenerationId,
    pub pool: Pool,
    pub manifest: Manifest,
    pub sources: Arc<dyn Sources>,
    /// Digest of the sources at the time they were loaded.
    pub hash: String,
    pub(super) leases: Leases,
    /// The ids of its functions.
    functions: HashSet<String>,
    calls: Mutex<RunningCalls>,
    /// Hears when the last lease of a superseded generation is given back.
    emptied: mpsc::UnboundedSender<GenerationId>,
    timeline: Arc<Timeline>,
    /// Tells whether other hosts may be behind the address at which Inngest calls this code.
    pub shares_address: bool,
    /// The planned steps, with their functions, that calls were for and that the code does not plan.
    unknown_steps: Mutex<HashSet<(String, String)>>,
}

/// The most unknown steps that are remembered.
const MOST_UNKNOWN: usize = 1000;

#[derive(Debug, Default)]
struct RunningCalls {
    next: u64,
    registrations: u64,
    running: BTreeMap<u64, (CallInfo, Instant)>,
    /// The running calls whose answers have begun.
    answered: HashSet<u64>,
}

/// The call and the run that a request belongs to, as far as the request tells.
#[derive(Debug, Clone, Default)]
pub struct CallInfo {
    pub function: Option<String>,
    pub run: Option<String>,
    /// Inngest's hashed step id; `step` while steps are discovered.
    pub step: Option<String>,
    /// The request's body, which is read only when somebody asks for the attempt.
    pub body: Bytes,
    /// The method and the path of a request that is no call of Inngest.
    pub request: Option<String>,
}

/// A call that is not over.
#[derive(Debug)]
pub struct WaitingCall {
    pub info: CallInfo,
    pub since: Instant,
    /// Tells whether the call's answer has begun.
    answered: bool,
}

impl WaitingCall {
    /// Tells whether this is the stream of a page, or work that goes on beside the page's answer, and no call of a
    /// function.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        self.answered && self.info.request.is_some()
    }
}

impl CallInfo {
    /// Reads the number of the attempt, counted from 0, from the body's `ctx.attempt`.
    #[must_use]
    pub fn attempt(&self) -> Option<u32> {
        #[derive(Deserialize)]
        struct CallBody {
            ctx: Context,
        }
        #[derive(Deserialize)]
        struct Context {
            attempt: u32,
        }
        serde_json::from_slice::<CallBody>(&self.body)
            .ok()
            .map(|body| body.ctx.attempt)
    }
}

impl Generation {
    /// A generation whose first isolate was loaded.
    pub(super) fn new(
        id: GenerationId,
        manifest: Manifest,
        sources: Arc<dyn Sources>,
        queue: Arc<CallQueue>,
        emptied: mpsc::UnboundedSender<GenerationId>,
        timeline: Arc<Timeline>,
    ) -> Self {
        Self {
            id,
            hash: sources.hash(),
            shares_address: ["INNGEST_SERVE_ORIGIN", "INNGEST_SERVE_HOST"]
                .iter()
                .any(|name| sources.variable(name).is_some_and(|value| !value.is_empty())),
            unknown_steps: Mutex::default(),
            pool: Pool::new(queue),
            functions: manifest.functions().map(|(_, function)| function.id.clone()).collect(),
            manifest,
            sources,
            leases: Leases::default(),
            calls: Mutex::default(),
            emptied,
            timeline,
        }
    }

    /// Keeps the generation from retiring; `None` when it has retired.
    pub(super) fn hold(self: &Arc<Self>) -> Option<GenerationGuard> {
        self.leases.take().then(|| GenerationGuard {
            generation: self.clone(),
        })
    }

    /// Tells user code that another generation gets the new calls. The generation stays until the future ends: until
    /// user code has finished its work, or the isolates are ended.
    pub(super) fn drain(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        self.pool.drain();
        let (held, drained) = (self.hold(), self.pool.drained());
        async move {
            if held.is_some() {
                drained.await;
            }
        }
    }

    /// Tells user code that the host ends, unless it was told, and waits until user code has finished its work.
    pub fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        self.pool.drain();
        self.pool.drained()
    }

    /// Takes a lease for a call; `None` when the generation has retired.
    #[must_use]
    pub fn lease(self: &Arc<Self>, info: CallInfo) -> Option<Lease> {
        let held = self.hold()?;
        let mut calls = self.lock();
        let call = calls.next;
        calls.next += 1;
        let function = info.function.clone();
        calls.running.insert(call, (info, Instant::now()));
        drop(calls);
        Some(Lease {
            held,
            call,
            function,
            answered: CallResult::default(),
        })
    }

    /// Asks the project to register. That is no call: it has no lease, and keeps nothing alive.
    pub fn register(&self, request: Request) -> impl Future<Output = Result<Response, CallError>> + Send + use<> {
        let id = {
            let mut calls = self.lock();
            calls.registrations += 1;
            // This number is never that of a call.
            u64::MAX - calls.registrations
        };
        self.pool.queue.push(id, None, request)
    }

    /// Tells whether the generation has the function.
    #[must_use]
    pub fn has(&self, function: &str) -> bool {
        self.functions.contains(function)
    }

    /// Tells whether the generation has the function, as far as its functions are known.
    #[must_use]
    pub fn may_have(&self, function: &str) -> bool {
        self.manifest.apps.is_empty() || self.has(function)
    }

    /// Notes that the code did not plan the step of this call.
    pub fn note_unknown(&self, info: &CallInfo) {
        if let (Some(function), Some(step)) = (&info.function, &info.step) {
            let mut unknown = self.unknown_steps.lock().unwrap_or_else(PoisonError::into_inner);
            if unknown.len() >= MOST_UNKNOWN {
                unknown.clear();
            }
            unknown.insert((function.clone(), step.clone()));
        }
    }

    /// Tells whether the code may have the function and the planned step of this call: it has the function, and has
    /// planned the step wherever somebody called for it.
    #[must_use]
    pub fn may_know(&self, info: &CallInfo) -> bool {
        let (Some(function), Some(step)) = (&info.function, &info.step) else {
            return true;
        };
        let unknown = self.unknown_steps.lock().unwrap_or_else(PoisonError::into_inner);
        self.may_have(function) && (unknown.is_empty() || !unknown.contains(&(function.clone(), step.clone())))
    }

    /// The calls that run in the generation, oldest first, and the time at which each began.
    #[must_use]
    pub fn in_flight(&self) -> Vec<(CallInfo, Instant)> {
        self.lock().running.values().cloned().collect()
    }

    /// The calls that run in the generation, oldest first, each with the note whether its answer has begun.
    #[must_use]
    pub fn waiting(&self) -> Vec<WaitingCall> {
        let calls = self.lock();
        let running = calls.running.iter().map(|(call, (info, since))| WaitingCall {
            info: info.clone(),
            since: *since,
            answered: calls.answered.contains(call),
        });
        running.collect()
    }

    /// The number of holds that keep the generation from retiring: calls, and plans and pinned runs that are held for
    /// it.
    #[must_use]
    pub fn lease_count(&self) -> u64 {
        self.leases.count()
    }

    /// The number of calls that run in the generation.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().running.len()
    }

    /// The oldest of the calls that have run for at least this long.
    #[must_use]
    pub fn running(&self, at_least: Duration, most: usize) -> Vec<CallStart> {
        let running: Vec<(u64, CallInfo, Instant)> = {
            let calls = self.lock();
            let running = calls.running.iter().map(|(call, (info, since))| (*call, info, *since));
            let old = running.filter(|(_, _, since)| since.elapsed() >= at_least);
            old.take(most)
                .map(|(call, info, since)| (call, info.clone(), since))
                .collect()
        };
        let begun = running
            .into_iter()
            .map(|(call, info, since)| self.begun(&info, call, since));
        begun.collect()
    }

    fn begun(&self, info: &CallInfo, call: u64, since: Instant) -> CallStart {
        let began = self.timeline.millis(since);
        CallStart::new(info, self.id, call, self.pool.isolate_of(call), began)
    }

    /// The calls that have taken longer than the limit, and have no answer yet.
    #[must_use]
    pub fn overdue(&self, limit: Duration) -> Vec<u64> {
        let calls = self.lock();
        let unanswered = calls.running.iter().filter(|(call, _)| !calls.answered.contains(call));
        let overdue = unanswered.filter(|(_, (_, since))| since.elapsed() > limit);
        overdue.map(|(call, _)| *call).collect()
    }

    /// The descriptions of these calls, as far as they still run.
    #[must_use]
    pub fn describe(&self, calls: &[u64]) -> Vec<CallInfo> {
        let known = self.lock();
        calls
            .iter()
            .filter_map(|call| known.running.get(call))
            .map(|(info, _)| info.clone())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, RunningCalls> {
        // A panicked holder leaves a map of calls that is still a map of calls.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hold on a generation, which does not retire before the hold is dropped.
#[derive(Debug)]
pub(super) struct GenerationGuard {
    pub(super) generation: Arc<Generation>,
}

impl Drop for GenerationGuard {
    fn drop(&mut self) {
        if self.generation.leases.give_back() {
            // Nobody listens any more when the host ends.
            let _ = self.generation.emptied.send(self.generation.id);
        }
    }
}

/// A call's hold on its generation.
#[derive(Debug)]
pub struct Lease {
    held: GenerationGuard,
    call: u64,
    function: Option<String>,
    answered: CallResult,
}

impl Lease {
    #[must_use]
    pub const fn generation(&self) -> &Arc<Generation> {
        &self.held.generation
    }

    /// The isolate that has, or had, the call, if that can be told.
    #[must_use]
    pub fn isolate(&self) -> Option<IsolateId> {
        self.generation().pool.isolate_of(self.call)
    }

    /// Notes the answer of the call, for the timeline.
    pub fn note(&mut self, result: &Result<Response, CallError>) {
        self.answered = result.into();
    }

    /// Answers the call that this lease was taken for, and tells how long an isolate took for it.
    pub fn call(&self, request: Request) -> impl Future<Output = TimedAnswer> + Send + use<> {
        let queue = &self.generation().pool.queue;
        queue.push_timed(self.call, self.function.as_deref(), request)
    }

    /// Notes that the answer has begun: from now on the call may take as long as it likes.
    pub fn answered(&self) {
        self.generation().lock().answered.insert(self.call);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let generation = self.generation();
        let ended = {
            let mut calls = generation.lock();
            calls.answered.remove(&self.call);
            calls.running.remove(&self.call)
        };
        if let Some((info, since)) = ended {
            let begun = generation.begun(&info, self.call, since);
            generation.timeline.call_ended(begun, since, self.answered);
        }
    }
}
