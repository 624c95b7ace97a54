//! What user code prints becomes lines of the host's log, with the call that it belongs to.

use deno_core::v8;

/// The function that the prelude calls for each line: level, text, function, run, step; the last
/// three are empty where there is no call.
pub(crate) fn log_function<'s>(scope: &mut v8::PinScope<'s, '_>) -> Option<v8::Local<'s, v8::Function>> {
    v8::Function::new(scope, log)
}

fn log(
    scope: &mut v8::PinScope<'_, '_>,
    arguments: v8::FunctionCallbackArguments<'_>,
    _: v8::ReturnValue<'_, v8::Value>,
) {
    let argument = |index| arguments.get(index).to_rust_string_lossy(scope);
    let (level, text) = (argument(0), argument(1));
    let known = |index| Some(argument(index)).filter(|text| !text.is_empty());
    let (function, run, step) = (known(2), known(3), known(4));
    // Named by whoever asked for the isolate.
    let thread = std::thread::current();
    let isolate = thread.name().unwrap_or_default();
    match level.as_str() {
        "debug" => tracing::debug!(target: "user", isolate, function, run, step, "{text}"),
        "warn" => tracing::warn!(target: "user", isolate, function, run, step, "{text}"),
        "error" => tracing::error!(target: "user", isolate, function, run, step, "{text}"),
        _ => tracing::info!(target: "user", isolate, function, run, step, "{text}"),
    }
}
