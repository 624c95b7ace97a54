//! The isolates. One isolate is one OS thread with one current-thread runtime: V8 wants its thread for life, and
//! generations overlap.
//!
//! `handle` is the host's side, `assignment` the parts and the work of an isolate, `thread` its life from boot to drop,
//! `custody` waits for its end, `project_load` evaluates the modules (`ahead` some of them before the load, `blame`
//! explains failures), `driver` is the loop that answers calls, `app_connection` the way to an app that listens.
//! `memory`, `stack` and `fatal` are about limits that code may exceed. `worker` has the threads that user code starts.

mod ahead;
mod app_connection;
mod assignment;
mod blame;
mod bootstrap;
mod custody;
mod driver;
mod fatal;
mod handle;
mod memory;
mod project_load;
mod stack;
mod thread;
mod worker;

pub(crate) use assignment::{AheadMismatch, LoadFailure, Spec};
pub(crate) use custody::EndingIsolates;
pub(crate) use fatal::{contain_failures, losses};
pub(crate) use handle::{BootReadiness, BootedIsolate, begin};
