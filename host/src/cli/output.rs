//! The standard output of commands.

use std::fmt::Display;
use std::io::Write as _;

/// Writes to the standard output; returns false once nobody reads it any more (`baton status --watch | head`).
pub(super) fn say(text: impl Display) -> bool {
    let mut output = std::io::stdout().lock();
    write!(output, "{text}").and_then(|()| output.flush()).is_ok()
}
