//! Asks another generation of this host for a planned step that the first one does not know.
//!
//! A step may be planned by the code of another host at the same address, or by code that the host has gone back from.
//! The SDK says by itself that its code does not plan the step, after 10 s, and has run no step then. So nothing runs
//! twice when the call goes to another generation, before anybody is answered.

use std::time::Duration;

use futures::StreamExt as _;
use js_runtime_api::{Body, CallError, Caller, Request, Response};

use super::{Executor, LEARNED_FROM};
use crate::generation::{CallInfo, Lease};
use crate::wire::{DISCOVERY, STEP_NOT_FOUND, SdkAnswer};

/// A call for a planned step, which can be made again.
pub(super) struct RepeatableCall {
    request: Request,
    step: String,
}

impl RepeatableCall {
    /// Returns `None` for a call that is for no planned step.
    pub(super) fn of(info: &CallInfo, request: &Request) -> Option<Self> {
        let step = info.step.clone().filter(|step| step != DISCOVERY)?;
        info.function.as_ref()?;
        Some(Self {
            request: copy(request)?,
            step,
        })
    }

    /// Returns the answer of a generation that knows the step, or that of the last one that was asked, with the lease
    /// and the time that the isolate took.
    pub(super) async fn where_it_is_known(
        self,
        executor: &Executor,
        mut lease: Lease,
        info: &CallInfo,
        (result, mut took): (Result<Response, CallError>, Duration),
    ) -> (Lease, (Result<Response, CallError>, Duration)) {
        let mut asked = Vec::new();
        let mut result = whole(result).await;
        while self.is_unknown(&result) {
            lease.generation().note_unknown(info);
            asked.push(lease.generation().id);
            let other = executor.table.lease_for_unknown_step(info, &asked);
            let (Some(other), Some(request)) = (other, copy(&self.request)) else {
                break;
            };
            let (function, run, step) = (&info.function, &info.run, &self.step);
            let generation = other.generation().id.0;
            tracing::info!(
                generation,
                function,
                run,
                step,
                "a generation does not plan the step: another one serves the call"
            );
            lease.note(&result);
            let before = std::mem::replace(&mut lease, other);
            let over = result.as_mut().ok().and_then(|response| response.over.take());
            if let Some(over) = over {
                executor.tasks.spawn(async move {
                    over.await;
                    drop(before);
                });
            }
            let (answer, isolate_took) = lease.call(request).await;
            (result, took) = (whole(answer).await, isolate_took);
        }
        (lease, (result, took))
    }

    fn is_unknown(&self, result: &Result<Response, CallError>) -> bool {
        match result {
            Ok(Response {
                status,
                headers,
                body: Body::Full(body),
                ..
            }) => SdkAnswer::read((*status, headers), body).lacks_step(&self.step),
            _ => false,
        }
    }
}

/// Reads an answer that may say that a step is unknown to its end.
async fn whole(result: Result<Response, CallError>) -> Result<Response, CallError> {
    let mut response = result?;
    if response.status != STEP_NOT_FOUND {
        return Ok(response);
    }
    if let Body::Stream(mut parts) = response.body {
        let mut read = Vec::new();
        while let Some(part) = parts.next().await {
            read.extend_from_slice(&part.map_err(|error| CallError::NoAnswer(error.to_string()))?);
            if read.len() > LEARNED_FROM {
                let first = futures::stream::iter([Ok(read.into())]);
                response.body = Body::Stream(first.chain(parts).boxed());
                return Ok(response);
            }
        }
        response.body = Body::Full(read.into());
    }
    Ok(response)
}

/// Copies a request whose body is there; `None` for one whose body still comes.
fn copy(request: &Request) -> Option<Request> {
    let Body::Full(body) = &request.body else {
        return None;
    };
    Some(Request {
        method: request.method.clone(),
        url: request.url.clone(),
        headers: request.headers.clone(),
        body: Body::Full(body.clone()),
        subject: request.subject.clone(),
        target: request.target.clone(),
        caller: Caller {
            peer: request.caller.peer.clone(),
            hung_up: None,
            record: request.caller.record.clone(),
        },
    })
}
