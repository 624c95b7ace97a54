//! The object through which `own_modules/host.ts` tells of the output and the processes of user code.

use std::cell::RefCell;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use deno_core::{JsRuntime, v8};
use deno_runtime::deno_io::ChildProcessStdio;

use super::children::Groups;
use super::console::{Console, OutputCall, Stream};
use super::witness;
use crate::control::{Control, Name};
use crate::loader::Modules;
use crate::source::snapshot::SourceSnapshot;

/// The state that V8 keeps with the isolate, and drops with it. It is not in Deno's state, which may be borrowed
/// while JavaScript runs.
struct HostObject {
    console: Console,
    groups: RefCell<Groups>,
    sources: Arc<SourceSnapshot>,
    control: Arc<Control>,
}

/// Returns the number of lines and writes of the isolate's user code so far.
pub(crate) fn said(runtime: &mut JsRuntime) -> u64 {
    deno_core::scope!(scope, runtime);
    scope.get_slot::<HostObject>().map_or(0, |host| host.console.said())
}

type Arguments<'s> = v8::FunctionCallbackArguments<'s>;
type ReturnValue<'s> = v8::ReturnValue<'s, v8::Value>;

/// Makes the object `HostObject` of `host.ts`; `None` when V8 is out of memory.
pub(crate) fn object<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    sources: Arc<SourceSnapshot>,
    control: Arc<Control>,
    name: Name,
    sockets: Option<&Path>,
) -> Option<v8::Local<'s, v8::Object>> {
    scope.set_slot(HostObject {
        console: Console::new(name),
        groups: RefCell::default(),
        sources,
        control,
    });
    let object = v8::Object::new(scope);
    let functions = [
        ("log", v8::Function::new(scope, log)?),
        ("write", v8::Function::new(scope, write)?),
        ("groupBegun", v8::Function::new(scope, group_begun)?),
        ("groupLeft", v8::Function::new(scope, group_left)?),
        ("remember", v8::Function::new(scope, remember)?),
        ("hold", v8::Function::new(scope, hold)?),
        ("release", v8::Function::new(scope, release)?),
        ("isHungUp", v8::Function::new(scope, is_hung_up)?),
        ("nativesOf", v8::Function::new(scope, natives_of)?),
        ("act", v8::Function::new(scope, act)?),
        ("mark", v8::Function::new(scope, mark)?),
    ];
    for (name, function) in functions {
        let name = v8::String::new(scope, name)?;
        object.set(scope, name.into(), function.into())?;
    }
    let descriptors = v8::Object::new(scope);
    let (stdout, stderr) = {
        let state = JsRuntime::op_state_from(scope);
        let state = state.borrow();
        let own = state.borrow::<ChildProcessStdio>();
        (own.stdout.as_raw_fd(), own.stderr.as_raw_fd())
    };
    for (standard, own) in [(1, stdout), (2, stderr)] {
        let own = v8::Integer::new(scope, own);
        descriptors.set_index(scope, standard, own.into())?;
    }
    let name = v8::String::new(scope, "descriptors")?;
    object.set(scope, name.into(), descriptors.into())?;
    if let Some(sockets) = sockets {
        let name = v8::String::new(scope, "sockets")?;
        let sockets = v8::String::new(scope, &sockets.to_string_lossy())?;
        object.set(scope, name.into(), sockets.into())?;
    }
    Some(object)
}

/// Logs a line. Arguments: level, text, and the caller.
fn log(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, _: ReturnValue<'_>) {
    let level = arguments.get(0).to_rust_string_lossy(scope);
    let text = arguments.get(1).to_rust_string_lossy(scope);
    let caller = caller(scope, &arguments);
    if let Some(host) = scope.get_slot::<HostObject>() {
        host.console.log(&level, &text, &caller);
    }
}

/// Writes to a stream. Arguments: stream, bytes, and the caller.
fn write(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, _: ReturnValue<'_>) {
    let stream = match arguments.get(0).to_rust_string_lossy(scope).as_str() {
        "stderr" => Stream::Stderr,
        _ => Stream::Stdout,
    };
    let Ok(view) = v8::Local::<v8::ArrayBufferView>::try_from(arguments.get(1)) else {
        return;
    };
    let mut bytes = vec![0; view.byte_length()];
    view.copy_contents(&mut bytes);
    let caller = caller(scope, &arguments);
    if let Some(host) = scope.get_slot::<HostObject>() {
        host.console.write(stream, &bytes, caller);
    }
}

fn group_begun(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, _: ReturnValue<'_>) {
    let leader = process_id(scope, &arguments);
    if let (Some(leader), Some(host)) = (leader, scope.get_slot::<HostObject>()) {
        host.groups.borrow_mut().begun(leader);
    }
}

fn group_left(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, _: ReturnValue<'_>) {
    let leader = process_id(scope, &arguments);
    if let (Some(leader), Some(host)) = (leader, scope.get_slot::<HostObject>()) {
        host.groups.borrow_mut().left(leader);
    }
}

/// Returns the meaning of a request, if it is known. Arguments: the request, the file that requires, and the file
/// that was found, if that is to be noted.
fn remember(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, mut returned: ReturnValue<'_>) {
    let request = arguments.get(0).to_rust_string_lossy(scope);
    let from = arguments.get(1).to_rust_string_lossy(scope);
    let found = arguments.get(2);
    let found = (!found.is_undefined()).then(|| found.to_rust_string_lossy(scope));
    let known = scope.get_slot::<HostObject>().and_then(|host| {
        if let Some(found) = &found {
            host.sources.note_resolved(&request, &from, found);
        }
        host.sources.resolved(&request, &from)
    });
    if let Some(known) = known.and_then(|known| v8::String::new(scope, &known)) {
        returned.set(known.into());
    }
}

/// Notes that work goes on for a call. Argument: the number of the call.
fn hold(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, _: ReturnValue<'_>) {
    let call = call_number(scope, &arguments);
    if let (Some(call), Some(host)) = (call, scope.get_slot::<HostObject>()) {
        host.control.hold(call);
    }
}

fn release(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, _: ReturnValue<'_>) {
    let call = call_number(scope, &arguments);
    if let (Some(call), Some(host)) = (call, scope.get_slot::<HostObject>()) {
        host.control.release(call);
    }
}

fn is_hung_up(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, mut returned: ReturnValue<'_>) {
    let call = call_number(scope, &arguments);
    if let (Some(call), Some(host)) = (call, scope.get_slot::<HostObject>()) {
        returned.set_bool(host.control.is_hung_up(call));
    }
}

fn call_number(scope: &mut v8::PinScope<'_, '_>, arguments: &Arguments<'_>) -> Option<u64> {
    u64::try_from(arguments.get(0).integer_value(scope)?).ok()
}

/// Notes that a child process begins, of which Deno's audit is not told.
fn act(_: &mut v8::PinScope<'_, '_>, _: Arguments<'_>, _: ReturnValue<'_>) {
    witness::act();
}

/// Marks a module's progress. Arguments: the module's URL, and the number of the top-level await that it has come to.
fn mark(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, _: ReturnValue<'_>) {
    let url = arguments.get(0).to_rust_string_lossy(scope);
    let Some(number) = arguments.get(1).int32_value(scope) else {
        return;
    };
    let state = JsRuntime::op_state_from(scope);
    let modules = state.borrow().borrow::<Rc<Modules>>().clone();
    modules.note_await(url, number);
}

/// Returns functions in Rust. Argument: the name of built-in modules.
fn natives_of(scope: &mut v8::PinScope<'_, '_>, arguments: Arguments<'_>, mut returned: ReturnValue<'_>) {
    let name = arguments.get(0).to_rust_string_lossy(scope);
    let state = JsRuntime::op_state_from(scope);
    let modules = state.borrow().borrow::<Rc<Modules>>().clone();
    if let Some(natives) = modules.built_ins.natives(scope, &name) {
        returned.set(natives.into());
    }
}

/// Reads the number of a child process: 0 and 1 would mean other groups than a child's.
fn process_id(scope: &mut v8::PinScope<'_, '_>, arguments: &Arguments<'_>) -> Option<i32> {
    arguments.get(0).int32_value(scope).filter(|id| *id > 1)
}

fn caller(scope: &mut v8::PinScope<'_, '_>, arguments: &Arguments<'_>) -> OutputCall {
    let argument = |index| arguments.get(index).to_rust_string_lossy(scope);
    OutputCall {
        function: argument(2),
        run: argument(3),
        step: argument(4),
    }
}
