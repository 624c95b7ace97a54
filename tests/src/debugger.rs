//! A debugger, as Chrome's DevTools and VS Code are: it speaks Chrome's DevTools protocol over a WebSocket.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Frame, OpCode};
use http_body_util::Empty;
use hyper::Request;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::deadline;

/// A session of a debugger.
pub struct Debugger {
    socket: FragmentCollector<TokioIo<Upgraded>>,
    next: u64,
    /// The events that nobody asked for yet.
    events: Vec<Value>,
}

/// The runtime, for a client of WebSockets.
pub(crate) struct Spawn;

impl<F: Future + Send + 'static> hyper::rt::Executor<F> for Spawn
where
    F::Output: Send,
{
    fn execute(&self, future: F) {
        drop(tokio::spawn(future));
    }
}

impl Debugger {
    /// Attaches to a target such as `current`.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn attach(port: u16, target: &str, origin: Option<&str>) -> Result<Self, String> {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let mut request = Request::builder()
            .uri(format!("/{target}"))
            .header("host", address.to_string())
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-key", fastwebsockets::handshake::generate_key())
            .header("sec-websocket-version", "13");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let shaken = fastwebsockets::handshake::client(&Spawn, request, stream).await;
        let (socket, _) = shaken.map_err(|error| error.to_string())?;
        Ok(Self {
            socket: FragmentCollector::new(socket),
            next: 1,
            events: Vec::new(),
        })
    }

    /// Sends a request, and waits for its answer.
    pub async fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.next;
        self.next += 1;
        let text = json!({"id": id, "method": method, "params": params}).to_string();
        let frame = Frame::text(text.into_bytes().into());
        self.socket.write_frame(frame).await.expect("an isolate that listens");
        loop {
            let message = self
                .receive(method)
                .await
                .unwrap_or_else(|code| panic!("{method}: closed with {code}"));
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message:#}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    /// Waits for the next event of this name for whose parameters `wanted` holds.
    pub async fn event(&mut self, method: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let fits = |message: &Value| message["method"] == method && wanted(&message["params"]);
        loop {
            if let Some(at) = self.events.iter().position(&fits) {
                return self.events.remove(at)["params"].take();
            }
            let message = self
                .receive(method)
                .await
                .unwrap_or_else(|code| panic!("{method}: closed with {code}"));
            self.events.push(message);
        }
    }

    /// Waits until the other side closes, and returns the reason.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.receive("the end").await {
                return code;
            }
        }
    }

    /// Sets a breakpoint in the source that ends with `file`, at a 1-based line of the source as it was
    /// written.
    pub async fn break_at(&mut self, file: &str, line: u32) {
        let script = self
            .event("Debugger.scriptParsed", |script| {
                script["url"].as_str().is_some_and(|url| url.ends_with(file))
            })
            .await;
        let map = script["sourceMapURL"].as_str().unwrap_or_default();
        let map = map
            .strip_prefix("data:application/json;base64,")
            .expect("a source map in the code");
        let map = BASE64_STANDARD.decode(map).expect("base64");
        let map = sourcemap::SourceMap::from_slice(&map).expect("a source map");
        assert!(
            map.get_source(0).is_some_and(|source| source.ends_with(file)),
            "{:?}",
            map.get_source(0)
        );
        let written = map.get_source_contents(0).expect("what was written");
        assert!(written.lines().count() >= line as usize, "{written}");
        let token = map
            .tokens()
            .find(|token| token.get_src_line() + 1 == line)
            .expect("code at the line");
        assert_ne!(
            token.get_dst_line(),
            token.get_src_line(),
            "lines moved, so that the map matters"
        );
        let at = json!({"url": script["url"], "lineNumber": token.get_dst_line()});
        let set = self.ask("Debugger.setBreakpointByUrl", at).await;
        assert_eq!(set["locations"].as_array().map(Vec::len), Some(1), "{set:#}");
    }

    /// Returns the value of an expression at the place where the code is paused.
    pub async fn value(&mut self, paused: &Value, expression: &str) -> Value {
        let frame = &paused["callFrames"][0]["callFrameId"];
        let question = json!({"callFrameId": frame, "expression": expression});
        self.ask("Debugger.evaluateOnCallFrame", question).await["result"]["value"].clone()
    }

    async fn receive(&mut self, what: &str) -> Result<Value, u16> {
        let frame = deadline::within(what, String::new, self.socket.read_frame()).await;
        let frame = frame.map_err(|_| 1006_u16)?;
        match frame.opcode {
            OpCode::Close => Err(frame
                .payload
                .get(..2)
                .map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]))),
            _ => Ok(serde_json::from_slice(&frame.payload).expect("JSON")),
        }
    }
}
