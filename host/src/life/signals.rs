//! The signals that end a host.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a host. They are heard from [`Signals::listen`] on.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits for the next signal, and returns its name. The future may be dropped and the method called again.
    pub(super) async fn end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.quit.recv() => SIGQUIT,
        }
    }
}

/// The signal after which nothing is finished.
pub(super) const SIGQUIT: &str = "SIGQUIT";
