//! The way of a request to an app that listens: HTTP over the isolate's own socket, with bodies that
//! stream both ways, and upgrades. One connection for each request; a caller who hangs up closes it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use deno_core::url::form_urlencoded;
use futures::channel::oneshot;
use futures::future::{Either, select};
use futures::{StreamExt as _, TryStreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Collected, Full, Limited, StreamBody};
use hyper::StatusCode;
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use js_runtime_api::{
    Body, BodyError, CallError, CallSubject, GuardedStream, Request, Response, header_bytes, header_text,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::control::Control;

/// The limit for the stack of an error that a handler threw, in bytes.
const LONGEST_STACK: usize = 1 << 20;
/// The limit for the number of headers of an app's answer.
const MOST_HEADERS: usize = 512;

/// The headers between this module and `own_modules/serving.ts`, which neither callers nor apps see.
const PEER: HeaderName = HeaderName::from_static("baton-peer");
const CALL: HeaderName = HeaderName::from_static("baton-call");
const THREW: HeaderName = HeaderName::from_static("baton-threw");

/// The headers of one connection, which are not passed on.
const OF_CONNECTION: [&str; 6] = [
    "connection",
    "keep-alive",
    "transfer-encoding",
    "proxy-connection",
    "te",
    "expect",
];

/// A receiver that ends when nobody takes the answer's body any more.
pub(super) struct BodyDropSignal(oneshot::Receiver<Infallible>);

impl BodyDropSignal {
    /// Resolves when the body was taken to its end or dropped.
    pub(super) async fn or_dropped(self) {
        let _ = self.0.await;
    }
}

/// The connections of an isolate to its app. Each ends with its request, and all of them with the last of these
/// values.
#[derive(Debug, Clone, Default)]
pub(super) struct AppConnections(Rc<RefCell<JoinSet<()>>>);

impl AppConnections {
    fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let mut all = self.0.borrow_mut();
        while all.try_join_next().is_some() {}
        all.spawn(connection);
    }
}

/// Asks the app; resolves when its answer begins. For a caller who has hung up, resolves when the app is done.
///
/// # Errors
/// When it threw, when nothing listens, or when the caller hung up.
pub(super) async fn forward(
    socket: PathBuf,
    id: u64,
    mut request: Request,
    control: Arc<Control>,
    connections: AppConnections,
) -> Result<(Response, BodyDropSignal), CallError> {
    let hung_up = request.caller.hung_up.take();
    let hung_up = async {
        match hung_up {
            Some(hung_up) => drop(hung_up.await),
            None => std::future::pending().await,
        }
    };
    let asked = Box::pin(ask(&socket, id, request, &connections));
    match select(asked, std::pin::pin!(hung_up)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), asked)) => {
            // Closes the connection, which the app sees; the app's remaining work is waited for.
            drop(asked);
            control.hang_up(id);
            std::future::poll_fn(|context| control.poll_released(id, context)).await;
            Err(CallError::HungUp)
        }
    }
}

async fn ask(
    socket: &Path,
    id: u64,
    request: Request,
    connections: &AppConnections,
) -> Result<(Response, BodyDropSignal), CallError> {
    let stream = UnixStream::connect(socket).await.map_err(no_answer)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(MOST_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(no_answer)?;
    // The task ends with the request: when its answer is there, or when the waiting future is dropped.
    connections.spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to an app ended");
        }
    });
    let mut answer = sender.send_request(http(id, request)?).await.map_err(unreadable)?;
    if answer.headers().contains_key(THREW) {
        let text = Limited::new(answer.into_body(), LONGEST_STACK).collect().await;
        let text = text.map_or(
            Bytes::from_static(b"an error whose stack is too long"),
            Collected::to_bytes,
        );
        return Err(CallError::Threw(String::from_utf8_lossy(&text).into_owned()));
    }
    let (taking, taken) = oneshot::channel();
    let upgrades = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    let upgraded = if upgrades {
        Some(hyper::upgrade::on(&mut answer).await.map_err(no_answer)?)
    } else {
        None
    };
    let (head, body) = answer.into_parts();
    let body = match upgraded {
        Some(upgraded) => Body::Upgraded(Box::new(WatchedConnection {
            connection: TokioIo::new(upgraded),
            _taking: taking,
        })),
        None => {
            let parts = body.into_data_stream();
            let parts = parts.map_err(|error| BodyError(error.to_string()));
            Body::Stream(GuardedStream::new(parts, taking).boxed())
        }
    };
    let headers = head.headers.iter();
    let headers = headers.filter(|(name, _)| upgrades || !OF_CONNECTION.contains(&name.as_str()));
    let response = Response {
        status: head.status.as_u16(),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), header_text(value.as_bytes())))
            .collect(),
        body,
        over: None,
    };
    Ok((response, BodyDropSignal(taken)))
}

type RequestBody = UnsyncBoxBody<Bytes, BodyError>;

fn http(id: u64, request: Request) -> Result<hyper::Request<RequestBody>, CallError> {
    let Request {
        method,
        url,
        headers,
        body,
        subject,
        caller,
        target: _,
    } = request;
    let upgrades = headers.iter().any(|(name, _)| name == "upgrade");
    let has_body = headers
        .iter()
        .any(|(name, _)| name == "content-length" || name == "transfer-encoding");
    let body = match body {
        // Sent as chunks, nothing would be something.
        Body::Stream(_) | Body::Upgraded(_) if !has_body => Full::default().map_err(never).boxed_unsync(),
        Body::Full(bytes) => Full::new(bytes).map_err(never).boxed_unsync(),
        Body::Stream(parts) => StreamBody::new(parts.map_ok(Frame::data)).boxed_unsync(),
        Body::Upgraded(_) => Full::default().map_err(never).boxed_unsync(),
    };
    let path = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let path = path.find(['/', '?']).map_or("/", |at| &path[at..]);
    let mut http = hyper::Request::new(body);
    *http.method_mut() = method.parse().map_err(no_answer)?;
    *http.uri_mut() = path.parse().map_err(no_answer)?;
    let own = [PEER, CALL, THREW];
    for (name, value) in headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(header_bytes(&value))) else {
            continue;
        };
        let keeps = upgrades && name == CONNECTION || !OF_CONNECTION.contains(&name.as_str());
        if keeps && !own.contains(&name) {
            http.headers_mut().append(name, value);
        }
    }
    if let Ok(call) = HeaderValue::try_from(told(id, &subject)) {
        http.headers_mut().insert(CALL, call);
    }
    if let Some(peer) = caller.peer.and_then(|peer| HeaderValue::try_from(peer).ok()) {
        http.headers_mut().insert(PEER, peer);
    }
    Ok(http)
}

/// Returns the call as `own_modules/serving.ts` reads it: the fields of a form.
fn told(id: u64, subject: &CallSubject) -> String {
    let mut form = form_urlencoded::Serializer::new(format!("id={id}"));
    let CallSubject { function, run, step } = subject;
    for (name, value) in [("function", function), ("run", run), ("step", step)] {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    form.finish()
}

fn never(never: Infallible) -> BodyError {
    match never {}
}

fn unreadable(error: hyper::Error) -> CallError {
    if error.is_parse_too_large() {
        return CallError::NoAnswer(format!(
            "the answer has more than {MOST_HEADERS} headers, or headers that are too large"
        ));
    }
    no_answer(error)
}

fn no_answer(error: impl std::fmt::Display) -> CallError {
    CallError::NoAnswer(error.to_string())
}

/// A connection that tells when it is dropped.
struct WatchedConnection<T> {
    connection: T,
    _taking: oneshot::Sender<Infallible>,
}

impl<T: AsyncRead + Unpin> AsyncRead for WatchedConnection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WatchedConnection<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use js_runtime_api::{Body, CallError, CallSubject, Caller, Request, Target};
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::{AppConnections, ask};

    /// Asks an app that answers these bytes, and reads its answer to the end; returns the number of bytes.
    async fn asked(bytes: Vec<u8>) -> Result<usize, CallError> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("app");
        let listener = UnixListener::bind(&socket).unwrap();
        let app = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&bytes).await;
        });
        let request = Request {
            method: "GET".to_owned(),
            url: "http://localhost/".to_owned(),
            headers: vec![("upgrade".to_owned(), "websocket".to_owned())],
            body: Body::Full(bytes::Bytes::new()),
            subject: CallSubject::default(),
            target: Target::Fetch,
            caller: Caller::default(),
        };
        let answer = ask(&socket, 1, request, &AppConnections::default()).await;
        app.await.unwrap();
        let (response, _taken) = answer?;
        match response.body {
            Body::Full(body) => Ok(body.len()),
            Body::Stream(parts) => {
                let sizes = parts.map(|part| part.map_or(0, |part| part.len()));
                Ok(sizes.fold(0, |all, size| async move { all + size }).await)
            }
            Body::Upgraded(_) => Ok(0),
        }
    }

    #[test]
    fn fuzz_of_an_apps_answers() {
        const PARTS: &[&[u8]] = &[
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
            b"HTTP/1.0 99999\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 204 \r\n",
            b"\r\n",
            b"\r\n\r\n",
            b"content-length: 5\r\n",
            b"content-length: 18446744073709551616\r\n",
            b"transfer-encoding: chunked\r\n",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"fffffffffffffffff\r\n",
            b"baton-threw: 1\r\n",
            b"x: \xc5\x81\r\n",
            b"\0",
            b"hello",
            b": ",
        ];
        crate::fuzz::fuzz("answers of an app", &crate::fuzz::bytes_of(PARTS, 16), |bytes| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let length = bytes.len();
            let within = std::time::Duration::from_secs(20);
            let answer = runtime.block_on(async { tokio::time::timeout(within, asked(bytes)).await });
            prop_assert!(answer.is_ok(), "the answer never ends");
            let read = answer.ok().and_then(Result::ok).unwrap_or_default();
            prop_assert!(read <= length, "{read} of {length} bytes");
            Ok(())
        });
    }
}
