//! The intervals of the server (inngest/inngest: `pkg/consts/connect.go`, `pkg/connect`).

use std::time::Duration;

/// The server's clock, as far as workers notice it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The time between two heartbeats of a worker. After two the router leaves the connection out, after five the
    /// gateway closes it.
    pub heartbeat: Duration,
    /// The time between two extensions of a lease, as workers are told.
    pub extension: Duration,
    /// The time between two statuses of a worker; zero asks for none.
    pub status: Duration,
    /// The time for which a lease is given.
    pub lease: Duration,
    /// The time between two looks of the executor at a lease.
    pub look: Duration,
    /// The time that a reply has to come in after the executor has found no lease.
    pub grace: Duration,
    /// The time for which the gateway waits for the acknowledgement of a request.
    pub ack: Duration,
    /// The time between two looks of the router, of which there are ten, while all connections drain.
    pub draining_look: Duration,
    /// The time that a worker has for its first frame.
    pub hello: Duration,
    /// The time that a worker has to leave a gateway that drains.
    pub leave: Duration,
    /// The time for which a reply that nobody waits for is kept.
    pub reply: Duration,
    /// The time for which the tokens of a connection are good.
    pub token: Duration,
    /// The pause before another attempt.
    pub retry: Duration,
    /// The time between the first place that an app has and the first of its requests that waited for one.
    pub queue: Duration,
}

impl Timing {
    /// The server's own intervals.
    pub const REAL: Self = Self {
        heartbeat: Duration::from_secs(10),
        extension: Duration::from_secs(30),
        status: Duration::ZERO,
        lease: Duration::from_secs(120),
        look: Duration::from_secs(30),
        grace: Duration::from_secs(5),
        ack: Duration::from_secs(125),
        draining_look: Duration::from_secs(1),
        hello: Duration::from_secs(5),
        leave: Duration::from_secs(25),
        reply: Duration::from_secs(60),
        token: Duration::from_secs(300),
        retry: Duration::from_secs(10),
        // The queue looks again after a while; a worker that has just been registered has said by then that it is ready.
        queue: Duration::from_millis(500),
    };

    /// Returns intervals in which leases and retries come `times` as fast. The time that a worker has to connect, to
    /// leave, or to be replaced stays as it is, because processes and code do not start any faster. Heartbeats are at
    /// most five times as fast, because a busy machine does not run a process at each moment either.
    #[must_use]
    pub fn faster(times: u32) -> Self {
        let real = Self::REAL;
        Self {
            heartbeat: real.heartbeat / times.min(5),
            extension: real.extension / times,
            status: real.status / times,
            lease: real.lease / times,
            look: real.look / times,
            grace: real.grace / times,
            ack: real.ack / times,
            retry: real.retry / times,
            ..real
        }
    }

    /// The age of a heartbeat at which the router leaves a connection out.
    pub(super) fn stale(&self) -> Duration {
        self.heartbeat * 2
    }

    /// The age of a heartbeat at which the gateway closes a connection.
    pub(super) fn dead(&self) -> Duration {
        self.heartbeat * 5
    }
}

impl Default for Timing {
    /// The intervals that most tests use: a lease lasts six seconds, a heartbeat comes every two seconds.
    fn default() -> Self {
        Self::faster(20)
    }
}
