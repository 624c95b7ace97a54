//! Binding a TCP port, and finding the process that has it when it is taken.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use miette::Diagnostic;
use tokio::net::TcpSocket;

/// The number of connections that may wait while nobody accepts; the system may allow fewer.
const IN_LINE: u32 = 4096;

/// The reason why a host cannot listen.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ListenError {
    #[error("port {port} is in use by {owner}")]
    #[diagnostic(help("End that process, or choose another port with --port."))]
    PortTaken { port: u16, owner: String, pid: Option<u32> },
    #[error("cannot listen on port {port}: only root may use it on this machine")]
    #[diagnostic(help("Choose a port above 1023 with --port, or let systemd or launchd pass the socket."))]
    PortForbidden { port: u16 },
    #[error("cannot listen on {address}: {error}")]
    #[diagnostic(help("Choose another port with --port."))]
    Tcp { address: SocketAddr, error: io::Error },
    #[error("cannot listen on the passed socket: it is not a TCP socket: {0}")]
    #[diagnostic(help("Pass a TCP port: ListenStream=3111 for systemd."))]
    NotASocket(#[source] io::Error),
    #[error("cannot listen on {0} passed sockets: the host serves one")]
    #[diagnostic(help("Leave one ListenStream= in the socket unit, or one SockNodeName in the property list."))]
    TooManySockets(usize),
    #[error("cannot make the control socket {path}: {error}", path = .path.display())]
    #[diagnostic(help("Name another state folder with --state-dir or BATON_STATE_DIR."))]
    Control { path: PathBuf, error: io::Error },
}

impl ListenError {
    /// Tells whether trying again leads to the same error.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::PortForbidden { .. } | Self::NotASocket(_) | Self::TooManySockets(_)
        )
    }
}

/// Binds the port. To be called within a runtime.
///
/// # Errors
/// When it is taken or cannot be bound.
pub fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    listen(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => port_taken(address.port()),
        io::ErrorKind::PermissionDenied => ListenError::PortForbidden { port: address.port() },
        _ => ListenError::Tcp { address, error },
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Connections of the host before this one may still be in the system.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(IN_LINE)?.into_std()
}

fn port_taken(port: u16) -> ListenError {
    let (owner, pid) = owner_of(port);
    ListenError::PortTaken { port, owner, pid }
}

/// The process that listens on the port, in words for people, and its id where it can be known.
#[must_use]
pub fn owner_of(port: u16) -> (String, Option<u32>) {
    match listeners::get_process_by_port(port, listeners::Protocol::TCP) {
        Ok(process) => (format!("{} (process {})", process.name, process.pid), Some(process.pid)),
        Err(_) => ("another process".to_owned(), None),
    }
}
