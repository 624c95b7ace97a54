//! One run: the only place that carries out the decisions of the machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use serde_json::{Value, json};

use super::activity::ActivityGuard;
use super::answer::Answer;
use super::id;
use super::machine::{CallTarget, Delay, Effect, Machine, RunOutcome, SdkCall, StepEnding};
use super::mocks;
use super::op::Step;
use super::run_report::{RunEnding, RunLabel, RunOrigin, RunReport, StepStatus};
use super::sdk_request::{Address, request};
use super::session::{Order, RunState, Session, millis};

/// The end of something that a run has begun.
pub(super) enum RunEvent {
    Answered {
        call: SdkCall,
        answer: Answer,
        generation: Option<u64>,
        took: Duration,
        busy: ActivityGuard,
    },
    /// The delay before a call is over.
    Due { call: SdkCall, busy: ActivityGuard },
    /// A wait has ended: its outcome for the state, and the report of it.
    Resolved {
        id: String,
        outcome: Value,
        report: RunReport,
        busy: ActivityGuard,
    },
}

/// A run while it goes on.
pub(super) struct ActiveRun {
    pub(super) session: Arc<Session>,
    pub(super) of: RunLabel,
    pub(super) event: Value,
    pub(super) max_attempts: u32,
    address: Address,
    machine: Machine,
    pub(super) under_way: FuturesUnordered<BoxFuture<'static, RunEvent>>,
    /// Calls that run or are due later.
    calls: usize,
    /// Tells whether people were told where events go that are not seen here; they are told once.
    told_of_events: bool,
}

impl Session {
    /// Conducts one run to its end.
    pub(super) fn run(self: Arc<Self>, order: Order) -> BoxFuture<'static, RunEnding> {
        async move {
            let Order {
                function,
                event,
                origin,
                depth,
                busy,
            } = order;
            let began = Instant::now();
            let of = RunLabel {
                run: id::ulid(),
                function: function.id.clone(),
                depth,
            };
            self.report(RunReport::Run {
                of: of.clone(),
                origin,
                event: event.clone(),
            });
            let cancel = self.enter(&of.run, &function, &event);
            let mut running = ActiveRun {
                address: Address {
                    path: self.catalogue.path_of(&function),
                    function: function.id.clone(),
                    run: of.run.clone(),
                },
                session: self.clone(),
                of: of.clone(),
                event: event.clone(),
                max_attempts: function.max_attempts(),
                machine: Machine::new(function.max_attempts()).planning_first(self.mocks.plan_first()),
                under_way: FuturesUnordered::new(),
                calls: 0,
                told_of_events: false,
            };
            let cancels = |came: &Value| function.is_cancelled_by(came, &event);
            let ending = tokio::select! {
                biased;
                () = self.stop.cancelled() => RunEnding::Cancelled { reason: "interrupted".to_owned() },
                () = cancel.cancelled() => RunEnding::Cancelled { reason: "an event cancels it (cancelOn)".to_owned() },
                ending = running.conduct(busy, &cancels) => ending,
            };
            drop(running);
            self.leave(&of.run);
            self.report(RunReport::Ended {
                of: of.clone(),
                origin,
                ending: ending.clone(),
                ms: millis(began.elapsed()),
            });
            if let (RunEnding::Failed { error }, Some(handler)) =
                (&ending, self.catalogue.failure_handler_of(&function))
            {
                let order = Order {
                    event: Self::event(
                        "inngest/function.failed",
                        json!({"function_id": function.id, "run_id": of.run, "error": error, "event": event}),
                    ),
                    function: handler.clone(),
                    origin: RunOrigin::OnFailure,
                    depth: depth + 1,
                    busy: None,
                };
                self.clone().run(order).await;
            }
            ending
        }
        .boxed()
    }
}

impl ActiveRun {
    async fn conduct(
        &mut self,
        mut busy: Option<ActivityGuard>,
        cancels: &(dyn Fn(&Value) -> bool + Sync),
    ) -> RunEnding {
        let mut effects = self.machine.begin();
        let mut last = (None, Duration::ZERO);
        loop {
            for effect in effects {
                if let Some(ending) = self.effect(effect, last) {
                    return ending;
                }
            }
            // The run gives this up only now: the work that came of it is busy itself.
            drop(busy.take());
            if self.calls == 0
                && let Some(event) = self.session.post.take(cancels)
            {
                let reason = format!("the event {} cancels it (cancelOn)", event["name"]);
                self.session.report(RunReport::Event {
                    event,
                    begins: Vec::new(),
                });
                return RunEnding::Cancelled { reason };
            }
            let Some(happened) = self.under_way.next().await else {
                let error = super::answer::error(
                    "NothingToDo",
                    "the run waits for nothing: this is a bug in Baton, please report it",
                );
                return RunEnding::Failed { error };
            };
            effects = match happened {
                RunEvent::Due { call, busy } => {
                    self.call(call, busy);
                    Vec::new()
                }
                RunEvent::Answered {
                    call,
                    answer,
                    generation,
                    took,
                    busy: calling,
                } => {
                    self.calls -= 1;
                    busy = Some(calling);
                    last = (generation, took);
                    self.machine.answered(&call, answer)
                }
                RunEvent::Resolved {
                    id,
                    outcome,
                    report,
                    busy: resolving,
                } => {
                    busy = Some(resolving);
                    self.session.report(report);
                    self.machine.resolved(&id, outcome)
                }
            };
        }
    }

    fn effect(&mut self, effect: Effect, last: (Option<u64>, Duration)) -> Option<RunEnding> {
        let (generation, took) = last;
        match effect {
            Effect::Call { call, delay } => {
                self.calls += 1;
                let busy = self.session.activity.begin();
                match delay.map(|delay| self.session.length(&delay)) {
                    None => self.call(call, busy),
                    Some(delay) => self.call_later(call, delay, busy),
                }
            }
            Effect::Begin { step, wait } => self.begin(step, wait),
            Effect::Tell { step, attempt, ending } => self.tell(step, attempt, ending, generation, took),
            Effect::FunctionThrew { attempt, error, delay } => self.session.report(RunReport::Retry {
                of: self.of.clone(),
                attempt,
                max_attempts: self.max_attempts,
                generation,
                ms: millis(took),
                error,
                retry_in_ms: self.milliseconds_of(&delay),
            }),
            Effect::Note(message) => self.session.note(message),
            Effect::End(RunOutcome::Completed(output)) => return Some(RunEnding::Completed { output }),
            Effect::End(RunOutcome::Failed(error)) => return Some(RunEnding::Failed { error }),
        }
        None
    }

    /// Makes a call after a delay. The delay keeps the session busy where waits end as soon as it is not.
    fn call_later(&mut self, call: SdkCall, delay: Duration, busy: ActivityGuard) {
        let session = self.session.clone();
        let over = session.clock.sleep(delay);
        let busy = session.options.skip_sleep.then_some(busy);
        self.under_way.push(
            async move {
                let woken = over.await;
                let busy = busy.or(woken).unwrap_or_else(|| session.activity.begin());
                RunEvent::Due { call, busy }
            }
            .boxed(),
        );
    }

    fn milliseconds_of(&self, delay: &Delay) -> u64 {
        u64::try_from(self.session.length(delay).as_millis()).unwrap_or(u64::MAX)
    }

    fn tell(&mut self, step: Step, attempt: u32, ending: StepEnding, generation: Option<u64>, took: Duration) {
        let mocked = self.session.mocks.holds_for(&step);
        let generation = generation.filter(|_| !mocked);
        let sends = !mocked && matches!(step.kind.as_deref(), Some("step.sendEvent" | "step.sendSignal"));
        let (status, output, error, retry_in_ms) = match ending {
            StepEnding::Done(data) => (StepStatus::Completed, Some(data), None, None),
            StepEnding::Failed(error) => (StepStatus::Failed, None, Some(error), None),
            StepEnding::Again { error, delay } => {
                let delay = self.milliseconds_of(&delay);
                (StepStatus::Retrying, None, Some(error), Some(delay))
            }
        };
        self.session.report(RunReport::Step {
            of: self.of.clone(),
            step: step.name,
            id: step.id,
            kind: step.kind,
            status,
            attempt,
            max_attempts: self.max_attempts,
            generation,
            ms: millis(took),
            mocked,
            output,
            error,
            retry_in_ms,
        });
        if sends && !self.session.options.reached && !self.told_of_events {
            self.told_of_events = true;
            self.session.note(
                "functions of the running host send events to the server in its environment (INNGEST_DEV and the \
                 like), so they are not seen here: pass --own to run them in a host whose events come here",
            );
        }
    }

    /// Makes a call with the present state of the run, or answers it where its step has a mock.
    fn call(&mut self, call: SdkCall, busy: ActivityGuard) {
        let began = Instant::now();
        if let CallTarget::Step(step) = &call.target
            && let Some(reply) = self.session.mocks.reply(&self.of.function, step, call.attempt)
        {
            let step = step.clone();
            let answered = async move {
                let (reply, again) = reply.await;
                RunEvent::Answered {
                    call,
                    answer: mocks::answer(step, reply, again),
                    generation: None,
                    took: began.elapsed(),
                    busy,
                }
            };
            self.under_way.push(answered.boxed());
            return;
        }
        let request = request(&self.address, &self.event, &self.machine, &call);
        if request.use_api {
            self.session.keep_state(
                &self.of.run,
                RunState {
                    events: json!([self.event]),
                    steps: self.machine.memory().iter().cloned().collect(),
                },
            );
        }
        let reachable = !request.use_api || self.session.options.reached;
        let answered = self.session.sdk.call(request);
        self.under_way.push(
            async move {
                let (answer, generation) = if reachable {
                    match answered.await {
                        Ok(answered) => (Answer::read(&answered.raw), answered.generation),
                        Err(lost) => (Answer::lost(&lost.to_string()), None),
                    }
                } else {
                    let error = super::answer::error(
                        "StateTooLarge",
                        "the run's state is larger than 4 MiB, so the SDK has to fetch it, and functions of a running \
                         host cannot reach `baton invoke`: pass --own",
                    );
                    let again = false;
                    (
                        Answer::Failed {
                            error,
                            again,
                            after: None,
                        },
                        None,
                    )
                };
                RunEvent::Answered {
                    call,
                    answer,
                    generation,
                    took: began.elapsed(),
                    busy,
                }
            }
            .boxed(),
        );
    }
}
