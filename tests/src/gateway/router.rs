//! The router: which connection gets a request (inngest/inngest: `pkg/connect/routing/router.go`).

use std::time::Instant;

use super::book::State;
use super::record::Phase;
use super::timing::Timing;

/// No connection takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// There are connections, and all of them drain.
    AllDraining,
    /// No connection has the function.
    NoConnection,
    /// Each connection has as many requests as its worker takes.
    AtCapacity,
}

/// Chooses a connection, by its number.
pub(super) fn route(state: &mut State, timing: &Timing, app: &str, slug: &str) -> Result<usize, NoRoute> {
    let now = Instant::now();
    let (mut candidates, mut healthy, mut draining) = (Vec::new(), false, false);
    for (number, connection) in state.connections.iter().enumerate() {
        let report = &connection.report;
        let Some(group) = connection.groups.iter().find(|group| group.app == app) else {
            continue;
        };
        draining |= report.phase == Phase::Draining;
        let heard = report.heartbeats.last().copied().unwrap_or(connection.ready_since);
        if report.phase != Phase::Ready || now.duration_since(heard) > timing.stale() || !group.has(slug) {
            continue;
        }
        healthy = true;
        let limit = connection.limit();
        if limit.is_some_and(|limit| state.leases.assigned(report.instance()) >= limit) {
            continue;
        }
        candidates.push((number, state.groups[&group.hash].since));
    }
    if candidates.is_empty() {
        return Err(match (healthy, draining) {
            (true, _) => NoRoute::AtCapacity,
            (false, true) => NoRoute::AllDraining,
            (false, false) => NoRoute::NoConnection,
        });
    }
    Ok(choose(&candidates, &mut state.chance))
}

/// Chooses by weight: a connection of the newest group is ten times as likely as one of the oldest.
fn choose(candidates: &[(usize, Instant)], chance: &mut crate::Chance) -> usize {
    let oldest = candidates.iter().map(|(_, since)| *since).min().expect("a candidate");
    let age = |since: Instant| since.duration_since(oldest).as_secs_f64();
    let newest = candidates.iter().map(|(_, since)| age(*since)).fold(0.0, f64::max);
    let weights: Vec<u64> = candidates
        .iter()
        .map(|(_, since)| match newest {
            0.0 => 1000,
            newest => (1000.0 + 9000.0 * age(*since) / newest) as u64,
        })
        .collect();
    let mut at = chance.below(weights.iter().sum());
    for ((number, _), weight) in candidates.iter().zip(&weights) {
        if at < *weight {
            return *number;
        }
        at -= weight;
    }
    candidates[0].0
}
