//! Limits an event that would end the process to one isolate: a panic on its thread, or V8 that cannot go on.
//!
//! Above the code that panics there may be frames of V8, which a panic cannot unwind; and V8 aborts once its handler
//! returns. So the thread does not leave its frames: it tells that its isolate died, and sleeps for ever. Its memory
//! is lost until the process ends, which is the price of everybody else's calls.

#![allow(unsafe_code, reason = "V8 calls its handlers as C functions")]

use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

use deno_core::v8;
use js_runtime_api::{IsolateEnd, Losses};
use tokio::sync::watch;

use crate::control::{Control, StopReason};
use crate::system::contained::is_contained;

/// The receivers of the news that an isolate's thread cannot go on.
pub(super) struct FatalReceivers {
    pub(super) control: Arc<Control>,
    /// `None` on a thread that the isolate started: the isolate ends by itself then.
    pub(super) ended: Option<watch::Sender<Option<ThreadEnd>>>,
    /// For a worker that runs out of memory: tells the isolate that started the worker and lives on.
    pub(super) out_of_memory: Option<Box<dyn FnOnce()>>,
}

/// The end of an isolate's thread.
#[derive(Debug, Clone)]
pub(super) struct ThreadEnd {
    pub(super) why: IsolateEnd,
    /// Tells whether the thread sleeps for ever, so that nobody waits for it.
    pub(super) lost: bool,
}

thread_local! {
    static TOLD: Cell<Option<FatalReceivers>> = const { Cell::new(None) };
    /// The largest heap of this thread's isolate, in bytes.
    static HEAP: Cell<usize> = const { Cell::new(0) };
}

/// Limits an event that would end the process to a thread that [`guard_this_thread`] guards, in the whole process.
pub(crate) fn contain_failures() {
    static HOOKS: Once = Once::new();
    HOOKS.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if is_contained() {
                return;
            }
            lose_this_thread(StopReason::Panicked, IsolateEnd::Panicked, &panic.to_string());
            previous(panic);
        }));
        v8::V8::set_fatal_error_handler(v8_failed);
    });
}

/// Guards this thread: from now on an event that would end the process ends only the thread's isolate, where failures
/// are contained.
pub(super) fn guard_this_thread(told: FatalReceivers) {
    TOLD.set(Some(told));
}

/// Guards the memory of an isolate; to be called for each isolate, on its thread, with the limit of its heap.
pub(super) fn guard_memory(isolate: &mut v8::Isolate, heap: usize) {
    HEAP.set(heap);
    isolate.set_oom_error_handler(v8_out_of_memory);
}

/// Notes that the isolate of this thread may have a larger heap.
pub(super) fn heap_may_grow_to(heap: usize) {
    HEAP.set(heap);
}

static LOST_THREADS: AtomicU64 = AtomicU64::new(0);
static LOST_MEMORY: AtomicU64 = AtomicU64::new(0);

/// Returns the losses of the process: the threads that sleep for ever, and their memory.
pub(crate) fn losses() -> Losses {
    Losses {
        threads: LOST_THREADS.load(Ordering::Relaxed),
        memory: LOST_MEMORY.load(Ordering::Relaxed),
    }
}

/// Loses this thread; returns only where no isolate is to be lost.
fn lose_this_thread(stop: StopReason, why: IsolateEnd, what: &str) {
    let Ok(Some(told)) = TOLD.try_with(Cell::take) else {
        return;
    };
    let FatalReceivers {
        control,
        ended,
        out_of_memory,
    } = told;
    let heap = HEAP.get();
    LOST_THREADS.fetch_add(1, Ordering::Relaxed);
    LOST_MEMORY.fetch_add(heap as u64, Ordering::Relaxed);
    let heap_mb = heap >> 20;
    match why {
        IsolateEnd::OutOfMemory => {
            tracing::error!(
                what,
                heap_mb,
                "V8 ran out of memory: its thread and its memory are lost"
            )
        }
        _ => {
            let backtrace = std::backtrace::Backtrace::force_capture();
            tracing::error!(what, %backtrace, "an isolate's thread failed: this is a bug in Baton, please report it");
        }
    }
    if let (IsolateEnd::OutOfMemory, Some(tell)) = (&why, out_of_memory) {
        tell();
        sleep_for_ever();
    }
    control.stop(stop);
    if let Some(ended) = ended {
        ended.send_replace(Some(ThreadEnd { why, lost: true }));
    }
    sleep_for_ever()
}

/// Ends the isolate of this thread, which can neither go on nor return.
pub(super) fn give_up(what: &str) -> ! {
    lose_this_thread(StopReason::Panicked, IsolateEnd::Panicked, what);
    sleep_for_ever()
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

fn v8_failed(file: &str, line: i32, message: &str) {
    let what = format!("{message} ({file}:{line})");
    lose_this_thread(StopReason::Panicked, IsolateEnd::Panicked, &what);
}

unsafe extern "C" fn v8_out_of_memory(place: *const c_char, _: &v8::OomDetails) {
    // SAFETY: V8 passes a string that ends with a zero and lasts for the call.
    let place = (!place.is_null()).then(|| unsafe { CStr::from_ptr(place) });
    let what = place.map(CStr::to_string_lossy).unwrap_or_default();
    lose_this_thread(StopReason::OutOfMemory, IsolateEnd::OutOfMemory, &what);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::executor::block_on;
    use js_runtime_api::{Body, CallError, CallQueue, CallSubject, Caller, IsolateEnd, Request, Target};
    use tokio::sync::watch;

    use super::{FatalReceivers, contain_failures, guard_this_thread};
    use crate::control::Control;

    /// Panics where V8 calls an operation: a panic that reached V8 would abort the process.
    extern "C" fn operation() {
        panic!("in an operation");
    }

    /// The variable that tells a copy of this test's process to panic.
    const PANICS: &str = "BATON_TEST_PANICS";

    #[test]
    fn a_panic_below_foreign_frames_answers_the_isolates_calls_and_ends_nothing_else() {
        if std::env::var_os(PANICS).is_some() {
            return lose_an_isolate();
        }
        // The test runs in a process of its own, since a thread that panicked stays in the hook for ever.
        let name =
            "isolate::fatal::tests::a_panic_below_foreign_frames_answers_the_isolates_calls_and_ends_nothing_else";
        let copy = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(PANICS, "1")
            .output()
            .unwrap();
        assert_eq!(copy.status.code(), Some(0), "{copy:?}");
    }

    #[allow(
        clippy::exit,
        clippy::disallowed_methods,
        reason = "without unwinding, as a process ends that lost an isolate"
    )]
    fn lose_an_isolate() {
        contain_failures();
        let (ended, mut heard) = watch::channel(None);
        let control = Arc::new(Control::default());
        let queue = CallQueue::default();
        let request = Request {
            method: "GET".to_owned(),
            url: "http://localhost/".to_owned(),
            headers: Vec::new(),
            body: Body::Full(bytes::Bytes::new()),
            caller: Caller::default(),
            subject: CallSubject::default(),
            target: Target::Fetch,
        };
        let answer = queue.push(1, None, request);
        std::thread::spawn({
            let control = control.clone();
            move || {
                let call = block_on(std::future::poll_fn(|context| queue.poll_take(context)));
                control.call_begun(call.id, call.answer);
                guard_this_thread(FatalReceivers {
                    control,
                    ended: Some(ended),
                    out_of_memory: None,
                });
                operation();
            }
        });
        assert_eq!(block_on(answer).err(), Some(CallError::IsolateDied));
        let end = block_on(heard.wait_for(Option::is_some)).unwrap().clone();
        assert_eq!(end.map(|end| (end.why, end.lost)), Some((IsolateEnd::Panicked, true)));
        std::process::exit(0);
    }
}
