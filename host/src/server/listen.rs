//! The two ways in: a TCP port for Inngest and everybody, a socket in the state folder for the
//! commands on this machine. Binding is one step, serving another.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use miette::Diagnostic;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_util::sync::CancellationToken;

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

/// The TCP port. Answers are small and complete, so they are sent at once.
struct Port(TcpListener);

impl Listener for Port {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        (stream, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Port>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Port>) -> Self {
        Self::Tcp(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(_: IncomingStream<'_, UnixListener>) -> Self {
        Self::Control
    }
}

/// Why a host cannot listen.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ListenError {
    #[error("port {port} is in use by {owner}")]
    #[diagnostic(help("End that process, or choose another port with --port."))]
    PortTaken { port: u16, owner: String },
    #[error("cannot listen on {address}: {error}")]
    #[diagnostic(help("Choose another port with --port."))]
    Tcp { address: SocketAddr, error: io::Error },
    #[error("cannot make the control socket {path}: {error}", path = .path.display())]
    #[diagnostic(help("Name another state folder with --state-dir or BATON_STATE_DIR."))]
    Control { path: PathBuf, error: io::Error },
}

/// Bound, not yet accepting.
#[derive(Debug)]
pub struct Listeners {
    tcp: TcpListener,
    control: UnixListener,
    control_path: PathBuf,
    pub address: SocketAddr,
}

impl Listeners {
    /// Binds both. Only the holder of the project's lock may call this: it takes the place of a
    /// socket that a dead host has left.
    ///
    /// # Errors
    /// When the port is taken or the socket cannot be made.
    pub async fn bind(address: SocketAddr, control_path: PathBuf) -> Result<Self, ListenError> {
        let tcp = bind_tcp(address).await?;
        let address = tcp.local_addr().map_err(|error| ListenError::Tcp { address, error })?;
        let failed = |error| ListenError::Control {
            path: control_path.clone(),
            error,
        };
        match std::fs::remove_file(&control_path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let control = UnixListener::bind(&control_path).map_err(failed)?;
        std::fs::set_permissions(&control_path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self {
            tcp,
            control,
            control_path,
            address,
        })
    }

    /// Serves until the token is cancelled, then finishes the requests it has.
    ///
    /// # Errors
    /// Never in practice: axum retries failed accepts.
    pub async fn serve(self, router: Router, ending: CancellationToken) -> io::Result<()> {
        let tcp = axum::serve(
            Port(self.tcp),
            router.clone().into_make_service_with_connect_info::<Peer>(),
        )
        .with_graceful_shutdown(ending.clone().cancelled_owned());
        let control = axum::serve(self.control, router.into_make_service_with_connect_info::<Peer>())
            .with_graceful_shutdown(ending.cancelled_owned());
        let served = tokio::try_join!(tcp.into_future(), control.into_future());
        let _ = std::fs::remove_file(&self.control_path);
        served.map(drop)
    }
}

pub(super) async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::PortTaken {
            port: address.port(),
            owner: owner_of(address.port()),
        },
        _ => ListenError::Tcp { address, error },
    })
}

/// Who listens on the port, for people.
fn owner_of(port: u16) -> String {
    match listeners::get_process_by_port(port, listeners::Protocol::TCP) {
        Ok(process) => format!("{} (process {})", process.name, process.pid),
        Err(_) => "another process".to_owned(),
    }
}
