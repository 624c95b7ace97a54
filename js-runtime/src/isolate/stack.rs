//! The stack that JavaScript may use on an isolate's thread.

#![allow(unsafe_code, reason = "V8 takes the limit as an address")]

use deno_core::v8;

/// The stack that V8 gives by default, in bytes, which is what Node has. The rest of the thread's stack is for native
/// code that JavaScript calls.
const JAVASCRIPT: usize = 984 << 10;

/// Tells V8 where JavaScript's stack ends, counted from here.
///
/// V8 works that out by itself as well. It then counts from the beginning of the thread's stack, and takes 40 KiB
/// below its default size for the end of JavaScript's stack: frames above the isolate use up a part of that, and
/// JavaScript that goes beyond ends with a fatal error (`IsOnCentralStack`) where it should throw.
pub(super) fn bounded(parameters: v8::CreateParams) -> v8::CreateParams {
    let here = 0_u32;
    let limit = (&raw const here).cast_mut().wrapping_byte_sub(JAVASCRIPT);
    // SAFETY: the thread's stack is larger by far, and the isolate stays on this thread.
    unsafe { parameters.set_stack_limit(limit) }
}
