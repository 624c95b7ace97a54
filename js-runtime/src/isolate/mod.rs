//! The isolates. One isolate is one OS thread with one current-thread runtime: V8 wants its thread for life, and
//! generations overlap.
//!
//! `handle` is the host's side, `assignment` the parts and the work of an isolate, `thread` its life from boot to
//! drop, `custody` waits for its end, `load` evaluates the modules (`ahead` some of them before the load, `blame`
//! explains failures), `driver` is the loop that answers calls, `forward` the way to an app that listens. `memory`,
//! `stack` and `fatal` are about limits that code may exceed. `worker` has the threads that user code starts.

mod ahead;
mod assignment;
mod blame;
mod bootstrap;
mod custody;
mod driver;
mod fatal;
mod forward;
mod handle;
mod load;
mod memory;
mod stack;
mod thread;
mod worker;

pub(crate) use assignment::{NotLoaded, Spec, Unsuited};
pub(crate) use custody::LeftBehind;
pub(crate) use fatal::{contain_failures, losses};
pub(crate) use handle::{Begun, Readiness, begin};
