//! The room for connections of one way in: their number, and the choice of the connection that goes when another one
//! comes.
//!
//! ```text
//!            bytes come             the head is whole            the call begins
//!   Idle ─────────────────▶ Head ─────────────────────▶ Body ───────────────────▶ Answering
//!    ▲                                                  (of Inngest's calls)           │
//!    └────────────────────────── the last byte of the answer is written ───────────────┘
//! ```
//!
//! Seats are of three tiers, and a connection gets the first that has one: ordinary seats serve everything, those in
//! reserve Inngest and admins, and the last ones admins alone. Where a tier is full, its oldest connection without a
//! request gives up its seat; where all have requests, the oldest whose call has not begun. A call that runs never
//! loses its connection for another one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The most connections of one way in, however many descriptors there are: each may hold the head of a request.
pub const MOST_CONNECTIONS: usize = 4096;
/// Descriptors that files, folders, isolates and pipes need.
const OTHER_DESCRIPTORS: u64 = 128;
const LEAST_CONNECTIONS: usize = 16;
/// Seats of the last tier.
const LAST: usize = 16;
/// The time between two lines about a lack of room.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// The part that a connection's seat may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    Ordinary,
    /// Seats for Inngest's calls and for admins.
    Reserve,
    /// Seats for admins.
    Last,
}

const TIERS: [Tier; 3] = [Tier::Ordinary, Tier::Reserve, Tier::Last];

/// The time in which the request of a connection that has just come is on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// The state of a connection; see the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectionPhase {
    Idle,
    /// The head of a request has begun to come.
    Head,
    /// The body of a request comes, and its call has not begun.
    Body,
    Answering,
}

/// A phase, and its beginning.
pub type PhaseSince = (ConnectionPhase, Instant);

/// The room for connections of one way in; see the module's documentation.
#[derive(Debug, Clone)]
pub struct Room(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: [usize; 3],
    seats: Mutex<Seats>,
    /// Tells that a connection has gone, or that it has no request any more.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: BTreeMap<u64, SeatEntry>,
    told: Option<Instant>,
}

#[derive(Debug)]
struct SeatEntry {
    tier: Tier,
    standing: watch::Receiver<PhaseSince>,
    leave: CancellationToken,
}

/// A connection's place in the room, until it is dropped.
#[derive(Debug)]
pub struct Seat(Place);

/// A reference to a seat that does not hold the seat.
#[derive(Debug, Clone)]
pub struct Place {
    room: Room,
    id: u64,
    pub tier: Tier,
    standing: Arc<watch::Sender<PhaseSince>>,
    /// The token that is cancelled when the seat is needed for another connection.
    pub leave: CancellationToken,
}

/// The number of a room's connections in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    pub idle: usize,
    /// The connections whose request comes, and whose call has not begun.
    pub reading: usize,
    pub answering: usize,
}

impl Room {
    /// Makes room for as many connections as the descriptors of this process allow: each connection may lead to an
    /// app by two more.
    #[must_use]
    pub fn for_descriptors(descriptors: u64) -> Self {
        let most = usize::try_from(descriptors.saturating_sub(OTHER_DESCRIPTORS) / 3).unwrap_or(usize::MAX);
        Self::of(most.clamp(LEAST_CONNECTIONS, MOST_CONNECTIONS))
    }

    /// Makes room for `most` connections, and a reserve.
    #[must_use]
    pub fn of(most: usize) -> Self {
        Self(Arc::new(Inner {
            most: [most, (most / 4).clamp(4, 64), LAST],
            seats: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// Resolves once another connection can have a seat.
    pub async fn available(&self) {
        loop {
            let freed = self.0.freed.notified();
            if self.lock().find(&self.0.most).is_some() {
                return;
            }
            freed.await;
        }
    }

    /// Takes a seat; takes it from another connection if it must.
    #[must_use]
    pub fn seat(&self) -> Seat {
        let mut seats = self.lock();
        let (tier, leaving) = seats.find(&self.0.most).unwrap_or((Tier::Last, None));
        if let Some(leaving) = leaving
            && let Some(taken) = seats.taken.remove(&leaving)
        {
            taken.leave.cancel();
        }
        if (tier != Tier::Ordinary || leaving.is_some()) && seats.told.is_none_or(|told| told.elapsed() >= SILENT_FOR) {
            seats.told = Some(Instant::now());
            let connections = seats.taken.len();
            tracing::warn!(connections, "the limit of connections is reached: idle ones are closed");
        }
        let id = seats.next;
        seats.next += 1;
        let (standing, watched) = watch::channel((ConnectionPhase::Idle, Instant::now()));
        let leave = CancellationToken::new();
        seats.taken.insert(
            id,
            SeatEntry {
                tier,
                standing: watched,
                leave: leave.clone(),
            },
        );
        Seat(Place {
            room: self.clone(),
            id,
            tier,
            standing: Arc::new(standing),
            leave,
        })
    }

    /// Closes the oldest connection without a request, whose descriptor is needed. The request of one that has just come
    /// is on its way. Returns false when there is none.
    #[must_use]
    pub fn close_one(&self) -> bool {
        let mut seats = self.lock();
        let oldest = seats.oldest(|_, phase| matches!(phase, ConnectionPhase::Idle | ConnectionPhase::Head));
        let oldest = oldest.filter(|id| {
            seats
                .taken
                .get(id)
                .is_some_and(|taken| taken.standing.borrow().1.elapsed() >= ON_ITS_WAY)
        });
        let taken = oldest.and_then(|id| seats.taken.remove(&id));
        taken.inspect(|taken| taken.leave.cancel()).is_some()
    }

    #[must_use]
    pub fn census(&self) -> Census {
        let seats = self.lock();
        seats.taken.values().fold(Census::default(), |mut census, taken| {
            match taken.standing.borrow().0 {
                ConnectionPhase::Idle => census.idle += 1,
                ConnectionPhase::Head | ConnectionPhase::Body => census.reading += 1,
                ConnectionPhase::Answering => census.answering += 1,
            }
            census
        })
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        // Nothing panics while it holds the lock.
        self.0.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    /// Returns the tier of the next seat, and the connection that gives it up; returns nothing when there is no seat.
    fn find(&self, most: &[usize; 3]) -> Option<(Tier, Option<u64>)> {
        for (tier, most) in TIERS.into_iter().zip(most) {
            let taken = self.taken.values().filter(|taken| taken.tier == tier).count();
            if taken < *most {
                return Some((tier, None));
            }
            let without_request =
                |known, phase| known == tier && matches!(phase, ConnectionPhase::Idle | ConnectionPhase::Head);
            if let Some(oldest) = self.oldest(without_request) {
                return Some((tier, Some(oldest)));
            }
        }
        let oldest = self.oldest(|_, phase| phase == ConnectionPhase::Body)?;
        Some((self.taken.get(&oldest)?.tier, Some(oldest)))
    }

    fn oldest(&self, wanted: impl Fn(Tier, ConnectionPhase) -> bool) -> Option<u64> {
        let all = self
            .taken
            .iter()
            .map(|(id, taken)| (*id, taken.tier, *taken.standing.borrow()));
        let wanted = all.filter(|(_, tier, (phase, _))| wanted(*tier, *phase));
        wanted.min_by_key(|(_, _, (_, since))| *since).map(|(id, ..)| id)
    }
}

impl Seat {
    #[must_use]
    pub fn place(&self) -> Place {
        self.0.clone()
    }

    /// Notes that bytes have come.
    pub fn hear(&self) {
        if self.0.standing.borrow().0 == ConnectionPhase::Idle {
            self.0.enter(ConnectionPhase::Head);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.room.lock().taken.remove(&self.0.id);
        self.0.room.0.freed.notify_one();
    }
}

impl Place {
    pub fn enter(&self, phase: ConnectionPhase) {
        self.standing.send_replace((phase, Instant::now()));
        if phase != ConnectionPhase::Answering {
            self.room.0.freed.notify_one();
        }
    }

    #[must_use]
    pub fn standings(&self) -> watch::Receiver<PhaseSince> {
        self.standing.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::{Census, ConnectionPhase, Room, Seat, Tier};

    fn seats(room: &Room, count: usize, phase: ConnectionPhase) -> Vec<Seat> {
        let seat = || {
            let seat = room.seat();
            seat.place().enter(phase);
            seat
        };
        std::iter::repeat_with(seat).take(count).collect()
    }

    #[test]
    fn the_room_follows_the_descriptors_and_has_bounds() {
        let most = |descriptors| Room::for_descriptors(descriptors).0.most[0];
        assert_eq!([most(32), most(256), most(1024)], [16, 42, 298]);
        assert_eq!(most(u64::MAX), super::MOST_CONNECTIONS);
    }

    #[tokio::test]
    async fn the_oldest_connection_without_a_request_goes_when_another_one_comes() {
        let room = Room::of(3);
        let busy = seats(&room, 1, ConnectionPhase::Answering);
        let half = seats(&room, 1, ConnectionPhase::Head);
        let idle = seats(&room, 1, ConnectionPhase::Idle);
        let newcomer = room.seat();
        assert_eq!(newcomer.place().tier, Tier::Ordinary);
        assert!(half[0].place().leave.is_cancelled(), "the oldest");
        assert!(!idle[0].place().leave.is_cancelled() && !busy[0].place().leave.is_cancelled());
        drop(half);
        assert_eq!(
            room.census(),
            Census {
                idle: 2,
                reading: 0,
                answering: 1
            }
        );
    }

    #[tokio::test]
    async fn calls_that_run_keep_their_connections_and_others_get_the_reserve() {
        let room = Room::of(2);
        let busy = seats(&room, 2, ConnectionPhase::Answering);
        let reserve = seats(&room, 4, ConnectionPhase::Answering);
        assert!(reserve.iter().all(|seat| seat.place().tier == Tier::Reserve));
        let last = seats(&room, super::LAST, ConnectionPhase::Answering);
        assert!(last.iter().all(|seat| seat.place().tier == Tier::Last));
        assert!(room.available().now_or_never().is_none(), "all are busy");
        let all = busy.iter().chain(&reserve).chain(&last);
        assert!(all.clone().all(|seat| !seat.place().leave.is_cancelled()));
        reserve[0].place().enter(ConnectionPhase::Body);
        room.available().await;
        assert_eq!(room.seat().place().tier, Tier::Reserve);
        assert!(reserve[0].place().leave.is_cancelled(), "its call has not begun");
    }

    #[tokio::test]
    async fn whoever_waits_for_a_seat_hears_of_one() {
        let room = Room::of(1);
        let mut busy = seats(&room, 1 + 4 + super::LAST, ConnectionPhase::Answering);
        let waiting = tokio::spawn({
            let room = room.clone();
            async move { room.available().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(busy.pop());
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_descriptor_is_had_from_an_idle_connection_alone_that_has_not_just_come() {
        let room = Room::of(3);
        let busy = seats(&room, 1, ConnectionPhase::Answering);
        tokio::time::advance(super::ON_ITS_WAY).await;
        assert!(!room.close_one());
        let idle = seats(&room, 1, ConnectionPhase::Idle);
        assert!(!room.close_one(), "its request is on its way");
        tokio::time::advance(super::ON_ITS_WAY).await;
        assert!(room.close_one());
        assert!(idle[0].place().leave.is_cancelled() && !busy[0].place().leave.is_cancelled());
    }
}
