//! Calls that belong to an older generation: steps that it planned, and, where runs are pinned, runs
//! that began on it.
//!
//! A step that was planned is called by the id that its plan gave it. Code that was loaded since may
//! name it otherwise, which would cost the run an attempt and ten seconds. So a plan holds its
//! generation as a call does, until its step has been run, its time is up, or the generation has to
//! go.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::live::{CallInfo, Generation, Held};
use super::state::GenerationId;

/// What the SDK answers with when it streams: the answer proper is what the body holds.
pub const STREAMS: u16 = 201;
/// How long a planned step is waited for.
const PLAN_TTL: Duration = Duration::from_mins(10);
/// How many plans, and how many runs, are remembered; beyond that the oldest are forgotten.
const MOST: usize = 10_000;
/// The most plans of one answer that are remembered: Inngest takes as many steps of a run.
const MOST_OF_ANSWER: usize = 1000;
/// A longer id is none of the SDK's, whose hashes have 40 characters.
const LONGEST_ID: usize = 512;
/// The `stepId` of a call that names no step.
const DISCOVERY: &str = "step";

/// Where a run's calls go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// To the current generation, but for planned steps.
    Nothing,
    /// To the generation on which it began, for so long after its last call.
    Run(Duration),
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Holds {
    pin: Pin,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By run and hashed step id.
    plans: HashMap<(String, String), Hold>,
    runs: HashMap<String, Hold>,
}

#[derive(Debug)]
struct Hold {
    held: Held,
    until: Instant,
}

/// How many calls are to come that belong to a generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Expected {
    /// Steps that it planned.
    pub plans: usize,
    /// Runs that are pinned to it.
    pub runs: usize,
}

impl Holds {
    #[must_use]
    pub fn new(pin: Pin) -> Self {
        Self {
            pin,
            inner: Mutex::default(),
        }
    }

    /// The generation that the call belongs to, if it is not just any.
    pub(super) fn find(&self, info: &CallInfo) -> Option<Arc<Generation>> {
        let run = info.run.as_deref()?;
        let inner = self.lock();
        if let Some(step) = info.step.as_deref().filter(|step| *step != DISCOVERY) {
            let planned = inner.plans.get(&(run.to_owned(), step.to_owned()));
            if let Some(hold) = planned {
                return Some(hold.held.generation.clone());
            }
        }
        inner.runs.get(run).map(|hold| hold.held.generation.clone())
    }

    /// Learns from an answer what is to come.
    pub fn learn(&self, generation: &Arc<Generation>, info: &CallInfo, head: Head<'_>, body: &[u8]) {
        let Some(run) = info.run.as_deref() else {
            return;
        };
        let response = &Answer::of(head, body);
        let hold = |ttl| {
            let held = generation.hold()?;
            let until = Instant::now() + ttl;
            Some(Hold { held, until })
        };
        // Dropped after the lock: the last hold of a generation tells the keeper.
        let mut forgotten = Vec::new();
        let mut inner = self.lock();
        if let Some(step) = &info.step
            && is_done(response)
        {
            forgotten.extend(inner.plans.remove(&(run.to_owned(), step.clone())));
        }
        let planned = planned_steps(response).into_iter();
        for step in planned.filter(|step| step.len() <= LONGEST_ID).take(MOST_OF_ANSWER) {
            if let Some(hold) = hold(PLAN_TTL) {
                forgotten.extend(inner.plans.insert((run.to_owned(), step), hold));
            }
        }
        match self.pin {
            _ if ends_run(response) => forgotten.extend(inner.runs.remove(run)),
            Pin::Run(ttl) => {
                if let Some(hold) = hold(ttl) {
                    forgotten.extend(inner.runs.insert(run.to_owned(), hold));
                }
            }
            Pin::Nothing => {}
        }
        forgotten.extend(surplus(&mut inner.plans));
        forgotten.extend(surplus(&mut inner.runs));
        drop(inner);
        drop(forgotten);
    }

    /// What is expected of a generation.
    #[must_use]
    pub fn expected(&self, id: GenerationId) -> Expected {
        let inner = self.lock();
        let of = |hold: &&Hold| hold.held.generation.id == id;
        Expected {
            plans: inner.plans.values().filter(of).count(),
            runs: inner.runs.values().filter(of).count(),
        }
    }

    /// Forgets what was waited for long enough.
    pub(super) fn expire(&self) {
        let now = Instant::now();
        self.forget(|hold| hold.until <= now);
    }

    /// Forgets what belongs to a generation that has to go.
    pub(super) fn release(&self, id: GenerationId) {
        self.forget(|hold| hold.held.generation.id == id);
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.forget(|_| true);
    }

    fn forget(&self, forgotten: impl Fn(&Hold) -> bool) {
        let mut inner = self.lock();
        let plans: Vec<_> = inner.plans.extract_if(|_, hold| forgotten(hold)).collect();
        let runs: Vec<_> = inner.runs.extract_if(|_, hold| forgotten(hold)).collect();
        drop(inner);
        drop((plans, runs));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out the oldest of what is too much.
fn surplus<K: Clone + Eq + std::hash::Hash>(holds: &mut HashMap<K, Hold>) -> Vec<Hold> {
    let Some(excess) = holds.len().checked_sub(MOST).filter(|excess| *excess > 0) else {
        return Vec::new();
    };
    let mut ages: Vec<_> = holds.iter().map(|(key, hold)| (hold.until, key.clone())).collect();
    ages.select_nth_unstable_by_key(excess - 1, |(until, _)| *until);
    ages.into_iter()
        .take(excess)
        .filter_map(|(_, key)| holds.remove(&key))
        .collect()
}

/// How an answer begins: its status and headers.
pub type Head<'a> = (u16, &'a [(String, String)]);

/// What the SDK answered.
struct Answer<'a> {
    status: u16,
    headers: Cow<'a, [(String, String)]>,
    body: Cow<'a, [u8]>,
}

impl<'a> Answer<'a> {
    /// Where the SDK streamed, the answer proper is what the body holds (`createStream` of its handler).
    fn of((status, headers): Head<'a>, body: &'a [u8]) -> Self {
        #[derive(Deserialize)]
        struct Streamed {
            status: u16,
            headers: HashMap<String, String>,
            body: String,
        }
        if status == STREAMS
            && let Ok(streamed) = serde_json::from_slice::<Streamed>(body.trim_ascii())
        {
            return Self {
                status: streamed.status,
                headers: streamed.headers.into_iter().collect(),
                body: streamed.body.into_bytes().into(),
            };
        }
        Self {
            status,
            headers: headers.into(),
            body: body.into(),
        }
    }
}

/// An operation that the SDK reports in the body of a 206.
#[derive(Deserialize)]
struct Operation {
    id: String,
    op: String,
}

/// Hashed ids of the steps that an answer plans: each will be called for.
fn planned_steps(response: &Answer<'_>) -> Vec<String> {
    let plans = response.status == 206 && memchr::memmem::find(&response.body, b"\"StepPlanned\"").is_some();
    if !plans {
        return Vec::new();
    }
    let operations: Vec<Operation> = serde_json::from_slice(&response.body).unwrap_or_default();
    let planned = operations.into_iter().filter(|operation| operation.op == "StepPlanned");
    planned.map(|operation| operation.id).collect()
}

/// Whether the step that was called for has its result; one that failed is called for again.
fn is_done(response: &Answer<'_>) -> bool {
    response.status == 206 && memchr::memmem::find(&response.body, b"\"StepError\"").is_none()
}

/// Whether the run goes on after this answer, as far as one can tell: Inngest knows how many attempts
/// are left.
fn ends_run(response: &Answer<'_>) -> bool {
    let no_retry =
        |(name, value): &(String, String)| name.eq_ignore_ascii_case("x-inngest-no-retry") && value == "true";
    response.status == 200 || (response.status >= 400 && response.headers.iter().any(no_retry))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Answer, ends_run, is_done, planned_steps};

    fn answer(status: u16, body: &'static str) -> Answer<'static> {
        Answer::of((status, &[]), body.as_bytes())
    }

    #[test]
    fn plans_are_told_from_results_and_from_data_that_reads_like_plans() {
        let planned = answer(
            206,
            r#"[{"id":"a1","op":"StepPlanned"},{"id":"b2","op":"StepRun"},{"id":"c3","op":"StepPlanned"}]"#,
        );
        assert_eq!(planned_steps(&planned), ["a1", "c3"]);
        let data = answer(206, r#"[{"id":"a1","op":"StepRun","data":{"op":"StepPlanned"}}]"#);
        assert!(planned_steps(&data).is_empty());
        assert!(planned_steps(&answer(200, r#"[{"id":"a1","op":"StepPlanned"}]"#)).is_empty());
        let streamed = r#"   {"status":206,"headers":{},"body":"[{\"id\":\"a1\",\"op\":\"StepPlanned\"}]"}"#;
        assert_eq!(planned_steps(&answer(201, streamed)), ["a1"]);
    }

    #[test]
    fn a_step_that_failed_is_not_done_and_a_run_ends_with_its_result_or_for_good() {
        assert!(is_done(&answer(206, r#"[{"id":"a1","op":"StepRun"}]"#)));
        assert!(!is_done(&answer(206, r#"[{"id":"a1","op":"StepError"}]"#)));
        assert!(!is_done(&answer(500, "{}")));
        assert!(ends_run(&answer(200, "{}")));
        assert!(!ends_run(&answer(206, "[]")));
        assert!(!ends_run(&answer(500, "{}")));
        let mut failed = answer(400, "{}");
        failed
            .headers
            .to_mut()
            .push(("X-Inngest-No-Retry".to_owned(), "true".to_owned()));
        assert!(ends_run(&failed));
    }

    #[test]
    fn fuzz_of_answers() {
        const PARTS: &[&[u8]] = &[
            b"[{\"id\":\"a1\",\"op\":\"StepPlanned\"}]",
            b"{\"status\":206,\"headers\":{},\"body\":\"[]\"}",
            b"\"StepPlanned\"",
            b"\"StepError\"",
            b"\"status\":",
            b"\"headers\":{\"a\":1}",
            b"\"body\":",
            b"70000",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\"",
            b"\\",
            b" ",
            b"null",
            b"\xff",
            b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        ];
        let statuses = prop::sample::select(vec![200_u16, 201, 206, 400, 500, 0, u16::MAX]);
        let inputs = (statuses, crate::fuzz::bytes_of(PARTS, 24));
        crate::fuzz::fuzz("answers of the SDK", &inputs, |(status, body)| {
            let answer = Answer::of((status, &[]), &body);
            let planned = planned_steps(&answer);
            prop_assert!(planned.is_empty() || answer.status == 206);
            let _ = (is_done(&answer), ends_run(&answer));
            Ok(())
        });
    }
}
