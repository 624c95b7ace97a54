//! Replaces this process by a newer binary in place: it goes on under its number, with its children, its socket, its
//! lock and the sockets to its hosts.

use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::handover_record::{HandoverRecord, RecordError};
use super::socket::ListeningSocket;
use crate::posix::{self, signals};

/// The variable with the [`HandoverRecord`] across the exec. The first release reads and writes this name, too.
pub const VARIABLE: &str = "BATON_SUPERVISOR_BAGGAGE";

/// Returns the record of the binary that this process was before; `None` for a process that begins.
///
/// # Errors
/// When the record cannot be adopted.
pub fn record() -> Result<Option<HandoverRecord>, RecordError> {
    let text = std::env::var(VARIABLE).ok();
    text.map(|text| HandoverRecord::read(&text)).transpose()
}

impl HandoverRecord {
    /// Takes the listening socket for this process.
    ///
    /// # Errors
    /// When the descriptor is not open.
    pub fn socket(&self) -> io::Result<ListeningSocket> {
        Ok(ListeningSocket {
            listener: TcpListener::from(posix::take_inherited(self.listener)?),
            origin: self.origin,
        })
    }

    /// Goes on as `binary`. Returns only when that binary cannot be started, and then nothing has changed.
    pub fn exec(&self, binary: &Path, arguments: &[OsString], keep: &[BorrowedFd<'_>]) -> io::Error {
        let text = match serde_json::to_string(self) {
            Ok(text) => text,
            Err(error) => return error.into(),
        };
        for descriptor in keep {
            if let Err(error) = posix::set_inherited(descriptor, true) {
                return error;
            }
        }
        // Signals that come meanwhile wait for the handlers of the newer binary.
        signals::hold(true);
        let error = Command::new(binary).args(arguments).env(VARIABLE, text).exec();
        signals::hold(false);
        for descriptor in keep {
            let _ = posix::set_inherited(descriptor, false);
        }
        error
    }
}
