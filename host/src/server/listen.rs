//! The two ways in: a TCP port for Inngest and everybody, a socket in the state folder for the
//! commands on this machine. Binding is one step, serving another.
//!
//! The port is served while the host is the one that accepts ([`Role`]). A host that has handed over
//! keeps the connections that it has: a request on one of them is passed on, and its answer ends the
//! connection; one that stays silent is closed after [`SILENCE`]. How many there may be: [`super::room`].

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::Router;
use miette::Diagnostic;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, UnixListener};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::Accepting;
use super::connection::{self, SILENCE};
use super::room::{Room, Seat};
use crate::descriptors;
use crate::generation::Role;

/// How many connections may wait while nobody accepts; the system may allow fewer.
const IN_LINE: u32 = 4096;

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Tcp(SocketAddr),
    /// The control socket.
    Control,
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Control => formatter.write_str("control socket"),
        }
    }
}

/// Why a host cannot listen.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ListenError {
    #[error("port {port} is in use by {owner}")]
    #[diagnostic(help("End that process, or choose another port with --port."))]
    PortTaken { port: u16, owner: String, pid: Option<u32> },
    #[error("port {port} is for root alone on this machine")]
    #[diagnostic(help("Choose a port above 1023 with --port, or let systemd or launchd pass the socket."))]
    PortForbidden { port: u16 },
    #[error("cannot listen on {address}: {error}")]
    #[diagnostic(help("Choose another port with --port."))]
    Tcp { address: SocketAddr, error: io::Error },
    #[error("what was passed to be listened on is no TCP socket: {0}")]
    #[diagnostic(help("Let the service listen on a TCP port: ListenStream=3111 for systemd."))]
    NotASocket(#[source] io::Error),
    #[error("{0} sockets were passed to be listened on, of which one can be served")]
    #[diagnostic(help("Let the socket unit have one ListenStream=, the property list one SockNodeName."))]
    TooManySockets(usize),
    #[error("cannot make the control socket {path}: {error}", path = .path.display())]
    #[diagnostic(help("Name another state folder with --state-dir or BATON_STATE_DIR."))]
    Control { path: PathBuf, error: io::Error },
}

impl ListenError {
    /// Whether trying again leads to the same.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::PortForbidden { .. } | Self::NotASocket(_) | Self::TooManySockets(_)
        )
    }
}

/// Binds the port. Within a runtime.
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

/// Bound, not yet accepting.
#[derive(Debug)]
pub struct Listeners {
    tcp: TcpListener,
    control: UnixListener,
    control_path: ControlPath,
    pub address: SocketAddr,
    /// Of the port.
    pub room: Room,
}

/// The control socket: made under the name of this process, and linked to where commands look for it
/// once this host accepts.
#[derive(Debug, Clone)]
struct ControlPath {
    own: PathBuf,
    shared: PathBuf,
}

/// Where the host with that process id has its control socket, whether it accepts or not.
#[must_use]
pub fn own_control_socket(shared: &Path, pid: u32) -> PathBuf {
    shared.with_file_name(format!("{pid}.sock"))
}

impl Listeners {
    /// Makes the control socket beside a port that is bound.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn with(tcp: TcpListener, control_path: PathBuf) -> Result<Self, ListenError> {
        let path = ControlPath {
            own: own_control_socket(&control_path, std::process::id()),
            shared: control_path,
        };
        let failed = |error| ListenError::Control {
            path: path.own.clone(),
            error,
        };
        let address = tcp
            .set_nonblocking(true)
            .and_then(|()| tcp.local_addr())
            .map_err(ListenError::NotASocket)?;
        // A process of this number that was killed may have left it.
        remove(&path.own).map_err(failed)?;
        let control = UnixListener::bind(&path.own).map_err(failed)?;
        std::fs::set_permissions(&path.own, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self {
            tcp,
            control,
            control_path: path,
            address,
            room: Room::for_descriptors(descriptors::limit()),
        })
    }

    /// Serves as the role says until the token is cancelled or another host accepts, then finishes the
    /// requests and calls it has. The control socket is served to the end, so that one can look.
    /// `accepting`: whether the port is served at the moment.
    pub async fn serve(
        self,
        router: Router,
        role: watch::Receiver<Role>,
        ending: CancellationToken,
        accepting: watch::Sender<bool>,
        calls: TaskTracker,
    ) {
        let path = self.control_path;
        let port = Connections {
            router: router.clone(),
            role: role.clone(),
            ending,
            tasks: TaskTracker::new(),
            room: self.room,
        };
        let control = Connections {
            router,
            role,
            ending: CancellationToken::new(),
            tasks: TaskTracker::new(),
            // Of the port's connections none takes a seat from commands.
            room: Room::for_descriptors(descriptors::limit()),
        };
        let serving = async {
            port.clone().port(self.tcp, &path, &accepting).await;
            accepting.send_replace(false);
            port.finish().await;
            // What is left are calls whose callers hung up.
            calls.close();
            calls.wait().await;
        };
        tokio::select! {
            () = serving => {}
            () = control.clone().control(self.control) => {}
        }
        control.ending.cancel();
        control.finish().await;
        if *control.role.borrow() != Role::HandedOver {
            let _ = std::fs::remove_file(&path.shared);
        }
        let _ = std::fs::remove_file(&path.own);
    }
}

/// The connections of one of the two ways.
#[derive(Clone)]
struct Connections {
    router: Router,
    role: watch::Receiver<Role>,
    ending: CancellationToken,
    tasks: TaskTracker,
    room: Room,
}

impl Connections {
    /// Resolves once the last request is answered.
    async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Never ends by itself: others look at a host also while it drains.
    async fn control(self, listener: UnixListener) {
        let mut accepting = Accepting::new(self.room.clone());
        loop {
            let (stream, seat) = accepting.next(&listener).await;
            self.clone().connection(stream, Peer::Control, seat);
        }
    }

    /// Accepts while the role says so; ends with the host, or when another one accepts.
    async fn port(mut self, bound: TcpListener, path: &ControlPath, accepting: &watch::Sender<bool>) {
        let ending = self.ending.clone();
        let mut incoming = Accepting::new(self.room.clone());
        loop {
            let role = tokio::select! {
                role = Role::reached(&mut self.role, |role| matches!(role, Role::Accepting | Role::HandedOver)) => role,
                () = ending.cancelled() => return,
            };
            // Without a table there is nothing to serve either.
            if role != Some(Role::Accepting) {
                return;
            }
            let listener = match bound.try_clone().and_then(tokio::net::TcpListener::from_std) {
                Ok(listener) => listener,
                // Whoever connects meanwhile waits.
                Err(error) => {
                    incoming.make_way(&error).await;
                    continue;
                }
            };
            if let Err(error) = path.share() {
                // Calls come in all the same.
                tracing::error!(%error, path = %path.shared.display(), "commands will not find this host");
            }
            accepting.send_replace(true);
            let mut stopped = self.role.clone();
            loop {
                tokio::select! {
                    _ = Role::reached(&mut stopped, |role| *role != Role::Accepting) => break,
                    () = ending.cancelled() => return,
                    ((stream, peer), seat) = incoming.next(&listener) => {
                        connection::prepare(&stream);
                        self.clone().connection(stream, Peer::Tcp(peer), seat);
                    }
                }
            }
            drop(listener);
            accepting.send_replace(false);
        }
    }

    fn connection(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer, seat: Seat) {
        let Self {
            router,
            mut role,
            ending,
            tasks,
            room: _,
        } = self;
        let (answering_role, answering_end) = (role.clone(), ending.clone());
        let closes = move || {
            answering_end.is_cancelled() || matches!(*answering_role.borrow(), Role::Stopped | Role::HandedOver)
        };
        tasks.spawn(async move {
            let leave = async {
                tokio::select! {
                    () = ending.cancelled() => {}
                    _ = Role::reached(&mut role, |role| *role == Role::HandedOver) => tokio::time::sleep(SILENCE).await,
                }
            };
            connection::serve(stream, peer, seat, router, closes, leave).await;
        });
    }
}

impl ControlPath {
    /// From now on commands find this host. In one step: at no time is there none.
    fn share(&self) -> io::Result<()> {
        let beside = self.own.with_extension("link");
        remove(&beside)?;
        let target = self.own.file_name().map_or(self.own.as_path(), Path::new);
        std::os::unix::fs::symlink(target, &beside)?;
        std::fs::rename(&beside, &self.shared)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn port_taken(port: u16) -> ListenError {
    let (owner, pid) = owner_of(port);
    ListenError::PortTaken { port, owner, pid }
}

/// Who listens on the port, for people, and the process's id where it can be known.
pub(crate) fn owner_of(port: u16) -> (String, Option<u32>) {
    match listeners::get_process_by_port(port, listeners::Protocol::TCP) {
        Ok(process) => (format!("{} (process {})", process.name, process.pid), Some(process.pid)),
        Err(_) => ("another process".to_owned(), None),
    }
}
