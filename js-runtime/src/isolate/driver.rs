//! The loop that answers calls: takes them in, turns the event loop, gives answers out.
//!
//! The loop ends when the isolate is told to close, the last call is answered, and user code has finished its work at
//! `baton:draining` and at SIGTERM. It ends at once when the isolate is stopped, which answers its calls.

mod open_answers;
mod rest;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use deno_core::error::JsError;
use deno_core::{JsRuntime, PollEventLoopOptions, serde_v8, v8};
use deno_runtime::worker::MainWorker;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use js_runtime_api::{Body, Call, CallError, CallQueue, MemoryLimits, Request, Response, Target};

use super::app_connection::{AppConnections, BodyDropSignal, forward};
use super::memory::{self, is_nearly_full};
use super::project_load::ServingMode;
use crate::control::{Control, DrainProgress, MemoryUse, StopReason};
use crate::prelude::{CallAnswer, CallArgument, Prelude};
use crate::system::posix;
use open_answers::OpenAnswer;
use rest::Rest;

type CallValue = Result<v8::Global<v8::Value>, Box<JsError>>;

/// A call until its answer begins.
type PendingAnswer = LocalBoxFuture<'static, (u64, AnswerStart)>;

/// The beginning of a call's answer.
enum AnswerStart {
    /// The handler returned.
    Called(CallValue),
    /// The app answered over its socket.
    Forwarded(Result<(Response, BodyDropSignal), CallError>),
}

/// The time that calls may wait with nothing left to run before they are given up: a timer that user code has
/// unreferenced does not count as left to run, and may still fire.
const IDLE_GRACE: Duration = Duration::from_secs(10);
/// The least time between two collections that only serve to learn whether memory is nearly used up.
const COLLECT_EVERY: Duration = Duration::from_secs(5);
/// The time after which a call of a draining isolate may well last.
const LASTS: Duration = Duration::from_secs(1);

/// The notice that user code got of the end of its generation.
#[derive(Debug, Clone, Copy, PartialEq)]
enum DrainNotice {
    No,
    Since(Instant),
    /// Garbage was collected since the notice.
    Collected,
}

struct Driver<'a> {
    runtime: &'a mut JsRuntime,
    prelude: &'a Prelude,
    serving: &'a ServingMode,
    queue: &'a CallQueue,
    control: &'a Arc<Control>,
    draining: DrainNotice,
    /// The work that user code's listeners wait for, once the generation drains.
    finishing: Option<LocalBoxFuture<'static, ()>>,
    /// The work of user code's handlers of SIGTERM, once no call is left.
    leaving: Option<LocalBoxFuture<'static, ()>>,
    memory: MemoryLimits,
    /// The time at which garbage was last collected to learn whether memory is nearly used up.
    collected: Option<Instant>,
    rest: Rest,
    running: FuturesUnordered<PendingAnswer>,
    lasting: FuturesUnordered<OpenAnswer>,
    /// The connections to the app.
    connections: AppConnections,
    /// A timer that runs while calls wait and nothing is left to run.
    idle: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// Answers calls until the isolate is closed or stopped.
pub(crate) async fn drive(
    worker: &mut MainWorker,
    prelude: &Prelude,
    serving: &ServingMode,
    queue: &CallQueue,
    control: &Arc<Control>,
    memory: MemoryLimits,
) {
    let rest = Rest::of(MemoryUse::by(worker.js_runtime.v8_isolate()), Instant::now());
    let mut driver = Driver {
        runtime: &mut worker.js_runtime,
        prelude,
        serving,
        queue,
        control,
        draining: DrainNotice::No,
        finishing: None,
        leaving: None,
        memory,
        collected: None,
        rest,
        running: FuturesUnordered::new(),
        lasting: FuturesUnordered::new(),
        connections: AppConnections::default(),
        idle: None,
    };
    std::future::poll_fn(|context| {
        loop {
            if control.poll_stopped(context).is_some() {
                return Poll::Ready(());
            }
            match driver.turn(context) {
                Turn::Progressed => {}
                Turn::Waiting => return Poll::Pending,
                Turn::Finished => return Poll::Ready(()),
            }
        }
    })
    .await;
}

enum Turn {
    Progressed,
    Waiting,
    Finished,
}

impl Driver<'_> {
    fn turn(&mut self, context: &mut Context<'_>) -> Turn {
        if self.control.sign_of_life() {
            let held = self.watch_memory();
            self.collect_before_it_stays();
            self.collect_at_rest(held);
        }
        if self.control.draining() && self.draining == DrainNotice::No {
            self.draining = DrainNotice::Since(Instant::now());
            self.control.note_drain_progress(DrainProgress::Draining);
            // An error of its listeners is reported as any stray error is.
            self.finishing = Some(
                self.runtime
                    .call_with_args(&self.prelude.drain, &[])
                    .map(drop)
                    .boxed_local(),
            );
        }
        let took = self.take_call(context);
        // Microtasks run only in here.
        let event_loop = self.runtime.poll_event_loop(context, PollEventLoopOptions::default());
        if let Poll::Ready(Err(error)) = &event_loop
            && self.control.stopped().is_none()
        {
            tracing::error!(%error, "uncaught error in user code");
        }
        let answered = self.give_answers(context) | self.go_on(context);
        // Node ends a process in the same way when nothing can settle its promises any more.
        let nothing_is_left = event_loop.is_ready() && self.running.is_empty() && self.lasting.is_empty();
        if let Some(finishing) = &mut self.finishing
            && (finishing.as_mut().poll(context).is_ready() || nothing_is_left)
        {
            self.finishing = None;
            self.control.note_drain_progress(DrainProgress::Drained);
        }
        let nothing_runs = self.running.is_empty() && self.lasting.is_empty() && self.finishing.is_none();
        if self.control.closing() && nothing_runs {
            let Some(leaving) = &mut self.leaving else {
                self.leave();
                return Turn::Progressed;
            };
            if leaving.as_mut().poll(context).is_ready() || nothing_is_left {
                return Turn::Finished;
            }
        }
        if took || answered || matches!(event_loop, Poll::Ready(Err(_))) {
            return Turn::Progressed;
        }
        if event_loop.is_pending() || self.running.is_empty() {
            self.idle = None;
            return Turn::Waiting;
        }
        let idle = self
            .idle
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(IDLE_GRACE)));
        if idle.as_mut().poll(context).is_ready() {
            self.give_up();
            return Turn::Progressed;
        }
        Turn::Waiting
    }

    /// Has user code hear SIGTERM, as a process does that is to end. The handlers may exit: no call is left.
    fn leave(&mut self) {
        self.control.note_drain_progress(DrainProgress::Signalled);
        let left = self.runtime.call_with_args(&self.prelude.leave, &[]);
        self.leaving = Some(left.map(drop).boxed_local());
    }

    /// Collects the garbage of the load, since a call that is not over yet may last for hours, and its isolate takes
    /// little more. This does not happen at once: a call that ends soon would wait for it.
    fn collect_before_it_stays(&mut self) {
        if let DrainNotice::Since(since) = self.draining
            && since.elapsed() >= LASTS
            && !self.control.closing()
        {
            self.draining = DrainNotice::Collected;
            memory::collect(self.runtime.v8_isolate());
        }
    }

    /// Collects the garbage that calls left, once there are no calls.
    fn collect_at_rest(&mut self, held: MemoryUse) {
        let is_busy = !self.running.is_empty() || !self.lasting.is_empty();
        let isolate = self.runtime.v8_isolate();
        if self.rest.wants_collection(is_busy, held, Instant::now()) {
            memory::collect(isolate);
            let held = MemoryUse::by(isolate);
            let memory = memory::of_heap(isolate);
            tracing::debug!(heap = held.heap, memory, "an idle isolate has collected its garbage");
            self.rest = Rest::of(held, Instant::now());
        }
    }

    fn watch_memory(&mut self) -> MemoryUse {
        let isolate = self.runtime.v8_isolate();
        let own = MemoryUse::by(isolate);
        let held = own.with_workers(&self.control.memory);
        self.control.note_memory(held);
        let looked = self.collected.is_some_and(|last| last.elapsed() < COLLECT_EVERY);
        let is_news = !self.control.condemned() || held.is_beyond(self.memory);
        if held.is_near(self.memory) && is_news && !looked {
            self.collected = Some(Instant::now());
            if is_nearly_full(isolate, self.memory, self.control) {
                self.control.condemn();
                if MemoryUse::by(isolate)
                    .with_workers(&self.control.memory)
                    .is_beyond(self.memory)
                {
                    self.control.stop(StopReason::OutOfMemory);
                }
            }
        }
        own
    }

    /// Takes one call a turn, so that the call's effect on this thread is seen before the next call is taken.
    fn take_call(&mut self, context: &Context<'_>) -> bool {
        if self.control.closing() {
            return false;
        }
        match self.queue.poll_take(context) {
            Poll::Ready(call) => {
                self.begin(call);
                true
            }
            Poll::Pending => false,
        }
    }

    fn begin(
        &mut self,
        Call {
            id,
            mut request,
            answer,
        }: Call,
    ) {
        self.rest.restart(Instant::now());
        if let Some(record) = request.caller.record.take() {
            record.runs_on(posix::thread_number());
        }
        let is_for_the_app = request.target == Target::Fetch;
        match (self.serving, &request.body) {
            (ServingMode::Functions, _) | (ServingMode::Handler(_), Body::Full(_)) => {}
            (ServingMode::App(socket) | ServingMode::Handler(socket), _) if is_for_the_app => {
                self.control.call_begun(id, answer);
                let forwarded = forward(
                    socket.clone(),
                    id,
                    request,
                    self.control.clone(),
                    self.connections.clone(),
                );
                return self
                    .running
                    .push(async move { (id, AnswerStart::Forwarded(forwarded.await)) }.boxed_local());
            }
            _ => {}
        }
        match self.argument(id, request) {
            Ok(argument) => {
                self.control.call_begun(id, answer);
                let result = self.runtime.call_with_args(&self.prelude.call, &[argument]);
                self.running
                    .push(async move { (id, AnswerStart::Called(result.await)) }.boxed_local());
            }
            Err(error) => answer.give(Err(error)),
        }
    }

    fn argument(&mut self, id: u64, mut request: Request) -> Result<v8::Global<v8::Value>, CallError> {
        let body = match std::mem::replace(&mut request.body, Body::Full(Bytes::new())) {
            Body::Full(bytes) => bytes,
            Body::Stream(_) | Body::Upgraded(_) => {
                return Err(script_error("an Inngest app cannot take a streamed body"));
            }
        };
        let runtime = &mut *self.runtime;
        deno_core::scope!(scope, runtime);
        let value = serde_v8::to_v8(scope, CallArgument::new(id, request, &body)).map_err(script_error)?;
        Ok(v8::Global::new(scope, value))
    }

    fn give_answers(&mut self, context: &mut Context<'_>) -> bool {
        let mut answered = false;
        while let Poll::Ready(Some((call, begins))) = self.running.poll_next_unpin(context) {
            answered = true;
            match begins {
                AnswerStart::Called(Ok(value)) => match self.read::<CallAnswer>(&value) {
                    Ok(answer) if answer.streams => self.stream(call, answer),
                    Ok(answer) => self.finish(call, answer.into()),
                    Err(error) => self.fail(call, error),
                },
                AnswerStart::Called(Err(error)) => {
                    let stack = error.stack.clone().unwrap_or(error.exception_message);
                    self.fail(call, CallError::Threw(stack));
                }
                AnswerStart::Forwarded(Ok((response, taken))) => self.outlast(call, response, taken.or_dropped()),
                AnswerStart::Forwarded(Err(error)) => self.fail(call, error),
            }
        }
        answered
    }

    /// Gives a complete answer; work for the call may go on beside it.
    fn finish(&mut self, call: u64, response: Response) {
        if self.control.is_held(call) {
            self.outlast(call, response, std::future::ready(()));
        } else if let Some(answer) = self.control.call_ended(call) {
            answer.give(Ok(response));
        }
    }

    fn fail(&self, call: u64, error: CallError) {
        if let Some(answer) = self.control.call_ended(call) {
            answer.give(Err(error));
        }
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self, value: &v8::Global<v8::Value>) -> Result<T, CallError> {
        let runtime = &mut *self.runtime;
        deno_core::scope!(scope, runtime);
        let value = v8::Local::new(scope, value);
        serde_v8::from_v8(scope, value).map_err(script_error)
    }

    /// Gives up the calls that wait: nothing is left that could settle them.
    fn give_up(&mut self) {
        self.idle = None;
        self.running.clear();
        for answer in self.control.unanswered_calls_ended() {
            answer.give(Err(CallError::NeverSettles));
        }
    }
}

/// Makes an error of our own code on the way into or out of JavaScript.
fn script_error(message: impl std::fmt::Display) -> CallError {
    CallError::Threw(message.to_string())
}
