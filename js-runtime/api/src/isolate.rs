//! An isolate: a loaded project on a thread of its own.

use std::fmt;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

/// A loaded project on its own thread: answers the calls that it takes from its queue, many at a
/// time.
pub trait Isolate: Send + Sync + fmt::Debug {
    /// Tells user code that another generation gets the new calls. Changes nothing else.
    fn drain(&self);
    /// Resolves once user code has finished the work that its listeners of [`Self::drain`] wait for, or the isolate
    /// has ended.
    fn drained(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
    /// Takes no more calls; the isolate ends once its calls are answered, and user code has finished its last work.
    fn close(&self);
    /// Ends the isolate now. Its calls fail with [`CallError::IsolateDied`](crate::CallError::IsolateDied).
    fn terminate(&self);
    /// Resolves with the reason of the end when the thread is gone and its memory returned.
    fn ended(&self) -> BoxFuture<'static, IsolateEnd>;
    /// Returns the isolate's vitals. Each call also asks the isolate for a sign of life.
    fn vitals(&self) -> Vitals;
    /// Opens a debugger's session; `None` when the isolate has ended, or knows no debuggers.
    fn debug(&self) -> Option<DebugSession> {
        None
    }
}

/// A debugger's session with an isolate: messages of Chrome's DevTools protocol, one a string. Dropping the session
/// ends it, and paused code goes on; so does the end of the isolate.
pub struct DebugSession {
    /// The requests of the debugger.
    pub to_isolate: mpsc::UnboundedSender<String>,
    /// The answers and events, until the isolate ends.
    pub from_isolate: BoxStream<'static, String>,
}

/// The reason for which an isolate ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsolateEnd {
    /// [`Isolate::close`] was called, and its calls were finished.
    #[error("the isolate was closed")]
    Closed,
    /// [`Isolate::terminate`] was called, or its load was abandoned.
    #[error("the isolate was terminated")]
    Terminated,
    /// User code called a function that ends a process.
    #[error("user code called {call}")]
    Exited {
        /// The call that would have ended its process, such as `process.exit(1)`.
        call: String,
        /// The code that the process would have ended with.
        code: i32,
        /// The mapped stack of the call.
        stack: String,
    },
    /// The isolate reached one of its [`MemoryLimits`](crate::MemoryLimits).
    #[error("the isolate ran out of memory")]
    OutOfMemory,
    /// The isolate came near one of its [`MemoryLimits`](crate::MemoryLimits).
    #[error("the isolate's memory was nearly used up: it finished its calls and ended")]
    Condemned,
    /// The thread of the isolate cannot go on.
    #[error("the isolate's thread panicked: this is a bug in Baton, please report it")]
    Panicked,
}

/// The signs of life of an isolate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vitals {
    /// The calls that run in it, oldest first.
    pub calls: Vec<RunningCall>,
    /// The time for which the isolate has owed a sign of life: user code holds its thread.
    pub blocked_for: Duration,
    /// The JavaScript heap in use at the last sign of life, in bytes.
    pub heap_used: u64,
    /// The contents of array buffers at the last sign of life, in bytes.
    pub buffers_used: u64,
    /// Tells whether the isolate is nearly out of memory: it takes no more calls, and ends once its calls are
    /// answered.
    pub condemned: bool,
    /// The number of times that a confined isolate's code tried to reach outside ([`Reach`](crate::Reach)).
    pub denied: u64,
    /// The number of debuggers that have a session with it.
    pub debuggers: usize,
    /// Tells whether a debugger has stopped the isolate: it owes no sign of life.
    pub paused: bool,
    /// The work beside calls that user code finishes before its generation goes.
    pub finishing: Option<DrainWork>,
}

impl Vitals {
    /// Returns the memory in use at the last sign of life, in bytes: the heap, and the contents of array buffers.
    #[must_use]
    pub const fn memory_used(&self) -> u64 {
        self.heap_used.saturating_add(self.buffers_used)
    }
}

/// Work beside calls that user code finishes before its generation goes, by the event or signal that it hears then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainWork {
    /// The work of listeners of the event that is dispatched when the generation drains.
    Draining,
    /// The work of handlers of the signal that user code hears once no calls are left.
    Signal,
}

impl DrainWork {
    /// Returns the name of the event or signal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "baton:draining",
            Self::Signal => "SIGTERM",
        }
    }
}

/// A call that an isolate has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningCall {
    /// The call's [`Call::id`](crate::Call::id).
    pub id: u64,
    /// The processor time of the isolate's thread while the call ran; time that passes while several calls run is
    /// charged to each in equal parts.
    pub cpu: Duration,
}
