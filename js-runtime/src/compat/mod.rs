//! Keeps the effects of user code on its process inside its isolate.
//!
//! Deno's own operations read and change the whole process, so this extension replaces them: `exit` by operations
//! that end the isolate, `process_env` and `signals` by operations that keep their state in it (with `zone`, for the
//! variable TZ), `require`'s first look by the project's own, `process` by errors that say what to write instead.
//! `response` saves work that is for nothing here, `stripping` parses with room on the stack.
//!
//! The output of user code becomes lines of the host's log (`console`, and `stdio` for output that bypasses it).
//! Processes that user code starts end with the isolate (`children`) and can read its messages (`channel`).
//! JavaScript reaches both through the object in `host`, which also has the functions of built-in modules. `witness`
//! sees what user code asks of the system while it is evaluated, by `files` and by Deno's audit.

use std::rc::Rc;
use std::sync::Arc;

use deno_core::{Extension, JsRuntime, extension};

pub(crate) mod certificates;
mod channel;
mod children;
mod console;
mod exit;
pub(crate) mod files;
pub(crate) mod host;
mod lines;
mod process;
pub(crate) mod process_env;
mod response;
mod signals;
pub(crate) mod stdio;
mod stripping;
pub(crate) mod witness;
mod zone;

use crate::control::Control;
use crate::loader::Modules;
use crate::loader::require;
use crate::source;
use process_env::IsolateEnvironment;

extension!(
    baton_compat,
    options = { control: Arc<Control>, environment: IsolateEnvironment, modules: Rc<Modules> },
    middleware = |op| match op.name {
        "op_exit" => op.with_implementation_from(&exit::op_baton_exit()),
        "op_process_abort" => op.with_implementation_from(&exit::op_baton_abort()),
        "op_node_process_kill" => op.with_implementation_from(&exit::op_baton_node_kill()),
        "op_kill" => op.with_implementation_from(&exit::op_baton_kill()),

        "op_env" => op.with_implementation_from(&process_env::op_baton_env()),
        "op_get_env" => op.with_implementation_from(&process_env::op_baton_get_env()),
        "op_get_env_no_permission_check" => op.with_implementation_from(&process_env::op_baton_get_env_of_node()),
        "op_set_env" => op.with_implementation_from(&process_env::op_baton_set_env()),
        "op_delete_env" => op.with_implementation_from(&process_env::op_baton_delete_env()),
        "op_node_load_env_file" => op.with_implementation_from(&process_env::op_baton_load_env_file()),

        "op_signal_bind" => op.with_implementation_from(&signals::op_baton_signal_bind()),
        "op_signal_poll" => op.with_implementation_from(&signals::op_baton_signal_poll()),
        "op_signal_unbind" => op.with_implementation_from(&signals::op_baton_signal_unbind()),

        "op_node_ipc_write_advanced" => op.with_implementation_from(&channel::op_baton_ipc_write_advanced()),

        "op_fs_chdir" => op.with_implementation_from(&process::op_baton_chdir()),
        "op_fs_umask" => op.with_implementation_from(&process::op_baton_umask()),
        "op_node_process_set_title" => op.with_implementation_from(&process::op_baton_set_title()),
        "op_node_process_setuid" | "op_node_process_seteuid"
        | "op_node_process_setgid" | "op_node_process_setegid" =>
            op.with_implementation_from(&process::op_baton_set_id()),
        "op_node_os_set_priority" => op.with_implementation_from(&process::op_baton_set_priority()),
        "op_node_strip_typescript_types" => op.with_implementation_from(&stripping::op_baton_strip_typescript_types()),
        "op_http_new_response_native_headers" => op.with_implementation_from(&response::op_baton_no_native_response()),
        "op_v8_set_heap_snapshot_near_heap_limit" =>
            op.with_implementation_from(&process::op_baton_snapshot_near_heap_limit()),
        "op_require_try_self" => op.with_implementation_from(&require::op_baton_require_first()),
        _ => op,
    },
    state = |state, options| {
        state.put(options.control);
        state.put(options.environment);
        state.put(options.modules);
    },
);

/// Makes the extension for one isolate of a generation with these variables.
pub(crate) fn extension(
    control: Arc<Control>,
    variables: &source::environment::Environment,
    modules: Rc<Modules>,
) -> Extension {
    baton_compat::init(control, IsolateEnvironment::with(variables), modules)
}

/// Has a new isolate, to which that extension belongs, tell the time in its generation's zone.
pub(crate) fn begin_zone(runtime: &mut JsRuntime) {
    let state = runtime.op_state();
    let zone = state.borrow().borrow::<IsolateEnvironment>().zone().map(str::to_owned);
    zone::begin(runtime, zone.as_deref());
}
