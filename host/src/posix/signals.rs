//! Signals of this process: those that mean nothing here and would end it by default, and having signals wait.
//!
//! Signals without a meaning are, for example, a `kill -USR1` for a web server, or the signal of user code to its
//! parent.

use nix::sys::signal::{SigSet, Signal};
use tokio::signal::unix::{SignalKind, signal};

/// The signals without a meaning.
const WITHOUT_MEANING: &[Signal] = &[
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGIO,
    Signal::SIGPROF,
    Signal::SIGVTALRM,
    // A file that may not grow: whoever writes to it is told.
    Signal::SIGXFSZ,
    #[cfg(target_os = "linux")]
    Signal::SIGPWR,
    #[cfg(target_os = "linux")]
    Signal::SIGSTKFLT,
];

/// The signals that the process hears.
const HEARD: [Signal; 5] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGCHLD,
];

/// Has the signals without a meaning, and those in `also`, end nothing from now on. A handler is set and no signal is
/// ignored, so that processes that this one starts have the system's defaults again. To be called within a runtime.
pub fn swallow(also: &[SignalKind]) {
    let all = WITHOUT_MEANING
        .iter()
        .map(|signal| SignalKind::from_raw(*signal as i32));
    for kind in all.chain(also.iter().copied()) {
        // A handler stays for as long as the process lives, even when nobody listens.
        if let Err(error) = signal(kind) {
            tracing::debug!(%error, signal = kind.as_raw_value(), "cannot handle a signal: it keeps its default");
        }
    }
}

/// Has signals wait while no handler is there yet, as across an exec; or lets them come. This holds for the calling
/// thread.
pub fn hold(held: bool) {
    let signals: SigSet = HEARD.iter().chain(WITHOUT_MEANING).copied().collect();
    // Fails only for a request that the system does not know.
    let _ = if held {
        signals.thread_block()
    } else {
        signals.thread_unblock()
    };
}
