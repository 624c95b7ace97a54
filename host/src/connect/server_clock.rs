//! The server's clock, as far as its ids tell it.

use std::time::Duration;

use connect_wire::ulid;

/// A time since the start of the connection's task: it never jumps.
pub type HostMoment = Duration;

/// The lease of a request when Inngest does not tell its end.
const LEASE: Duration = Duration::from_secs(120);
/// No lease is believed to last longer than this.
const LONGEST_LEASE: Duration = Duration::from_mins(10);

/// The server's clock in relation to this host's moments.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerClock {
    /// The server's time, in milliseconds since 1970, at the moment 0.
    offset: Option<i128>,
}

impl ServerClock {
    /// Learns the server's time from an id that it made at this moment.
    pub fn learn(&mut self, id: &str, now: HostMoment) {
        if let Some(time) = ulid::time(id) {
            self.offset = Some(millis(time) - millis(now));
        }
    }

    /// Returns the moment at which a lease ends: its id is the end by the server's clock.
    #[must_use]
    pub fn end_of(&self, lease_id: &str, now: HostMoment) -> HostMoment {
        let told = ulid::time(lease_id)
            .zip(self.offset)
            .map(|(end, offset)| millis(end) - offset);
        match told.and_then(|end| u64::try_from(end.max(0)).ok()) {
            Some(end) => Duration::from_millis(end).clamp(now, now + LONGEST_LEASE),
            None => now + LEASE,
        }
    }
}

fn millis(duration: Duration) -> i128 {
    i128::try_from(duration.as_millis()).unwrap_or(i128::MAX / 4)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use connect_wire::ulid;

    use super::ServerClock;

    #[test]
    fn leases_end_by_the_servers_clock_whatever_ours_says() {
        let (now, mut clock) = (Duration::from_secs(7), ServerClock::default());
        let at = |seconds| ulid::text(Duration::from_secs(seconds), 1);
        assert_eq!(
            clock.end_of(&at(5), now),
            now + Duration::from_secs(120),
            "nothing is known"
        );
        clock.learn(&at(1_000_000), now);
        assert_eq!(clock.end_of(&at(1_000_090), now), now + Duration::from_secs(90));
        assert_eq!(clock.end_of(&at(5), now), now, "it is over");
        assert_eq!(clock.end_of(&at(9_000_000), now), now + Duration::from_secs(600));
        assert_eq!(clock.end_of("no ULID", now), now + Duration::from_secs(120));
    }
}
