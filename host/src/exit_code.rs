//! Exit codes of commands that are a host or start one.

/// What was asked wrongly.
pub(crate) const USAGE: u8 = 2;

/// `EX_CONFIG` (sysexits.h), for what no retry can mend: systemd and launchd are told not to try again.
pub(crate) const CONFIGURATION: u8 = 78;

/// The code of a start that failed, by whether trying again leads to the same.
pub(crate) const fn of_failed_start(is_lasting: bool) -> u8 {
    if is_lasting { CONFIGURATION } else { 1 }
}
