//! The body of an answer, and the client's side of its connection: a task that ends with it.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use crate::tasks::OwnedTask;

/// Has a connection work until the task is dropped. A failure of the connection is told as one of the request or of
/// the answer's body.
pub(super) fn drive(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> OwnedTask<()> {
    OwnedTask::spawn("connection to a server", async move { drop(connection.await) })
}

/// The body of an answer, which keeps its connection.
#[derive(Debug)]
pub struct AnswerBody {
    body: Incoming,
    _connection: OwnedTask<()>,
}

impl AnswerBody {
    pub(super) const fn new(body: Incoming, connection: OwnedTask<()>) -> Self {
        Self {
            body,
            _connection: connection,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
