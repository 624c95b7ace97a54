//! The work that goes on after an answer has begun: bodies that are taken as they come, and promises that user code
//! has waited for beside the answer.

use std::future::Future;
use std::task::{Context, Poll};

use bytes::Bytes;
use deno_core::{JsBuffer, serde_v8, v8};
use futures::channel::{mpsc, oneshot};
use futures::future::LocalBoxFuture;
use futures::{FutureExt, SinkExt, StreamExt};
use js_runtime_api::{Body, BodyError, CallEnd, CallError, Response};

use super::{CallValue, Driver, script_error};
use crate::prelude::CallAnswer;

/// A call whose answer has begun, until it is over.
pub(super) type OpenAnswer = LocalBoxFuture<'static, OpenAnswerEvent>;

pub(super) enum OpenAnswerEvent {
    /// The next part of a body came.
    Pulled(StreamedBody, CallValue),
    /// There is room for the next part of a body.
    Sent(StreamedBody),
    /// Nothing goes on for the call.
    Over(u64),
}

/// A body that the SDK streams.
pub(super) struct StreamedBody {
    call: u64,
    parts: mpsc::Sender<Result<Bytes, BodyError>>,
    /// The sender that is dropped when the call is over.
    over: oneshot::Sender<()>,
}

impl Driver<'_> {
    /// Gives an answer whose call goes on until its body is taken and nothing holds it.
    pub(super) fn outlast(&mut self, call: u64, mut response: Response, taken: impl Future<Output = ()> + 'static) {
        let (is_over, over) = CallEnd::new();
        response.over = Some(over);
        let control = self.control.clone();
        if let Some(answer) = control.answer_begins(call) {
            answer.give(Ok(response));
        }
        let lasts = async move {
            taken.await;
            std::future::poll_fn(|context| control.poll_released(call, context)).await;
            drop(is_over);
            OpenAnswerEvent::Over(call)
        };
        self.lasting.push(lasts.boxed_local());
    }

    /// Gives an answer whose body the SDK streams.
    pub(super) fn stream(&mut self, call: u64, answer: CallAnswer) {
        let (parts, body) = mpsc::channel(0);
        let (is_over, over) = CallEnd::new();
        let response = Response {
            body: Body::Stream(body.boxed()),
            over: Some(over),
            ..answer.into()
        };
        if let Some(answer) = self.control.answer_begins(call) {
            answer.give(Ok(response));
        }
        self.pull(StreamedBody {
            call,
            parts,
            over: is_over,
        });
    }

    fn pull(&mut self, streamed: StreamedBody) {
        match self.call_number(streamed.call) {
            Ok(call) => {
                let part = self.runtime.call_with_args(&self.prelude.pull, &[call]);
                self.lasting
                    .push(async move { OpenAnswerEvent::Pulled(streamed, part.await) }.boxed_local());
            }
            Err(error) => {
                tracing::error!(%error, "a streamed body is lost");
                drop(self.control.call_ended(streamed.call));
            }
        }
    }

    pub(super) fn go_on(&mut self, context: &mut Context<'_>) -> bool {
        let mut went_on = false;
        while let Poll::Ready(Some(lasts)) = self.lasting.poll_next_unpin(context) {
            went_on = true;
            match lasts {
                OpenAnswerEvent::Over(call) => drop(self.control.call_ended(call)),
                OpenAnswerEvent::Sent(streamed) => self.pull(streamed),
                OpenAnswerEvent::Pulled(streamed, part) => self.send(streamed, part),
            }
        }
        went_on
    }

    fn send(&mut self, mut streamed: StreamedBody, part: CallValue) {
        let part = match part {
            Ok(value) => self.read::<Option<JsBuffer>>(&value).map_err(|error| error.to_string()),
            Err(error) => Err(error.exception_message),
        };
        let bytes = match part {
            Ok(Some(bytes)) => Bytes::copy_from_slice(&bytes),
            Ok(None) => return self.ended(streamed),
            Err(message) => {
                // The channel has room: the last part was taken.
                let _ = streamed.parts.try_send(Err(BodyError(message)));
                return self.ended(streamed);
            }
        };
        let sent = async move {
            // The part is also pulled where nobody takes it any more: a call of Inngest outlives its caller.
            let _ = streamed.parts.send(Ok(bytes)).await;
            OpenAnswerEvent::Sent(streamed)
        };
        self.lasting.push(sent.boxed_local());
    }

    /// Ends the body; work for the call may go on beside it.
    fn ended(&mut self, StreamedBody { call, parts, over }: StreamedBody) {
        drop(parts);
        let control = self.control.clone();
        let lasts = async move {
            std::future::poll_fn(|context| control.poll_released(call, context)).await;
            drop(over);
            OpenAnswerEvent::Over(call)
        };
        self.lasting.push(lasts.boxed_local());
    }

    fn call_number(&mut self, call: u64) -> Result<v8::Global<v8::Value>, CallError> {
        let runtime = &mut *self.runtime;
        deno_core::scope!(scope, runtime);
        let value = serde_v8::to_v8(scope, call).map_err(script_error)?;
        Ok(v8::Global::new(scope, value))
    }
}
