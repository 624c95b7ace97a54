//! The signals that a supervisor hears.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::posix;

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    quit: Signal,
    child: Signal,
}

pub(super) enum Received {
    Terminate(&'static str),
    HangUp,
    Quit,
    Child,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        posix::signals::swallow(&[]);
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            child: signal(SignalKind::child())?,
        })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> Received {
        tokio::select! {
            _ = self.terminate.recv() => Received::Terminate("SIGTERM"),
            _ = self.interrupt.recv() => Received::Terminate("SIGINT"),
            _ = self.hang_up.recv() => Received::HangUp,
            _ = self.quit.recv() => Received::Quit,
            _ = self.child.recv() => Received::Child,
        }
    }
}
