//! The executor: it drives a run through the workers that are connected (inngest/inngest: `pkg/connect/grpc/proxy.go`).
//! The decisions between two calls are those of calls over HTTP ([`crate::course`]).

use std::sync::{Arc, Mutex};
use std::time::Instant;

use connect_wire::message::{GatewayExecutorRequestData, SdkResponse, SdkResponseStatus};
use serde_json::{Value, json};

use super::book::{Book, Pending, now};
use super::queue::Place;
use super::record::Phase;
use super::router::{NoRoute, route};
use crate::canonical;
use crate::course::{Course, Next, Outcome};
use crate::fake_inngest::FakeInngest;
use crate::op::Op;
use crate::run::{Dispatch, Run};

/// The looks of the router while all connections drain.
const LOOKS: usize = 10;

/// The times that a request is given to a connection before the attempt fails.
const FORWARDS: usize = 3;

/// The executor of a server.
#[derive(Clone, Debug)]
pub(super) struct Executor {
    pub(super) book: Arc<Book>,
    pub(super) inngest: Arc<FakeInngest>,
}

/// The function that answers sleeps, waits and invocations.
pub(super) type Outside = Arc<dyn Fn(&Op) -> Value + Send + Sync>;

/// The end of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEnd {
    /// The function returned this.
    Completed(Value),
    /// The last attempt failed: the SDK's error, or the server's code.
    Failed(String),
}

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The run's id.
    pub run: String,
    /// The end.
    pub end: RunEnd,
    /// The attempts, in order: at least one for each call.
    pub attempts: Vec<Attempt>,
    /// Every op on the way, in order.
    pub ops: Vec<Op>,
}

impl RunReport {
    /// Returns the function's result; panics if the run failed.
    #[must_use]
    pub fn value(&self) -> &Value {
        match &self.end {
            RunEnd::Completed(value) => value,
            RunEnd::Failed(why) => panic!("run {} failed: {why}: {:#?}", self.run, self.attempts),
        }
    }

    /// The highest number that an attempt of the run has; 0 if none failed.
    #[must_use]
    pub fn highest_attempt(&self) -> u32 {
        self.attempts.iter().map(|attempt| attempt.number).max().unwrap_or(0)
    }
}

/// One attempt of one call.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The request's id.
    pub request: String,
    /// `step`, or the hashed id of a planned step.
    pub step: String,
    /// Counts from 0, as the executor counts.
    pub number: u32,
    /// The time at which it began to be routed.
    pub began: Instant,
    /// The end.
    pub end: AttemptEnd,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// A worker replied.
    Replied(SdkResponseStatus),
    /// The server gave up, with this code.
    GivenUp(&'static str),
}

/// A server's reason to end an attempt without a reply.
enum GivingUp {
    /// The attempt counts.
    Code(&'static str),
    /// The workers have enough to do: the call goes back to the queue, and the attempt does not count.
    AtCapacity,
}

impl Executor {
    /// Drives a run to its end; `attempts` learns of each attempt at its end.
    pub(super) async fn drive(self, run: Run, outside: Outside, attempts: Arc<Mutex<Vec<Attempt>>>) -> RunReport {
        let (app, id) = (self.book.read().app_of(&run.function), run.id.clone());
        let mut course = Course::of(run);
        let end = loop {
            let target = course.next_call();
            let step = target.as_ref().map_or("step", |op| op.id()).to_owned();
            let (request, began, reply) = self.call(&app, course.run(), &step).await;
            let end = match &reply {
                Ok(reply) => AttemptEnd::Replied(reply.status()),
                Err(code) => AttemptEnd::GivenUp(code),
            };
            attempts.lock().expect("no poison").push(Attempt {
                request,
                step,
                number: course.run().attempt,
                began,
                end,
            });
            course.take_checkpoint(self.checkpointed(&id));
            match course.take(outcome(&reply), &|op| outside(op)) {
                Next::Call => {}
                Next::Retry => tokio::time::sleep(self.book.timing.retry).await,
                Next::End => break reply,
            }
        };
        let ops = course.into_ops();
        RunReport {
            run: id,
            end: run_end(end, &ops),
            attempts: attempts.lock().expect("no poison").clone(),
            ops,
        }
    }

    /// Calls a function once, as soon as its app has a place.
    pub(super) async fn call(
        &self,
        app: &str,
        run: &Run,
        step: &str,
    ) -> (String, Instant, Result<SdkResponse, &'static str>) {
        loop {
            let _place = Place::take(&self.book, app).await;
            let (dispatch, began) = (self.dispatch(), Instant::now());
            let mut request = request(app, run, step, &dispatch);
            if self.book.read().faults.no_traces {
                request.system_trace_ctx.clear();
                request.user_trace_ctx.clear();
            }
            let reply = self.proxy(request).await;
            self.book.change(|state| state.end_request(&dispatch.request));
            match reply {
                Ok(reply) => return (dispatch.request, began, Ok(reply)),
                Err(GivingUp::Code(code)) => return (dispatch.request, began, Err(code)),
                Err(GivingUp::AtCapacity) => tokio::time::sleep(self.book.timing.grace).await,
            }
        }
    }

    /// Gives a request to a worker, and waits for the reply.
    async fn proxy(&self, mut request: GatewayExecutorRequestData) -> Result<SdkResponse, GivingUp> {
        let (book, id) = (&self.book, request.request_id.clone());
        request.lease_id = book.change(|state| state.lease(&id, book.timing.lease));
        let mut connection = self.route(&request).await.map_err(|none| match none {
            NoRoute::AtCapacity => GivingUp::AtCapacity,
            NoRoute::AllDraining | NoRoute::NoConnection => GivingUp::Code("connect_no_healthy_connection"),
        })?;
        for forward in 1.. {
            if self.forward(connection, &request).await {
                break;
            }
            let again = match forward {
                FORWARDS.. => None,
                _ => self.route(&request).await.ok(),
            };
            connection = again.ok_or(GivingUp::Code("connect_could_not_route"))?;
        }
        loop {
            let reply = book.when(|state| state.replies.remove(&id));
            if let Ok((reply, _)) = tokio::time::timeout(book.timing.look, reply).await {
                return Ok(reply);
            }
            if !book.read().leases.is_leased(&id, now()) {
                let late = book.when(|state| state.replies.remove(&id));
                return match tokio::time::timeout(book.timing.grace, late).await {
                    Ok((reply, _)) => Ok(reply),
                    Err(_) => Err(GivingUp::Code("connect_worker_stopped_responding")),
                };
            }
        }
    }

    /// Chooses a connection. While all of them drain the router looks ten times more.
    async fn route(&self, request: &GatewayExecutorRequestData) -> Result<usize, NoRoute> {
        let book = &self.book;
        for _ in 0..LOOKS {
            let found = book.change(|state| self.assign(state, request));
            if found != Err(NoRoute::AllDraining) {
                return found;
            }
            tokio::time::sleep(book.timing.draining_look).await;
        }
        book.change(|state| self.assign(state, request))
    }

    fn assign(&self, state: &mut super::book::State, request: &GatewayExecutorRequestData) -> Result<usize, NoRoute> {
        let number = route(state, &self.book.timing, &request.app_name, &request.function_slug)?;
        let connection = &state.connections[number];
        let limited = connection.limit().map(|_| connection.report.instance().to_owned());
        state.leases.assign(&request.request_id, limited.as_deref());
        Ok(number)
    }

    /// Sends a request over a connection; `false` if its worker does not take it.
    async fn forward(&self, number: usize, request: &GatewayExecutorRequestData) -> bool {
        let (book, id) = (&self.book, request.request_id.as_str());
        let sent = book
            .when(|state| {
                let report = &state.connections[number].report;
                let drains = state.gateway_drains(&report.gateway);
                match report.phase {
                    // A gateway that drains holds requests until the worker has gone to another one.
                    Phase::Ready if drains => return None,
                    Phase::Ready => {}
                    _ => return Some(false),
                }
                let pending = Pending {
                    connection: number,
                    owned: None,
                };
                state.pending.insert(id.to_owned(), pending);
                state.send_request(number, request);
                Some(true)
            })
            .await;
        let owned = book.when(|state| {
            state
                .pending
                .get(id)
                .is_none_or(|pending| pending.owned.is_some())
                .then(|| {
                    let pending = state.pending.remove(id);
                    pending.and_then(|pending| pending.owned) == Some(true)
                })
        });
        sent && tokio::time::timeout(book.timing.ack, owned).await.unwrap_or(false)
    }

    /// Returns the steps that a run reported by checkpoints.
    fn checkpointed(&self, run: &str) -> Vec<Op> {
        let checkpoints = self.inngest.checkpoints(run).into_iter();
        checkpoints
            .flat_map(|checkpoint| Op::all(checkpoint.body["steps"].clone()))
            .collect()
    }

    fn dispatch(&self) -> Dispatch {
        self.book.change(|state| Dispatch {
            request: state.ulid(),
            job: state.ulid(),
        })
    }
}

fn request(app: &str, run: &Run, step: &str, dispatch: &Dispatch) -> GatewayExecutorRequestData {
    GatewayExecutorRequestData {
        request_id: dispatch.request.clone(),
        account_id: "00000000-0000-4000-a000-000000000000".to_owned(),
        env_id: "00000000-0000-4000-b000-000000000000".to_owned(),
        app_id: "00000000-0000-4000-8000-000000000001".to_owned(),
        app_name: app.to_owned(),
        function_id: "b2f9a2a6-5f5c-4d55-9d43-0c8f6bb3f3a1".to_owned(),
        function_slug: run.function.clone(),
        step_id: Some(step.to_owned()),
        request_payload: canonical::to_string(&run.body(step, dispatch)).into(),
        system_trace_ctx: json!({ "traceparent": "00-11111111111111111111111111111111-2222222222222222-01" })
            .to_string()
            .into(),
        user_trace_ctx: json!({
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "tracestate": "",
        })
        .to_string()
        .into(),
        run_id: run.id.clone(),
        lease_id: String::new(),
        job_id: dispatch.job.clone(),
    }
}

fn outcome(reply: &Result<SdkResponse, &'static str>) -> Outcome {
    let Ok(reply) = reply else {
        return Outcome::Failed { again: true };
    };
    match reply.status() {
        // Without another attempt every reply is a failure.
        _ if reply.no_retry => Outcome::Failed { again: false },
        SdkResponseStatus::Error => Outcome::Failed { again: true },
        SdkResponseStatus::Done => Outcome::Returned,
        SdkResponseStatus::NotCompleted => Outcome::Asked {
            ops: Op::all(json(reply)),
            version: Some(i64::from(reply.request_version)),
        },
    }
}

fn run_end(reply: Result<SdkResponse, &'static str>, ops: &[Op]) -> RunEnd {
    let reply = match reply {
        Ok(reply) => reply,
        Err(code) => return RunEnd::Failed(code.to_owned()),
    };
    match (reply.status(), ops.last()) {
        (SdkResponseStatus::NotCompleted, Some(op)) if op.code() == "RunComplete" => {
            RunEnd::Completed(op.data().clone())
        }
        (SdkResponseStatus::Done, _) if !reply.no_retry => RunEnd::Completed(json(&reply)),
        _ => RunEnd::Failed(String::from_utf8_lossy(&reply.body).into_owned()),
    }
}

fn json(reply: &SdkResponse) -> Value {
    serde_json::from_slice(&reply.body)
        .unwrap_or_else(|error| panic!("no JSON ({error}): {}", String::from_utf8_lossy(&reply.body)))
}
