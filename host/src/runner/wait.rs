//! The waits of steps: they begin here, and resolve in the form of the state.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use serde_json::{Value, json};

use super::activity::ActivityGuard;
use super::answer::error;
use super::machine::Delay;
use super::mocks;
use super::moment::Moment;
use super::op::{HttpRequest, Step, Wait};
use super::post::AwaitedEvent;
use super::run::{ActiveRun, RunEvent};
use super::run_report::{RunEnding, RunOrigin, RunReport, WaitKind};
use super::session::{Order, Session, millis};
use crate::net::HttpAnswer;

/// The outcome of a wait in the form of the state, and the busyness that came along with it.
struct WaitOutcome {
    outcome: Value,
    busy: Option<ActivityGuard>,
}

impl From<Value> for WaitOutcome {
    fn from(outcome: Value) -> Self {
        Self { outcome, busy: None }
    }
}

/// The end of the time for which something was waited.
struct WaitTimeout {
    busy: Option<ActivityGuard>,
}

impl WaitTimeout {
    fn with(self, outcome: Value) -> WaitOutcome {
        WaitOutcome {
            outcome,
            busy: self.busy,
        }
    }
}

impl ActiveRun {
    pub(super) fn begin(&mut self, step: Step, wait: Wait) {
        let session = self.session.clone();
        let now = session.clock.now();
        let left = |timeout: Option<Moment>| timeout.map(|timeout| timeout.left(now));
        if let Some(reply) = session.mocks.reply(&self.of.function, &step, 0) {
            let (kind, what) = (kind(&wait), subject(&wait));
            // Code that waits for a mock's reply is at work.
            let busy = session.activity.begin();
            return self.waits(step, kind, what, None, async move {
                let (reply, _) = reply.await;
                WaitOutcome {
                    outcome: mocks::outcome(&wait, reply),
                    busy: Some(busy),
                }
            });
        }
        let what = subject(&wait);
        match wait {
            Wait::Sleep(Moment::Unreadable(text)) => {
                let error = error(
                    "Error",
                    &format!("cannot sleep for {text:?}: it is neither a duration nor a date"),
                );
                let outcome = std::future::ready(json!({ "error": error }));
                self.waits(step, WaitKind::Sleep, what, None, outcome);
            }
            Wait::Sleep(moment) => {
                let length = moment.left(now);
                let over = (!session.options.skip_sleep).then(|| session.clock.sleep(length));
                self.waits(step, WaitKind::Sleep, what, Some(length), async move {
                    let busy = match over {
                        Some(over) => over.await,
                        None => None,
                    };
                    WaitTimeout { busy }.with(Value::Null)
                });
            }
            Wait::Event {
                name,
                expression,
                timeout,
            } => {
                let length = left(timeout);
                let wanted = AwaitedEvent {
                    name: name.clone(),
                    expression,
                    began: self.event.clone(),
                };
                if wanted.is_not_understood() {
                    session.note(format!(
                        "cannot evaluate the expression {:?}: any event {name} ends the wait",
                        wanted.expression.as_deref().unwrap_or_default()
                    ));
                }
                self.told_to_wait(&step, WaitKind::Event, what, length);
                let (event, sent) = session.post.wait(wanted);
                if let Some(event) = sent {
                    session.report(RunReport::Event {
                        event,
                        begins: Vec::new(),
                    });
                }
                let event = event.map(|event| event.unwrap_or_default());
                self.resolves(step, WaitKind::Event, session.came_in_time(length, event));
            }
            Wait::Signal { signal, timeout } => {
                let length = left(timeout);
                let came = session.post.wait_for_signal(&signal);
                let came = came.map(|came| json!({ "data": came.unwrap_or_default() }));
                let came = session.came_in_time(length, came);
                self.waits(step, WaitKind::Signal, what, length, came);
            }
            Wait::Invoke {
                function,
                payload,
                timeout,
            } => {
                let length = left(timeout);
                let invoked = self.invoked(&function, &payload);
                let over = length.map(|length| session.clock.sleep(length));
                self.waits(step, WaitKind::Invoke, what, length, async move {
                    let Some(over) = over else {
                        return invoked.await.into();
                    };
                    tokio::select! {
                        biased;
                        invoked = invoked => invoked.into(),
                        busy = over => {
                            let message = "Timed out waiting for invoked function to complete";
                            WaitTimeout { busy }.with(json!({ "error": error("InngestInvokeTimeoutError", message) }))
                        }
                    }
                });
            }
            Wait::Http(request) => {
                let attempts = self.max_attempts;
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
                origin: RunOrigin::Invoked,
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
        ended: impl Future<Output: Into<WaitOutcome>> + Send + 'static,
    ) {
        self.told_to_wait(&step, kind, what, length);
        self.resolves(step, kind, ended);
    }

    fn told_to_wait(&self, step: &Step, kind: WaitKind, what: Option<String>, length: Option<Duration>) {
        self.session.report(RunReport::Waiting {
            of: self.of.clone(),
            step: step.name.clone(),
            id: step.id.clone(),
            kind,
            what,
            until: length.and_then(|length| self.session.clock.now().checked_add(length).ok()),
        });
    }

    fn resolves(&mut self, step: Step, kind: WaitKind, ended: impl Future<Output: Into<WaitOutcome>> + Send + 'static) {
        let mocked = self.session.mocks.holds_for(&step);
        let of = self.of.clone();
        let began = Instant::now();
        let session = self.session.clone();
        let resolved = async move {
            let WaitOutcome { outcome, busy } = ended.await.into();
            // The work that the outcome leads to has not begun yet.
            let busy = busy.unwrap_or_else(|| session.activity.begin());
            // An event may have such a field, and is known by its name.
            let is_event = kind == WaitKind::Event && !(mocked && outcome.get("name").is_none());
            let error = outcome.get("error").filter(|_| !is_event).cloned();
            let output = match (&error, kind) {
                (Some(_), _) => None,
                (None, WaitKind::Event | WaitKind::Sleep) => Some(outcome.clone()),
                (None, _) => Some(outcome["data"].clone()),
            };
            RunEvent::Resolved {
                busy,
                id: step.id.clone(),
                outcome,
                report: RunReport::Waited {
                    of,
                    step: step.name,
                    id: step.id,
                    kind,
                    ms: millis(began.elapsed()),
                    mocked,
                    output,
                    error,
                },
            }
        };
        self.under_way.push(resolved.boxed());
    }
}

impl Session {
    /// Waits for a result until the time is over: then the outcome is `null`. With `skip_sleep` the time is over as soon
    /// as no work is left from which the result could come.
    fn came_in_time(
        self: Arc<Self>,
        length: Option<Duration>,
        coming: impl Future<Output = Value> + Send + 'static,
    ) -> impl Future<Output = WaitOutcome> + Send + 'static {
        let over = length.map(|length| self.clock.sleep(length));
        async move {
            let over = async {
                if self.options.skip_sleep {
                    // Work that was just found goes first.
                    tokio::task::yield_now().await;
                    self.activity.quiet().await;
                    return None;
                }
                match over {
                    Some(over) => over.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                came = coming => came.into(),
                busy = over => WaitTimeout { busy }.with(Value::Null),
            }
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

const fn kind(wait: &Wait) -> WaitKind {
    match wait {
        Wait::Sleep(_) => WaitKind::Sleep,
        Wait::Event { .. } => WaitKind::Event,
        Wait::Signal { .. } => WaitKind::Signal,
        Wait::Invoke { .. } => WaitKind::Invoke,
        Wait::Http(_) => WaitKind::Http,
    }
}

/// Returns the thing that a step waits for.
fn subject(wait: &Wait) -> Option<String> {
    match wait {
        Wait::Sleep(_) => None,
        Wait::Event { name, .. } => Some(name.clone()),
        Wait::Signal { signal, .. } => Some(signal.clone()),
        Wait::Invoke { function, .. } => Some(function.clone()),
        Wait::Http(request) => Some(format!("{} {}", request.method, request.url)),
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
