//! How often user code has asked the system for something: a file, a connection, a child. Deno asks whether it may, of
//! which an audit is told on the thread that asks.

use std::cell::Cell;

use deno_runtime::deno_permissions::{AUDIT_SINK, AuditSink};

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

/// Has it counted, in the whole process. Before the first isolate.
pub(crate) fn count() {
    // Fails only when it is counted already.
    let _ = AUDIT_SINK.set(AuditSink::Otel(note));
}

/// How often so far, on this thread.
pub(crate) fn so_far() -> u64 {
    ASKED.get()
}

fn note(permission: &str, _value: &str, _stack: Option<&[String]>) {
    // What a variable or the machine's name says is the same later.
    if !matches!(permission, "env" | "sys") {
        ASKED.set(ASKED.get() + 1);
    }
}
