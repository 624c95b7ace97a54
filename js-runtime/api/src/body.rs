//! Bodies of requests and answers: what is there, or what comes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::channel::oneshot;
use futures::stream::{BoxStream, Stream};
use tokio::io::{AsyncRead, AsyncWrite};

/// The bytes of a request or an answer.
pub enum Body {
    /// All of them.
    Full(Bytes),
    /// As they come: the next are asked for when the last were taken. Dropping it tells whoever makes
    /// them that nobody wants more.
    Stream(BodyStream),
    /// After a 101 both sides speak as they like.
    Upgraded(Box<dyn Duplex>),
}

/// See [`Body::Stream`]. An error means that it ends early.
pub type BodyStream = BoxStream<'static, Result<Bytes, BodyError>>;

/// The reason why a body ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body ended early: {0}")]
pub struct BodyError(pub String);

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
    /// Its address and port.
    pub peer: Option<String>,
    /// Resolves when it has hung up; absent where the call goes on all the same.
    pub hung_up: Option<oneshot::Receiver<()>>,
    /// The record in which its isolate's thread notes that it runs the call.
    pub record: Option<Arc<dyn RunRecord>>,
}

/// A record of where a call runs, which may be read when the process is gone.
pub trait RunRecord: fmt::Debug + Send + Sync {
    /// Notes the thread, by the system's number for it. It never waits.
    fn runs_on(&self, thread: u64);
}

/// Resolves when an answer's call is over at its isolate: its body was taken to the end or dropped,
/// and nothing goes on for it any more. So it does when the isolate ends.
#[derive(Debug)]
pub struct Over(oneshot::Receiver<()>);

impl Over {
    /// Makes one, and what makes it resolve by being dropped.
    #[must_use]
    pub fn new() -> (oneshot::Sender<()>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }
}

impl Future for Over {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(drop)
    }
}

/// A stream that keeps something until it was taken to its end or dropped.
pub struct Keeping<S, T> {
    stream: S,
    kept: Option<T>,
}

impl<S, T> Keeping<S, T> {
    /// Makes such a stream of another one.
    pub const fn new(stream: S, kept: T) -> Self {
        Self {
            stream,
            kept: Some(kept),
        }
    }
}

impl<S: Stream + Unpin, T: Unpin> Stream for Keeping<S, T> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let next = Pin::new(&mut self.stream).poll_next(context);
        if matches!(next, Poll::Ready(None)) {
            self.kept = None;
        }
        next
    }
}
