//! Executes calls, whichever way they came: over HTTP, or over a connection to Inngest.
//!
//! A call runs in a task of its own that holds the lease: a caller that has gone neither stops the running step nor
//! lets its generation retire under it. The lease is given back when the isolate is done with the call: an answer
//! that streams, and work that goes on beside an answer, hold the lease too.
//!
//! `held_bytes.rs` bounds the memory of calls that wait for a generation.

mod held_bytes;
mod other_generation;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::mpsc;
use futures::{SinkExt as _, StreamExt as _};
use js_runtime_api::{Body, BodyError, CallError, Request, Response, RunRecord};
use tokio_util::task::TaskTracker;

pub use held_bytes::HeldBytes;
use other_generation::RepeatableCall;

use crate::generation::{CallInfo, CallResult, GenerationId, Lease, LeaseRefusal, Table};
use crate::supervisor::{Ledger, LedgerEntry};
use crate::telemetry::{CallSpan, Metrics, Traces};
use crate::wire::{AnswerHead, STREAMED};

/// The most bytes of a streamed answer that are kept to learn from: Inngest takes no larger ones.
const LEARNED_FROM: usize = 32 << 20;

/// Executes calls. A clone is the same executor.
#[derive(Clone)]
pub struct Executor {
    pub table: Arc<Table>,
    pub metrics: Arc<Metrics>,
    /// The exporter of spans, while a collector is named.
    pub traces: Option<Arc<Traces>>,
    /// The calls that run, also those whose callers have gone.
    pub tasks: TaskTracker,
    /// The time that a call waits while nothing can serve it.
    pub hold: Duration,
    /// The memory of calls that wait.
    pub held: Arc<HeldBytes>,
    /// The time after which a call is slow, and is logged.
    pub slow_call: Duration,
    /// The record of the running calls, for the host after a crash.
    pub ledger: Arc<Ledger>,
}

/// The kinds of requests that a project answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// Inngest has a function executed: the answer may plan steps.
    Run,
    /// Inngest, or a person, looks at the functions, or has them registered.
    Look,
    /// Another of the app's requests.
    App,
}

/// The time that a request waits for a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseWait {
    /// The request waits as long as the configuration says.
    Call,
    /// The request is given up after this time.
    Look(Duration),
}

/// The data that go with a call from its arrival to its end.
pub struct CallCourse {
    began: Instant,
    kind: CallKind,
    span: Option<CallSpan>,
    /// The entry of the call in the host's ledger.
    noted: Option<Arc<LedgerEntry>>,
}

impl Executor {
    /// Writes a call down, and begins its span.
    #[must_use]
    pub fn begin(&self, kind: CallKind, info: &CallInfo, request: &mut Request) -> CallCourse {
        let noted = self.ledger.note(info);
        request.caller.record = noted.clone().map(|noted| noted as Arc<dyn RunRecord>);
        let traces = self.traces.as_ref();
        CallCourse {
            began: Instant::now(),
            kind,
            span: traces.map(|traces| traces.call(info, &mut request.headers)),
            noted,
        }
    }

    /// Takes a lease for a request of so many bytes, or waits for a lease as long as requests of its kind do.
    ///
    /// # Errors
    /// When no generation serves the request in time.
    pub async fn lease(&self, patience: LeaseWait, bytes: usize, info: &CallInfo) -> Result<Lease, LeaseRefusal> {
        let lease = match (self.held.hold(bytes), patience) {
            (Some(_held), LeaseWait::Call) => self.table.lease(info.clone(), self.hold).await,
            (Some(_held), LeaseWait::Look(limit)) => self.table.lease_soon(info.clone(), limit, self.hold).await,
            // The request is answered only if it need not wait.
            (None, _) => at_once(self.table.lease(info.clone(), Duration::ZERO).await),
        };
        match (&lease, patience) {
            (Ok(_) | Err(LeaseRefusal::HandedOver), _) => {}
            (Err(gone), LeaseWait::Call) => tracing::warn!(reason = %gone, "call refused"),
            // A dev server asks every few seconds, and the rejected code is in the log.
            (Err(gone), LeaseWait::Look(_)) => tracing::debug!(reason = %gone, "request refused"),
        }
        lease
    }

    /// Takes a lease for a call of so many bytes that this host has acknowledged: the call is executed here, whichever host of the
    /// project accepts.
    ///
    /// # Errors
    /// When no generation serves the call in time.
    pub async fn lease_acknowledged(&self, bytes: usize, info: &CallInfo) -> Result<Lease, LeaseRefusal> {
        let lease = match self.held.hold(bytes) {
            Some(_held) => self.table.lease_acknowledged(info.clone(), self.hold).await,
            None => at_once(self.table.lease_acknowledged(info.clone(), Duration::ZERO).await),
        };
        if let Err(gone) = &lease {
            tracing::warn!(reason = %gone, "call refused");
        }
        lease
    }

    /// Has the isolate answer, in a task of the call's own, so that the call goes on when the caller has gone.
    ///
    /// # Errors
    /// When the isolate has no answer.
    pub async fn execute(
        &self,
        course: CallCourse,
        lease: Lease,
        info: CallInfo,
        request: Request,
    ) -> Result<Response, CallError> {
        if let Some(noted) = &course.noted {
            noted.taken_by(lease.generation().id);
        }
        let run = run(self.clone(), lease, info, request, course);
        let answered = self.tasks.spawn(run).await;
        answered.unwrap_or(Err(CallError::IsolateDied))
    }

    /// Logs the answer of a project to a call.
    pub fn log_answer(&self, GenerationId(generation): GenerationId, info: &CallInfo, status: u16, took: Duration) {
        let CallInfo {
            function, run, step, ..
        } = info;
        let ms = took.as_millis();
        if took >= self.slow_call {
            tracing::warn!(generation, function, run, step, status, ms, "call was slow");
        }
        tracing::debug!(generation, function, run, step, status, ms, "call answered");
    }
}

fn at_once(lease: Result<Lease, LeaseRefusal>) -> Result<Lease, LeaseRefusal> {
    lease.map_err(|gone| match gone {
        LeaseRefusal::HeldTooLong(_) => LeaseRefusal::TooManyHeld,
        gone => gone,
    })
}

async fn run(
    executor: Executor,
    mut lease: Lease,
    info: CallInfo,
    request: Request,
    course: CallCourse,
) -> Result<Response, CallError> {
    let repeat = RepeatableCall::of(&info, &request);
    let (mut result, mut took) = lease.call(request).await;
    if let Some(repeat) = repeat {
        (lease, (result, took)) = repeat.where_it_is_known(&executor, lease, &info, (result, took)).await;
        if let Some(noted) = &course.noted {
            noted.taken_by(lease.generation().id);
        }
    }
    lease.note(&result);
    let answered = CallResult::from(&result);
    let generation = lease.generation();
    let function = info.function.as_deref().filter(|function| generation.has(function));
    executor
        .metrics
        .call_answered(function, answered, course.began.elapsed());
    if let Some(span) = course.span {
        let release = executor.table.release_of(generation.id);
        span.end(generation.id, release.as_deref(), lease.isolate(), answered);
    }
    let mut response = match result {
        Ok(response) => response,
        Err(error) => {
            executor.table.learn_loss(generation, &info, &error);
            return Err(error);
        }
    };
    if course.kind == CallKind::Run {
        let head = (response.status, &*response.headers);
        response.body = learn(&executor, &lease, &info, (head, took), response.body).await?;
    }
    match response.over.take() {
        None => {
            drop(lease);
            drop(course.noted);
        }
        Some(over) => {
            lease.answered();
            executor.tasks.spawn(async move {
                over.await;
                drop(lease);
                drop(course.noted);
            });
        }
    }
    Ok(response)
}

/// Learns the next steps from an answer of the SDK, before the caller has all of it.
async fn learn(
    executor: &Executor,
    lease: &Lease,
    info: &CallInfo,
    (head, took): (AnswerHead<'_>, Duration),
    body: Body,
) -> Result<Body, CallError> {
    let generation = lease.generation().clone();
    let mut parts = match body {
        Body::Full(body) => {
            executor.table.learn(&generation, info, head, &body, took);
            return Ok(Body::Full(body));
        }
        Body::Stream(parts) => parts,
        upgraded @ Body::Upgraded(_) => return Ok(upgraded),
    };
    let mut whole = Vec::new();
    if head.0 != STREAMED {
        while let Some(part) = parts.next().await {
            whole.extend_from_slice(&part.map_err(|error: BodyError| CallError::NoAnswer(error.to_string()))?);
            if whole.len() > LEARNED_FROM {
                let first = futures::stream::iter([Ok(whole.into())]);
                return Ok(Body::Stream(first.chain(parts).boxed()));
            }
        }
        executor.table.learn(&generation, info, head, &whole, took);
        return Ok(Body::Full(whole.into()));
    }
    let (mut passed_on, body) = mpsc::channel(0);
    let (table, info) = (executor.table.clone(), info.clone());
    let began = Instant::now();
    // The task reads to the end, also when the caller has gone.
    executor.tasks.spawn(async move {
        while let Some(part) = parts.next().await {
            if let Ok(part) = &part
                && whole.len() <= LEARNED_FROM
            {
                whole.extend_from_slice(part);
            }
            let _ = passed_on.send(part).await;
        }
        table.learn(&generation, &info, (STREAMED, &[]), &whole, took + began.elapsed());
    });
    Ok(Body::Stream(body.boxed()))
}
