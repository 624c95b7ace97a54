//! One WebSocket at a gateway, from the greeting to its end (inngest/inngest: `pkg/connect/gateway.go`,
//! `gateway_msg_*.go`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use connect_wire::message::{GatewayConnectionReadyData, SystemError, WorkerConnectRequestData};
use connect_wire::{Frame, FrameError, GATEWAY_FRAME_LIMIT, Kind, go_duration, ulid};
use fastwebsockets::upgrade::UpgradeFut;
use fastwebsockets::{FragmentCollectorRead, OpCode, Payload, WebSocketError, WebSocketWrite};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::book::{Book, Connection, KnownGroup, Mail, is_of_workers};
use super::presentation::Group;
use super::record::{ConnectionReport, Ending, Party, Phase, Sync};

/// The most apps of one connection.
const MOST_APPS: usize = 10;

/// The time that a worker has to answer a close frame.
const FAREWELL: Duration = Duration::from_secs(2);

/// A close that the gateway wants.
struct Close {
    code: u16,
    reason: String,
}

impl Close {
    fn policy(reason: &str) -> Self {
        Self {
            code: 1008,
            reason: reason.to_owned(),
        }
    }

    fn internal() -> Self {
        Self {
            code: 1011,
            reason: "connect_internal_error".to_owned(),
        }
    }

    fn draining() -> Self {
        Self {
            code: 1001,
            reason: "connect_gateway_closing".to_owned(),
        }
    }
}

/// A content that came, or the end.
enum Incoming {
    Content(Bytes),
    End(Ending),
}

/// Serves a connection to its end.
pub(super) async fn serve(book: Arc<Book>, gateway: String, socket: UpgradeFut) {
    let Ok(mut socket) = socket.await else {
        return;
    };
    socket.set_auto_close(true);
    socket.set_auto_pong(true);
    socket.set_max_message_size(GATEWAY_FRAME_LIMIT);
    let (read, write) = socket.split(tokio::io::split);
    let (outbox, mail) = unbounded_channel();
    let number = register(&book, &gateway, outbox.clone());
    let session = Session {
        book: Arc::clone(&book),
        number,
        gateway,
        outbox: outbox.clone(),
    };
    let ending = tokio::select! {
        ending = session.run(FragmentCollectorRead::new(read)) => ending,
        ending = write_all(write, mail) => ending,
    };
    book.change(|state| state.gone(number, ending));
}

fn register(book: &Book, gateway: &str, outbox: UnboundedSender<Mail>) -> usize {
    book.change(|state| {
        let report = ConnectionReport {
            id: String::new(),
            gateway: gateway.to_owned(),
            phase: Phase::Greeted,
            presented: None,
            opened: Instant::now(),
            heartbeats: Vec::new(),
            ending: None,
            ended: None,
        };
        state.connections.push(Connection {
            report,
            groups: Vec::new(),
            ready_since: Instant::now(),
            outbox,
        });
        state.connections.len() - 1
    })
}

async fn write_all<W: AsyncWrite + Unpin>(mut socket: WebSocketWrite<W>, mut mail: UnboundedReceiver<Mail>) -> Ending {
    let cut = || Ending {
        by: None,
        code: 1006,
        reason: String::new(),
    };
    while let Some(mail) = mail.recv().await {
        let frame = match mail {
            Mail::Binary(bytes) => fastwebsockets::Frame::binary(Payload::Owned(bytes.to_vec())),
            Mail::Cut => return cut(),
            Mail::Pong(payload) => fastwebsockets::Frame::pong(Payload::Owned(payload)),
            Mail::Farewell(ending) => {
                // An answer without a code is one, too.
                let code = if ending.code == 1005 { 1000 } else { ending.code };
                let frame = fastwebsockets::Frame::close(code, ending.reason.as_bytes());
                let _ = socket.write_frame(frame).await;
                return ending;
            }
            Mail::Close(code, reason) => {
                let frame = fastwebsockets::Frame::close(code, reason.as_bytes());
                if socket.write_frame(frame).await.is_err() {
                    return cut();
                }
                tokio::time::sleep(FAREWELL).await;
                return Ending {
                    by: Some(Party::Gateway),
                    code,
                    reason,
                };
            }
        };
        if socket.write_frame(frame).await.is_err() {
            return cut();
        }
    }
    cut()
}

struct Session {
    book: Arc<Book>,
    number: usize,
    gateway: String,
    outbox: UnboundedSender<Mail>,
}

impl Session {
    async fn run<R: AsyncRead + Unpin>(&self, mut socket: FragmentCollectorRead<R>) -> Ending {
        let close = match self.greet(&mut socket).await {
            Ok(()) => tokio::select! {
                end = self.listen(&mut socket) => end,
                close = self.watch() => Err(close),
            },
            Err(end) => end,
        };
        let close = match close {
            Ok(ending) => return ending,
            Err(close) => close,
        };
        let ending = Ending {
            by: Some(Party::Gateway),
            code: close.code,
            reason: close.reason.clone(),
        };
        self.book.change(|state| state.drain(self.number));
        let _ = self.outbox.send(Mail::Close(close.code, close.reason));
        // The worker answers, or goes; frames that still come say nothing any more.
        while let Incoming::Content(_) = self.next(&mut socket).await {}
        ending
    }

    /// Greets the worker, and takes its presentation.
    async fn greet<R: AsyncRead + Unpin>(
        &self,
        socket: &mut FragmentCollectorRead<R>,
    ) -> Result<(), Result<Ending, Close>> {
        let delay = self.book.read().faults.hello_delay;
        tokio::time::sleep(delay).await;
        if self.book.read().gateway_drains(&self.gateway) {
            return Err(Err(Close::draining()));
        }
        self.book.send(self.number, &Frame::GatewayHello);
        let first = tokio::time::timeout(self.book.timing.hello, self.next(socket)).await;
        let content = match first {
            Err(_) => return Err(Err(Close::policy("connect_worker_hello_timeout"))),
            Ok(Incoming::End(ending)) => return Err(Ok(ending)),
            Ok(Incoming::Content(content)) => content,
        };
        let data = match Frame::decode(content, GATEWAY_FRAME_LIMIT) {
            Ok(Frame::WorkerConnect(data)) => data,
            Err(FrameError::MalformedPayload {
                kind: Kind::WorkerConnect,
                ..
            }) => return Err(Err(Close::policy("connect_worker_hello_invalid_payload"))),
            Ok(_) | Err(FrameError::MalformedPayload { .. }) => {
                return Err(Err(Close::policy("connect_worker_hello_invalid_msg")));
            }
            Err(_) => return Err(Err(Close::internal())),
        };
        self.book.change(|state| {
            state.connections[self.number].report.id.clone_from(&data.connection_id);
            state.passes(self.number, Party::Worker, &Frame::WorkerConnect(data.clone()));
        });
        let manual = data.worker_manual_readiness_ack;
        let groups = self.check(&data).map_err(Err)?;
        self.sync(data, groups).await.map_err(Err)?;
        let timing = &self.book.timing;
        self.book.change(|state| {
            let ready = GatewayConnectionReadyData {
                heartbeat_interval: go_duration::text(timing.heartbeat),
                extend_lease_interval: go_duration::text(timing.extension),
                status_interval: go_duration::text(timing.status),
            };
            state.send(self.number, &Frame::GatewayConnectionReady(ready));
            let connection = &mut state.connections[self.number];
            connection.ready_since = Instant::now();
            if !manual && connection.report.phase == Phase::Connected {
                connection.report.phase = Phase::Ready;
            }
        });
        Ok(())
    }

    fn check(&self, data: &WorkerConnectRequestData) -> Result<Vec<Group>, Close> {
        let invalid = || Close::policy("connect_worker_hello_invalid_payload");
        if ulid::time(&data.connection_id).is_none() || data.instance_id.is_empty() {
            return Err(invalid());
        }
        let auth = data.auth_data.clone().unwrap_or_default();
        let state = self.book.read();
        let known = state.tokens.get(&auth.session_token);
        let bearer = Some(auth.sync_token.as_str())
            .filter(|token| !token.is_empty())
            .map(|token| format!("Bearer {token}"));
        if known.is_none_or(|since| since.elapsed() > self.book.timing.token)
            || !self.book.kind.accepts_bearer(bearer.as_deref())
        {
            return Err(Close::policy("connect_authentication_failed"));
        }
        if data.apps.is_empty() {
            return Err(invalid());
        }
        if data.apps.len() > MOST_APPS {
            return Err(Close::policy("connect_too_many_apps_per_connection"));
        }
        Group::all(data).ok_or_else(Close::internal)
    }

    /// Registers the functions of groups that are not known yet.
    async fn sync(&self, data: WorkerConnectRequestData, groups: Vec<Group>) -> Result<(), Close> {
        let delay = self.book.change(|state| {
            let connection = &mut state.connections[self.number];
            connection.report.phase = Phase::Presented;
            connection.report.presented = Some(data);
            state.faults.sync_delay
        });
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.book.change(|state| {
            let connection = state.connections[self.number].report.id.clone();
            for group in &groups {
                if state.groups.contains_key(&group.hash) {
                    continue;
                }
                let names = group.functions.iter().filter_map(|function| function["id"].as_str());
                let refusal = state.faults.refusal.clone();
                state.syncs.push(Sync {
                    connection: connection.clone(),
                    app: group.app.clone(),
                    functions: names.map(str::to_owned).collect(),
                    refused: refusal.is_some(),
                });
                if let Some(refusal) = refusal {
                    return Err(self.refuse(state, refusal));
                }
                state.apps.insert(group.app.clone(), group.functions.clone());
            }
            for group in &groups {
                let known = state.groups.entry(group.hash.clone()).or_insert(KnownGroup {
                    since: Instant::now(),
                    connections: 0,
                });
                known.connections += 1;
            }
            let connection = &mut state.connections[self.number];
            connection.groups = groups;
            connection.report.phase = Phase::Connected;
            Ok(())
        })
    }

    fn refuse(&self, state: &mut super::book::State, refusal: SystemError) -> Close {
        let close = Close::policy(&refusal.code);
        state.send(self.number, &Frame::SyncFailed(refusal));
        close
    }

    /// Takes the worker's frames until the connection ends.
    async fn listen<R: AsyncRead + Unpin>(&self, socket: &mut FragmentCollectorRead<R>) -> Result<Ending, Close> {
        loop {
            let content = match self.next(socket).await {
                Incoming::End(ending) => return Ok(ending),
                Incoming::Content(content) => content,
            };
            match Frame::decode(content, GATEWAY_FRAME_LIMIT) {
                Ok(frame) => {
                    if self
                        .book
                        .change(|state| state.passes(self.number, Party::Worker, &frame))
                    {
                        self.take(frame)?;
                    }
                }
                Err(FrameError::MalformedPayload { kind, .. }) => match kind {
                    Kind::WorkerRequestAck => {
                        return Err(Close::policy("connect_worker_request_ack_invalid_payload"));
                    }
                    Kind::WorkerRequestExtendLease => {
                        return Err(Close::policy("connect_worker_request_extend_lease_invalid_payload"));
                    }
                    kind if is_of_workers(kind) => return Err(Close::internal()),
                    _ => {}
                },
                // The gateway fails to read, and goes.
                Err(_) => {
                    return Ok(Ending {
                        by: Some(Party::Gateway),
                        code: 1006,
                        reason: "malformed frame".to_owned(),
                    });
                }
            }
        }
    }

    fn take(&self, frame: Frame) -> Result<(), Close> {
        let number = self.number;
        match frame {
            Frame::WorkerReady => {
                if self.book.read().gateway_drains(&self.gateway) {
                    return Err(Close::draining());
                }
                self.book.change(|state| {
                    let phase = &mut state.connections[number].report.phase;
                    if *phase == Phase::Connected {
                        *phase = Phase::Ready;
                    }
                });
            }
            Frame::WorkerPause => self.book.change(|state| state.drain(number)),
            Frame::WorkerHeartbeat => self.book.change(|state| {
                state.connections[number].report.heartbeats.push(Instant::now());
                if state.gateway_drains(&self.gateway) {
                    state.drain(number);
                }
                state.send(number, &Frame::GatewayHeartbeat);
            }),
            Frame::WorkerStatus(_) => self.book.change(|state| state.statuses += 1),
            Frame::WorkerRequestAck(ack) => self.book.change(|state| state.owned(number, &ack.request_id)),
            Frame::WorkerRequestExtendLease(data) => {
                if ulid::time(&data.lease_id).is_none() {
                    return Err(Close::policy("connect_worker_request_extend_lease_invalid_payload"));
                }
                self.book.extend(number, &data);
            }
            Frame::WorkerReply(reply) => {
                let request = reply.request_id.clone();
                self.book.take_reply(reply);
                self.book.change(|state| state.acknowledge_reply(number, &request));
            }
            // Kinds that are not a worker's are ignored, and so are those that nobody knows.
            _ => {}
        }
        Ok(())
    }

    /// Resolves when the worker has been silent for too long.
    async fn watch(&self) -> Close {
        loop {
            tokio::time::sleep(self.book.timing.heartbeat).await;
            let state = self.book.read();
            let connection = &state.connections[self.number];
            let heard = connection.report.heartbeats.last().copied();
            if heard.unwrap_or(connection.ready_since).elapsed() > self.book.timing.dead() {
                return Close {
                    code: 1000,
                    reason: "CONSECUTIVE_HEARTBEATS_MISSED".to_owned(),
                };
            }
        }
    }

    async fn next<R: AsyncRead + Unpin>(&self, socket: &mut FragmentCollectorRead<R>) -> Incoming {
        let ended = |by, code, reason: &str| {
            Incoming::End(Ending {
                by,
                code,
                reason: reason.to_owned(),
            })
        };
        loop {
            let mut obligated = |frame: fastwebsockets::Frame<'_>| {
                // Answers to close frames are given below.
                if frame.opcode == OpCode::Pong {
                    let _ = self.outbox.send(Mail::Pong(frame.payload.to_vec()));
                }
                std::future::ready(Ok::<_, WebSocketError>(()))
            };
            let frame = match socket.read_frame(&mut obligated).await {
                Ok(frame) => frame,
                Err(WebSocketError::FrameTooLarge) => return ended(Some(Party::Gateway), 1009, "MESSAGE_TOO_LARGE"),
                Err(_) => return ended(None, 1006, ""),
            };
            match frame.opcode {
                OpCode::Binary => return Incoming::Content(Bytes::copy_from_slice(&frame.payload)),
                OpCode::Close => {
                    let payload = &frame.payload;
                    let code = payload
                        .first_chunk::<2>()
                        .map_or(1005, |code| u16::from_be_bytes(*code));
                    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                    let ending = Ending {
                        by: Some(Party::Worker),
                        code,
                        reason: reason.into_owned(),
                    };
                    self.book.change(|state| state.drain(self.number));
                    if self.outbox.send(Mail::Farewell(ending.clone())).is_ok() {
                        // The connection ends with the answer.
                        return std::future::pending().await;
                    }
                    return Incoming::End(ending);
                }
                _ => {}
            }
        }
    }
}
