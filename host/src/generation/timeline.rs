//! The last minutes, for whoever looks: calls that ended, states of generations, reloads.
//!
//! The timeline is bounded, whatever the rate: of each second it keeps the longest calls, and it counts all. It
//! pushes nothing to anybody: a follower asks for the news since a [`Mark`]. So a slow follower costs no more than a
//! fast one, and misses only news that is no longer kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use js_runtime_api::{CallError, Response};
use serde::Serialize;
use tokio::time::Instant;

use super::live::CallInfo;
use super::pool::IsolateId;
use super::report::Report;
use super::state::GenerationId;

/// The number of seconds that the timeline goes back.
pub const SECONDS_KEPT: usize = 300;
/// The number of calls of a second that are kept; the others are only counted.
const CALLS_A_SECOND: usize = 40;
const MOMENTS_KEPT: usize = 500;
const RELOADS_KEPT: usize = 30;
/// A larger body is not searched for the attempt.
const BODY_SEARCHED: usize = 64 << 10;

/// The last minutes of a host: see the module's documentation.
#[derive(Debug)]
pub struct Timeline {
    /// One moment on both clocks, so that setting the system's clock moves nothing.
    began: (Instant, f64),
    inner: Mutex<Inner>,
    /// The time that user code held isolates' threads, in milliseconds.
    blocked: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    seconds: VecDeque<Second>,
    moments: VecDeque<(u64, StateChange)>,
    reloads: VecDeque<ReloadRecord>,
    /// The number of reloads since the host began.
    reloads_ever: u64,
    /// The last call of each function, and its answer.
    last: BTreeMap<String, LastCall>,
}

#[derive(Debug)]
struct Second {
    /// The second of the Unix epoch.
    at: i64,
    changed: u64,
    kept: Vec<(u64, FinishedCall)>,
    counts: BTreeMap<GenerationId, u32>,
}

/// The place up to which a follower knows the timeline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark(u64);

/// A call that has begun; times are milliseconds of the Unix epoch.
#[derive(Debug, Clone, Serialize)]
pub struct CallStart {
    pub generation: GenerationId,
    /// The number of the call within its generation.
    pub call: u64,
    pub function: Option<String>,
    pub run: Option<String>,
    pub step: Option<String>,
    pub attempt: Option<u32>,
    /// The isolate of the call, unknown while several could have it.
    pub isolate: Option<IsolateId>,
    pub began: f64,
}

/// A call that is over.
#[derive(Debug, Clone, Serialize)]
pub struct FinishedCall {
    #[serde(flatten)]
    pub begun: CallStart,
    pub ms: f64,
    #[serde(flatten)]
    pub answer: CallResult,
}

/// The answer of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CallResult {
    /// The HTTP status of the project's own answer.
    pub status: Option<u16>,
    /// The reason why there was none.
    pub error: Option<&'static str>,
}

impl From<&Result<Response, CallError>> for CallResult {
    fn from(result: &Result<Response, CallError>) -> Self {
        match result {
            Ok(response) => Self {
                status: Some(response.status),
                error: None,
            },
            Err(error) => Self {
                status: None,
                error: Some(match error {
                    CallError::IsolateDied => "isolate_died",
                    CallError::Threw(_) => "threw",
                    CallError::NeverSettles => "never_settles",
                    CallError::HungUp => "hung_up",
                    CallError::NoAnswer(_) => "no_answer",
                }),
            },
        }
    }
}

/// The last call of a function that ended.
#[derive(Debug, Clone, Serialize)]
pub struct LastCall {
    pub at: f64,
    pub ms: f64,
    /// The number of the function's calls since the host began.
    pub calls: u64,
    #[serde(flatten)]
    pub answer: CallResult,
}

/// A generation came into a state.
#[derive(Debug, Clone, Serialize)]
pub struct StateChange {
    pub generation: GenerationId,
    pub state: &'static str,
    pub at: f64,
}

/// A reload that was answered.
#[derive(Debug, Clone, Serialize)]
pub struct ReloadRecord {
    pub at: Timestamp,
    pub report: Arc<Report>,
}

/// The news since a mark.
#[derive(Debug, Default, Serialize)]
pub struct TimelineNews {
    #[serde(skip)]
    pub mark: Mark,
    pub ended: Vec<FinishedCall>,
    /// The number of calls that ended in a second, by generation, for each second in which a call ended.
    pub counts: Vec<(i64, GenerationId, u32)>,
    pub moments: Vec<StateChange>,
    /// The number of reloads since the host began.
    pub reloads: u64,
}

impl Default for Timeline {
    fn default() -> Self {
        #[allow(clippy::cast_precision_loss, reason = "milliseconds of our time are exact")]
        let now = Timestamp::now().as_microsecond() as f64 / 1000.0;
        Self {
            began: (Instant::now(), now),
            inner: Mutex::default(),
            blocked: AtomicU64::default(),
        }
    }
}

impl Timeline {
    /// Converts a moment to milliseconds of the Unix epoch.
    #[must_use]
    pub fn millis(&self, at: Instant) -> f64 {
        let (began, epoch) = self.began;
        let since = match at.checked_duration_since(began) {
            Some(later) => later.as_secs_f64(),
            None => -began.duration_since(at).as_secs_f64(),
        };
        ((epoch + since * 1000.0) * 10.0).round() / 10.0
    }

    pub(super) fn call_ended(&self, begun: CallStart, since: Instant, answer: CallResult) {
        let ms = (since.elapsed().as_secs_f64() * 10_000.0).round() / 10.0;
        let at = begun.began + ms;
        let generation = begun.generation;
        let mut inner = self.lock();
        inner.next += 1;
        let mark = inner.next;
        if let Some(function) = &begun.function {
            let calls = inner.last.get(function).map_or(0, |last| last.calls) + 1;
            // A caller may name any function: only so many names are kept.
            if calls > 1 || inner.last.len() < 1000 {
                inner.last.insert(function.clone(), LastCall { at, ms, calls, answer });
            }
        }
        #[allow(clippy::cast_possible_truncation, reason = "whole seconds")]
        let second = inner.second((at / 1000.0) as i64);
        second.changed = mark;
        *second.counts.entry(generation).or_default() += 1;
        let ended = FinishedCall { begun, ms, answer };
        if second.kept.len() < CALLS_A_SECOND {
            second.kept.push((mark, ended));
        } else if let Some(shortest) = second
            .kept
            .iter_mut()
            .min_by(|one, other| one.1.ms.total_cmp(&other.1.ms))
            && shortest.1.ms < ended.ms
        {
            *shortest = (mark, ended);
        }
    }

    pub(super) fn generation_became(&self, generation: GenerationId, state: &'static str) {
        let at = self.millis(Instant::now());
        let mut inner = self.lock();
        inner.next += 1;
        let moment = (inner.next, StateChange { generation, state, at });
        push_bounded(&mut inner.moments, moment, MOMENTS_KEPT);
    }

    pub(super) fn reloaded(&self, report: Arc<Report>) {
        let mut inner = self.lock();
        inner.reloads_ever += 1;
        let reloaded = ReloadRecord {
            at: Timestamp::now(),
            report,
        };
        push_bounded(&mut inner.reloads, reloaded, RELOADS_KEPT);
    }

    /// Notes that so many isolates were blocked for so long.
    pub(super) fn isolates_blocked(&self, isolates: usize, time: Duration) {
        let millis = time.as_millis() as u64 * isolates as u64;
        self.blocked.fetch_add(millis, Ordering::Relaxed);
    }

    /// The time that user code held isolates' threads, of all isolates together.
    #[must_use]
    pub fn blocked(&self) -> Duration {
        Duration::from_millis(self.blocked.load(Ordering::Relaxed))
    }

    /// The news since the mark; with the default mark everything that is kept.
    #[must_use]
    pub fn since(&self, Mark(mark): Mark) -> TimelineNews {
        let inner = self.lock();
        let mut news = TimelineNews {
            mark: Mark(inner.next),
            reloads: inner.reloads_ever,
            ..TimelineNews::default()
        };
        for second in inner.seconds.iter().filter(|second| second.changed > mark) {
            let kept = second.kept.iter().filter(|(at, _)| *at > mark);
            news.ended.extend(kept.map(|(_, ended)| ended.clone()));
            news.counts
                .extend(second.counts.iter().map(|(id, count)| (second.at, *id, *count)));
        }
        let moments = inner.moments.iter().filter(|(at, _)| *at > mark);
        news.moments.extend(moments.map(|(_, moment)| moment.clone()));
        news
    }

    /// The reloads that are kept, the newest first.
    #[must_use]
    pub fn reloads(&self) -> Vec<ReloadRecord> {
        self.lock().reloads.iter().rev().cloned().collect()
    }

    /// The last call of each function.
    #[must_use]
    pub fn last_calls(&self) -> BTreeMap<String, LastCall> {
        self.lock().last.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Returns the newest second, after adding the second `at` where that is newer.
    fn second(&mut self, at: i64) -> &mut Second {
        let newest = self.seconds.back().map(|second| second.at);
        if newest.is_none_or(|newest| newest < at) {
            let second = Second {
                at,
                changed: 0,
                kept: Vec::new(),
                counts: BTreeMap::new(),
            };
            push_bounded(&mut self.seconds, second, SECONDS_KEPT);
        }
        let last = self.seconds.len() - 1;
        &mut self.seconds[last]
    }
}

impl CallStart {
    /// Describes a call. Only now its attempt is read from the request's body.
    pub(super) fn new(
        info: &CallInfo,
        generation: GenerationId,
        call: u64,
        isolate: Option<IsolateId>,
        began: f64,
    ) -> Self {
        let attempt = (info.body.len() <= BODY_SEARCHED).then(|| info.attempt()).flatten();
        Self {
            generation,
            call,
            function: info.function.clone(),
            run: info.run.clone(),
            step: info.step.clone(),
            attempt,
            isolate,
            began,
        }
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{CALLS_A_SECOND, CallResult, CallStart, Mark, Timeline};
    use crate::generation::{CallInfo, GenerationId};

    fn call(timeline: &Timeline, number: u64, took: Duration) {
        let since = Instant::now() - took;
        let began = timeline.millis(since);
        let info = CallInfo {
            function: Some("app-hello".to_owned()),
            ..CallInfo::default()
        };
        let begun = CallStart::new(&info, GenerationId(1), number, None, began);
        timeline.call_ended(begun, since, CallResult::default());
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_busy_second_the_longest_calls_are_kept_and_all_are_counted() {
        let timeline = Timeline::default();
        for number in 0..1000 {
            call(&timeline, number, Duration::from_millis(number % 100));
        }
        let news = timeline.since(Mark::default());
        assert_eq!(news.ended.len(), CALLS_A_SECOND);
        assert!(news.ended.iter().all(|ended| ended.ms >= 95.0), "{:?}", news.ended);
        let counted: u32 = news.counts.iter().map(|(_, _, count)| count).sum();
        assert_eq!(counted, 1000);
        assert_eq!(timeline.last_calls()["app-hello"].calls, 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_is_told_each_thing_once() {
        let timeline = Timeline::default();
        call(&timeline, 1, Duration::ZERO);
        timeline.generation_became(GenerationId(1), "current");
        let first = timeline.since(Mark::default());
        assert_eq!((first.ended.len(), first.moments.len()), (1, 1));
        call(&timeline, 2, Duration::ZERO);
        let second = timeline.since(first.mark);
        assert_eq!((second.ended.len(), second.moments.len()), (1, 0));
        assert_eq!(second.ended[0].begun.call, 2);
        let nothing = timeline.since(second.mark);
        assert!(nothing.ended.is_empty() && nothing.counts.is_empty());
    }
}
