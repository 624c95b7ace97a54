//! The runs that one invocation leads to: their common parts, and the end of the last run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, ActivityGuard};
use super::catalogue::{Catalogue, CatalogueFunction};
use super::id;
use super::machine::Delay;
use super::mocks::Mocks;
use super::post::Post;
use super::run_report::{RunEnding, RunOrigin, RunReport};
use super::sdk::Sdk;
use super::session_clock::SessionClock;

/// The longest back-off.
const LONGEST_DELAY: Duration = Duration::from_mins(10);

/// The options of runs.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Tells whether sleeps, and waits that nothing can end any more, are over at once.
    pub skip_sleep: bool,
    /// The delay before the first retry; it is twice as long before each further retry.
    pub retry_delay: Duration,
    /// Tells whether events that functions send begin the runs that they trigger.
    pub deliver: bool,
    /// Tells whether the functions send events to the runner and fetch state from it.
    pub reached: bool,
}

/// The part of the world that a session brings along.
#[derive(Default)]
pub struct Script {
    /// Events to be sent, each once something waits for it.
    pub unsent: Vec<Value>,
    pub mocks: Mocks,
}

/// A run that is to begin.
#[derive(Debug)]
pub struct Order {
    pub function: CatalogueFunction,
    pub event: Value,
    pub origin: RunOrigin,
    pub depth: usize,
    /// Keeps the session busy until the run is busy.
    pub busy: Option<ActivityGuard>,
}

/// The common parts of the runs.
pub struct Session {
    pub(super) sdk: Arc<dyn Sdk>,
    pub(super) catalogue: Catalogue,
    pub(super) post: Post,
    pub(super) mocks: Mocks,
    pub(super) clock: SessionClock,
    pub(super) options: Options,
    pub(super) activity: Activity,
    pub(super) stop: CancellationToken,
    reports: mpsc::UnboundedSender<RunReport>,
    deliveries: mpsc::UnboundedSender<Order>,
    /// Events and steps of runs whose state is too large for a call, by run.
    states: Mutex<HashMap<String, RunState>>,
    under_way: Mutex<Vec<CancellableRun>>,
}

/// The state that the SDK fetches when a call could not carry it.
#[derive(Debug, Clone)]
pub struct RunState {
    pub events: Value,
    pub steps: Map<String, Value>,
}

struct CancellableRun {
    run: String,
    function: CatalogueFunction,
    began: Value,
    cancel: CancellationToken,
}

/// The receiving end of a session's deliveries, which [`Session::conduct`] needs.
pub struct Deliveries(mpsc::UnboundedReceiver<Order>);

impl Session {
    /// Makes a session.
    #[must_use]
    pub fn new(
        sdk: Arc<dyn Sdk>,
        catalogue: Catalogue,
        options: Options,
        script: Script,
        reports: mpsc::UnboundedSender<RunReport>,
        stop: CancellationToken,
    ) -> (Arc<Self>, Deliveries) {
        let (deliveries, receiver) = mpsc::unbounded_channel();
        let session = Self {
            sdk,
            catalogue,
            post: Post::new(script.unsent),
            mocks: script.mocks,
            clock: SessionClock::default(),
            options,
            activity: Activity::default(),
            stop,
            reports,
            deliveries,
            states: Mutex::default(),
            under_way: Mutex::default(),
        };
        (Arc::new(session), Deliveries(receiver))
    }

    /// Conducts the runs, and those that their events begin, to their ends. Returns the outcome of the functions that
    /// were asked for, with the id of the function that the outcome is about.
    pub async fn conduct(self: Arc<Self>, orders: Vec<Order>, deliveries: Deliveries) -> (String, RunEnding) {
        let Deliveries(mut deliveries) = deliveries;
        let began = Instant::now();
        let mut runs = FuturesUnordered::new();
        let conducted = |at: usize, order: Order| {
            let function = order.function.id.clone();
            let run = self.clone().run(order);
            async move { (at, function, run.await) }
        };
        let asked = orders.len();
        for (at, order) in orders.into_iter().enumerate() {
            runs.push(conducted(at, order));
        }
        let mut endings: Vec<(usize, String, RunEnding)> = Vec::new();
        loop {
            tokio::select! {
                biased;
                Some(order) = deliveries.recv() => runs.push(conducted(asked, order)),
                ended = runs.next() => match ended {
                    Some(ended) if ended.0 < asked => endings.push(ended),
                    Some(_) => {}
                    None => break,
                },
            }
        }
        for name in self.post.unsent() {
            self.note(format!("the event {name} was not sent: nothing waited for it"));
        }
        if let Some(note) = self.mocks.note_of_unused() {
            self.note(note);
        }
        endings.sort_by_key(|(at, ..)| *at);
        let first = endings
            .iter()
            .position(|(_, _, ending)| !ending.is_completed())
            .unwrap_or_default();
        let (_, function, ending) = endings.swap_remove(first);
        self.report(RunReport::Result {
            function: function.clone(),
            ending: ending.clone(),
            ms: millis(began.elapsed()),
        });
        (function, ending)
    }

    /// Makes an event as Inngest gives it to functions.
    #[must_use]
    pub fn event(name: &str, data: Value) -> Value {
        complete(json!({"name": name, "data": data}))
    }

    /// Takes events that functions, or tests, have sent.
    pub fn sent(&self, events: Vec<Value>) {
        for event in events {
            let event = complete(event);
            let begins: Vec<&CatalogueFunction> = self.catalogue.triggered_by(&event).collect();
            self.report(RunReport::Event {
                event: event.clone(),
                begins: begins.iter().map(|function| function.id.clone()).collect(),
            });
            if self.options.deliver {
                for function in begins {
                    let order = Order {
                        function: function.clone(),
                        event: event.clone(),
                        origin: RunOrigin::Delivered,
                        depth: 1,
                        busy: Some(self.activity.begin()),
                    };
                    // Nobody takes the order once the session is over.
                    let _ = self.deliveries.send(order);
                }
            }
            self.post.send(&event);
            for run in self.lock_under_way().iter() {
                if run.function.is_cancelled_by(&event, &run.began) {
                    run.cancel.cancel();
                }
            }
        }
    }

    /// Advances the session's time. Sleeps and timeouts end on the way, in their order, and what follows from each is
    /// done before the next ends.
    pub async fn advance(&self, by: Duration) {
        self.clock.advance(by, &self.activity).await;
    }

    /// Tells whether one of the session's runs has this id.
    #[must_use]
    pub fn has_run(&self, run: &str) -> bool {
        self.lock_under_way().iter().any(|known| known.run == run)
    }

    /// Tells whether work of the session is going on.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.activity.goes_on()
    }

    /// Gives a signal of a function to the run that waits for it. Returns false when no run does.
    pub fn signalled(&self, signal: &str, data: &Value) -> bool {
        self.post.signal(signal, data)
    }

    /// The state of a run that its call could not carry.
    #[must_use]
    pub fn state_of(&self, run: &str) -> Option<RunState> {
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(run)
            .cloned()
    }

    pub(super) fn keep_state(&self, run: &str, state: RunState) {
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(run.to_owned(), state);
    }

    pub(super) fn report(&self, report: RunReport) {
        // The reader of the reports has gone, and so has the session.
        let _ = self.reports.send(report);
    }

    pub(super) fn note(&self, message: impl Into<String>) {
        self.report(RunReport::Note {
            message: message.into(),
        });
    }

    /// The length of a delay from now on.
    pub(super) fn length(&self, delay: &Delay) -> Duration {
        match delay {
            Delay::BackOff { attempt } => self
                .options
                .retry_delay
                .saturating_mul(2_u32.saturating_pow(*attempt))
                .min(LONGEST_DELAY),
            Delay::Until(_) if self.options.skip_sleep => Duration::ZERO,
            Delay::Until(moment) => moment.left(self.clock.now()),
        }
    }

    /// Notes a run. Its token is cancelled when an event cancels the run.
    pub(super) fn enter(&self, run: &str, function: &CatalogueFunction, began: &Value) -> CancellationToken {
        let cancel = CancellationToken::new();
        self.lock_under_way().push(CancellableRun {
            run: run.to_owned(),
            function: function.clone(),
            began: began.clone(),
            cancel: cancel.clone(),
        });
        cancel
    }

    pub(super) fn leave(&self, run: &str) {
        self.lock_under_way().retain(|known| known.run != run);
        self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
    }

    fn lock_under_way(&self) -> std::sync::MutexGuard<'_, Vec<CancellableRun>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives an event the fields that Inngest gives it.
pub(super) fn complete(mut event: Value) -> Value {
    if !event["id"].is_string() {
        event["id"] = id::ulid().into();
    }
    if !event["ts"].is_number() {
        event["ts"] = Timestamp::now().as_millisecond().into();
    }
    if event["data"].is_null() {
        event["data"] = json!({});
    }
    event
}

pub(super) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
