//! Exit codes of commands that are a host or start one.

/// The exit code for a wrong request.
pub(crate) const USAGE: u8 = 2;

/// The exit code for a failure that no retry can mend, `EX_CONFIG` (sysexits.h): systemd and launchd are told not to
/// try again.
pub(crate) const CONFIGURATION: u8 = 78;

/// Returns the exit code of a start that failed. `is_lasting` tells that another start would fail in the same way.
pub(crate) const fn of_failed_start(is_lasting: bool) -> u8 {
    if is_lasting { CONFIGURATION } else { 1 }
}
