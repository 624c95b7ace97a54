//! The signals that a supervisor hears.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::posix;

pub(super) struct SupervisorSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    quit: Signal,
    child: Signal,
}

pub(super) enum SupervisorSignal {
    Terminate(&'static str),
    HangUp,
    Quit,
    Child,
}

impl SupervisorSignals {
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
    pub(super) async fn next(&mut self) -> SupervisorSignal {
        tokio::select! {
            _ = self.terminate.recv() => SupervisorSignal::Terminate("SIGTERM"),
            _ = self.interrupt.recv() => SupervisorSignal::Terminate("SIGINT"),
            _ = self.hang_up.recv() => SupervisorSignal::HangUp,
            _ = self.quit.recv() => SupervisorSignal::Quit,
            _ = self.child.recv() => SupervisorSignal::Child,
        }
    }
}
