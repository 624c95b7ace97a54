//! The witness of an isolate's evaluation: sees what user code asks of the system while its modules are evaluated.
//!
//! A question about files is noted in the source snapshot with its answer ([`Question`]), so that the answer can be
//! compared later. Whatever else reaches outside of the isolate (a connection, a child process, a native library, a
//! write) counts as an act, which cannot be compared.
//!
//! Deno audits each access on the thread that asks, but does not tell whether an access of a path reads or writes.
//! The isolate's [`WitnessedFiles`](super::files::WitnessedFiles) does; a path that is audited and never reaches it
//! (a database of `node:sqlite`, a watcher) is an act.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deno_runtime::deno_permissions::{AUDIT_SINK, AuditSink};

use crate::control::{Control, Name};
use crate::source::looks::Question;
use crate::source::snapshot::SourceSnapshot;

/// The answers of `os` that stay as they are while a process runs.
const LASTING: [&str; 9] = [
    "cpus",
    "gid",
    "homedir",
    "hostname",
    "osRelease",
    "uid",
    "username",
    "userInfo",
    "osVersion",
];

thread_local! {
    static WITNESS: RefCell<Option<Witness>> = const { RefCell::new(None) };
}

struct Witness {
    /// The name of the isolate.
    name: Name,
    sources: Arc<SourceSnapshot>,
    /// Tells whether modules are evaluated; afterwards only writes are noted.
    is_evaluating: bool,
    acts: u64,
    /// The audited paths that no operation on files has explained so far.
    unexplained: HashSet<PathBuf>,
    /// The control of the isolate, which counts what a confined isolate is denied.
    control: Arc<Control>,
}

/// Has Deno tell of each access, in the whole process. To be called before the first isolate starts.
pub(crate) fn listen() {
    // This fails only when it is done already.
    let _ = AUDIT_SINK.set(AuditSink::Otel(audited));
}

/// Begins to witness the evaluation of an isolate on this thread.
pub(crate) fn begin(sources: Arc<SourceSnapshot>, name: Name, control: Arc<Control>) {
    let witness = Witness {
        name,
        sources,
        is_evaluating: true,
        acts: 0,
        unexplained: HashSet::new(),
        control,
    };
    WITNESS.replace(Some(witness));
}

/// Notes that the modules are evaluated: the questions of calls are their own.
pub(crate) fn end_evaluation() {
    with(|witness| {
        witness.is_evaluating = false;
        witness.unexplained = HashSet::new();
    });
}

/// Counts the acts so far, on this thread.
pub(crate) fn acts() -> u64 {
    with(|witness| witness.acts + witness.unexplained.len() as u64).unwrap_or_default()
}

/// Notes that user code is about to ask a question about a path.
pub(super) fn look(path: &Path, question: Question) {
    with(|witness| {
        if witness.is_evaluating {
            tracing::debug!(isolate = &*witness.name.get(), path = %path.display(), ?question, "a module asked");
            witness.unexplained.remove(path);
            witness.sources.note_look(path, question);
        }
    });
}

/// Notes that user code is about to change the file at a path.
pub(super) fn write(path: &Path) {
    with(|witness| {
        if witness.is_evaluating {
            witness.unexplained.remove(path);
            witness.acts += 1;
        }
        witness.sources.note_written(path);
    });
}

/// Notes that user code is about to do something else that reaches outside of the isolate: it starts a child process.
pub(super) fn act() {
    with(|witness| {
        witness.acts += 1;
        witness.control.denies();
    });
}

fn audited(permission: &str, value: &str, _stack: Option<&[String]>) {
    with(|witness| {
        // Deno asks before it looks whether the access is allowed.
        if matches!(permission, "net" | "write" | "run" | "ffi") {
            witness.control.denies();
        }
        witness.note(permission, value);
    });
}

impl Witness {
    /// Notes an access while modules are evaluated.
    fn note(&mut self, permission: &str, value: &str) {
        match permission {
            _ if !self.is_evaluating => {}
            // The variables are the generation's: comparing snapshots compares their sources.
            "env" => {}
            "sys" if LASTING.contains(&value) => {}
            // The loader reads a module by its URL.
            "read" if value.starts_with("file:") => {}
            "read" | "write" => {
                self.unexplained.insert(PathBuf::from(value));
            }
            _ => self.acts += 1,
        }
    }
}

fn with<T>(act: impl FnOnce(&mut Witness) -> T) -> Option<T> {
    WITNESS.with_borrow_mut(|witness| witness.as_mut().map(act))
}
