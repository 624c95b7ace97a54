//! The state that an isolate's thread shares with the others: how the isolate is stopped (`interrupt`), whether it
//! runs, waits or spins, how it is doing (`memory_use`), its name (`name`), and its debugger (`debug`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use deno_core::url::Url;
use deno_core::{JsRuntime, v8};
use futures::task::AtomicWaker;
use js_runtime_api::{AnswerSlot, RunningCall, Vitals};
use tokio::sync::watch;

use crate::system::cpu_clock::ThreadClock;

mod debug;
mod intake;
mod interrupt;
mod memory_use;
mod name;

use debug::Debug;
use intake::{Intake, SharedIntake};
pub(crate) use memory_use::{FamilyMemory, MemoryUse};
pub(crate) use name::{Name, SPARE};

/// The reason why an isolate is to leave its loop at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The load took too long.
    TimedOut,
    /// Somebody ended the isolate.
    Terminated,
    /// User code called `process.exit`, or another function that ends a process.
    Exited(ExitCall),
    /// The isolate's memory reached a limit.
    OutOfMemory,
    /// The isolate's thread panicked.
    Panicked,
}

/// The call of user code that would have ended its process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExitCall {
    /// The call as code would have it.
    pub(crate) call: String,
    pub(crate) code: i32,
    /// The mapped stack.
    pub(crate) stack: String,
    /// The topmost place in the project's own code.
    pub(crate) place: Option<(Url, usize, usize)>,
}

/// The place at which JavaScript was stopped, in the code as V8 has it.
#[derive(Debug, Clone)]
pub(crate) struct StopPosition {
    pub(crate) url: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// The state that the isolate's thread shares with its handles.
#[derive(Debug, Default)]
pub(crate) struct Control {
    stop: OnceLock<StopReason>,
    intake: SharedIntake,
    cpu_clock: OnceLock<ThreadClock>,
    /// Tells whether the thread is gone: the system may give its number to another one.
    has_no_thread: AtomicBool,
    /// The number of worker threads that user code has started.
    workers: AtomicU64,
    pub(crate) memory: FamilyMemory,
    finishing: watch::Sender<DrainProgress>,
    waker: AtomicWaker,
    v8: OnceLock<v8::IsolateHandle>,
    stood_at: Mutex<Option<StopPosition>>,
    /// The thread that stops JavaScript in a moment, where it could not be stopped at once.
    interrupts: Mutex<Option<JoinHandle<()>>>,
    vitals: Mutex<DriverSigns>,
    pub(crate) debug: Arc<Debug>,
    /// The attempts of a confined isolate's code to reach outside; empty for other isolates.
    confinement: OnceLock<AtomicU64>,
}

/// The progress of the work that user code finishes once its generation drains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum DrainProgress {
    /// User code was not told yet.
    #[default]
    NotTold,
    /// User code was told that its generation drains.
    Draining,
    /// User code has finished its work at the draining.
    Drained,
    /// No call is left: user code's handlers of SIGTERM are called.
    Signalled,
}

/// The signs that the driver gives of itself.
#[derive(Debug, Default)]
struct DriverSigns {
    /// The time since which the driver owes an answer to the question whether it lives.
    asked: Option<Instant>,
    calls: BTreeMap<u64, ActiveCall>,
    /// The calls for which work goes on beside their answers.
    held: BTreeMap<u64, SideWork>,
    /// The processor time that the thread had used when it was charged last.
    charged: Duration,
    heap_used: u64,
    buffers_used: u64,
}

/// A call that the isolate has begun.
#[derive(Debug)]
struct ActiveCall {
    cpu: Duration,
    /// The place for the answer, until it is given or lost.
    answer: Option<AnswerSlot>,
}

/// The work that goes on for a call beside its answer.
#[derive(Debug, Default)]
struct SideWork {
    things: usize,
    hung_up: bool,
    /// The task that waits until no work is left.
    waiting: Option<Waker>,
}

impl DriverSigns {
    /// Charges what the thread has used since the last time to the calls that run.
    fn charge(&mut self, clock: Option<&ThreadClock>) {
        let Some(used) = clock.and_then(|clock| clock.read()) else {
            return;
        };
        let spent = used.saturating_sub(self.charged);
        self.charged = used;
        // A call is charged until its answer begins.
        let unanswered = || self.calls.values().filter(|call| call.answer.is_some()).count();
        let share = spent.checked_div(u32::try_from(unanswered()).unwrap_or(u32::MAX));
        if let Some(share) = share {
            let unanswered = self.calls.values_mut().filter(|call| call.answer.is_some());
            unanswered.for_each(|call| call.cpu += share);
        }
    }
}

impl Control {
    /// Notes the isolate of V8; called once by the thread when V8 is up.
    pub(crate) fn booted(self: &Arc<Self>, runtime: &mut JsRuntime) {
        interrupt::booted(runtime);
        self.debug.booted(runtime);
        // Set once, by the one thread that boots.
        let _ = self.v8.set(runtime.v8_isolate().thread_safe_handle());
        if let Some(clock) = ThreadClock::of_this_thread() {
            let _ = self.cpu_clock.set(clock);
        }
        if self.stopped().is_some() {
            self.interrupt();
        }
    }

    /// Ends the use of V8; called by the thread before V8 goes.
    pub(crate) fn disposing(runtime: &mut JsRuntime) {
        interrupt::disposing(runtime);
    }

    /// Stops the isolate for good: its calls are answered at once, also while native code keeps the
    /// thread. The first reason given stays.
    pub(crate) fn stop(self: &Arc<Self>, reason: StopReason) {
        if self.stop.set(reason).is_ok() {
            // Code that a debugger has paused would not notice the stop.
            self.debug.end();
            self.interrupt();
            let lost: Vec<_> = self
                .signs()
                .calls
                .values_mut()
                .filter_map(|call| call.answer.take())
                .collect();
            drop(lost);
        }
    }

    pub(crate) fn stopped(&self) -> Option<&StopReason> {
        self.stop.get()
    }

    /// Returns the same as [`Self::stopped`], and wakes the task once that changes.
    pub(crate) fn poll_stopped(&self, context: &Context<'_>) -> Option<&StopReason> {
        self.waker.register(context.waker());
        self.stopped()
    }

    /// Has user code told that its generation drains.
    pub(crate) fn drain(&self) {
        self.intake.advance(Intake::Draining);
        self.waker.wake();
    }

    pub(crate) fn draining(&self) -> bool {
        self.intake.has_reached(Intake::Draining)
    }

    /// Notes the progress of the work that user code finishes once its generation drains.
    pub(crate) fn note_drain_progress(&self, finishing: DrainProgress) {
        self.finishing.send_replace(finishing);
    }

    /// Follows the progress of that work.
    pub(crate) fn finishing(&self) -> watch::Receiver<DrainProgress> {
        self.finishing.subscribe()
    }

    /// Tells whether user code was told to end: it may call `process.exit`.
    pub(crate) fn was_signalled(&self) -> bool {
        *self.finishing.borrow() == DrainProgress::Signalled
    }

    /// Takes no more calls; running calls are finished.
    pub(crate) fn close(&self) {
        self.intake.advance(Intake::Closed);
        self.waker.wake();
    }

    pub(crate) fn closing(&self) -> bool {
        self.intake.has_reached(Intake::Closed)
    }

    /// Notes that the isolate is nearly out of memory: acts as [`Self::close`], and tells the host.
    pub(crate) fn condemn(&self) {
        self.intake.advance(Intake::Condemned);
        self.waker.wake();
    }

    pub(crate) fn condemned(&self) -> bool {
        self.intake.has_reached(Intake::Condemned)
    }

    /// Returns the isolate's vitals; asks the isolate for a sign of life.
    pub(crate) fn vitals(&self) -> Vitals {
        let mut signs = self.signs();
        signs.charge(self.cpu_clock());
        if self.debug.is_paused() {
            signs.asked = None;
        }
        let asked = *signs.asked.get_or_insert_with(Instant::now);
        let calls = signs
            .calls
            .iter()
            .map(|(id, call)| RunningCall { id: *id, cpu: call.cpu });
        let vitals = Vitals {
            calls: calls.collect(),
            blocked_for: asked.elapsed(),
            heap_used: signs.heap_used,
            buffers_used: signs.buffers_used,
            condemned: self.condemned(),
            denied: self
                .confinement
                .get()
                .map_or(0, |denied| denied.load(Ordering::Acquire)),
            debuggers: self.debug.sessions_open(),
            paused: self.debug.is_paused(),
            finishing: match *self.finishing.borrow() {
                DrainProgress::NotTold | DrainProgress::Drained => None,
                DrainProgress::Draining => Some(js_runtime_api::DrainWork::Draining),
                DrainProgress::Signalled => Some(js_runtime_api::DrainWork::Signal),
            },
        };
        drop(signs);
        self.waker.wake();
        vitals
    }

    /// Notes that the isolate is confined: its code reaches nothing outside.
    pub(crate) fn confine(&self) {
        self.confinement.get_or_init(AtomicU64::default);
    }

    /// Counts an attempt to reach outside. True in a confined isolate, where it is denied.
    pub(crate) fn denies(&self) -> bool {
        let confinement = self.confinement.get();
        confinement.is_some_and(|denied| {
            denied.fetch_add(1, Ordering::AcqRel);
            true
        })
    }

    /// Notes the end of the thread; called as the last thing that it does with the isolate.
    pub(crate) fn thread_ends(&self) {
        self.has_no_thread.store(true, Ordering::Release);
        self.join_interrupts(None);
    }

    /// Notes the thread that stops JavaScript in a moment. The thread before it has done so.
    pub(super) fn note_interrupt(&self, thread: JoinHandle<()>) {
        self.join_interrupts(Some(thread));
    }

    fn join_interrupts(&self, next: Option<JoinHandle<()>>) {
        let mut interrupts = self.interrupts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *interrupts, next);
        drop(interrupts);
        if let Some(before) = before {
            // The thread lasts a moment, and cannot panic.
            let _ = before.join();
        }
    }

    fn cpu_clock(&self) -> Option<&ThreadClock> {
        let has_thread = !self.has_no_thread.load(Ordering::Acquire);
        has_thread.then(|| self.cpu_clock.get()).flatten()
    }

    /// Notes that the driver has a turn, and answers those who asked. True when somebody had.
    pub(crate) fn sign_of_life(&self) -> bool {
        self.signs().asked.take().is_some()
    }

    pub(crate) fn note_memory(&self, MemoryUse { heap, buffers, .. }: MemoryUse) {
        let mut signs = self.signs();
        signs.heap_used = heap as u64;
        signs.buffers_used = buffers as u64;
    }

    /// Keeps the answer until the call has ended or the isolate is stopped.
    pub(crate) fn call_begun(&self, id: u64, answer: AnswerSlot) {
        let mut signs = self.signs();
        signs.charge(self.cpu_clock());
        let call = ActiveCall {
            cpu: Duration::ZERO,
            answer: self.stopped().is_none().then_some(answer),
        };
        signs.calls.insert(id, call);
    }

    /// Returns the answer to be given, unless it was lost.
    pub(crate) fn call_ended(&self, id: u64) -> Option<AnswerSlot> {
        let mut signs = self.signs();
        signs.charge(self.cpu_clock());
        signs.calls.remove(&id)?.answer
    }

    /// Returns the answer to be given, unless it was lost, of a call that goes on until [`Self::call_ended`].
    pub(crate) fn answer_begins(&self, id: u64) -> Option<AnswerSlot> {
        let mut signs = self.signs();
        signs.charge(self.cpu_clock());
        signs.calls.get_mut(&id)?.answer.take()
    }

    /// Ends every call that has no answer yet, as [`Self::call_ended`] does.
    pub(crate) fn unanswered_calls_ended(&self) -> Vec<AnswerSlot> {
        let mut signs = self.signs();
        let calls = signs.calls.extract_if(.., |_, call| call.answer.is_some());
        calls.filter_map(|(_, call)| call.answer).collect()
    }

    /// Notes that user code has started a worker thread.
    pub(crate) fn worker_started(&self) {
        self.workers.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of worker threads that user code has started so far.
    pub(crate) fn workers(&self) -> u64 {
        self.workers.load(Ordering::Relaxed)
    }

    /// Notes that work goes on for the call until it is released.
    pub(crate) fn hold(&self, call: u64) {
        self.signs().held.entry(call).or_default().things += 1;
    }

    /// Tells whether work goes on for the call.
    pub(crate) fn is_held(&self, call: u64) -> bool {
        self.signs().held.contains_key(&call)
    }

    /// Notes that the caller is gone; the work for the call may ask.
    pub(crate) fn hang_up(&self, call: u64) {
        if let Some(held) = self.signs().held.get_mut(&call) {
            held.hung_up = true;
            tracing::debug!("a caller hung up: its handler continues");
        }
    }

    /// Tells whether work goes on for a caller who is gone.
    pub(crate) fn is_hung_up(&self, call: u64) -> bool {
        self.signs().held.get(&call).is_some_and(|held| held.hung_up)
    }

    /// Ends one [`Self::hold`].
    pub(crate) fn release(&self, call: u64) {
        let mut signs = self.signs();
        let Some(held) = signs.held.get_mut(&call) else {
            return;
        };
        held.things = held.things.saturating_sub(1);
        if held.things == 0 {
            let waiting = signs.held.remove(&call).and_then(|held| held.waiting);
            drop(signs);
            if let Some(waiting) = waiting {
                waiting.wake();
            }
        }
    }

    /// Waits until no work goes on for the call.
    pub(crate) fn poll_released(&self, call: u64, context: &Context<'_>) -> Poll<()> {
        match self.signs().held.get_mut(&call) {
            None => Poll::Ready(()),
            Some(held) => {
                held.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn signs(&self) -> MutexGuard<'_, DriverSigns> {
        // Nothing panics while it holds the lock.
        self.vitals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note_stood_at(&self, position: Option<StopPosition>) {
        *self.stood_at.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }

    /// Returns the place at which a loop was interrupted, if JavaScript ran at that moment.
    pub(crate) fn stood_at(&self) -> Option<StopPosition> {
        self.stood_at.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops running JavaScript; wakes a waiting thread.
    pub(crate) fn interrupt(self: &Arc<Self>) {
        match (self.v8.get(), self.stopped()) {
            (Some(v8), Some(StopReason::TimedOut | StopReason::Terminated)) => interrupt::request(v8, self),
            // This runs on the isolate's own thread, in the middle of the JavaScript that is to end.
            (Some(v8), Some(StopReason::Exited(_) | StopReason::OutOfMemory | StopReason::Panicked)) => {
                v8.terminate_execution();
            }
            _ => {}
        }
        self.waker.wake();
    }
}
