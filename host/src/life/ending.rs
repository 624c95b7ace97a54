//! The end of a host: nothing new begins, the host waits for the last answer, and then ends the remaining work.

use std::convert::Infallible;
use std::time::Duration;

use tracing::{info, warn};

use super::serving::Host;
use crate::generation::{Role, Table};
use crate::server::Room;

/// The pause before a stop first tells of the work that it waits for; each pause is twice as long as the one before,
/// up to the last.
const FIRST_WORD: Duration = Duration::from_secs(2);
const LAST_WORD: Duration = Duration::from_mins(5);
/// The longest time for which a host that ends by itself waits for a running load.
const FREEZE_WITHIN: Duration = Duration::from_secs(10);
/// The most calls and streams that are named each time.
const NAMED_WAITING: usize = 20;

/// The way in which a host's work comes to its end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    /// Another host accepts.
    HandedOver,
    /// No other host will accept.
    Drain(&'static str),
    /// The host was asked to end, and its supervisor was not; or the supervisor is gone.
    Leave(&'static str),
    Now(&'static str),
}

impl Host {
    /// Begins nothing new, waits for the last answer, then ends the remaining work. `leaving` tells that another host
    /// gets the next calls.
    pub(super) async fn end(
        self,
        ending: Ending,
        budget: Duration,
        leaving: impl FnOnce(),
        now: impl Future<Output = &'static str>,
    ) {
        let in_flight = calls_in_flight(&self.table);
        match ending {
            Ending::HandedOver => info!(in_flight, "handed over: the calls in flight are finished"),
            Ending::Drain(reason) => {
                info!(
                    reason,
                    in_flight, "ending: no new calls are taken, calls in flight finish"
                );
                // Callers that wait for a reload are answered, too.
                self.keeper.resume(None);
                self.table.drain();
            }
            Ending::Leave(reason) => {
                info!(
                    reason,
                    in_flight, "ending: calls in flight finish, another host takes new ones"
                );
                self.connection.leave().await;
                self.stops_accepting().await;
                let _ = tokio::time::timeout(FREEZE_WITHIN, self.keeper.freeze()).await;
                leaving();
            }
            Ending::Now(reason) => info!(reason, in_flight, "ending now"),
        }
        if matches!(ending, Ending::HandedOver | Ending::Leave(_)) {
            self.keeper.hand_over();
            self.table.set_role(Role::HandedOver);
        }
        match ending {
            Ending::Now(reason) => self.finish(budget, std::future::ready(reason)).await,
            _ => self.finish(budget, now).await,
        }
        info!("ended");
    }

    /// Waits for the last answer, then ends the remaining work. Calls are cut, and named, when the budget is used up
    /// or when `now` resolves.
    async fn finish(self, budget: Duration, now: impl Future<Output = &'static str>) {
        let Self {
            keeper,
            table,
            traces,
            room,
            ledger,
            connection,
            serving,
            following,
            stop_following,
            streams_end,
            ..
        } = self;
        table.tasks().may_end();
        let ended = async {
            // The task ends with its last connection, or it has panicked, which is as final.
            serving.ended().await;
            connection.delivered().await;
            let view = table.view();
            let live = view.entries.iter().filter_map(|entry| entry.live.as_ref());
            futures::future::join_all(live.map(|generation| generation.drained())).await;
            stop_following.cancel();
            // The work of user code at its end belongs to the budget, too.
            keeper.stop().await;
            following.ended().await;
        };
        let finished = tokio::select! {
            biased;
            () = ended => true,
            never = tell_what_is_waited_for(&table, &room) => match never {},
            () = tokio::time::sleep(budget) => {
                warn!("the drain budget is used up");
                false
            }
            reason = now => {
                warn!(reason, "ending now");
                false
            }
        };
        if let Some(traces) = traces {
            traces.end().await;
        }
        let cut = if finished {
            Vec::new()
        } else {
            table.view().entries.clone()
        };
        for entry in &cut {
            for (call, since) in entry.live.iter().flat_map(|live| live.in_flight()) {
                warn!(
                    generation = entry.id.0,
                    function = call.function,
                    run = call.run,
                    step = call.step,
                    running_ms = since.elapsed().as_millis(),
                    "call cut"
                );
            }
        }
        streams_end.end().await;
        table.tasks().end().await;
        ledger.clear();
    }
}

/// Tells of the work that a stop waits for, while the stop waits: soon, and then ever less often.
async fn tell_what_is_waited_for(table: &Table, room: &Room) -> Infallible {
    let mut pause = FIRST_WORD;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_WORD);
        let view = table.view();
        let live = view.entries.iter().filter_map(|entry| entry.live.as_ref());
        let waiting: Vec<_> = live
            .flat_map(|live| live.waiting().into_iter().map(|call| (live.id, call)))
            .collect();
        let streams = waiting.iter().filter(|(_, call)| call.is_stream()).count();
        let (calls, census) = (waiting.len() - streams, room.census());
        info!(
            calls,
            streams,
            connections = census.reading + census.answering,
            "waiting for unfinished work"
        );
        for (generation, call) in waiting.iter().take(NAMED_WAITING) {
            info!(
                generation = generation.0,
                function = call.info.function,
                run = call.info.run,
                step = call.info.step,
                request = call.info.request,
                running_ms = call.since.elapsed().as_millis(),
                "{}",
                if call.is_stream() {
                    "waiting for a stream"
                } else {
                    "waiting for a call"
                }
            );
        }
    }
}

fn calls_in_flight(table: &Table) -> usize {
    let view = table.view();
    let live = view.entries.iter().filter_map(|entry| entry.live.as_ref());
    live.map(|generation| generation.in_flight().len()).sum()
}
