//! A client that opens one TCP or Unix connection for each request, sends
//! `connection: close` and never reuses a connection: so does Inngest's
//! executor (inngest/inngest: `pkg/execution/exechttp`).

use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::deadline;

/// The address that takes a request.
#[derive(Clone, Debug)]
pub enum Door {
    /// A TCP port.
    Tcp(SocketAddr),
    /// The control socket in a state folder.
    Unix(PathBuf),
}

/// A request that never got its answer. Baton has no excuse for a lost answer
/// (README, promise 2).
#[derive(Debug)]
pub struct Lost(pub String);

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The value of a header, if it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics with the body when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}) in the answer {self}"))
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            write!(f, "\n  {name}: {}", value.to_str().unwrap_or("(binary)"))?;
        }
        write!(f, "\n\n{}", self.text())
    }
}

/// A request to be sent: a builder with the parts that all requests of these
/// tests share.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// `method` is an HTTP method, `path` a path with its query.
    #[must_use]
    pub fn new(method: &str, path: impl Into<String>) -> Self {
        let method = method.parse().expect("an HTTP method");
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// Sets a header, `host` too.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers
            .insert(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// Changes the path of the request, with its query.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The body so far.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Sends the request over a new connection, and returns the answer's head;
    /// the body is still open.
    pub async fn open(self, door: &Door) -> Result<Response<Incoming>, Lost> {
        let lost = |stage: &str, error: &dyn std::fmt::Display| {
            Lost(format!("{} {}: {stage}: {error}", self.method, self.path))
        };
        match door {
            Door::Tcp(address) => {
                let stream = TcpStream::connect(address)
                    .await
                    .map_err(|error| lost("connect", &error))?;
                self.over(stream, &address.to_string()).await
            }
            Door::Unix(path) => {
                let stream = UnixStream::connect(path)
                    .await
                    .map_err(|error| lost("connect", &error))?;
                self.over(stream, "localhost").await
            }
        }
    }

    /// Sends the request over a new connection and reads the whole answer.
    ///
    /// Waits as long as the call lasts: a step may take minutes.
    pub async fn send(self, door: &Door) -> Result<Answer, Lost> {
        let name = format!("{} {}", self.method, self.path);
        let (head, body) = self.open(door).await?.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| Lost(format!("{name}: reading the body: {error}")))?
            .to_bytes();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }

    /// Sends the request as [`Call::send`] does, to a route that answers at
    /// once: a lost answer, or an answer that takes longer than the deadline,
    /// fails the test.
    pub async fn answer(self, door: &Door) -> Answer {
        let name = format!("an answer to {} {}", self.method, self.path);
        deadline::within(&name, String::new, self.send(door))
            .await
            .unwrap_or_else(|lost| panic!("{lost}"))
    }

    /// Returns head and body as they go over a connection to `host`.
    #[must_use]
    pub fn wire(&self, host: &str) -> (Vec<u8>, Bytes) {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.method,
            self.path,
            self.body.len()
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().expect("a text header")));
        }
        head.push_str("\r\n");
        (head.into_bytes(), self.body.clone())
    }

    /// Writes the whole request to a new connection and returns as soon as the
    /// request is with the kernel; [`Sent::answer`] reads the answer. It is for
    /// tests that must know that a call is on its way.
    pub async fn write(self, door: &Door) -> Sent {
        let Door::Tcp(address) = door else {
            panic!("only over TCP")
        };
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let (head, body) = self.wire(&address.to_string());
        stream.write_all(&head).await.expect("the head is written");
        // A server may answer, and close, before it has read all of the body.
        let body_lost = stream.write_all(&body).await.is_err();
        Sent { stream, body_lost }
    }

    async fn over<S>(&self, stream: S, host: &str) -> Result<Response<Incoming>, Lost>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let lost =
            |stage: &str, error: hyper::Error| Lost(format!("{} {}: {stage}: {error:?}", self.method, self.path));
        let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| lost("handshake", error))?;
        // The task ends with the connection, which ends with the answer's last
        // byte.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .body(Full::new(self.body.clone()))
            .expect("a request");
        *request.headers_mut() = self.headers.clone();
        request
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        if !request.headers().contains_key(HOST) {
            let host = HeaderValue::from_str(host).expect("a host");
            request.headers_mut().insert(HOST, host);
        }
        sender
            .send_request(request)
            .await
            .map_err(|error| lost("sending", error))
    }
}

/// A request that is written and waits for its answer.
#[derive(Debug)]
pub struct Sent {
    stream: TcpStream,
    body_lost: bool,
}

impl Sent {
    /// The answer's status and body, read until the server closes.
    pub async fn answer(mut self) -> (u16, String) {
        let mut bytes = Vec::new();
        // After an early answer the close may be a reset; only the bytes that
        // came count.
        let end = deadline::within("an answer and the end of it", String::new, async {
            self.stream.read_to_end(&mut bytes).await
        })
        .await;
        let text = String::from_utf8_lossy(&bytes);
        let status = text
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok());
        let Some(status) = status else {
            panic!("no answer ({end:?}, body lost: {}), only {text:?}", self.body_lost)
        };
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, body.to_owned())
    }
}
