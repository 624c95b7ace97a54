//! How another thread stops an isolate, whether it runs, waits or spins.

#![allow(unsafe_code, reason = "V8's interrupt callback is a C function with a data pointer")]

use std::ffi::c_void;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Context;

use deno_core::{JsRuntime, v8};
use futures::task::AtomicWaker;

/// Why an isolate is to leave its loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stop {
    /// The load took too long.
    TimedOut = 1,
    /// Somebody ended it.
    Terminated = 2,
}

/// Where JavaScript stood when it was stopped, in the code as V8 has it.
#[derive(Debug, Clone)]
pub(crate) struct StoodAt {
    pub(crate) url: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// Kept in the isolate for the interrupt, which has nothing else to find it by.
#[derive(Clone)]
struct MainContext(v8::Global<v8::Context>);

/// Shared by the isolate's thread and its handles.
#[derive(Debug, Default)]
pub(crate) struct Control {
    stop: AtomicU8,
    waker: AtomicWaker,
    v8: OnceLock<v8::IsolateHandle>,
    stood_at: Mutex<Option<StoodAt>>,
}

impl Control {
    /// Called once by the thread when V8 is up.
    pub(crate) fn booted(self: &Arc<Self>, runtime: &mut JsRuntime) {
        let context = MainContext(runtime.main_context());
        let isolate = runtime.v8_isolate();
        isolate.set_slot(context);
        // Set once, by the one thread that boots.
        let _ = self.v8.set(isolate.thread_safe_handle());
        if self.stopped().is_some() {
            self.interrupt();
        }
    }

    /// Called by the thread before V8 goes.
    pub(crate) fn disposing(runtime: &mut JsRuntime) {
        runtime.v8_isolate().remove_slot::<MainContext>();
    }

    /// Stops the isolate for good. The first reason given stays.
    pub(crate) fn stop(self: &Arc<Self>, reason: Stop) {
        let first = self
            .stop
            .compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if first {
            self.interrupt();
        }
    }

    pub(crate) fn stopped(&self) -> Option<Stop> {
        match self.stop.load(Ordering::Acquire) {
            1 => Some(Stop::TimedOut),
            2 => Some(Stop::Terminated),
            _ => None,
        }
    }

    /// As [`Self::stopped`], and wakes the task once that changes.
    pub(crate) fn poll_stopped(&self, context: &Context<'_>) -> Option<Stop> {
        self.waker.register(context.waker());
        self.stopped()
    }

    /// Where a loop was interrupted, if JavaScript ran at that moment.
    pub(crate) fn stood_at(&self) -> Option<StoodAt> {
        self.stood_at.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Running JavaScript is interrupted; a waiting thread is woken.
    fn interrupt(self: &Arc<Self>) {
        if let Some(v8) = self.v8.get() {
            // The thread holds this control until its isolate is disposed, so the pointer outlives
            // every interrupt that V8 may still deliver.
            let data = Arc::as_ptr(self).cast_mut().cast::<c_void>();
            v8.request_interrupt(note_position_and_terminate, data);
        }
        self.waker.wake();
    }
}

/// Runs on the isolate's thread, inside the JavaScript that is interrupted.
extern "C" fn note_position_and_terminate(isolate: v8::UnsafeRawIsolatePtr, data: *mut c_void) {
    // SAFETY: `interrupt` passes a `Control` that the isolate's thread keeps alive, see there.
    let control = unsafe { &*data.cast::<Control>() };
    // SAFETY: V8 calls this with the isolate that is running on this thread.
    let mut isolate = unsafe { v8::Isolate::from_raw_isolate_ptr(isolate) };
    if let Some(MainContext(context)) = isolate.get_slot::<MainContext>().cloned() {
        v8::callback_scope!(unsafe scope, &mut isolate);
        let context = v8::Local::new(scope, &context);
        let scope = &v8::ContextScope::new(scope, context);
        let position = v8::StackTrace::current_stack_trace(scope, 1).and_then(|trace| {
            let frame = trace.get_frame(scope, 0)?;
            Some(StoodAt {
                url: frame.get_script_name(scope)?.to_rust_string_lossy(scope),
                line: u32::try_from(frame.get_line_number()).ok()?,
                column: u32::try_from(frame.get_column()).ok()?,
            })
        });
        *control.stood_at.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }
    isolate.terminate_execution();
}
