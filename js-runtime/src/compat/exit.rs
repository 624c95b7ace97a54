//! `process.exit`, `process.abort` and signals that user code sends to itself: a call that would end the process ends
//! the isolate, with the stack of the call.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use deno_core::error::JsError;
use deno_core::{OpState, op2, v8};
use deno_error::JsErrorBox;
use deno_runtime::deno_os::ExitCode;
use serde::Deserialize;

use crate::control::{Control, ExitCall, StopReason};
use crate::diagnostics::own_place;
use crate::system::posix;

#[op2(fast)]
pub(super) fn op_baton_exit(state: Rc<RefCell<OpState>>, scope: &mut v8::PinScope<'_, '_>) {
    let code = state.borrow().try_borrow::<ExitCode>().map_or(0, ExitCode::get);
    end(&state, scope, code, format!("process.exit({code})"));
}

#[op2(fast)]
pub(super) fn op_baton_abort(state: Rc<RefCell<OpState>>, scope: &mut v8::PinScope<'_, '_>) {
    end(&state, scope, 128 + libc::SIGABRT, "process.abort()".to_owned());
}

/// Sends a signal as `process.kill` does: returns the error's number, 0 when there is none.
#[op2(fast)]
#[smi]
pub(super) fn op_baton_node_kill(
    state: Rc<RefCell<OpState>>,
    scope: &mut v8::PinScope<'_, '_>,
    #[smi] pid: i32,
    #[smi] signal: i32,
) -> i32 {
    match kill(&state, scope, pid, signal) {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(libc::EINVAL),
    }
}

/// A signal as `Deno.kill` takes it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Signal {
    Name(String),
    Number(i32),
}

/// Sends a signal as `Deno.kill` does.
#[op2]
pub(super) fn op_baton_kill(
    state: Rc<RefCell<OpState>>,
    scope: &mut v8::PinScope<'_, '_>,
    #[smi] pid: i32,
    #[serde] signal: Signal,
    #[string] _called: String,
) -> Result<(), JsErrorBox> {
    let signal = match signal {
        Signal::Number(signal) => signal,
        Signal::Name(name) => {
            deno_signals::signal_str_to_int(&name).map_err(|error| JsErrorBox::type_error(error.to_string()))?
        }
    };
    kill(&state, scope, pid, signal).map_err(JsErrorBox::from_err)
}

/// Takes a signal to the host as one to the isolate; sends signals to other processes.
fn kill(state: &Rc<RefCell<OpState>>, scope: &mut v8::PinScope<'_, '_>, pid: i32, signal: i32) -> io::Result<()> {
    if !reaches_the_host(pid) {
        if state.borrow().borrow::<Arc<Control>>().denies() {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        return posix::kill(pid, signal);
    }
    if ends_a_process(signal) {
        let name =
            deno_signals::signal_int_to_str(signal).map_or_else(|_| signal.to_string(), |name| format!("\"{name}\""));
        end(state, scope, 128 + signal, format!("process.kill({pid}, {name})"));
    }
    Ok(())
}

/// Tells whether the number means the host itself, the process that started it (a supervisor, whose end would be that
/// of all hosts), the groups of both, or everybody.
fn reaches_the_host(pid: i32) -> bool {
    let parent = posix::parent();
    let processes = [posix::own(), parent];
    let groups = [Some(posix::own_group()), posix::group_of(parent)];
    matches!(pid, 0 | -1) || processes.contains(&pid) || groups.contains(&pid.checked_neg())
}

/// Tells whether a signal ends a process by default, in Node: Node ignores SIGPIPE, and SIGUSR1 is its debugger's.
/// Nothing can stop an isolate for a while as SIGSTOP stops a process.
fn ends_a_process(signal: i32) -> bool {
    !matches!(
        signal,
        0 | libc::SIGCHLD
            | libc::SIGCONT
            | libc::SIGPIPE
            | libc::SIGSTOP
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
            | libc::SIGURG
            | libc::SIGUSR1
            | libc::SIGWINCH
    )
}

/// Ends the isolate where Deno would end the process.
fn end(state: &Rc<RefCell<OpState>>, scope: &mut v8::PinScope<'_, '_>, code: i32, call: String) {
    let control = state.borrow().borrow::<Arc<Control>>().clone();
    // Reading the stack calls back into Deno, which borrows the state.
    let called = format!("{call} was called here");
    let called = v8::String::new(scope, &called).unwrap_or_else(|| v8::String::empty(scope));
    let called = v8::Exception::error(scope, called);
    let error = JsError::from_v8_exception(scope, called);
    let stack = error.stack.clone().unwrap_or_default();
    let place = own_place(&error);
    control.stop(StopReason::Exited(ExitCall {
        call,
        code,
        stack,
        place,
    }));
}

#[cfg(test)]
mod tests {
    use super::{posix, reaches_the_host};

    #[test]
    fn the_parent_and_its_group_are_as_safe_as_the_host_itself() {
        let (own, parent) = (posix::own(), posix::parent());
        let group = posix::group_of(parent).unwrap();
        for pid in [0, -1, own, parent, -posix::own_group(), -group] {
            assert!(reaches_the_host(pid), "{pid}");
        }
        for pid in [i32::MIN, i32::MAX, -i32::MAX] {
            assert!(!reaches_the_host(pid), "{pid}");
        }
    }
}
