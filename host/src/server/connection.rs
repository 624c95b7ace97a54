//! One connection: its requests one after the other, and its time limits. Every way in serves its connections by this
//! module: the port, the control socket, and the door for debuggers.
//!
//! | limit | of |
//! |---|---|
//! | [`HEAD_WITHIN`] | the head of a request, from its first byte |
//! | [`IDLE_WITHIN`] | silence between two requests |
//! | [`WRITE_WITHIN`] | an answer of which the client takes nothing |
//! | [`SILENCE`] | a request whose call has not begun, when the host ends or has handed over |
//!
//! The body of a call has limits of its own ([`super::calls`]). TCP's keep-alive finds out a peer that is gone
//! without a word.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::{CONNECTION, HeaderValue};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, timeout, timeout_at};
use tower_service::Service as _;

use super::edge;
use super::listen::Peer;
use super::room::{ConnectionPhase, PhaseSince, Place, Seat, Tier};

/// The time for the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// The longest time that a connection may be idle between two requests: as nginx has it. A shorter time would close
/// more connections in the moment in which their clients use them again.
const IDLE_WITHIN: Duration = Duration::from_secs(75);
/// The longest time that a client may take no byte of an answer: as nginx has it.
const WRITE_WITHIN: Duration = Duration::from_secs(60);
/// The longest silence of a connection after another host took over. A client that sends nothing for so long is not
/// in the middle of sending.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
/// The largest head of a request.
const LARGEST_HEAD: usize = 128 << 10;

/// Sets the options that a TCP connection needs. Answers are small and complete, so they are sent at once. A peer
/// that is gone without a word is found out after two minutes.
pub(super) fn prepare(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| SockRef::from(stream).set_tcp_keepalive(&keepalive));
    if let Err(error) = prepared {
        tracing::debug!(%error, "an option of a connection was refused");
    }
}

/// Serves a connection to its end. `leave` resolves when the connection is to end after its present work; `closes`
/// tells whether an answer is the connection's last.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    seat: Seat,
    router: Router,
    closes: impl Fn() -> bool + Clone,
    leave: impl Future<Output = ()>,
) {
    let place = seat.place();
    let mut standings = place.standings();
    let service = hyper::service::service_fn(|mut request: hyper::Request<hyper::body::Incoming>| {
        let (mut router, closes, place) = (router.clone(), closes.clone(), place.clone());
        let answering = AnswerGuard::begin(place.clone());
        async move {
            // Seats in reserve are not for clients that keep their connections.
            let is_last = place.tier != Tier::Ordinary;
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(place);
            let response = match edge::settle(&mut request) {
                Ok(()) => router.call(request.map(Body::new)).await?,
                Err(response) => *response,
            };
            let mut response = response.map(|body| {
                Body::new(TrackedAnswer {
                    body,
                    _answering: answering,
                })
            });
            // The next request is to come to the host that accepts then.
            if is_last || closes() {
                let headers = response.headers_mut();
                // (An upgrade has another value in this header.)
                headers.entry(CONNECTION).or_insert(HeaderValue::from_static("close"));
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let wire = Wire {
        stream,
        seat,
        stalled: None,
    };
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_WITHIN)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(wire), service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let mut overdue = std::pin::pin!(head_overdue(place.standings()));
    tokio::select! {
        served = serving.as_mut() => return log(served),
        () = place.leave.cancelled() => return tracing::trace!("a connection gave up its seat"),
        () = overdue.as_mut() => return tracing::debug!(%peer, "the head of a request took too long"),
        () = leave => serving.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        served = serving.as_mut() => log(served),
        () = place.leave.cancelled() => {}
        () = overdue => {}
        // Half of a request, from a client that has gone to sleep: no call has begun.
        () = without_call(&mut standings) => {}
    }
}

/// Resolves when a head has taken too long.
async fn head_overdue(mut standings: watch::Receiver<PhaseSince>) {
    loop {
        let reached = standings.wait_for(|(phase, _)| *phase == ConnectionPhase::Head).await;
        let Ok(since) = reached.map(|standing| standing.1) else {
            // Without the connection there is no head either.
            return std::future::pending().await;
        };
        let whole = standings.wait_for(|(phase, _)| *phase != ConnectionPhase::Head);
        if timeout_at(since + HEAD_WITHIN, whole).await.is_err() {
            return;
        }
    }
}

/// Resolves once a connection has had no call for [`SILENCE`].
async fn without_call(standings: &mut watch::Receiver<PhaseSince>) {
    loop {
        // Without the sender there is no connection either.
        let _ = standings
            .wait_for(|(phase, _)| *phase != ConnectionPhase::Answering)
            .await;
        let called = standings.wait_for(|(phase, _)| *phase == ConnectionPhase::Answering);
        if timeout(SILENCE, called).await.is_err() {
            return;
        }
    }
}

fn log(served: hyper::Result<()>) {
    if let Err(error) = served {
        tracing::trace!(%error, "a connection ended early");
    }
}

/// A request of a connection, from its head to the last byte of its answer.
struct AnswerGuard(Place);

impl AnswerGuard {
    fn begin(place: Place) -> Self {
        place.enter(ConnectionPhase::Answering);
        Self(place)
    }
}

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        self.0.enter(ConnectionPhase::Idle);
    }
}

/// The body of an answer.
struct TrackedAnswer {
    body: Body,
    /// Lasts until the last byte of the answer is sent.
    _answering: AnswerGuard,
}

impl hyper::body::Body for TrackedAnswer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The bytes of a connection, which holds its seat, also after an upgrade.
struct Wire<S> {
    stream: S,
    seat: Seat,
    /// The time limit that runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Wire<S> {
    /// Gives up a client that has taken nothing for too long.
    fn patient<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + WRITE_WITHIN)));
        stalled.as_mut().poll(context).map(|()| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client does not read the answer",
            ))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.seat.hear();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patient(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.patient(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::{get, post};
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::serve;
    use crate::server::listen::Peer;
    use crate::server::request_body;
    use crate::server::room::Room;

    /// A connection whose answers are small, and the client's end of it.
    fn connection(leave: impl Future<Output = ()> + Send + 'static, buffer: usize) -> (DuplexStream, JoinHandle<()>) {
        let (client, stream) = duplex(buffer);
        let router = Router::new()
            .route("/", get(|| async { "answered" }))
            .route("/large", get(|| async { "x".repeat(100_000) }))
            .route("/body", post(|body: String| async move { body }))
            .layer(from_fn(request_body::read_first));
        let serving = serve(stream, Peer::Control, Room::of(1).seat(), router, || false, leave);
        (client, tokio::spawn(serving))
    }

    /// The age of the connection, in whole seconds.
    async fn lasts(serving: JoinHandle<()>) -> u64 {
        let began = Instant::now();
        serving.await.unwrap();
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_a_head_has_ten_seconds_however_it_comes() {
        let (mut client, serving) = connection(std::future::pending(), 1024);
        client.write_all(b"GET / HT").await.unwrap();
        assert_eq!(lasts(serving).await, 10);
        let (mut client, serving) = connection(std::future::pending(), 1024);
        let drip = tokio::spawn(async move {
            while client.write_all(b"G").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        assert!((10..12).contains(&lasts(serving).await));
        drip.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_request_has_as_much_time_and_silence_between_two_has_more() {
        let (mut client, serving) = connection(std::future::pending(), 1024);
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        assert!(client.read(&mut answer).await.unwrap() > 0);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!serving.is_finished(), "it is idle");
        client.write_all(b"GET / HT").await.unwrap();
        assert_eq!(lasts(serving).await, 10);
        let (client, serving) = connection(std::future::pending(), 1024);
        assert_eq!(lasts(serving).await, 75, "nothing ever came");
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_no_answer_is_given_up() {
        let (mut client, serving) = connection(std::future::pending(), 1024);
        client
            .write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(lasts(serving).await, 60);
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_a_body_is_given_up_and_holds_no_end() {
        let half = b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf";
        let (mut client, _serving) = connection(std::future::pending(), 1024);
        client.write_all(half).await.unwrap();
        let began = Instant::now();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!((&answer, began.elapsed().as_secs()), (b"HTTP/1.1 408", 30));
        let leave = tokio::time::sleep(Duration::from_secs(1));
        let (mut client, serving) = connection(leave, 1024);
        client.write_all(half).await.unwrap();
        assert_eq!(lasts(serving).await, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_half_of_a_head_has_five_seconds() {
        let leave = tokio::time::sleep(Duration::from_secs(1));
        let (mut client, serving) = connection(leave, 1024);
        client.write_all(b"GET / HT").await.unwrap();
        assert_eq!(lasts(serving).await, 6);
    }

    /// Parts of requests, and of texts that are nearly requests.
    const PARTS: &[&[u8]] = &[
        b"GET ",
        b"POST /api/inngest?fnId=a-b&stepId=step HTTP/1.1\r\n",
        b"PUT /any/path?a=b HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n",
        b"GET http://user@evil.com:80/-/status?x HTTP/1.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"/",
        b"?",
        b"%",
        b"#",
        b" HTTP/1.1\r\n",
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"host: localhost:3111\r\n",
        b"host: [::1]:99999\r\n",
        b"Host:\r\n",
        b"host: x/admin?\r\n",
        b"content-length: 5\r\n",
        b"content-length: 99999999\r\n",
        b"Content-Length: -1\r\n",
        b"transfer-encoding: chunked\r\n",
        b"transfer-encoding: gzip, chunked\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"expect: 100-continue\r\n",
        b"connection: close\r\n",
        b"connection: upgrade\r\n",
        b"upgrade: websocket\r\n",
        b"x-run-id: 01R\r\n",
        b"cookie: a=1; baton-session=x; b\r\n",
        b"origin: null\r\n",
        b"authorization: Bearer x\r\n",
        b"cf-ipcity: \xc5\x81\xe9\r\n",
        b": \r\n",
        b" folded\r\n",
        b"name\0: v\r\n",
        b"x: y\r\n",
        b"hello",
    ];

    /// Sends bytes to the real reader of requests, behind which nothing is called. Returns the bytes that come back,
    /// once the connection has ended; nothing when it does not end.
    async fn answer_to(bytes: Vec<u8>, leave_after: u64) -> Option<Vec<u8>> {
        let (client, stream) = duplex(1 << 16);
        let leave = tokio::time::sleep(Duration::from_secs(leave_after));
        let (seat, router) = (Room::of(1).seat(), crate::server::calls::reader());
        let serving = tokio::spawn(serve(stream, Peer::Control, seat, router, || false, leave));
        let (mut reads, mut writes) = tokio::io::split(client);
        let writing = tokio::spawn(async move {
            let _ = writes.write_all(&bytes).await;
            // The client hangs up only when it hears the end.
            std::future::pending::<()>().await;
        });
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_mins(30), reads.read_to_end(&mut answer)).await;
        writing.abort();
        read.ok()?.ok()?;
        serving.await.ok()?;
        Some(answer)
    }

    #[test]
    fn fuzz_of_requests() {
        let inputs = (crate::fuzz::bytes_of(PARTS, 24), 0_u64..200);
        crate::fuzz::fuzz("requests", &inputs, |(bytes, leave_after)| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .unwrap();
            let answer = runtime.block_on(answer_to(bytes, leave_after));
            prop_assert!(answer.is_some(), "the connection never ends, or its task panicked");
            let answer = answer.unwrap_or_default();
            let text = String::from_utf8_lossy(&answer);
            prop_assert!(answer.is_empty() || text.starts_with("HTTP/1."), "{text}");
            prop_assert!(!text.contains("HTTP/1.1 500"), "{text}");
            Ok(())
        });
    }
}
