//! The waits of steps: they begin here, and resolve in the form of the state.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::error;
use super::machine::Delay;
use super::moment::Moment;
use super::op::{HttpRequest, Step, Wait};
use super::post::Wanted;
use super::report::{Origin, Report, RunEnding, WaitKind};
use super::run::{Happened, Running};
use super::session::{Order, Session, millis};
use crate::net::HttpAnswer;

impl Running {
    pub(super) fn begin(&mut self, step: Step, wait: Wait) {
        let session = self.session.clone();
        match wait {
            Wait::Sleep(Moment::Unreadable(text)) => {
                let error = error("Error", &format!("{text:?} is no time to sleep for"));
                self.waits(
                    step,
                    WaitKind::Sleep,
                    None,
                    None,
                    async move { json!({ "error": error }) },
                );
            }
            Wait::Sleep(moment) => {
                let length = moment.left(Timestamp::now());
                self.waits(step, WaitKind::Sleep, None, Some(length), async move {
                    if !session.options.skip_sleep {
                        tokio::time::sleep(length).await;
                    }
                    Value::Null
                });
            }
            Wait::Event {
                name,
                expression,
                timeout,
            } => {
                let length = timeout.map(|timeout| timeout.left(Timestamp::now()));
                let wanted = Wanted {
                    name: name.clone(),
                    expression,
                    began: self.event.clone(),
                };
                if wanted.is_not_understood() {
                    session.note(format!(
                        "the expression {:?} cannot be evaluated: any event {name} will do",
                        wanted.expression.as_deref().unwrap_or_default()
                    ));
                }
                self.told_to_wait(&step, WaitKind::Event, Some(name), length);
                let (event, sent) = session.post.wait(wanted);
                if let Some(event) = sent {
                    session.report(Report::Event {
                        event,
                        begins: Vec::new(),
                    });
                }
                self.resolves(step, WaitKind::Event, async move {
                    let event = event.map(|event| event.unwrap_or_default());
                    session.in_time(length, event).await.unwrap_or_default()
                });
            }
            Wait::Signal { signal, timeout } => {
                let length = timeout.map(|timeout| timeout.left(Timestamp::now()));
                let came = session.post.wait_for_signal(&signal);
                self.waits(step, WaitKind::Signal, Some(signal), length, async move {
                    let came = came.map(|came| json!({ "data": came.unwrap_or_default() }));
                    session.in_time(length, came).await.unwrap_or_default()
                });
            }
            Wait::Invoke {
                function,
                payload,
                timeout,
            } => {
                let length = timeout.map(|timeout| timeout.left(Timestamp::now()));
                let invoked = self.invoked(&function, &payload);
                self.waits(step, WaitKind::Invoke, Some(function), length, async move {
                    match length {
                        Some(length) => tokio::time::timeout(length, invoked).await.unwrap_or_else(|_| {
                            let message = "Timed out waiting for invoked function to complete";
                            json!({ "error": error("InngestInvokeTimeoutError", message) })
                        }),
                        None => invoked.await,
                    }
                });
            }
            Wait::Http(request) => {
                let attempts = self.max_attempts;
                let what = Some(format!("{} {}", request.method, request.url));
                self.waits(step, WaitKind::Http, what, None, async move {
                    session.fetched(request, attempts).await
                });
            }
        }
    }

    fn invoked(&self, id: &str, payload: &Value) -> impl Future<Output = Value> + Send + 'static + use<> {
        let session = self.session.clone();
        let known = session.catalogue.by_id(id).cloned();
        let unknown =
            format!("could not find function with ID: {id}; `baton invoke` runs functions of this project only");
        let event = Session::event("inngest/function.invoked", payload["data"].clone());
        let depth = self.of.depth + 1;
        async move {
            let Some(function) = known else {
                return json!({ "error": error("Error", &unknown) });
            };
            let order = Order {
                function,
                event,
                origin: Origin::Invoked,
                depth,
                busy: None,
            };
            match session.run(order).await {
                RunEnding::Completed { output } => json!({ "data": output }),
                RunEnding::Failed { error } => json!({ "error": error }),
                RunEnding::Cancelled { .. } => {
                    json!({ "error": error("InngestFunctionCancelledError", "the invoked function was cancelled") })
                }
            }
        }
    }

    fn waits(
        &mut self,
        step: Step,
        kind: WaitKind,
        what: Option<String>,
        length: Option<Duration>,
        outcome: impl Future<Output = Value> + Send + 'static,
    ) {
        self.told_to_wait(&step, kind, what, length);
        self.resolves(step, kind, outcome);
    }

    fn told_to_wait(&self, step: &Step, kind: WaitKind, what: Option<String>, length: Option<Duration>) {
        self.session.report(Report::Waiting {
            of: self.of.clone(),
            step: step.name.clone(),
            id: step.id.clone(),
            kind,
            what,
            until: length.and_then(|length| Timestamp::now().checked_add(length).ok()),
        });
    }

    fn resolves(&mut self, step: Step, kind: WaitKind, outcome: impl Future<Output = Value> + Send + 'static) {
        let of = self.of.clone();
        let began = Instant::now();
        let session = self.session.clone();
        let resolved = async move {
            let outcome = outcome.await;
            // The work that the outcome leads to has not begun yet.
            let busy = session.activity.begin();
            let error = outcome.get("error").filter(|_| kind != WaitKind::Event).cloned();
            let output = match (&error, kind) {
                (Some(_), _) => None,
                (None, WaitKind::Event | WaitKind::Sleep) => Some(outcome.clone()),
                (None, _) => Some(outcome["data"].clone()),
            };
            Happened::Resolved {
                busy,
                id: step.id.clone(),
                outcome,
                report: Report::Waited {
                    of,
                    step: step.name,
                    id: step.id,
                    kind,
                    ms: millis(began.elapsed()),
                    output,
                    error,
                },
            }
        };
        self.under_way.push(resolved.boxed());
    }
}

impl Session {
    /// Waits for a result until the time is over. With `skip_sleep` the time is over as soon as no work is left from
    /// which the result could come.
    async fn in_time<T>(self: Arc<Self>, length: Option<Duration>, coming: impl Future<Output = T>) -> Option<T> {
        let over = async {
            if self.options.skip_sleep {
                // Work that was just found goes first.
                tokio::task::yield_now().await;
                return self.activity.quiet().await;
            }
            match length {
                Some(length) => tokio::time::sleep(length).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            came = coming => Some(came),
            () = over => None,
        }
    }

    /// Makes a request to somewhere else, and tries it as often as a step is tried.
    async fn fetched(&self, request: HttpRequest, attempts: u32) -> Value {
        let mut attempt = 0;
        loop {
            let failure = match self.sdk.fetch(request.clone()).await {
                Ok(raw) if request.infer && raw.status >= 400 => {
                    let text = String::from_utf8_lossy(&raw.body).into_owned();
                    error("Error", &format!("{} answers {}: {text}", request.url, raw.status))
                }
                Ok(raw) => return json!({ "data": fetched(&raw, request.infer) }),
                Err(lost) => error("Error", &lost.to_string()),
            };
            if attempt + 1 >= attempts {
                return json!({ "error": failure });
            }
            let delay = self.length(&Delay::BackOff { attempt });
            self.note(format!(
                "{}: again in {:.1} s",
                failure["message"].as_str().unwrap_or_default(),
                delay.as_secs_f64()
            ));
            tokio::time::sleep(delay).await;
            attempt += 1;
        }
    }
}

fn fetched(raw: &HttpAnswer, infer: bool) -> Value {
    let text = String::from_utf8_lossy(&raw.body);
    if infer {
        return serde_json::from_str(&text).unwrap_or_else(|_| text.into_owned().into());
    }
    let headers: serde_json::Map<String, Value> = raw
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    json!({"status_code": raw.status, "headers": headers, "body": text})
}
