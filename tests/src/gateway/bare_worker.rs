//! A worker without an SDK, for what no SDK does: it sends what a test says, and does nothing by itself.

use bytes::Bytes;
use connect_wire::message::{
    AppConfiguration, AuthData, GatewayExecutorRequestData, SdkResponse, SdkResponseStatus, StartRequest,
    StartResponse, WorkerConnectRequestData,
};
use connect_wire::{Frame, GATEWAY_FRAME_LIMIT, Kind, SUBPROTOCOL, WORKER_FRAME_LIMIT};
use fastwebsockets::{FragmentCollector, OpCode, Payload};
use http_body_util::Empty;
use hyper::Request;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use serde_json::json;
use tokio::net::TcpStream;

use super::server::FakeConnect;
use crate::deadline;
use crate::debugger::Spawn;
use crate::http::{Answer, Call, Door};

/// An open connection to a gateway.
pub struct BareWorker {
    socket: FragmentCollector<TokioIo<Upgraded>>,
    start: StartResponse,
}

/// The end of a connection: the gateway's code and reason; `None` where it was cut.
pub type Closed = Option<(u16, String)>;

impl BareWorker {
    /// Opens a socket, and waits for the greeting.
    pub async fn dial(server: &FakeConnect) -> Self {
        let body = StartRequest::default().encode_to_vec();
        let answer = Call::new("POST", "/v0/connect/start")
            .body(body)
            .answer(&server.door())
            .await;
        assert_eq!(answer.status, 200, "{answer}");
        let start = StartResponse::decode(answer.body).expect("an answer");
        let Door::Tcp(address) = server.door() else {
            unreachable!("a TCP port");
        };
        let stream = TcpStream::connect(address).await.expect("a connection");
        let path = start.gateway_endpoint.splitn(4, '/').nth(3).unwrap_or_default();
        let request = Request::builder()
            .uri(format!("/{path}"))
            .header("host", address.to_string())
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-key", fastwebsockets::handshake::generate_key())
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", SUBPROTOCOL)
            .body(Empty::<Bytes>::new())
            .expect("a request");
        let (mut socket, answer) = fastwebsockets::handshake::client(&Spawn, request, stream)
            .await
            .expect("a WebSocket");
        assert_eq!(answer.headers()["sec-websocket-protocol"], SUBPROTOCOL);
        socket.set_auto_close(true);
        let mut worker = Self {
            socket: FragmentCollector::new(socket),
            start,
        };
        assert_eq!(worker.next().await.map(|frame| frame.kind()), Ok(Kind::GatewayHello));
        worker
    }

    /// Connects as one worker of the app `bare`, whose function is `bare-work`; `change` changes the presentation. The
    /// connection takes requests at once, unless the presentation says otherwise.
    pub async fn connect(server: &FakeConnect, change: impl FnOnce(&mut WorkerConnectRequestData)) -> Self {
        let mut worker = Self::dial(server).await;
        let mut presentation = worker.presentation();
        change(&mut presentation);
        worker.send(&Frame::WorkerConnect(presentation)).await;
        let frame = worker.next().await;
        assert!(matches!(frame, Ok(Frame::GatewayConnectionReady(_))), "{frame:?}");
        worker
    }

    /// Returns the presentation of a worker that is in order.
    #[must_use]
    pub fn presentation(&self) -> WorkerConnectRequestData {
        let functions = json!([{ "id": "bare-work", "name": "work", "triggers": [{ "event": "bare/work" }] }]);
        WorkerConnectRequestData {
            connection_id: self.start.connection_id.clone(),
            instance_id: "bare".to_owned(),
            auth_data: Some(AuthData {
                session_token: self.start.session_token.clone(),
                sync_token: self.start.sync_token.clone(),
            }),
            capabilities: "{}".into(),
            apps: vec![AppConfiguration {
                app_name: "bare".to_owned(),
                functions: functions.to_string().into(),
                ..AppConfiguration::default()
            }],
            framework: "connect".to_owned(),
            sdk_version: "v0.0.0".to_owned(),
            sdk_language: "rust".to_owned(),
            ..WorkerConnectRequestData::default()
        }
    }

    /// The connection's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.start.connection_id
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &Frame) {
        let bytes = frame.encode(2 * GATEWAY_FRAME_LIMIT).expect("a frame");
        self.send_bytes(&bytes).await;
    }

    /// Sends any bytes as a frame. A gateway that has gone does not get them.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let frame = fastwebsockets::Frame::binary(Payload::Borrowed(bytes));
        let _ = self.socket.write_frame(frame).await;
    }

    /// Closes, with a code and a reason.
    pub async fn close(&mut self, code: u16, reason: &str) {
        let frame = fastwebsockets::Frame::close(code, reason.as_bytes());
        let _ = self.socket.write_frame(frame).await;
        while self.next().await.is_ok() {}
    }

    /// Waits for the gateway's next frame.
    ///
    /// # Errors
    /// When the connection ends instead.
    pub async fn next(&mut self) -> Result<Frame, Closed> {
        let read = deadline::within("a frame", String::new, self.socket.read_frame()).await;
        let Ok(frame) = read else {
            return Err(None);
        };
        match frame.opcode {
            OpCode::Close => {
                let code = frame.payload.first_chunk::<2>().map(|code| u16::from_be_bytes(*code));
                let reason = frame.payload.get(2..).unwrap_or_default();
                Err(code.map(|code| (code, String::from_utf8_lossy(reason).into_owned())))
            }
            _ => {
                let bytes = Bytes::copy_from_slice(&frame.payload);
                Ok(Frame::decode(bytes, WORKER_FRAME_LIMIT).expect("a frame of the gateway"))
            }
        }
    }

    /// Waits for the next frame of a kind; others are left out.
    pub async fn next_of(&mut self, kind: Kind) -> Frame {
        loop {
            let frame = self.next().await;
            let frame = frame.unwrap_or_else(|closed| panic!("closed with {closed:?} in place of {kind}"));
            if frame.kind() == kind {
                return frame;
            }
        }
    }

    /// Waits for the end of the connection.
    pub async fn ends(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.next().await {
                return closed;
            }
        }
    }

    /// Waits for a request.
    pub async fn request(&mut self) -> GatewayExecutorRequestData {
        match self.next_of(Kind::GatewayExecutorRequest).await {
            Frame::GatewayExecutorRequest(request) => request,
            _ => unreachable!("the kind that was asked for"),
        }
    }

    /// Waits for a request, and says that it is this worker's.
    pub async fn takes(&mut self) -> GatewayExecutorRequestData {
        let request = self.request().await;
        self.send(&Frame::WorkerRequestAck(request.ack())).await;
        request
    }

    /// Asks for more time; returns the new lease, if it was given.
    pub async fn extend(&mut self, request: &GatewayExecutorRequestData, lease: &str) -> Option<String> {
        self.send(&Frame::WorkerRequestExtendLease(request.extension(lease)))
            .await;
        match self.next_of(Kind::WorkerRequestExtendLeaseAck).await {
            Frame::WorkerRequestExtendLeaseAck(ack) => ack.new_lease_id,
            _ => unreachable!("the kind that was asked for"),
        }
    }

    /// Replies that the function has returned, and waits until the gateway has the reply.
    pub async fn replies(&mut self, request: &GatewayExecutorRequestData) {
        self.send(&Frame::WorkerReply(done(request))).await;
        self.next_of(Kind::WorkerReplyAck).await;
    }

    /// Delivers a reply without a socket.
    pub async fn flush(server: &FakeConnect, reply: &SdkResponse) -> Answer {
        Call::new("POST", "/v0/connect/flush")
            .body(reply.encode_to_vec())
            .answer(&server.door())
            .await
    }

    /// Returns the reply that the function has returned.
    #[must_use]
    pub fn done(request: &GatewayExecutorRequestData) -> SdkResponse {
        done(request)
    }
}

fn done(request: &GatewayExecutorRequestData) -> SdkResponse {
    SdkResponse {
        body: "\"done\"".into(),
        request_version: 2,
        ..request.reply(SdkResponseStatus::Done)
    }
}
