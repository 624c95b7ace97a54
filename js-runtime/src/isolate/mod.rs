//! One isolate is one OS thread with one current-thread runtime: V8 wants its thread for life, and
//! generations overlap.
//!
//! `handle` is what the host holds, `control` what both sides share (and `name`; `interrupt` stops what runs, `intake` tells
//! which calls it takes), `custody` waits for its end, `thread` is the life from boot to drop, `load` the modules' evaluation
//! (`blame` what went wrong in it, `manifest` what came of it), `driver` the loop that answers
//! calls, `forward` the way to an app that listens. `memory`, `cpu_clock` and `fatal` are about what may go too far.
//! `worker` is the threads that user code starts.

mod blame;
mod control;
mod cpu_clock;
mod custody;
mod debug;
mod driver;
mod fatal;
mod forward;
mod handle;
mod intake;
mod interrupt;
mod load;
mod manifest;
mod memory;
mod name;
mod stack;
mod thread;
mod worker;

pub(crate) use control::{Control, Exit, Stop};
pub(crate) use custody::LeftBehind;
pub(crate) use fatal::{contain_failures, losses};
pub(crate) use handle::{Begun, NotLoaded, Readiness, Unsuited, begin};
pub(crate) use load::{Load, run, to_v8};
pub(crate) use name::{Name, SPARE};
pub(crate) use thread::Spec;

use js_runtime_api::CallError;

/// An error of our own making on the way into or out of JavaScript.
pub(crate) fn script_error(message: impl std::fmt::Display) -> CallError {
    CallError::Threw(message.to_string())
}
