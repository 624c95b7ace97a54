//! Inngest's executor as an SDK sees it: the same query, headers and bodies,
//! one connection for each call (inngest/inngest: `pkg/execution/driver/httpdriver`), and the
//! follow-up calls that the returned ops ask for.

use serde_json::{Value, json};

use crate::canonical;
use crate::course::{Course, Drive, Next, Outcome};
use crate::http::{Answer, Call, Door, Lost};
use crate::op::Op;
use crate::run::{Dispatch, Run};

/// The redirects that Inngest's client follows (inngest/inngest: `pkg/execution/exechttp`).
const MOST_REDIRECTS: usize = 60;

/// Calls functions at one URL.
#[derive(Clone, Debug)]
pub struct Executor {
    door: Door,
    path: String,
}

/// The end of a driven run.
#[derive(Debug)]
pub struct Finish {
    /// The last answer.
    pub answer: Answer,
    /// Every call on the way, in order: the planned step that it was for, if any, and its answer.
    pub calls: Vec<(Option<Op>, Answer)>,
    /// Every op on the way, in order.
    pub ops: Vec<Op>,
}

impl Finish {
    /// Returns the function's result, from a 200 or from a `RunComplete`.
    #[must_use]
    pub fn value(&self) -> Value {
        match self.ops.last() {
            Some(op) if self.answer.status == 206 && op.code() == "RunComplete" => op.data().clone(),
            _ => self.answer.json(),
        }
    }

    /// The opcodes on the way, in order.
    #[must_use]
    pub fn codes(&self) -> Vec<&str> {
        self.ops.iter().map(Op::code).collect()
    }
}

impl Executor {
    /// Makes an executor that calls `/api/inngest` behind `door`.
    #[must_use]
    pub fn new(door: Door) -> Self {
        Self {
            door,
            path: "/api/inngest".to_owned(),
        }
    }

    /// Returns an executor for another path of the same server: an app of its own.
    #[must_use]
    pub fn at(&self, path: &str) -> Self {
        Self {
            door: self.door.clone(),
            path: path.to_owned(),
        }
    }

    /// Introspects, as `GET` does.
    pub async fn introspect(&self) -> Answer {
        Call::new("GET", self.path.as_str()).answer(&self.door).await
    }

    /// Asks the SDK to register itself, as the dev server does ("out of band").
    pub async fn sync(&self) -> Answer {
        self.sync_call().answer(&self.door).await
    }

    /// Asks for the functions in the answer itself ("in band").
    pub async fn sync_in_band(&self) -> Answer {
        self.sync_call()
            .header("x-inngest-sync-kind", "in_band")
            .answer(&self.door)
            .await
    }

    /// Calls the function from its beginning: `stepId=step`.
    pub async fn discover(&self, run: &Run) -> Result<Answer, Lost> {
        self.send(run, "step").await
    }

    /// Calls one planned step, by its hashed id.
    pub async fn call_step(&self, run: &Run, id: &str) -> Result<Answer, Lost> {
        self.send(run, id).await
    }

    /// Calls, and follows redirects as Inngest's client does.
    async fn send(&self, run: &Run, step: &str) -> Result<Answer, Lost> {
        let call = self.request(run, step);
        let mut answer = call.clone().send(&self.door).await?;
        for _ in 0..MOST_REDIRECTS {
            let location = answer.header("location").filter(|_| answer.status == 307);
            let path = match location {
                Some(query) if query.starts_with('?') => format!("{}{query}", self.path),
                Some(path) => path.to_owned(),
                None => break,
            };
            answer = call.clone().at(path).send(&self.door).await?;
        }
        Ok(answer)
    }

    /// Returns the request of a call of `step`, for tests that send it in another way.
    #[must_use]
    pub fn request(&self, run: &Run, step: &str) -> Call {
        let dispatch = Dispatch::next();
        let path = format!("{}?fnId={}&stepId={step}", self.path, run.function);
        Call::new("POST", path)
            .header("content-type", "application/json")
            .header("user-agent", "Inngest")
            .header("accept-encoding", "gzip")
            .header("account-id", "00000000-0000-4000-a000-000000000000")
            .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .header("x-run-id", &run.id)
            .header("x-request-id", &dispatch.request)
            .header("x-inngest-generation-id", "1")
            .header("x-inngest-job-id", &dispatch.job)
            .header("x-inngest-req-version", &run.version.to_string())
            .header("x-inngest-step-id", step)
            .body(canonical::to_string(&run.body(step, &dispatch)))
    }

    /// Drives a run to its end: memoises what the steps answer, asks `drive`
    /// what the other ops come to, and calls again until the function returns,
    /// or fails for good.
    ///
    /// Unlike the executor it tries again at once.
    pub async fn drive(&self, run: Run, drive: Drive<'_>) -> Finish {
        let mut course = Course::of(run);
        let mut calls = Vec::new();
        loop {
            let target = course.next_call();
            let run = course.run();
            let answer = match &target {
                Some(op) => self.call_step(run, op.id()).await,
                None => self.discover(run).await,
            }
            .unwrap_or_else(|lost| panic!("the run of {} was cut: {lost}", run.function));
            calls.push((target, answer.clone()));
            let outcome = match answer.status {
                206 => Outcome::Asked {
                    ops: Op::all(answer.json()),
                    version: answer.header("x-inngest-req-version").and_then(|v| v.parse().ok()),
                },
                200..400 => Outcome::Returned,
                _ => Outcome::Failed {
                    again: answer.header("x-inngest-no-retry") != Some("true"),
                },
            };
            if course.take(outcome, drive) == Next::End {
                return Finish {
                    answer,
                    calls,
                    ops: course.into_ops(),
                };
            }
        }
    }

    fn sync_call(&self) -> Call {
        let url = match &self.door {
            Door::Tcp(address) => format!("http://{address}{}", self.path),
            Door::Unix(_) => format!("http://localhost{}", self.path),
        };
        Call::new("PUT", self.path.as_str())
            .header("x-inngest-server-kind", "dev")
            .json(&json!({ "url": url }))
    }
}
