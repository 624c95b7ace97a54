//! One isolate is one OS thread with one current-thread runtime: V8 wants its thread for life, and
//! generations overlap.
//!
//! `handle` is what the host holds, `assignment` what an isolate is made of and for, `thread` the life from boot to drop,
//! `custody` waits for its end, `load` the modules' evaluation (`ahead` that of some before, `blame` what went wrong in it), `driver` the loop that
//! answers calls, `forward` the way to an app that listens. `memory`, `stack` and `fatal` are about what may go too far.
//! `worker` is the threads that user code starts.

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
