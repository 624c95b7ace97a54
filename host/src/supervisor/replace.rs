//! Becoming a newer binary in place: the process goes on under its number, with its children, its
//! socket, its lock and the sockets to its hosts.

use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::child::Kept;
use super::event::HostId;
use super::posix;
use super::socket::{Origin, Socket};
use super::state::Supervision;

/// Holds the [`Baggage`] across the exec.
pub const VARIABLE: &str = "BATON_SUPERVISOR_BAGGAGE";

/// What the newer one needs to go on. Its format belongs to the protocol version that hosts say: a
/// binary whose host was understood understands this.
#[derive(Debug, Serialize, Deserialize)]
pub struct Baggage {
    pub hosts: Vec<(HostId, Kept)>,
    pub supervision: Supervision,
    pub listener: RawFd,
    pub origin: Origin,
    pub lock: RawFd,
}

/// What was given by the binary that this process was before.
pub fn baggage() -> Option<Baggage> {
    let text = std::env::var(VARIABLE).ok()?;
    match serde_json::from_str(&text) {
        Ok(baggage) => Some(baggage),
        Err(error) => {
            tracing::error!(%error, "what the supervisor before this one knew is not understood");
            None
        }
    }
}

impl Baggage {
    /// The socket, for this process.
    pub fn socket(&self) -> io::Result<Socket> {
        Ok(Socket {
            listener: TcpListener::from(posix::take_inherited(self.listener)?),
            origin: self.origin,
        })
    }

    /// Goes on as `binary`. Returns only when that cannot be started, and then nothing has changed.
    pub fn exec(&self, binary: &Path, arguments: &[OsString], keep: &[&dyn AsDescriptor]) -> io::Error {
        let text = match serde_json::to_string(self) {
            Ok(text) => text,
            Err(error) => return error.into(),
        };
        for descriptor in keep {
            if let Err(error) = posix::set_inherited(&descriptor.descriptor(), true) {
                return error;
            }
        }
        // What comes meanwhile waits for the handlers of the newer one.
        posix::hold_signals(true);
        let error = Command::new(binary).args(arguments).env(VARIABLE, text).exec();
        posix::hold_signals(false);
        for descriptor in keep {
            let _ = posix::set_inherited(&descriptor.descriptor(), false);
        }
        error
    }
}

/// Something with a descriptor.
pub trait AsDescriptor {
    fn descriptor(&self) -> RawFd;
}

impl<T: AsRawFd> AsDescriptor for T {
    fn descriptor(&self) -> RawFd {
        self.as_raw_fd()
    }
}
