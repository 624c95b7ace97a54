//! Debuggers' sessions with an isolate, and its pauses.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use deno_core::{InspectorSessionChannels, InspectorSessionKind, InspectorSessionProxy, JsRuntime};
use futures::StreamExt as _;
use futures::channel::mpsc;
use js_runtime_api::DebugSession;

/// The state of debuggers, shared by the isolate's thread and its handles.
#[derive(Default)]
pub(crate) struct Debug {
    /// V8's inspector, once it is up.
    inspector: OnceLock<mpsc::UnboundedSender<InspectorSessionProxy>>,
    sessions: Mutex<OpenSessions>,
    paused: AtomicUsize,
}

#[derive(Default)]
struct OpenSessions {
    ended: bool,
    next: u64,
    open: Vec<(u64, mpsc::UnboundedSender<String>)>,
}

impl Debug {
    pub(super) fn booted(&self, runtime: &mut JsRuntime) {
        // Set once, by the one thread that boots.
        let _ = self.inspector.set(runtime.inspector().get_session_sender());
    }

    /// Opens a session with the isolate, unless it has ended.
    pub(crate) fn open(self: &Arc<Self>) -> Option<DebugSession> {
        let inspector = self.inspector.get()?;
        let (to_isolate, rx) = mpsc::unbounded();
        let (tx, said) = mpsc::unbounded();
        let mut sessions = self.sessions();
        if sessions.ended {
            return None;
        }
        let kind = InspectorSessionKind::NonBlocking {
            wait_for_disconnect: false,
        };
        let channels = InspectorSessionChannels::Regular { tx, rx };
        inspector
            .unbounded_send(InspectorSessionProxy { channels, kind })
            .ok()?;
        let id = sessions.next;
        sessions.next += 1;
        sessions.open.push((id, to_isolate.clone()));
        drop(sessions);
        let mut session = DebuggerSession {
            debug: self.clone(),
            id,
            paused: false,
        };
        let from_isolate = said.map(move |message| {
            session.hear(&message.content);
            message.content
        });
        Some(DebugSession {
            to_isolate,
            from_isolate: from_isolate.boxed(),
        })
    }

    /// Ends every session: paused code goes on.
    pub(super) fn end(&self) {
        let mut sessions = self.sessions();
        sessions.ended = true;
        sessions
            .open
            .iter()
            .for_each(|(_, to_isolate)| to_isolate.close_channel());
    }

    pub(super) fn sessions_open(&self) -> usize {
        self.sessions().open.len()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire) > 0
    }

    fn sessions(&self) -> MutexGuard<'_, OpenSessions> {
        // Nothing panics while it holds the lock.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Debug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Debug").finish_non_exhaustive()
    }
}

/// The session of one debugger. It lives in the stream that the debugger reads.
struct DebuggerSession {
    debug: Arc<Debug>,
    id: u64,
    paused: bool,
}

impl DebuggerSession {
    /// Takes a message, which is written as V8 writes its notifications.
    fn hear(&mut self, message: &str) {
        if message.starts_with(r#"{"method":"Debugger.paused""#) {
            self.set_paused(true);
        } else if message.starts_with(r#"{"method":"Debugger.resumed""#) {
            self.set_paused(false);
        }
    }

    fn set_paused(&mut self, paused: bool) {
        if paused != self.paused {
            self.paused = paused;
            match paused {
                true => self.debug.paused.fetch_add(1, Ordering::AcqRel),
                false => self.debug.paused.fetch_sub(1, Ordering::AcqRel),
            };
        }
    }
}

impl Drop for DebuggerSession {
    fn drop(&mut self) {
        self.set_paused(false);
        let mut sessions = self.debug.sessions();
        if let Some(at) = sessions.open.iter().position(|(id, _)| *id == self.id) {
            let (_, to_isolate) = sessions.open.swap_remove(at);
            to_isolate.close_channel();
        }
    }
}
