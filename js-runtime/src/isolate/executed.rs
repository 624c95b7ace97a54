//! V8's code caches once more, when the code has run: with the functions that were compiled only then.
//!
//! Deno makes them of code that was just compiled, which has little more in it than the code of the module's top. At
//! the end of an isolate nobody waits, and V8 still knows what it compiled for which text. What comes from the disk may
//! have been kept by a project that uses less of a package: each process looks once whether it has more.

use deno_core::{JsRuntime, v8};

use crate::loader::{Fresh, Modules};

/// Keeps code caches of the modules that this isolate was the first of the process to have.
pub(super) fn keep(runtime: &mut JsRuntime, modules: &Modules) {
    let fresh = modules.take_fresh();
    if fresh.is_empty() {
        return;
    }
    let (mut kept, mut bytes, mut bytes_before) = (0, 0, 0);
    deno_core::scope!(scope, runtime);
    for module in fresh {
        v8::scope!(let scope, scope);
        let Some(code) = code_cache(scope, &module) else {
            continue;
        };
        if let Some(before) = modules.keep_executed(module, &code) {
            kept += 1;
            bytes += code.len();
            bytes_before += before;
        }
    }
    tracing::debug!(modules = kept, bytes, bytes_before, "code that ran is cached");
}

/// Compiles the text as Deno did, which V8 answers from its own memory.
fn code_cache(scope: &mut v8::PinScope<'_, '_>, Fresh { url, code, .. }: &Fresh) -> Option<Vec<u8>> {
    let name = v8::String::new(scope, url.as_str())?;
    let text = v8::String::new(scope, code)?;
    let origin = v8::ScriptOrigin::new(scope, name.into(), 0, 0, false, 0, None, false, false, true, None);
    let mut source = v8::script_compiler::Source::new(text, Some(&origin));
    let module = v8::script_compiler::compile_module(scope, &mut source)?;
    let code = module.get_unbound_module_script(scope).create_code_cache()?;
    Some(code.to_vec())
}
