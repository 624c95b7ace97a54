//! Bodies of requests and answers: bytes that are there, or a stream of bytes that come.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::channel::oneshot;
use futures::stream::{BoxStream, Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};

/// The bytes of a request or an answer.
pub enum Body {
    /// A body whose bytes are all there.
    Full(Bytes),
    /// A body whose bytes come in parts: the reader asks for the next part when it has taken the last one. Dropping
    /// the stream tells its maker that nobody wants more.
    Stream(BodyStream),
    /// A connection on which both sides speak as they like, after a 101.
    Upgraded(Box<dyn Duplex>),
}

/// The stream of [`Body::Stream`]. An error means that the body ends early.
pub type BodyStream = BoxStream<'static, Result<Bytes, BodyError>>;

/// The reason why a body ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body ended early: {0}")]
pub struct BodyError(pub String);

/// The reason why a body cannot be had whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWhole {
    /// The body has more bytes than its reader takes.
    #[error("the output is too large")]
    TooLarge,
    /// The body ended before its end.
    #[error("the answer broke off: {0}")]
    BrokeOff(BodyError),
    /// The body is a connection.
    #[error("the SDK's handler upgraded the connection")]
    Upgraded,
}

impl Body {
    /// Reads the body to its end, if it is no longer than so many bytes.
    ///
    /// # Errors
    /// When it is longer, or ends early, or is a connection.
    pub async fn whole(self, limit: usize) -> Result<Bytes, NotWhole> {
        let mut parts = match self {
            Self::Full(body) => return Ok(body),
            Self::Stream(parts) => parts,
            Self::Upgraded(_) => return Err(NotWhole::Upgraded),
        };
        let mut whole = Vec::new();
        while let Some(part) = parts.next().await {
            let part = part.map_err(NotWhole::BrokeOff)?;
            if whole.len() + part.len() > limit {
                return Err(NotWhole::TooLarge);
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole.into())
    }
}

/// A connection in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(bytes) => formatter.debug_tuple("Full").field(bytes).finish(),
            Self::Stream(_) => formatter.write_str("Stream"),
            Self::Upgraded(_) => formatter.write_str("Upgraded"),
        }
    }
}

/// The caller of a request, and whether it still waits.
#[derive(Debug, Default)]
pub struct Caller {
    /// The address and port of the caller.
    pub peer: Option<String>,
    /// Resolves when the caller has hung up; absent where the call goes on all the same.
    pub hung_up: Option<oneshot::Receiver<()>>,
    /// The record in which its isolate's thread notes that it runs the call.
    pub record: Option<Arc<dyn RunRecord>>,
}

/// A record of where a call runs, which may be read when the process is gone.
pub trait RunRecord: fmt::Debug + Send + Sync {
    /// Notes the thread, by the system's number for it. This never waits.
    fn runs_on(&self, thread: u64);
}

/// Resolves when an answer's call is over at its isolate: its body was taken to the end or dropped, and nothing goes
/// on for the call any more. It also resolves when the isolate ends.
#[derive(Debug)]
pub struct CallEnd(oneshot::Receiver<()>);

impl CallEnd {
    /// Makes an `CallEnd`, and the sender that makes it resolve by being dropped.
    #[must_use]
    pub fn new() -> (oneshot::Sender<()>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }
}

impl Future for CallEnd {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(drop)
    }
}

/// A stream that keeps a value until the stream was taken to its end or dropped.
pub struct GuardedStream<S, T> {
    stream: S,
    kept: Option<T>,
}

impl<S, T> GuardedStream<S, T> {
    /// Wraps a stream so that it keeps the value.
    pub const fn new(stream: S, kept: T) -> Self {
        Self {
            stream,
            kept: Some(kept),
        }
    }
}

impl<S: Stream + Unpin, T: Unpin> Stream for GuardedStream<S, T> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let next = Pin::new(&mut self.stream).poll_next(context);
        if matches!(next, Poll::Ready(None)) {
            self.kept = None;
        }
        next
    }
}
