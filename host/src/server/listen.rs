//! The two ways in: a TCP port for Inngest and everybody, a socket in the state folder for the
//! commands on this machine. Binding is one step ([`crate::net`]), serving another.
//!
//! The port is served while the host is the one that accepts ([`Role`]). A host that has handed over keeps the
//! connections that it has: a request on one of them is passed on, and its answer ends the connection. A connection
//! that stays silent is closed after [`SILENCE`]. [`super::room`] bounds the number of connections.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::Acceptor;
use super::connection::{self, SILENCE};
use super::room::{Room, Seat};
use crate::descriptors;
use crate::generation::Role;
use crate::net::{ControlSocket, ListenError};

/// The way by which a request comes.
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

/// The two ways in, bound and not yet accepting.
#[derive(Debug)]
pub struct Listeners {
    tcp: TcpListener,
    control: UnixListener,
    control_path: ControlSocket,
    pub address: SocketAddr,
    /// The room for connections of the port.
    pub room: Room,
}

impl Listeners {
    /// Makes the control socket beside a port that is bound.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn with(tcp: TcpListener, control_path: PathBuf) -> Result<Self, ListenError> {
        let path = ControlSocket::new(control_path);
        let address = tcp
            .set_nonblocking(true)
            .and_then(|()| tcp.local_addr())
            .map_err(ListenError::NotASocket)?;
        let control = path.bind().map_err(|error| ListenError::Control {
            path: path.own().to_owned(),
            error,
        })?;
        Ok(Self {
            tcp,
            control,
            control_path: path,
            address,
            room: Room::for_descriptors(descriptors::limit()),
        })
    }

    /// Serves as the role says until the token is cancelled or another host accepts, then finishes the requests and
    /// calls that it has. The control socket is served to the end, so that one can look. `accepting` tells whether
    /// the port is served at the moment.
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
            // No connection of the port takes a seat from commands.
            room: Room::for_descriptors(descriptors::limit()),
        };
        let serving = async {
            port.clone().port(self.tcp, &path, &accepting).await;
            accepting.send_replace(false);
            port.finish().await;
            // The callers of the remaining calls have hung up.
            calls.close();
            calls.wait().await;
        };
        tokio::select! {
            () = serving => {}
            () = control.clone().control(self.control) => {}
        }
        control.ending.cancel();
        control.finish().await;
        path.remove(*control.role.borrow() != Role::HandedOver);
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

    /// Serves the control socket, and never ends by itself: others look at a host also while it drains.
    async fn control(self, listener: UnixListener) {
        let mut accepting = Acceptor::new(self.room.clone());
        loop {
            let (stream, seat) = accepting.next(&listener).await;
            self.clone().connection(stream, Peer::Control, seat);
        }
    }

    /// Accepts while the role says so; ends with the host, or when another host accepts.
    async fn port(mut self, bound: TcpListener, path: &ControlSocket, accepting: &watch::Sender<bool>) {
        let ending = self.ending.clone();
        let mut incoming = Acceptor::new(self.room.clone());
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
                // Clients that connect meanwhile wait.
                Err(error) => {
                    incoming.make_way(&error).await;
                    continue;
                }
            };
            if let Err(error) = path.share() {
                // Calls come in all the same.
                let path = path.shared().display();
                tracing::error!(%error, %path, "cannot make the control socket: commands will not find this host");
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
