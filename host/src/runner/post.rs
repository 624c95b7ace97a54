//! Events on their way: the waits for them, and the events that are still to be sent.
//!
//! An event that was asked for (`--send-event`) is sent once something waits for it: Inngest does not show a wait the
//! events that came before it. An event of a function is sent at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::expression::{Verdict, evaluate};

/// The event that a step or a run waits for.
#[derive(Debug, Clone)]
pub struct AwaitedEvent {
    pub name: String,
    pub expression: Option<String>,
    /// The event that began the run.
    pub began: Value,
}

impl AwaitedEvent {
    /// Tells whether an event is the wanted one.
    fn is(&self, came: &Value) -> bool {
        came["name"] == self.name.as_str()
            && self
                .expression
                .as_deref()
                .is_none_or(|expression| evaluate(expression, &self.began, came) != Verdict::Fails)
    }

    /// Tells whether the expression cannot be evaluated, so that any event of the name will do.
    #[must_use]
    pub fn is_not_understood(&self) -> bool {
        let expression = self.expression.as_deref();
        expression.is_some_and(|text| evaluate(text, &self.began, &json!({})) == Verdict::NotUnderstood)
    }
}

#[derive(Debug, Default)]
pub struct Post(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Vec<(AwaitedEvent, oneshot::Sender<Value>)>,
    signals: Vec<(String, oneshot::Sender<Value>)>,
    unsent: Vec<Value>,
}

impl Post {
    /// Makes a post with events to be sent, each once something waits for it.
    #[must_use]
    pub fn new(unsent: Vec<Value>) -> Self {
        Self(Mutex::new(Inner {
            unsent,
            ..Inner::default()
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a receiver that resolves with the event. Also returns the event if it was one of those to be sent.
    pub fn wait(&self, wanted: AwaitedEvent) -> (oneshot::Receiver<Value>, Option<Value>) {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner();
        if let Some(at) = inner.unsent.iter().position(|event| wanted.is(event)) {
            let event = inner.unsent.remove(at);
            let _ = sender.send(event.clone());
            return (receiver, Some(event));
        }
        inner.waiting.push((wanted, sender));
        (receiver, None)
    }

    /// Takes an event that is to be sent and that `fits`.
    pub fn take(&self, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let mut inner = self.inner();
        let at = inner.unsent.iter().position(fits)?;
        Some(inner.unsent.remove(at))
    }

    /// Gives an event to all that wait for it.
    pub fn send(&self, event: &Value) {
        let mut inner = self.inner();
        let (fitting, waiting) = std::mem::take(&mut inner.waiting)
            .into_iter()
            .partition(|(wanted, _)| wanted.is(event));
        inner.waiting = waiting;
        let fitting: Vec<(AwaitedEvent, oneshot::Sender<Value>)> = fitting;
        for (_, sender) in fitting {
            let _ = sender.send(event.clone());
        }
    }

    pub fn wait_for_signal(&self, signal: &str) -> oneshot::Receiver<Value> {
        let (sender, receiver) = oneshot::channel();
        self.inner().signals.push((signal.to_owned(), sender));
        receiver
    }

    /// Gives a signal to the wait for it. Returns false when there is none.
    pub fn signal(&self, signal: &str, data: &Value) -> bool {
        let mut inner = self.inner();
        let Some(at) = inner
            .signals
            .iter()
            .position(|(known, sender)| known == signal && !sender.is_closed())
        else {
            return false;
        };
        let (name, sender) = inner.signals.remove(at);
        sender.send(json!({"signal": name, "data": data})).is_ok()
    }

    /// The names of events that nothing has waited for.
    #[must_use]
    pub fn unsent(&self) -> Vec<String> {
        let inner = self.inner();
        let names = inner.unsent.iter().filter_map(|event| event["name"].as_str());
        names.map(str::to_owned).collect()
    }
}
