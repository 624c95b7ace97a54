//! The isolates of a generation. They take their calls from one queue. An isolate that dies is replaced. While calls
//! wait because all isolates are busy or blocked, another isolate is made, up to a limit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use js_runtime_api::{CallQueue, DebugSession, Isolate, RunningCall, Vitals};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// An isolate's number within its generation. The first is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IsolateId(pub u64);

/// The time after which an isolate that owes a sign of life is blocked.
pub(super) const BLOCKED_AFTER: Duration = Duration::from_secs(1);
/// The time for which a call may wait while no isolate takes any: somebody holds the thread of each.
const STALLED_AFTER: Duration = Duration::from_millis(20);
/// The same time while a generation has its first calls, which have their code compiled.
const FIRST_STALLED_AFTER: Duration = Duration::from_millis(200);
/// The time that user code may finish work before somebody is told.
const A_WHILE: Duration = Duration::from_secs(5);
/// The time after which isolates that left calls waiting at every look have more to do than they can.
const OVERLOADED_AFTER: Duration = Duration::from_secs(1);

/// The isolates of a generation: see the module's documentation.
#[derive(Debug)]
pub struct Pool {
    pub(super) queue: Arc<CallQueue>,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    isolates: Vec<Member>,
    /// The time since which calls have waited at every look.
    calls_wait_since: Option<Instant>,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: IsolateId,
    isolate: Arc<dyn Isolate>,
    vitals: Vitals,
    /// Tells whether the isolate was blocked at the last look, of which somebody was told.
    blocked: bool,
    /// Tells whether the isolate was told to end now.
    terminated: bool,
    /// The time since which the isolate is nearly out of memory and has no calls, so that it is to end.
    ending_since: Option<Instant>,
    finishing: DrainWorkTime,
}

/// The time for which user code has been finishing work beside calls.
#[derive(Debug, Clone, Copy)]
enum DrainWorkTime {
    No,
    Since(Instant),
    /// User code has been finishing work for so long that somebody was told.
    Long,
}

/// The state of an isolate when it was last looked at.
#[derive(Debug, Clone)]
pub struct IsolateObservation {
    pub id: IsolateId,
    pub vitals: Vitals,
    pub blocked: bool,
}

/// The changes that a look at the isolates found.
#[derive(Debug, Default)]
pub(super) struct PoolChanges {
    /// The isolates that have just become blocked.
    pub(super) blocked: Vec<IsolateObservation>,
    /// The isolates that have just become free again.
    pub(super) freed: Vec<IsolateId>,
    /// The isolates that are nearly out of memory, which was not known before.
    pub(super) condemned: Vec<IsolateObservation>,
    /// The isolates whose user code has been finishing work for a while.
    pub(super) finishing: Vec<IsolateObservation>,
}

/// An isolate that was ended for a call that went beyond a limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EndedIsolate {
    pub(super) isolate: IsolateId,
    pub(super) call: u64,
}

impl Pool {
    pub(super) fn new(queue: Arc<CallQueue>) -> Self {
        Self {
            queue,
            members: Mutex::default(),
        }
    }

    /// The states of the isolates when they were last looked at.
    #[must_use]
    pub fn observed(&self) -> Vec<IsolateObservation> {
        self.lock().isolates.iter().map(Member::observed).collect()
    }

    /// The isolate that has, or had, the call: it was seen with the call, or no other isolate takes calls.
    #[must_use]
    pub fn isolate_of(&self, call: u64) -> Option<IsolateId> {
        let members = self.lock();
        let seen = |member: &&Member| member.vitals.calls.iter().any(|running| running.id == call);
        if let Some(member) = members.isolates.iter().find(seen) {
            return Some(member.id);
        }
        let mut takes = members.isolates.iter().filter(|member| member.takes_calls());
        takes.next().filter(|_| takes.next().is_none()).map(|member| member.id)
    }

    /// The number of calls that no isolate has begun.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Tells whether no isolate takes calls: user code holds their threads, or they are to end.
    #[must_use]
    pub fn all_blocked(&self) -> bool {
        !self.lock().isolates.iter().any(Member::takes_calls)
    }

    /// Resolves once a call has waited for a while during which no isolate took any. The while is longer until the
    /// generation has had its `first_calls`.
    pub(super) fn stalled(&self, first_calls: Instant) -> impl Future<Output = ()> + Send + use<> {
        let queue = self.queue.clone();
        async move {
            loop {
                queue.filled().await;
                let takes = queue.takes();
                let is_first = Instant::now() < first_calls;
                tokio::time::sleep(if is_first { FIRST_STALLED_AFTER } else { STALLED_AFTER }).await;
                if !queue.is_empty() && queue.takes() == takes {
                    return;
                }
            }
        }
    }

    /// Tells whether calls waited at every look for a second, although isolates take them.
    pub(super) fn is_overloaded(&self) -> bool {
        let since = self.lock().calls_wait_since;
        since.is_some_and(|since| since.elapsed() >= OVERLOADED_AFTER)
    }

    /// The number of isolates that are not about to end.
    pub(super) fn lasting(&self) -> usize {
        self.lock().isolates.iter().filter(|member| member.lasts()).count()
    }

    pub(super) fn add(&self, isolate: Arc<dyn Isolate>) -> IsolateId {
        let mut members = self.lock();
        let id = IsolateId(members.next);
        members.next += 1;
        // The looks from now on show whether this isolate is enough.
        members.calls_wait_since = None;
        members.isolates.push(Member {
            id,
            isolate,
            vitals: Vitals::default(),
            blocked: false,
            terminated: false,
            ending_since: None,
            finishing: DrainWorkTime::No,
        });
        id
    }

    pub(super) fn remove(&self, id: IsolateId) {
        self.lock().isolates.retain(|member| member.id != id);
    }

    pub(super) fn len(&self) -> usize {
        self.lock().isolates.len()
    }

    /// The calls that ran in an isolate when it was last looked at.
    pub(super) fn calls_of(&self, id: IsolateId) -> Vec<u64> {
        let members = self.lock();
        let member = members.isolates.iter().find(|member| member.id == id);
        let calls = member.map(|member| member.isolate.vitals().calls);
        calls.iter().flatten().map(|call| call.id).collect()
    }

    /// The calls that had used more processor time than this when their isolates were last looked at.
    pub(super) fn over_cpu(&self, limit: Duration) -> Vec<u64> {
        let members = self.lock();
        let calls = members.isolates.iter().flat_map(|member| &member.vitals.calls);
        calls.filter(|call| call.cpu > limit).map(|call| call.id).collect()
    }

    /// Looks at each isolate, and asks it for a sign of life until the next look.
    pub(super) fn look(&self) -> PoolChanges {
        let mut changes = PoolChanges::default();
        let calls_wait = !self.queue.is_empty();
        let mut members = self.lock();
        for member in &mut members.isolates {
            let condemned_before = member.vitals.condemned;
            member.vitals = member.isolate.vitals();
            if member.vitals.condemned && !condemned_before {
                changes.condemned.push(member.observed());
            }
            let ending = member.vitals.condemned && member.vitals.calls.is_empty();
            member.ending_since = ending.then(|| member.ending_since.unwrap_or_else(Instant::now));
            if member.has_finished_for_a_while() {
                changes.finishing.push(member.observed());
            }
            let blocked = !member.vitals.paused && member.vitals.blocked_for >= BLOCKED_AFTER;
            if blocked != member.blocked {
                member.blocked = blocked;
                if blocked {
                    changes.blocked.push(member.observed());
                } else {
                    changes.freed.push(member.id);
                }
            }
        }
        // Calls wait for a person while a debugger has a session with an isolate.
        members.calls_wait_since = match members.calls_wait_since {
            since if calls_wait && !members.is_debugged() => since.or_else(|| Some(Instant::now())),
            _ => None,
        };
        changes
    }

    /// A debugger's session with this isolate, or with the first that is not about to end.
    #[must_use]
    pub fn debug(&self, isolate: Option<IsolateId>) -> Option<DebugSession> {
        let members = self.lock();
        let mut all = members.isolates.iter();
        let member = match isolate {
            Some(id) => all.find(|member| member.id == id),
            None => all.find(|member| member.lasts()),
        };
        member?.isolate.debug()
    }

    /// Tells whether a debugger has a session with one of the isolates: time means nothing then.
    #[must_use]
    pub fn is_debugged(&self) -> bool {
        self.lock().is_debugged()
    }

    /// Ends the isolates in which these calls run, and returns the ended isolates, each once.
    pub(super) fn terminate_running(&self, calls: &[u64]) -> Vec<EndedIsolate> {
        let mut ended = Vec::new();
        for member in self.lock().isolates.iter_mut().filter(|member| !member.terminated) {
            let overdue = member.vitals.calls.iter().find(|call| calls.contains(&call.id));
            if let Some(RunningCall { id: call, .. }) = overdue {
                ended.push(EndedIsolate {
                    isolate: member.id,
                    call: *call,
                });
                member.terminated = true;
                member.isolate.terminate();
            }
        }
        ended
    }

    /// Ends the isolates that are to end, have no calls, and whose code has held their thread for `stuck_after`. An
    /// isolate is to end because its generation is `closing`, or because its memory is nearly used up. In the latter
    /// case it is ended after `within` in any case; a generation has its own deadline. Returns the ended isolates,
    /// each once.
    pub(super) fn terminate_stuck(&self, closing: bool, stuck_after: Duration, within: Duration) -> Vec<IsolateId> {
        let mut ended = Vec::new();
        for member in self.lock().isolates.iter_mut().filter(|member| !member.terminated) {
            let Vitals {
                calls,
                paused,
                blocked_for,
                ..
            } = &member.vitals;
            let is_stuck = !*paused && *blocked_for >= stuck_after;
            let ends = member.ending_since;
            let is_late = ends.is_some_and(|since| since.elapsed() >= within);
            if calls.is_empty() && (is_late || (is_stuck && (closing || ends.is_some()))) {
                ended.push(member.id);
                member.terminated = true;
                member.isolate.terminate();
            }
        }
        ended
    }

    /// Tells whether each isolate that is left was told to end now.
    pub(super) fn all_terminated(&self) -> bool {
        self.lock().isolates.iter().all(|member| member.terminated)
    }

    /// Tells user code that another generation gets the new calls.
    pub(super) fn drain(&self) {
        self.lock().isolates.iter().for_each(|member| member.isolate.drain());
    }

    /// Resolves once the user code of every isolate has finished what it does after [`Self::drain`].
    pub(super) fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        let all: Vec<_> = self
            .lock()
            .isolates
            .iter()
            .map(|member| member.isolate.drained())
            .collect();
        futures::future::join_all(all).map(drop)
    }

    /// Closes every isolate: it takes no other call, and ends once it has answered its calls.
    pub(super) fn close(&self) {
        self.lock().isolates.iter().for_each(|member| member.isolate.close());
    }

    /// Ends every isolate now. All calls, also those that wait, are answered with the error that their isolate died.
    pub fn terminate(&self) {
        for member in &mut self.lock().isolates {
            member.terminated = true;
            member.isolate.terminate();
        }
        self.queue.end();
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        // Nothing panics while it holds the lock.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    fn is_debugged(&self) -> bool {
        self.isolates.iter().any(|member| member.vitals.debuggers > 0)
    }
}

impl Member {
    /// Tells whether the isolate is to stay. An isolate that ends is replaced before it is gone, since native code
    /// may keep its thread.
    const fn lasts(&self) -> bool {
        !self.terminated && !self.vitals.condemned
    }

    const fn takes_calls(&self) -> bool {
        self.lasts() && !self.blocked
    }

    /// Tells, once, that the isolate's code has been finishing work for a while.
    fn has_finished_for_a_while(&mut self) -> bool {
        self.finishing = match (self.vitals.finishing, self.finishing) {
            (None, _) => DrainWorkTime::No,
            (Some(_), DrainWorkTime::No) => DrainWorkTime::Since(Instant::now()),
            (Some(_), DrainWorkTime::Since(since)) if since.elapsed() >= A_WHILE => {
                self.finishing = DrainWorkTime::Long;
                return true;
            }
            (Some(_), known) => known,
        };
        false
    }

    fn observed(&self) -> IsolateObservation {
        IsolateObservation {
            id: self.id,
            vitals: self.vitals.clone(),
            blocked: self.blocked,
        }
    }
}
