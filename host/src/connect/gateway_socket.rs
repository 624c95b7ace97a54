//! A session that acts: it asks for a gateway, dials it, presents, and then reads and writes frames until its end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use connect_wire::message::{AuthData, StartResponse, SystemAttributes, Timestamp, WorkerConnectRequestData};
use connect_wire::{Frame, GATEWAY_FRAME_LIMIT, SUBPROTOCOL, WORKER_FRAME_LIMIT};
use fastwebsockets::{
    Frame as SocketFrame, OpCode, Role, WebSocketError, WebSocketRead, after_handshake_split, handshake,
};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::requests::SessionId;
use super::start::start;
use super::state::{ConnectionEvent, Loss, Opening};
use crate::net::http::{ByteStream, HttpError, dial};
use crate::tasks::OwnedTask;

/// The limit for the gateway's connection, its TLS, and its upgrade.
const DIAL_WITHIN: Duration = Duration::from_secs(10);
/// The limit for the gateway's first frame.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// The limit for a frame to be written.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// The bytes of a writer's buffer that are kept for the next frame.
const KEPT_BUFFER: usize = 64 << 10;
/// The time for the gateway to end a connection that this host has closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// The code and the reason of a close that is meant.
const CLOSED: (u16, &[u8]) = (1000, b"WORKER_SHUTDOWN");
/// The header of the subprotocol.
const PROTOCOL: &str = "sec-websocket-protocol";
/// The capabilities of the SDK's own connections.
const CAPABILITIES: &[u8] = br#"{"trust_probe":"v1","connect":"v1"}"#;

/// An upgraded connection to a gateway.
struct Socket {
    reader: WebSocketRead<ReadHalf<TokioIo<Upgraded>>>,
    writer: FrameWriter<WriteHalf<TokioIo<Upgraded>>>,
    /// The task that made it.
    _handshake: OwnedTask<()>,
}

/// The writing half of a connection: each frame has left this process when it is written.
struct FrameWriter<W> {
    half: W,
    buffer: Vec<u8>,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    async fn write(&mut self, mut frame: SocketFrame<'_>) -> Result<(), WebSocketError> {
        frame.mask();
        let written = async {
            self.half.write_all(frame.write(&mut self.buffer)).await?;
            self.half.flush().await
        };
        let written = tokio::time::timeout(WRITE_WITHIN, written).await;
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BUFFER);
        written
            .map_err(std::io::Error::from)
            .flatten()
            .map_err(WebSocketError::IoError)
    }
}

/// A message to a session's writer.
#[derive(Debug)]
pub enum Outgoing {
    Frame(Bytes),
    Pong(Vec<u8>),
    /// Close the connection once all before is written.
    Close,
}

/// The queues of a session.
pub struct Queues {
    pub events: mpsc::Sender<ConnectionEvent>,
    pub outgoing: mpsc::UnboundedReceiver<Outgoing>,
    /// The queue of the writer, for answers to pings.
    pub pongs: mpsc::WeakUnboundedSender<Outgoing>,
}

/// Runs a session to its end, and tells its end.
pub async fn run(opening: Opening, queues: Queues) {
    let (id, events) = (opening.session, queues.events.clone());
    if let Err(loss) = live(opening, queues).await {
        // The task that listens has ended with the host.
        let _ = events.send(ConnectionEvent::Gone(id, loss)).await;
    }
}

/// Lives until the connection is closed as it was meant, or lost.
async fn live(opening: Opening, queues: Queues) -> Result<(), Loss> {
    let Queues {
        events,
        mut outgoing,
        pongs,
    } = queues;
    let id = opening.session;
    let connecting = async {
        let started = start(&opening).await?;
        let _ = events
            .send(ConnectionEvent::Started {
                session: id,
                connection_id: started.connection_id.clone(),
                group: started.gateway_group.clone(),
            })
            .await;
        open(&opening, &started).await
    };
    let Socket {
        reader,
        writer,
        _handshake,
    } = tokio::select! {
        connected = connecting => connected?,
        // It is given up before it is there.
        () = until_closed(&mut outgoing) => return Ok(()),
    };
    let _ = events.send(ConnectionEvent::Presented(id)).await;
    tokio::select! {
        loss = read(id, reader, &events, &pongs) => Err(loss),
        written = write(writer, outgoing) => written,
    }
}

async fn until_closed(outgoing: &mut mpsc::UnboundedReceiver<Outgoing>) {
    loop {
        if matches!(outgoing.recv().await, None | Some(Outgoing::Close)) {
            return;
        }
    }
}

/// Dials the gateway, waits for its greeting, and presents.
async fn open(opening: &Opening, started: &StartResponse) -> Result<Socket, Loss> {
    let endpoint = opening.presentation.gateway_url.as_deref();
    let endpoint = endpoint.unwrap_or(&started.gateway_endpoint);
    let failed = |why: String| Loss::Failed(format!("no connection to the gateway {endpoint}: {why}"));
    let dialing = tokio::time::timeout(DIAL_WITHIN, upgrade(endpoint)).await;
    let mut socket = dialing
        .map_err(|_| failed(format!("it has not answered within {DIAL_WITHIN:?}")))?
        .map_err(|error| failed(error.to_string()))?;
    let reader = &mut socket.reader;
    reader.set_auto_pong(true);
    reader.set_auto_close(true);
    reader.set_max_message_size(WORKER_FRAME_LIMIT);
    let mut nothing = |_: SocketFrame<'_>| std::future::ready(Ok::<(), std::io::Error>(()));
    let hello = tokio::time::timeout(HELLO_WITHIN, reader.read_frame(&mut nothing)).await;
    let hello = hello.map_err(|_| failed(format!("it has not greeted within {HELLO_WITHIN:?}")))?;
    let hello = hello.map_err(|error| failed(error.to_string()))?;
    match hello.opcode {
        OpCode::Close => return Err(closed(&hello.payload)),
        _ => match Frame::decode(Bytes::copy_from_slice(&hello.payload), WORKER_FRAME_LIMIT) {
            Ok(Frame::GatewayHello) => {}
            _ => return Err(failed("it does not speak Connect".to_owned())),
        },
    }
    let presented = Frame::WorkerConnect(presented(opening, started)).encode(GATEWAY_FRAME_LIMIT);
    let presented = presented.map_err(|error| failed(format!("the functions cannot be told: {error}")))?;
    let written = socket
        .writer
        .write(SocketFrame::binary(presented.to_vec().into()))
        .await;
    written.map_err(|error| failed(error.to_string()))?;
    Ok(socket)
}

async fn upgrade(endpoint: &str) -> Result<Socket, HttpError> {
    let uri: Uri = endpoint.parse()?;
    if !matches!(uri.scheme_str(), Some("ws" | "wss")) {
        return Err("expected a URL of a WebSocket, such as wss://HOST/v0/connect".into());
    }
    let authority = uri.authority().ok_or("the URL has no host")?.as_str().to_owned();
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, authority.rsplit('@').next().unwrap_or_default())
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "upgrade")
        .header("sec-websocket-key", handshake::generate_key())
        .header("sec-websocket-version", "13")
        .header(PROTOCOL, SUBPROTOCOL)
        .body(Empty::<Bytes>::new())?;
    let stream: Box<dyn ByteStream> = dial(&uri).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = connection.with_upgrades();
    let connection = OwnedTask::spawn("handshake with a gateway", async move { drop(connection.await) });
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(format!("it answers with status {}", response.status().as_u16()).into());
    }
    let upgraded = hyper::upgrade::on(response).await?;
    let (read, write) = tokio::io::split(TokioIo::new(upgraded));
    let (reader, _) = after_handshake_split(read, tokio::io::sink(), Role::Client);
    let writer = FrameWriter {
        half: write,
        buffer: Vec::new(),
    };
    Ok(Socket {
        reader,
        writer,
        _handshake: connection,
    })
}

fn presented(opening: &Opening, started: &StartResponse) -> WorkerConnectRequestData {
    let presentation = &opening.presentation;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WorkerConnectRequestData {
        connection_id: started.connection_id.clone(),
        instance_id: presentation.instance_id.clone(),
        auth_data: Some(AuthData {
            session_token: started.session_token.clone(),
            sync_token: started.sync_token.clone(),
        }),
        capabilities: Bytes::from_static(CAPABILITIES),
        apps: presentation.apps.clone(),
        worker_manual_readiness_ack: opening.manual,
        system_attributes: Some(machine()),
        environment: presentation.environment.clone(),
        framework: "connect".to_owned(),
        platform: presentation.platform.map(str::to_owned),
        sdk_version: presentation.sdk_version.clone(),
        sdk_language: "typescript".to_owned(),
        started_at: Some(Timestamp {
            seconds: i64::try_from(now.as_secs()).unwrap_or_default(),
            nanos: i32::try_from(now.subsec_nanos()).unwrap_or_default(),
        }),
        max_worker_concurrency: presentation.max_worker_concurrency,
    }
}

fn machine() -> SystemAttributes {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    SystemAttributes {
        cpu_cores: i32::try_from(cores).unwrap_or(i32::MAX),
        mem_bytes: memory(),
        os: match std::env::consts::OS {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        },
    }
}

/// The memory of this machine in bytes, where the system tells it.
fn memory() -> i64 {
    let pages = nix::unistd::sysconf(nix::unistd::SysconfVar::_PHYS_PAGES)
        .ok()
        .flatten();
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    pages.zip(page).map_or(0, |(pages, page)| pages.saturating_mul(page))
}

/// Reads frames until the connection is lost.
async fn read<S: AsyncRead + Unpin>(
    id: SessionId,
    mut reader: WebSocketRead<S>,
    events: &mpsc::Sender<ConnectionEvent>,
    pongs: &mpsc::WeakUnboundedSender<Outgoing>,
) -> Loss {
    let mut pong = |frame: SocketFrame<'_>| {
        if frame.opcode == OpCode::Pong
            && let Some(pongs) = pongs.upgrade()
        {
            let _ = pongs.send(Outgoing::Pong(frame.payload.to_vec()));
        }
        std::future::ready(Ok::<(), std::io::Error>(()))
    };
    let mut message = BytesMut::new();
    loop {
        let frame = match reader.read_frame(&mut pong).await {
            Ok(frame) => frame,
            Err(error) => return Loss::Failed(format!("the connection to the gateway broke: {error}")),
        };
        match frame.opcode {
            OpCode::Close => return closed(&frame.payload),
            OpCode::Binary | OpCode::Continuation => {}
            OpCode::Text | OpCode::Ping | OpCode::Pong => continue,
        }
        if message.len() + frame.payload.len() > WORKER_FRAME_LIMIT {
            return Loss::Failed(format!("the gateway sent more than {WORKER_FRAME_LIMIT} bytes at once"));
        }
        message.extend_from_slice(&frame.payload);
        if !frame.fin {
            continue;
        }
        match Frame::decode(message.split().freeze(), WORKER_FRAME_LIMIT) {
            Ok(Frame::Unknown { number, .. }) => tracing::debug!(kind = number, "a frame of an unknown kind came"),
            Ok(frame) => {
                if events.send(ConnectionEvent::Frame(id, frame)).await.is_err() {
                    return Loss::Failed("the host ends".to_owned());
                }
            }
            // A request that cannot be read is not acknowledged: the gateway gives it to somebody else.
            Err(error) => tracing::warn!(%error, "a frame of the gateway could not be read"),
        }
    }
}

/// Writes frames until the connection is to be closed.
async fn write<S: AsyncWrite + Unpin>(
    mut writer: FrameWriter<S>,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
) -> Result<(), Loss> {
    loop {
        let (frame, is_last) = match outgoing.recv().await {
            Some(Outgoing::Frame(bytes)) => (SocketFrame::binary(bytes.to_vec().into()), false),
            Some(Outgoing::Pong(payload)) => (SocketFrame::pong(payload.into()), false),
            Some(Outgoing::Close) | None => (SocketFrame::close(CLOSED.0, CLOSED.1), true),
        };
        match writer.write(frame).await {
            Ok(()) if is_last => {
                // The gateway ends the connection, which the reader sees.
                tokio::time::sleep(CLOSE_WITHIN).await;
                return Ok(());
            }
            Ok(()) => {}
            Err(error) => return Err(Loss::Failed(format!("the connection to the gateway broke: {error}"))),
        }
    }
}

/// Reads the code and the reason of a close.
fn closed(payload: &[u8]) -> Loss {
    match payload.split_first_chunk::<2>() {
        Some((code, reason)) => Loss::Closed {
            code: u16::from_be_bytes(*code),
            reason: String::from_utf8_lossy(reason).replace(char::is_control, " "),
        },
        None => Loss::Closed {
            code: 1005,
            reason: String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Loss, closed};

    #[test]
    fn a_close_says_its_code_and_its_reason() {
        let said = closed(b"\x03\xe9connect_gateway_closing");
        let expected = Loss::Closed {
            code: 1001,
            reason: "connect_gateway_closing".to_owned(),
        };
        assert_eq!(said, expected);
        assert!(matches!(closed(b""), Loss::Closed { code: 1005, .. }));
    }
}
