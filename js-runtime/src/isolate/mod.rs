//! One isolate is one OS thread with one current-thread runtime: V8 wants its thread for life, and
//! generations overlap.
//!
//! `handle` is what the host holds, `control` what both sides share (and `name`; `interrupt` stops what runs), `thread` the
//! life from boot to drop, `load` the modules' evaluation (`ahead` that of some before, `blame` what went wrong in it,
//! `manifest` what came of it), `driver` the loop that answers calls, `forward` the way to an app that listens. `memory`,
//! `cpu_clock` and `fatal` are about what may go too far. `worker` is the threads that user code starts.

mod ahead;
mod blame;
mod control;
mod cpu_clock;
mod debug;
mod driver;
mod fatal;
mod forward;
mod handle;
mod interrupt;
mod load;
mod manifest;
mod memory;
mod name;
mod stack;
mod thread;
mod worker;

pub(crate) use control::{Control, Exit, Stop};
pub(crate) use fatal::{contain_failures, losses};
pub(crate) use handle::{Begun, NotLoaded, Readiness, Unsuited, begin};
pub(crate) use name::{Name, SPARE};
pub(crate) use thread::Spec;

use js_runtime_api::CallError;

/// An error of our own making on the way into or out of JavaScript.
pub(crate) fn script_error(message: impl std::fmt::Display) -> CallError {
    CallError::Threw(message.to_string())
}
