//! Outcomes of steps that were given beforehand: such a step is answered here, and its code does not run.
//!
//! The function has its steps planned (`disable_immediate_execution`), so that a step is known before it runs. A mock
//! holds for each step of its id, or of its displayed name, in the run and in the runs that the run begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::answer::{Answer, error};
use super::op::{HttpRequest, Op, Step, Wait};
use super::session::Session;

/// The outcome of a step that has a mock.
#[derive(Debug, Clone, PartialEq)]
pub enum Mock {
    Output(Value),
    /// An error as the SDK serialises it; the step fails for good with it.
    Error(Value),
    /// The outcome is asked for at each attempt.
    Asked,
}

/// A step whose outcome is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct MockQuestion {
    /// `<app>-<function>`.
    pub function: String,
    pub step: Step,
    /// The number of the attempt, from 0.
    pub attempt: u32,
}

/// The answer to a question: a step's output, or the error that the step throws.
pub type Reply = Result<Value, Value>;

/// The side that answers questions.
pub trait Oracle: Send + Sync + 'static {
    fn ask(&self, question: MockQuestion) -> BoxFuture<'static, Reply>;
}

/// The mocks of a session.
#[derive(Default)]
pub struct Mocks {
    by_step: BTreeMap<String, Mock>,
    oracle: Option<Arc<dyn Oracle>>,
    unused: Mutex<BTreeSet<String>>,
    /// The steps that no mock holds for.
    others: Mutex<BTreeSet<String>>,
}

/// The most steps that a note names.
const MOST_NAMED: usize = 10;

impl Mocks {
    /// Makes the mocks of these steps. `oracle` answers for [`Mock::Asked`].
    #[must_use]
    pub fn new(by_step: BTreeMap<String, Mock>, oracle: Option<Arc<dyn Oracle>>) -> Self {
        let unused = by_step.keys().cloned().collect();
        Self {
            by_step,
            oracle,
            unused: Mutex::new(unused),
            others: Mutex::default(),
        }
    }

    /// Tells whether steps have to be planned before they run.
    #[must_use]
    pub fn plan_first(&self) -> bool {
        !self.by_step.is_empty()
    }

    /// Tells whether the step has a mock.
    #[must_use]
    pub fn holds_for(&self, step: &Step) -> bool {
        self.of(step).is_some()
    }

    fn of(&self, step: &Step) -> Option<(&str, &Mock)> {
        let found = self
            .by_step
            .get_key_value(&step.user_id)
            .or_else(|| self.by_step.get_key_value(&step.name));
        found.map(|(name, mock)| (name.as_str(), mock))
    }

    /// Returns the reply to an attempt of a step, and whether the step may be tried again; `None` when the step has no
    /// mock.
    pub fn reply(&self, function: &str, step: &Step, attempt: u32) -> Option<BoxFuture<'static, (Reply, bool)>> {
        let Some((name, mock)) = self.of(step) else {
            if self.plan_first() {
                lock(&self.others).insert(step.name.clone());
            }
            return None;
        };
        lock(&self.unused).remove(name);
        let given = |reply| std::future::ready((reply, false)).boxed();
        Some(match (mock, &self.oracle) {
            (Mock::Output(output), _) => given(Ok(output.clone())),
            (Mock::Error(error), _) => given(Err(error.clone())),
            (Mock::Asked, Some(oracle)) => {
                let question = MockQuestion {
                    function: function.to_owned(),
                    step: step.clone(),
                    attempt,
                };
                let asked = oracle.ask(question);
                async move {
                    let reply = asked.await;
                    let again = !matches!(&reply, Err(error) if error["name"] == "NonRetriableError");
                    (reply, again)
                }
                .boxed()
            }
            (Mock::Asked, None) => given(Err(error("MockError", "the tests do not answer for this mock"))),
        })
    }

    /// Returns what people should know of mocks that no step has used.
    #[must_use]
    pub fn note_of_unused(&self) -> Option<String> {
        let unused: Vec<String> = lock(&self.unused).iter().map(|name| format!("{name:?}")).collect();
        if unused.is_empty() {
            return None;
        }
        let others: Vec<String> = lock(&self.others)
            .iter()
            .take(MOST_NAMED)
            .map(|name| format!("{name:?}"))
            .collect();
        let others = match others[..] {
            [] => "no other step ran".to_owned(),
            _ => format!("steps that ran without a mock: {}", others.join(", ")),
        };
        Some(format!("no step used the mock of {}; {others}", unused.join(", ")))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the answer that the SDK would have given to the call of a planned step.
pub fn answer(step: Step, reply: Reply, again: bool) -> Answer {
    let op = match reply {
        Ok(data) => Op::Ran { step, data },
        Err(error) => Op::Threw { step, error, again },
    };
    Answer::Ops {
        version: None,
        ops: vec![op],
        after: None,
    }
}

/// Returns the outcome of a wait in the form of the state.
pub fn outcome(wait: &Wait, reply: Reply) -> Value {
    let output = match reply {
        Ok(output) => output,
        Err(error) => return json!({ "error": error }),
    };
    match wait {
        Wait::Sleep(_) => Value::Null,
        Wait::Event { .. } | Wait::Signal { .. } if output.is_null() => Value::Null,
        Wait::Event { name, .. } => event(name, output),
        Wait::Signal { signal, .. } => json!({"data": {"signal": signal, "data": output}}),
        Wait::Invoke { .. } | Wait::Http(HttpRequest { infer: true, .. }) => json!({ "data": output }),
        Wait::Http(_) if output["status_code"].is_number() => json!({ "data": output }),
        Wait::Http(_) => json!({"data": {
            "status_code": 200,
            "headers": {"content-type": "application/json"},
            "body": output.to_string(),
        }}),
    }
}

/// Returns the event that a mock of `step.waitForEvent` stands for.
fn event(name: &str, mut output: Value) -> Value {
    let Some(fields) = output.as_object_mut().filter(|fields| fields.contains_key("data")) else {
        let message =
            format!("the mock of a wait for {name:?} is not an event: give {{\"data\": {{…}}}}, or null for a timeout");
        return json!({ "error": error("MockError", &message) });
    };
    let given = fields.get("name").and_then(Value::as_str).unwrap_or(name).to_owned();
    let mut event = Session::event(&given, fields.remove("data").unwrap_or_default());
    if let Some(complete) = event.as_object_mut() {
        complete.extend(std::mem::take(fields));
    }
    event
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Mock, Mocks, outcome};
    use crate::runner::op::{HttpRequest, Step, Wait};

    fn step(id: &str, name: &str) -> Step {
        Step {
            user_id: id.to_owned(),
            name: name.to_owned(),
            ..Step::default()
        }
    }

    #[tokio::test]
    async fn a_mock_holds_for_an_id_and_for_a_displayed_name() {
        let mocks = [("charge", Mock::Output(json!(1))), ("Tell them", Mock::Error(json!(2)))];
        let mocks = mocks.map(|(name, mock)| (name.to_owned(), mock));
        let mocks = Mocks::new(mocks.into(), None);
        let reply = mocks.reply("f", &step("charge", "Charge the card"), 0).unwrap().await;
        assert_eq!(reply, (Ok(json!(1)), false));
        assert!(mocks.reply("f", &step("other", "other"), 0).is_none());
        let note = mocks.note_of_unused().unwrap();
        assert_eq!(
            note,
            r#"no step used the mock of "Tell them"; steps that ran without a mock: "other""#
        );
        let reply = mocks.reply("f", &step("tell", "Tell them"), 0).unwrap().await;
        assert_eq!(reply, (Err(json!(2)), false));
        assert_eq!(mocks.note_of_unused(), None);
    }

    #[test]
    fn a_wait_comes_to_what_the_state_holds_for_it() {
        let waits = Wait::Event {
            name: "go".to_owned(),
            expression: None,
            timeout: None,
        };
        assert_eq!(outcome(&waits, Ok(Value::Null)), Value::Null, "a timeout");
        let event = outcome(&waits, Ok(json!({"data": {"n": 1}, "v": "2"})));
        assert_eq!(
            (&event["name"], &event["data"], &event["v"]),
            (&json!("go"), &json!({"n": 1}), &json!("2"))
        );
        assert!(event["ts"].is_number(), "{event}");
        let wrong = outcome(&waits, Ok(json!({"n": 1})));
        assert_eq!(wrong["error"]["name"], "MockError", "{wrong}");
        let thrown = outcome(&waits, Err(json!({"message": "boom"})));
        assert_eq!(thrown, json!({"error": {"message": "boom"}}));
        let fetch = Wait::Http(HttpRequest::default());
        let fetched = outcome(&fetch, Ok(json!({"ok": true})));
        assert_eq!(fetched["data"]["body"], r#"{"ok":true}"#);
    }
}
