//! `process.on("SIGTERM", …)`: signals are the host's, so nothing of the process reaches user code by Deno's
//! operations. The handlers of an isolate are called by `own_modules/host.ts`; those of its worker threads are never
//! called, as in Node.

use std::borrow::Cow;
use std::rc::Rc;

use deno_core::{OpState, Resource, ResourceId, op2};

/// A signal handler that user code installed.
struct SignalHandler;

impl Resource for SignalHandler {
    fn name(&self) -> Cow<'_, str> {
        "signal".into()
    }
}

#[op2(fast)]
#[smi]
pub(super) fn op_baton_signal_bind(state: &mut OpState, #[string] _signal: &str) -> ResourceId {
    state.resource_table.add(SignalHandler)
}

#[op2]
pub(super) async fn op_baton_signal_poll(#[smi] _handler: ResourceId) -> bool {
    std::future::pending().await
}

#[op2(fast)]
pub(super) fn op_baton_signal_unbind(state: &mut OpState, #[smi] handler: ResourceId) {
    // Closed twice is closed.
    let _: Option<Rc<SignalHandler>> = state.resource_table.take(handler).ok();
}
