//! Stops running JavaScript from another thread: V8 calls back on the isolate's own thread, in the midst of the
//! JavaScript. The callback sees where JavaScript stands, and whether it may be stopped at that place.

#![allow(unsafe_code, reason = "V8's interrupt callback is a C function with a data pointer")]

use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

use deno_core::{JsRuntime, v8};

use super::{Control, StopPosition};
use crate::own_files::{IMPORTS_A_PACKAGE, PRELUDE};

/// The number of frames in which the interrupt looks for a module of Deno's that is being evaluated. Deno evaluates
/// such a module when one is wanted first, does not expect to be stopped there, and panics.
const FRAMES: usize = 1000;

/// The time for which JavaScript is left alone then.
const A_MOMENT: Duration = Duration::from_millis(1);

/// The context that is kept in the isolate for the interrupt, which has nothing else to find it by.
#[derive(Clone)]
struct MainContext(v8::Global<v8::Context>);

/// Keeps the context; called once by the thread when V8 is up.
pub(super) fn booted(runtime: &mut JsRuntime) {
    let context = MainContext(runtime.main_context());
    runtime.v8_isolate().set_slot(context);
}

/// Removes the context; called by the thread before V8 goes.
pub(super) fn disposing(runtime: &mut JsRuntime) {
    runtime.v8_isolate().remove_slot::<MainContext>();
}

/// Stops the JavaScript that runs, or that will run next. `control` belongs to the isolate.
pub(super) fn request(isolate: &v8::IsolateHandle, control: &Arc<Control>) {
    // The thread holds its control until the isolate is disposed, so the pointer outlives every interrupt that V8 may
    // still deliver.
    let data = Arc::as_ptr(control).cast_mut().cast::<c_void>();
    isolate.request_interrupt(note_position_and_terminate, data);
}

extern "C" fn note_position_and_terminate(isolate: v8::UnsafeRawIsolatePtr, data: *mut c_void) {
    let control = data.cast::<Control>().cast_const();
    // SAFETY: `request` passes a `Control` that the isolate's thread keeps alive, see there.
    let control = unsafe {
        Arc::increment_strong_count(control);
        Arc::from_raw(control)
    };
    // SAFETY: V8 calls this with the isolate that is running on this thread.
    let mut isolate = unsafe { v8::Isolate::from_raw_isolate_ptr(isolate) };
    if let Some(MainContext(context)) = isolate.get_slot::<MainContext>().cloned() {
        v8::callback_scope!(unsafe scope, &mut isolate);
        let context = v8::Local::new(scope, &context);
        let scope = &v8::ContextScope::new(scope, context);
        let trace = v8::StackTrace::current_stack_trace(scope, FRAMES);
        let frames = || {
            let trace = trace.iter();
            trace.flat_map(|trace| (0..trace.get_frame_count()).map_while(|at| trace.get_frame(scope, at)))
        };
        // V8's own functions, such as `Array.prototype.forEach`, are in no script.
        let mut scripts = frames().filter_map(|frame| Some((frame, frame.get_script_name(scope)?)));
        let evaluates = scripts.find_map(|(frame, script)| {
            let function = frame.get_function_name(scope);
            let function = function.map(|name| name.to_rust_string_lossy(scope));
            evaluates(&script.to_rust_string_lossy(scope), &function.unwrap_or_default())
        });
        if evaluates == Some(true) && interrupt_again(&control) {
            return;
        }
        // There is no frame while a builtin goes on with an async function: V8 reads past the end of an empty trace.
        let position = frames().next().and_then(|frame| {
            Some(StopPosition {
                url: frame.get_script_name(scope)?.to_rust_string_lossy(scope),
                line: u32::try_from(frame.get_line_number()).ok()?,
                column: u32::try_from(frame.get_column()).ok()?,
            })
        });
        control.note_stood_at(position);
    }
    isolate.terminate_execution();
}

/// Tells of a frame, from the innermost on, whether a module of Deno's is being evaluated; `None` where the next
/// frame tells. A frame without a name is the code of a module outside of functions.
fn evaluates(script: &str, function: &str) -> Option<bool> {
    if script.starts_with("ext:") || script.starts_with("node:") {
        return matches!(function, "" | "lazyLoad").then_some(true);
    }
    // V8 tells of no frame while a module of Deno's begins. This function does nothing but import.
    Some(script.ends_with(PRELUDE) && function == IMPORTS_A_PACKAGE)
}

/// Interrupts again in a moment; false where no thread can be made for it. The control owns the thread.
fn interrupt_again(control: &Arc<Control>) -> bool {
    let interrupted = control.clone();
    let interrupt = move || {
        std::thread::sleep(A_MOMENT);
        interrupted.interrupt();
    };
    match std::thread::Builder::new().name("stop".to_owned()).spawn(interrupt) {
        Ok(thread) => {
            control.note_interrupt(thread);
            true
        }
        Err(_) => false,
    }
}
