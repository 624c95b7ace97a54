//! Signals that mean nothing here and would end the process by default: a `kill -USR1` that is meant for a web server, or
//! user code that signals its parent.

use tokio::signal::unix::{SignalKind, signal};

/// Those without a meaning.
pub(super) const WITHOUT_MEANING: &[i32] = &[
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGIO,
    libc::SIGPROF,
    libc::SIGVTALRM,
    // A file that may not grow: whoever writes to it is told.
    libc::SIGXFSZ,
    #[cfg(target_os = "linux")]
    libc::SIGPWR,
    #[cfg(target_os = "linux")]
    libc::SIGSTKFLT,
];

/// Has them, and these, end nothing from now on. What this process starts has the system's defaults again, for it is a
/// handler that is set, and no signal is ignored. Within a runtime.
pub fn signals_without_meaning(also: &[SignalKind]) {
    let all = WITHOUT_MEANING.iter().copied().map(SignalKind::from_raw);
    for kind in all.chain(also.iter().copied()) {
        // A handler stays for as long as the process lives, also when nobody listens.
        if let Err(error) = signal(kind) {
            tracing::debug!(%error, signal = kind.as_raw_value(), "a signal keeps its default");
        }
    }
}
