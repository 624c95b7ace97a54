//! Whether the service that was just started serves: asked of its port, for nobody else tells.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, timeout};

use super::{Service, ServiceError};
use crate::http_connection::drive;
use crate::server::owner_of;

/// How long a host may take to load the project.
const PATIENCE: Duration = Duration::from_mins(2);
/// What is asked again has no event to be waited for.
const PAUSE: Duration = Duration::from_millis(200);

/// Makes sure that nobody else has the port.
pub(super) fn port_is_free(service: &Service) -> Result<(), ServiceError> {
    match TcpListener::bind(service.address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let port = service.address.port();
            let (owner, _) = owner_of(port);
            Err(ServiceError::PortTaken { port, owner })
        }
        // Whatever else is wrong with it, the host will say.
        _ => Ok(()),
    }
}

/// Waits until a generation is current, or the code was rejected. Returns the generation.
pub(super) fn wait(service: &Service, help: &str) -> Result<u64, ServiceError> {
    let not_ready = |reason: String| ServiceError::NotReady {
        reason,
        help: help.to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| not_ready(error.to_string()))?;
    runtime.block_on(watch(service.local_address())).map_err(not_ready)
}

async fn watch(address: SocketAddr) -> Result<u64, String> {
    let end = Instant::now() + PATIENCE;
    let mut last = "nothing answers".to_owned();
    let mut pause = interval(PAUSE);
    while Instant::now() < end {
        pause.tick().await;
        let answer = match timeout(end.duration_since(Instant::now()), ask(address)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                last = format!("http://{address}/-/ready does not answer ({error})");
                continue;
            }
            Err(_) => break,
        };
        let (status, body) = answer;
        if let (StatusCode::OK, Some(generation)) = (status, body["generation"].as_u64()) {
            return Ok(generation);
        }
        last = match body["reason"].as_str() {
            Some("rejected") => return Err("the code does not load; the host waits for code that does".to_owned()),
            Some(reason) => format!("the host says {reason:?}"),
            None => format!("something else than Baton answers at http://{address}: {status}"),
        };
    }
    Err(format!("{last}, after {} s", PATIENCE.as_secs()))
}

async fn ask(address: SocketAddr) -> Result<(StatusCode, serde_json::Value), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let _connection = drive(connection);
    let request = Request::get("/-/ready")
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}
