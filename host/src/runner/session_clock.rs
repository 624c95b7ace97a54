//! The time of a session: it goes on as the clock on the wall does, and can be advanced.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{oneshot, watch};

use super::activity::{Activity, ActivityGuard};

/// A clock, and those who wait for a time of it.
#[derive(Debug)]
pub struct SessionClock {
    /// The time by which the clock is ahead of the wall's.
    ahead: watch::Sender<SignedDuration>,
    sleepers: Mutex<Vec<Sleeper>>,
}

#[derive(Debug)]
struct Sleeper {
    due: Timestamp,
    wake: oneshot::Sender<ActivityGuard>,
}

impl Default for SessionClock {
    fn default() -> Self {
        Self {
            ahead: watch::Sender::new(SignedDuration::ZERO),
            sleepers: Mutex::default(),
        }
    }
}

impl SessionClock {
    #[must_use]
    pub fn now(&self) -> Timestamp {
        now(*self.ahead.borrow())
    }

    /// Sleeps for so long from this call on, not from the first poll. A sleeper that an advance wakes gets the session's
    /// busyness along, so that nobody believes that nothing is worked on before the sleeper has begun.
    pub fn sleep(&self, length: Duration) -> impl Future<Output = Option<ActivityGuard>> + Send + 'static + use<> {
        let due = self.now().checked_add(length).unwrap_or(Timestamp::MAX);
        let mut ahead = self.ahead.subscribe();
        let (wake, mut woken) = oneshot::channel();
        {
            let mut sleepers = self.lock();
            sleepers.retain(|sleeper| !sleeper.wake.is_closed());
            sleepers.push(Sleeper { due, wake });
        }
        async move {
            loop {
                let left = due.duration_since(now(*ahead.borrow_and_update()));
                tokio::select! {
                    biased;
                    busy = &mut woken => return busy.ok(),
                    // An advance shortens what is left.
                    Ok(()) = ahead.changed() => {}
                    () = tokio::time::sleep(Duration::try_from(left).unwrap_or_default()) => return None,
                }
            }
        }
    }

    /// Advances the clock. Whoever is due on the way is woken at its time, and does its work before the clock goes on.
    pub async fn advance(&self, by: Duration, activity: &Activity) {
        let goal = self.now().checked_add(by).unwrap_or(Timestamp::MAX);
        loop {
            activity.quiet().await;
            let due = {
                let sleepers = self.lock();
                let waiting = sleepers.iter().filter(|sleeper| !sleeper.wake.is_closed());
                waiting.map(|sleeper| sleeper.due).min().filter(|due| *due <= goal)
            };
            let Some(due) = due else {
                break;
            };
            self.set(due);
            let mut sleepers = self.lock();
            let (ready, rest) = std::mem::take(&mut *sleepers)
                .into_iter()
                .partition(|sleeper| sleeper.due <= due);
            *sleepers = rest;
            drop(sleepers);
            let ready: Vec<Sleeper> = ready;
            for sleeper in ready {
                // A sleeper that has gone gives the busyness back.
                let _ = sleeper.wake.send(activity.begin());
            }
        }
        self.set(goal);
    }

    /// Moves the clock to a time; a clock never goes back.
    fn set(&self, to: Timestamp) {
        let ahead = to.duration_since(Timestamp::now());
        self.ahead.send_if_modified(|now| {
            let later = ahead > *now;
            *now = ahead.max(*now);
            later
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Sleeper>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now(ahead: SignedDuration) -> Timestamp {
    Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::SessionClock;
    use crate::runner::activity::Activity;

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn an_advance_wakes_one_after_the_other() {
        let (clock, activity) = (Arc::new(SessionClock::default()), Activity::default());
        let (told, read) = (Arc::new(Mutex::new(Vec::new())), clock.clone());
        let began = clock.now();
        let sleeping = async {
            let mut next = clock.sleep(HOUR);
            for _ in 0..3 {
                let busy = next.await;
                told.lock().unwrap().push(clock.now().duration_since(began).as_hours());
                next = clock.sleep(HOUR);
                drop(busy);
            }
        };
        let advancing = async {
            tokio::task::yield_now().await;
            read.advance(HOUR * 2, &activity).await;
            assert_eq!(*told.lock().unwrap(), [1, 2]);
            read.advance(HOUR * 2, &activity).await;
        };
        tokio::join!(sleeping, advancing);
        assert_eq!(*told.lock().unwrap(), [1, 2, 3]);
    }

    #[tokio::test]
    async fn an_advance_shortens_what_is_left() {
        let (clock, activity) = (SessionClock::default(), Activity::default());
        let sleeping = clock.sleep(HOUR);
        let advancing = async {
            tokio::task::yield_now().await;
            clock.advance(HOUR - Duration::from_millis(5), &activity).await;
        };
        let (busy, ()) = tokio::join!(sleeping, advancing);
        assert!(busy.is_none(), "the wall's clock woke it");
    }
}
