//! `process.exit`, `process.env`, `process.chdir`, `process.umask` and signal handlers: Deno's own
//! operations change the whole process, so they are replaced by ones that change the isolate.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use deno_core::error::JsError;
use deno_core::{Extension, OpState, Resource, ResourceId, extension, op2, v8};
use deno_error::JsErrorBox;
use deno_runtime::deno_os::ExitCode;

use crate::diagnostics::own_place;
use crate::isolate::{Control, Exit, Stop};

extension!(
    baton_process,
    options = { control: Arc<Control>, environment: Environment },
    middleware = |op| match op.name {
        "op_exit" => op.with_implementation_from(&op_baton_exit()),
        "op_env" => op.with_implementation_from(&op_baton_env()),
        "op_get_env" | "op_get_env_no_permission_check" => op.with_implementation_from(&op_baton_get_env()),
        "op_set_env" => op.with_implementation_from(&op_baton_set_env()),
        "op_delete_env" => op.with_implementation_from(&op_baton_delete_env()),
        "op_fs_chdir" => op.with_implementation_from(&op_baton_chdir()),
        "op_fs_umask" => op.with_implementation_from(&op_baton_umask()),
        "op_signal_bind" => op.with_implementation_from(&op_baton_signal_bind()),
        "op_signal_poll" => op.with_implementation_from(&op_baton_signal_poll()),
        "op_signal_unbind" => op.with_implementation_from(&op_baton_signal_unbind()),
        _ => op,
    },
    state = |state, options| {
        state.put(options.control);
        state.put(options.environment);
    },
);

/// The extension for one isolate. Its environment begins as the process's.
pub(crate) fn extension(control: Arc<Control>) -> Extension {
    baton_process::init(control, Environment(std::env::vars().collect()))
}

/// The isolate's environment variables.
struct Environment(HashMap<String, String>);

/// Ends the isolate where Deno would end the process.
#[op2(fast)]
fn op_baton_exit(state: Rc<RefCell<OpState>>, scope: &mut v8::PinScope<'_, '_>) {
    let (control, code) = {
        let state = state.borrow();
        let code = state.try_borrow::<ExitCode>().map_or(0, ExitCode::get);
        (state.borrow::<Arc<Control>>().clone(), code)
    };
    // Reading the stack calls back into Deno, which borrows the state.
    let called = v8::String::new(scope, "process.exit was called here").unwrap_or_else(|| v8::String::empty(scope));
    let called = v8::Exception::error(scope, called);
    let error = JsError::from_v8_exception(scope, called);
    let stack = error.stack.clone().unwrap_or_default();
    let place = own_place(&error);
    control.stop(Stop::Exited(Exit { code, stack, place }));
}

#[op2]
#[serde]
fn op_baton_env(state: &mut OpState) -> HashMap<String, String> {
    state.borrow::<Environment>().0.clone()
}

#[op2]
#[string]
fn op_baton_get_env(state: &mut OpState, #[string] key: &str) -> Option<String> {
    state.borrow::<Environment>().0.get(key).cloned()
}

#[op2(fast)]
fn op_baton_set_env(state: &mut OpState, #[string] key: &str, #[string] value: &str) -> Result<(), JsErrorBox> {
    if key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
        return Err(JsErrorBox::type_error(format!(
            "{key:?} cannot be an environment variable with this value"
        )));
    }
    state
        .borrow_mut::<Environment>()
        .0
        .insert(key.to_owned(), value.to_owned());
    Ok(())
}

#[op2(fast)]
fn op_baton_delete_env(state: &mut OpState, #[string] key: &str) {
    state.borrow_mut::<Environment>().0.remove(key);
}

#[op2(fast)]
fn op_baton_chdir(#[string] directory: &str) -> Result<(), JsErrorBox> {
    let message = format!(
        "process.chdir({directory:?}) is not possible: the working folder belongs to the whole host. \
         Give child processes their own with the `cwd` option."
    );
    Err(JsErrorBox::generic(message))
}

/// Node's default; it can be read and not set.
#[op2]
#[smi]
fn op_baton_umask(#[smi] mask: Option<u32>) -> Result<u32, JsErrorBox> {
    match mask {
        None => Ok(0o022),
        Some(_) => Err(JsErrorBox::generic(
            "process.umask(mask) is not possible: the mask belongs to the whole host. \
             Give files their mode when they are made.",
        )),
    }
}

/// A signal handler that user code installed. Signals are the host's: it is never called.
struct SignalHandler;

impl Resource for SignalHandler {
    fn name(&self) -> Cow<'_, str> {
        "signal".into()
    }
}

#[op2(fast)]
#[smi]
fn op_baton_signal_bind(state: &mut OpState, #[string] _signal: &str) -> ResourceId {
    state.resource_table.add(SignalHandler)
}

#[op2]
async fn op_baton_signal_poll(#[smi] _handler: ResourceId) -> bool {
    std::future::pending().await
}

#[op2(fast)]
fn op_baton_signal_unbind(state: &mut OpState, #[smi] handler: ResourceId) {
    // Closed twice is closed.
    let _: Option<Rc<SignalHandler>> = state.resource_table.take(handler).ok();
}
