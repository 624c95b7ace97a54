//! `--inspect`: the door for debuggers, which Chrome and VS Code know as that of Node.
//!
//! | path | what |
//! |---|---|
//! | `/json`, `/json/list` | the list for debuggers: first `current`, then each isolate of each generation |
//! | `/json/version` | who this is |
//! | `/current` | WebSocket: the generation that is current. After a reload the connection ends, once nothing is paused, and whoever connects again has the next one |
//! | `/<generation>-<isolate>` | WebSocket: this one until it ends |
//!
//! The door is open to this machine only, and not to web pages: a debugger can run anything.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use fastwebsockets::{FragmentCollectorRead, Frame, OpCode, WebSocket, WebSocketRead, WebSocketWrite};
use futures::StreamExt as _;
use futures::channel::mpsc;
use futures::stream::BoxStream;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use js_runtime_api::DebugSession;
use serde_json::{Value, json};
use tokio::io::AsyncRead;
use tokio::net::TcpListener;

use super::accept::Acceptor;
use super::auth::is_local;
use super::listen::Peer;
use super::room::{ConnectionPhase, Place, Room};
use super::{connection, json_errors};
use crate::generation::{Generation, GenerationId, IsolateId, PublicState, Table, View};
use crate::net::{self, ListenError};
use crate::tasks::TaskSet;

const CURRENT: &str = "current";
/// WebSocket's code for a server that is there again soon (RFC 6455, IANA's registry).
const RESTART: u16 = 1012;
/// The time that a resumed isolate has to pause again before it counts as finished: a step resumes before it pauses
/// again.
const STEP: Duration = Duration::from_secs(1);
const LARGEST_MESSAGE: usize = 256 << 20;
/// The most bytes of messages that wait for a debugger: a heap snapshot is as large.
const MOST_WAITING: usize = 512 << 20;
/// The number of a debugger's requests that may wait for their answers: tools send some dozens at once.
const MOST_UNANSWERED: usize = 4096;
/// The most pongs that wait for a debugger that reads nothing; further pongs are left out.
const MOST_PONGS: usize = 16;
/// The most connections of debuggers, and of programs that look for debuggable isolates.
const MOST_CONNECTIONS: usize = 64;

/// The door for debuggers, bound and not yet serving.
#[derive(Debug)]
pub struct Inspector {
    listener: TcpListener,
    pub address: SocketAddr,
}

/// The state that the routes may use.
#[derive(Clone)]
struct Debuggers {
    table: Arc<Table>,
    attached: Arc<TaskSet>,
}

impl Inspector {
    /// Binds the port; 0 picks a free one.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn bind(port: u16) -> Result<Self, ListenError> {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let failed = |error| ListenError::Tcp { address, error };
        let bound = net::bind(address)?;
        bound.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(bound).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Serves for as long as the future is polled; the attached debuggers end with it.
    pub async fn serve(self, table: Arc<Table>) {
        let router = Router::new()
            .route("/json", get(list))
            .route("/json/list", get(list))
            .route("/json/version", get(version))
            .route("/{target}", get(attach))
            .layer(from_fn(only_debuggers))
            .with_state(Debuggers {
                table,
                attached: Arc::new(TaskSet::new("debuggers")),
            });
        let connections = TaskSet::new("connections of debuggers");
        let mut accepting = Acceptor::new(Room::of(MOST_CONNECTIONS));
        loop {
            let ((stream, peer), seat) = accepting.next(&self.listener).await;
            connection::prepare(&stream);
            let (router, leave) = (router.clone(), std::future::pending());
            let served = connection::serve(stream, Peer::Tcp(peer), seat, router, || false, leave);
            connections.spawn(served);
        }
    }
}

/// Refuses all but debuggers: a page in a browser may connect to a WebSocket anywhere, and a name may be made to
/// point here.
async fn only_debuggers(request: Request, next: Next) -> Response {
    if !is_a_debuggers(request.headers()) {
        tracing::warn!(path = request.uri().path(), "debugger refused");
        return json_errors::error(
            StatusCode::FORBIDDEN,
            "only a debugger on this machine may do this",
            "Attach to 127.0.0.1, from chrome://inspect or an editor.",
        );
    }
    next.run(request).await
}

fn is_a_debuggers(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let from_page = text(header::ORIGIN).is_some_and(|origin| !origin.starts_with("devtools://"));
    !from_page && text(header::HOST).is_some_and(is_local)
}

async fn version() -> Json<Value> {
    Json(json!({"Browser": concat!("baton/", env!("CARGO_PKG_VERSION")), "Protocol-Version": "1.3"}))
}

async fn list(State(Debuggers { table, .. }): State<Debuggers>, headers: HeaderMap) -> Json<Value> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or("127.0.0.1").to_owned();
    let target = |id: &str, title: String| {
        let socket = format!("{host}/{id}");
        json!({
            "id": id, "type": "node", "title": title, "description": "Baton", "url": "file://", "faviconUrl": "",
            "webSocketDebuggerUrl": format!("ws://{socket}"),
            "devtoolsFrontendUrl":
                format!("devtools://devtools/bundled/js_app.html?experiments=true&v8only=true&ws={socket}"),
        })
    };
    let mut targets = Vec::new();
    if let Some(current) = table.current() {
        targets.push(target(
            CURRENT,
            format!("Baton: generation {}, then the next", current.id),
        ));
    }
    for entry in table.view().entries.iter().rev() {
        for isolate in entry.live.iter().flat_map(|live| live.pool.observed()) {
            let (generation, state, isolate) = (entry.id.0, entry.state.public().as_str(), isolate.id.0);
            let title = format!("Baton: generation {generation} ({state}), isolate {isolate}");
            targets.push(target(&format!("{generation}-{isolate}"), title));
        }
    }
    Json(Value::Array(targets))
}

async fn attach(
    State(Debuggers { table, attached }): State<Debuggers>,
    Path(target): Path<String>,
    mut request: Request,
) -> Response {
    let follows = target == CURRENT;
    let found = if follows {
        table
            .current()
            .and_then(|current| Some((current.pool.debug(None)?, current)))
    } else {
        named(&table, &target)
    };
    let Some((session, generation)) = found else {
        return json_errors::error(
            StatusCode::NOT_FOUND,
            format!("there is no isolate {target:?} to debug"),
            "Choose one that /json lists.",
        );
    };
    let place = request.extensions_mut().remove::<Place>();
    let (response, socket) = match fastwebsockets::upgrade::upgrade(&mut request) {
        Ok(upgrade) => upgrade,
        Err(error) => {
            return json_errors::error(StatusCode::BAD_REQUEST, error.to_string(), "Attach by a WebSocket.");
        }
    };
    let generation = generation.id;
    // The task ends with either side.
    attached.spawn(async move {
        tracing::info!(generation = generation.0, "debugger attached");
        if let Ok(socket) = socket.await {
            // The connection is not idle, whatever its answer says.
            if let Some(place) = place {
                place.enter(ConnectionPhase::Answering);
            }
            relay(socket, session, &table, generation, follows).await;
        }
        tracing::info!(generation = generation.0, "debugger detached");
    });
    response.map(|_| Body::empty())
}

fn named(table: &Table, target: &str) -> Option<(DebugSession, Arc<Generation>)> {
    let (generation, isolate) = target.split_once('-')?;
    let generation = GenerationId(generation.parse().ok()?);
    let isolate = IsolateId(isolate.parse().ok()?);
    let view = table.view();
    let live = view.entries.iter().find(|entry| entry.id == generation)?.live.clone()?;
    Some((live.pool.debug(Some(isolate))?, live))
}

type DebuggerSocket = WebSocket<TokioIo<Upgraded>>;

/// Passes messages on, until either side ends, or the generation is followed by another one.
async fn relay(socket: DebuggerSocket, session: DebugSession, table: &Table, id: GenerationId, follows: bool) {
    let DebugSession {
        to_isolate,
        from_isolate,
    } = session;
    let (reader, writer) = socket.split(tokio::io::split);
    let (pings, pinged) = mpsc::channel(MOST_PONGS);
    let superseded = async {
        if follows {
            let is_over = |view: &View| {
                let entry = view.entries.iter().find(|entry| entry.id == id);
                entry.is_none_or(|entry| entry.state.public() != PublicState::Current)
            };
            table.wait_until(is_over).await;
        } else {
            std::future::pending().await
        }
    };
    let unanswered = Arc::new(AtomicUsize::new(0));
    let answered = unanswered.clone();
    let from_isolate = from_isolate.inspect(move |message| {
        if is_answer(message) {
            // V8 answers each request once; any further answer is one of no request.
            let _ = answered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
        }
    });
    let (queue, queued) = mpsc::unbounded();
    let waiting = Arc::new(AtomicUsize::new(0));
    let taken = waiting.clone();
    let queued = queued.inspect(move |message: &String| {
        taken.fetch_sub(message.len(), Ordering::Relaxed);
    });
    // None of these futures is begun again: a message that was read in part would be lost.
    tokio::select! {
        () = read(reader, to_isolate, pings, &unanswered) => {}
        () = write(writer, queued.boxed(), pinged, superseded) => {}
        () = too_much_waits(from_isolate.boxed(), queue, &waiting, MOST_WAITING) => {
            tracing::warn!("debugger disconnected: it does not read its messages");
        }
    }
}

/// Queues the messages of an isolate until too many bytes wait. Never ends once the isolate has ended.
async fn too_much_waits(
    mut from_isolate: BoxStream<'static, String>,
    queue: mpsc::UnboundedSender<String>,
    waiting: &AtomicUsize,
    most: usize,
) {
    while let Some(message) = from_isolate.next().await {
        let length = message.len();
        if waiting.fetch_add(length, Ordering::Relaxed) + length > most || queue.unbounded_send(message).is_err() {
            return;
        }
    }
    drop(queue);
    std::future::pending().await
}

/// Tells whether a message of an isolate answers a request, as V8 writes it.
fn is_answer(message: &str) -> bool {
    message.starts_with(r#"{"id":"#) || message.starts_with(r#"{"error":"#)
}

/// Reads from the debugger, until it goes, or has more requests without an answer than it may.
async fn read<S: AsyncRead + Unpin>(
    mut reader: WebSocketRead<S>,
    to_isolate: mpsc::UnboundedSender<String>,
    mut pings: mpsc::Sender<Vec<u8>>,
    unanswered: &AtomicUsize,
) {
    reader.set_auto_close(false);
    reader.set_auto_pong(false);
    reader.set_max_message_size(LARGEST_MESSAGE);
    let mut reader = FragmentCollectorRead::new(reader);
    loop {
        let frame = reader.read_frame(&mut |_| async { Ok::<(), std::io::Error>(()) }).await;
        let passed = match frame {
            Ok(frame) if frame.opcode == OpCode::Text => {
                if unanswered.fetch_add(1, Ordering::Relaxed) >= MOST_UNANSWERED {
                    tracing::warn!("debugger disconnected: it does not wait for answers");
                    return;
                }
                let text = String::from_utf8_lossy(&frame.payload).into_owned();
                to_isolate.unbounded_send(text).is_ok()
            }
            Ok(frame) if frame.opcode == OpCode::Ping => match pings.try_send(frame.payload.to_vec()) {
                Ok(()) => true,
                Err(error) => error.is_full(),
            },
            Ok(frame) => frame.opcode != OpCode::Close,
            Err(_) => false,
        };
        if !passed {
            return;
        }
    }
}

/// Writes to the debugger, until the isolate ends, or until nothing is paused of a generation that another one
/// follows.
async fn write(
    mut writer: WebSocketWrite<tokio::io::WriteHalf<TokioIo<Upgraded>>>,
    mut from_isolate: BoxStream<'static, String>,
    mut pinged: mpsc::Receiver<Vec<u8>>,
    superseded: impl Future<Output = ()>,
) {
    let mut superseded = std::pin::pin!(superseded);
    let (mut paused, mut over) = (false, false);
    loop {
        let frame = tokio::select! {
            message = from_isolate.next() => {
                let Some(message) = message else { break };
                if message.starts_with(r#"{"method":"Debugger.paused""#) {
                    paused = true;
                } else if message.starts_with(r#"{"method":"Debugger.resumed""#) {
                    paused = false;
                }
                Frame::text(message.into_bytes().into())
            }
            Some(ping) = pinged.next() => Frame::pong(ping.into()),
            () = &mut superseded, if !over => {
                over = true;
                continue;
            }
            () = tokio::time::sleep(STEP), if over && !paused => break,
        };
        if writer.write_frame(frame).await.is_err() {
            return;
        }
    }
    // A debugger that has gone need not be told.
    let _ = writer
        .write_frame(Frame::close(RESTART, b"another generation is current"))
        .await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::channel::mpsc;
    use futures::{FutureExt as _, StreamExt as _};
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;

    /// The lengths of the messages that a debugger's bytes hold.
    async fn messages(bytes: &[u8]) -> Vec<usize> {
        let (mut client, stream) = tokio::io::duplex(1 << 20);
        client.write_all(bytes).await.unwrap();
        drop(client);
        let socket = fastwebsockets::WebSocket::after_handshake(stream, fastwebsockets::Role::Server);
        let (reader, _writer) = socket.split(tokio::io::split);
        let (to_isolate, messages) = mpsc::unbounded();
        let (pings, _pinged) = mpsc::channel(super::MOST_PONGS);
        super::read(reader, to_isolate, pings, &AtomicUsize::new(0)).await;
        messages.map(|message| message.len()).collect().await
    }

    #[tokio::test]
    async fn a_debugger_that_waits_for_no_answers_is_heard_up_to_a_limit() {
        let mut bytes = Vec::new();
        for _ in 0..super::MOST_UNANSWERED + 10 {
            // A text of two bytes, masked by zeros.
            bytes.extend([0x81, 0x82, 0, 0, 0, 0, b'{', b'}']);
        }
        assert_eq!(messages(&bytes).await.len(), super::MOST_UNANSWERED);
        assert!(super::is_answer(r#"{"id":1,"result":{}}"#));
        assert!(super::is_answer(r#"{"error":{"code":-32700},"id":null}"#));
        assert!(!super::is_answer(r#"{"method":"Debugger.paused","params":{}}"#));
    }

    #[tokio::test]
    async fn messages_wait_for_a_slow_debugger_up_to_a_limit() {
        let waiting = AtomicUsize::new(0);
        let said = |count: usize| futures::stream::iter(vec!["x".repeat(10); count]).boxed();
        let (queue, mut queued) = mpsc::unbounded();
        let within = super::too_much_waits(said(10), queue.clone(), &waiting, 100);
        assert!(
            within.now_or_never().is_none(),
            "the isolate has ended, and what waits is written"
        );
        assert_eq!(queued.next().await.map(|message| message.len()), Some(10));
        let beyond = super::too_much_waits(said(1), queue, &waiting, 100);
        assert_eq!(beyond.now_or_never(), Some(()));
    }

    #[test]
    fn fuzz_of_frames() {
        const PARTS: &[&[u8]] = &[
            b"\x81\x85\0\0\0\0hello",
            b"\x01\x83\x01\x02\x03\x04abc",
            b"\x80\x80\0\0\0\0",
            b"\x82\x81\0\0\0\0x",
            b"\x88\x82\0\0\0\0\x03\xe8",
            b"\x89\x84\0\0\0\0ping",
            b"\x8a\x80\0\0\0\0",
            b"\x81\xfe\xff\xff",
            b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"\x81\xff\0\0\0\0\x10\0\0\x01",
            b"\xf1\x80",
            b"\x81\x05",
            b"\0",
            b"\xff",
        ];
        crate::fuzz::fuzz("frames", &crate::fuzz::bytes_of(PARTS, 24), |bytes| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let messages = runtime.block_on(messages(&bytes));
            // (Each byte that is no UTF-8 becomes three bytes.)
            prop_assert!(messages.iter().sum::<usize>() <= 3 * bytes.len());
            Ok(())
        });
    }
}
