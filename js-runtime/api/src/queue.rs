//! The calls of a generation on their way to one of its isolates.
//!
//! All isolates of a generation take from one queue, each when it has a turn: the first free isolate gets the next
//! call, a blocked isolate gets none, and a dying isolate takes nothing along but the calls that it had begun.
//!
//! Each function has a line of its own, and the lines have turns: however many calls of one function wait, a call of
//! another function waits for one of them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures::channel::oneshot;

use crate::{CallError, Request, Response};

/// A request and the place for its answer.
#[derive(Debug)]
pub struct Call {
    /// The caller's name for the call, by which [`crate::Vitals`] tell where it runs.
    pub id: u64,
    /// The request, which its taker may take apart.
    pub request: Request,
    /// The place for its answer.
    pub answer: AnswerSlot,
}

/// The place for an answer. Dropped, it reads as [`CallError::IsolateDied`].
#[derive(Debug)]
pub struct AnswerSlot {
    waiter: oneshot::Sender<TimedAnswer>,
    /// The time at which an isolate took the call.
    taken: Option<Instant>,
}

/// An answer, and the time that the isolate took for it: not the time for which the call waited for the isolate.
pub type TimedAnswer = (Result<Response, CallError>, Duration);

impl AnswerSlot {
    /// Gives the answer to its waiter, if there is one.
    pub fn give(self, answer: Result<Response, CallError>) {
        let took = self.taken.map(|taken| taken.elapsed()).unwrap_or_default();
        let _ = self.waiter.send((answer, took));
    }
}

/// The calls of a generation on their way to one of its isolates.
///
/// All isolates of a generation take from one queue. Each function has a line of its own, and the lines have turns.
#[derive(Debug, Default)]
pub struct CallQueue(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The lines of functions with calls that wait, the line with the next turn first.
    lines: VecDeque<CallLine>,
    /// The number of calls that were taken.
    takes: u64,
    /// Isolates that found nothing to take.
    waiting: Vec<Waker>,
    /// Whoever waits until a call waits.
    watcher: Option<Waker>,
    /// Tells whether the queue has ended: nobody takes from it any more.
    ended: bool,
}

/// The calls of one function, or those of no function.
#[derive(Debug)]
struct CallLine {
    function: Option<String>,
    calls: VecDeque<Call>,
}

impl Inner {
    fn push(&mut self, function: Option<&str>, call: Call) {
        match self.lines.iter_mut().find(|line| line.function.as_deref() == function) {
            Some(line) => line.calls.push_back(call),
            None => self.lines.push_back(CallLine {
                function: function.map(str::to_owned),
                calls: VecDeque::from([call]),
            }),
        }
    }

    fn take(&mut self) -> Option<Call> {
        let mut line = self.lines.pop_front()?;
        let mut call = line.calls.pop_front();
        if let Some(call) = &mut call {
            call.answer.taken = Some(Instant::now());
        }
        if !line.calls.is_empty() {
            self.lines.push_back(line);
        }
        self.takes += u64::from(call.is_some());
        call
    }
}

impl CallQueue {
    /// Adds a call of a function; resolves with its answer.
    pub fn push(
        &self,
        id: u64,
        function: Option<&str>,
        request: Request,
    ) -> impl Future<Output = Result<Response, CallError>> + Send + use<> {
        let answered = self.push_timed(id, function, request);
        async move { answered.await.0 }
    }

    /// Adds a call of a function as [`Self::push`] does; resolves with its answer and the time that it took.
    pub fn push_timed(
        &self,
        id: u64,
        function: Option<&str>,
        request: Request,
    ) -> impl Future<Output = TimedAnswer> + Send + use<> {
        let (waiter, answered) = oneshot::channel();
        let (waiting, watcher) = {
            let mut inner = self.lock();
            let call = Call {
                id,
                request,
                answer: AnswerSlot { waiter, taken: None },
            };
            // Dropped, a call reads as one whose isolate died.
            if !inner.ended {
                inner.push(function, call);
            }
            (std::mem::take(&mut inner.waiting), inner.watcher.take())
        };
        // Wakes all isolates: user code may block the first of them, and there are few.
        waiting.into_iter().chain(watcher).for_each(Waker::wake);
        async move { answered.await.unwrap_or((Err(CallError::IsolateDied), Duration::ZERO)) }
    }

    /// Takes the next call, or waits for one.
    pub fn poll_take(&self, context: &Context<'_>) -> Poll<Call> {
        let mut inner = self.lock();
        if let Some(call) = inner.take() {
            return Poll::Ready(call);
        }
        let waker = context.waker();
        if !inner.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
            inner.waiting.push(waker.clone());
        }
        Poll::Pending
    }

    /// Waits until a call waits. One caller at a time is woken.
    pub fn filled(&self) -> impl Future<Output = ()> + Send + '_ {
        std::future::poll_fn(|context| {
            let mut inner = self.lock();
            if !inner.lines.is_empty() {
                return Poll::Ready(());
            }
            inner.watcher = Some(context.waker().clone());
            Poll::Pending
        })
    }

    /// Returns the number of calls that isolates have taken. While calls wait and it stands still, each isolate's thread
    /// is held by what it has begun; while it grows, the calls wait for their turn.
    #[must_use]
    pub fn takes(&self) -> u64 {
        self.lock().takes
    }

    /// Counts the calls that no isolate has begun.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().lines.iter().map(|line| line.calls.len()).sum()
    }

    /// Tells whether an isolate has begun each call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().lines.is_empty()
    }

    /// Ends the queue: nobody takes from it any more. The calls that no isolate has begun, and all later calls, get
    /// the answer that their isolate died.
    pub fn end(&self) {
        let calls = {
            let mut inner = self.lock();
            inner.ended = true;
            std::mem::take(&mut inner.lines)
        };
        drop(calls);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;

    use super::CallQueue;
    use crate::{Body, CallError, Caller, Request, Target};

    fn request() -> Request {
        Request {
            method: "GET".to_owned(),
            url: "http://localhost/".to_owned(),
            headers: Vec::new(),
            body: Body::Full(Bytes::new()),
            subject: crate::CallSubject::default(),
            target: Target::Fetch,
            caller: Caller::default(),
        }
    }

    #[test]
    fn functions_have_turns_and_calls_of_one_are_taken_as_they_came() {
        let queue = CallQueue::default();
        let many = Some("many");
        let pushed = [(1, many), (2, many), (3, many), (4, Some("one")), (5, None), (6, many)];
        let answers: Vec<_> = pushed
            .into_iter()
            .map(|(id, function)| queue.push(id, function, request()))
            .collect();
        assert_eq!(queue.len(), answers.len());
        let taken: Vec<u64> = std::iter::from_fn(|| match queue.poll_take(&Context::from_waker(Waker::noop())) {
            Poll::Ready(call) => Some(call.id),
            Poll::Pending => None,
        })
        .collect();
        assert_eq!(taken, [1, 4, 5, 2, 3, 6]);
        assert!(queue.is_empty());
    }

    #[test]
    fn an_ended_queue_answers_what_waits_and_what_comes_later() {
        let queue = CallQueue::default();
        let waits = queue.push(1, None, request());
        queue.end();
        let late = queue.push(2, None, request());
        for answer in [futures::executor::block_on(waits), futures::executor::block_on(late)] {
            assert_eq!(answer.err(), Some(CallError::IsolateDied));
        }
        assert!(queue.is_empty());
    }
}
