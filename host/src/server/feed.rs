//! The news for an open dashboard: calls that began and ended, several times a second, as much as a person can see.
//! Each page asks for news when it has taken the news before. A slow page is told less often, and costs no call
//! anything.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::Event;
use futures::Stream;
use serde::Serialize;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::Server;
use crate::generation::{CallStart, GenerationId, IsolateId, Mark, TimelineNews};

const EVERY: Duration = Duration::from_millis(200);
/// The time after which a call that runs is shown.
const SHOWN_AFTER: Duration = Duration::from_millis(100);
/// The most running calls that are shown of each generation; further calls are counted.
const SHOWN_RUNNING: usize = 100;
/// The time after which an event is sent without news, so that silence means that the connection is lost.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// One event. Times are milliseconds of the Unix epoch.
#[derive(Debug, Serialize)]
struct CallsEvent {
    now: f64,
    /// Tells that the event holds all calls that are kept: the page forgets the calls that it knew before.
    whole: bool,
    began: Vec<CallStart>,
    /// Calls that were told to have begun, and have ended too briefly for their end to be kept.
    gone: Vec<(GenerationId, u64)>,
    in_flight: BTreeMap<GenerationId, usize>,
    blocked: Vec<BlockedIsolate>,
    #[serde(flatten)]
    news: TimelineNews,
}

/// An isolate that user code blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct BlockedIsolate {
    generation: GenerationId,
    isolate: IsolateId,
    seconds: u64,
}

struct Feed {
    server: Server,
    ticks: Interval,
    mark: Mark,
    told: Option<Instant>,
    /// The calls that were told to have begun.
    open: HashSet<(GenerationId, u64)>,
    in_flight: BTreeMap<GenerationId, usize>,
    blocked: Vec<BlockedIsolate>,
    reloads: u64,
}

/// Returns the events called `calls`; the first event has everything that is kept.
pub(super) fn calls(server: Server) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let feed = Feed {
        server,
        ticks,
        mark: Mark::default(),
        told: None,
        open: HashSet::new(),
        in_flight: BTreeMap::new(),
        blocked: Vec::new(),
        reloads: 0,
    };
    futures::stream::unfold(feed, |mut feed| async move {
        loop {
            feed.ticks.tick().await;
            if let Some(calls) = feed.look()
                && let Ok(event) = Event::default().event("calls").json_data(&calls)
            {
                return Some((Ok(event), feed));
            }
        }
    })
}

impl Feed {
    /// Returns the news since the last look, if there is any.
    fn look(&mut self) -> Option<CallsEvent> {
        let table = &self.server.table;
        let view = table.view();
        let mut running = Vec::new();
        let mut in_flight = BTreeMap::new();
        let mut blocked = Vec::new();
        // The running calls are read before the ends: a call that ends in between is told twice, and not never.
        for live in view.entries.iter().filter_map(|entry| entry.live.as_ref()) {
            running.extend(live.running(SHOWN_AFTER, SHOWN_RUNNING));
            in_flight.insert(live.id, live.count());
            let observed = live.pool.observed().into_iter().filter(|isolate| isolate.blocked);
            blocked.extend(observed.map(|isolate| BlockedIsolate {
                generation: live.id,
                isolate: isolate.id,
                seconds: isolate.vitals.blocked_for.as_secs(),
            }));
        }
        let news = table.timeline.since(self.mark);
        self.mark = news.mark;
        for ended in &news.ended {
            self.open.remove(&(ended.begun.generation, ended.begun.call));
        }
        let ended: HashSet<_> = news.ended.iter().map(|ended| key(&ended.begun)).collect();
        running.retain(|begun| !ended.contains(&key(begun)));
        let now_running: HashSet<_> = running.iter().map(key).collect();
        let gone: Vec<_> = self.open.difference(&now_running).copied().collect();
        let began: Vec<_> = running
            .into_iter()
            .filter(|begun| !self.open.contains(&key(begun)))
            .collect();
        self.open = now_running;
        let silent = self.told.is_some_and(|told| told.elapsed() < SIGN_OF_LIFE);
        let nothing = news.ended.is_empty()
            && news.moments.is_empty()
            && news.reloads == self.reloads
            && began.is_empty()
            && gone.is_empty()
            && in_flight == self.in_flight
            && blocked == self.blocked;
        if nothing && silent {
            return None;
        }
        let whole = self.told.is_none();
        self.told = Some(Instant::now());
        self.reloads = news.reloads;
        self.in_flight.clone_from(&in_flight);
        let calls = CallsEvent {
            now: table.timeline.millis(Instant::now()),
            whole,
            began,
            gone,
            in_flight,
            blocked: blocked.clone(),
            news,
        };
        self.blocked = blocked;
        Some(calls)
    }
}

const fn key(begun: &CallStart) -> (GenerationId, u64) {
    (begun.generation, begun.call)
}
