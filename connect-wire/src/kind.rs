//! The kinds of frames.

/// The kind of a frame: the number in front of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The gateway's first frame.
    GatewayHello,
    /// The worker presents itself, its apps and their functions.
    WorkerConnect,
    /// The gateway has taken the presentation, and says its intervals.
    GatewayConnectionReady,
    /// A request to execute.
    GatewayExecutorRequest,
    /// The worker wants requests.
    WorkerReady,
    /// The worker owns a request.
    WorkerRequestAck,
    /// The answer to a request.
    WorkerReply,
    /// The gateway has stored an answer.
    WorkerReplyAck,
    /// The worker wants no more requests.
    WorkerPause,
    /// The worker lives.
    WorkerHeartbeat,
    /// The gateway lives.
    GatewayHeartbeat,
    /// The gateway wants the worker to go to another one.
    GatewayClosing,
    /// The worker still executes a request.
    WorkerRequestExtendLease,
    /// The answer to an extension.
    WorkerRequestExtendLeaseAck,
    /// Inngest refused the presentation.
    SyncFailed,
    /// The requests that the worker executes.
    WorkerStatus,
    /// A kind of a newer protocol.
    Unknown(i32),
}

impl Kind {
    /// The kinds that are known, in the order of their numbers.
    pub const KNOWN: [Self; 16] = [
        Self::GatewayHello,
        Self::WorkerConnect,
        Self::GatewayConnectionReady,
        Self::GatewayExecutorRequest,
        Self::WorkerReady,
        Self::WorkerRequestAck,
        Self::WorkerReply,
        Self::WorkerReplyAck,
        Self::WorkerPause,
        Self::WorkerHeartbeat,
        Self::GatewayHeartbeat,
        Self::GatewayClosing,
        Self::WorkerRequestExtendLease,
        Self::WorkerRequestExtendLeaseAck,
        Self::SyncFailed,
        Self::WorkerStatus,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::GatewayHello => 0,
            Self::WorkerConnect => 1,
            Self::GatewayConnectionReady => 2,
            Self::GatewayExecutorRequest => 3,
            Self::WorkerReady => 4,
            Self::WorkerRequestAck => 5,
            Self::WorkerReply => 6,
            Self::WorkerReplyAck => 7,
            Self::WorkerPause => 8,
            Self::WorkerHeartbeat => 9,
            Self::GatewayHeartbeat => 10,
            Self::GatewayClosing => 11,
            Self::WorkerRequestExtendLease => 12,
            Self::WorkerRequestExtendLeaseAck => 13,
            Self::SyncFailed => 14,
            Self::WorkerStatus => 15,
            Self::Unknown(number) => number,
        }
    }

    /// Returns the kind that a number means.
    #[must_use]
    pub fn of(number: i32) -> Self {
        usize::try_from(number)
            .ok()
            .and_then(|index| Self::KNOWN.get(index).copied())
            .unwrap_or(Self::Unknown(number))
    }
}

impl std::fmt::Display for Kind {
    /// Writes the name that the protocol's definition has for the kind.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::GatewayHello => "GATEWAY_HELLO",
            Self::WorkerConnect => "WORKER_CONNECT",
            Self::GatewayConnectionReady => "GATEWAY_CONNECTION_READY",
            Self::GatewayExecutorRequest => "GATEWAY_EXECUTOR_REQUEST",
            Self::WorkerReady => "WORKER_READY",
            Self::WorkerRequestAck => "WORKER_REQUEST_ACK",
            Self::WorkerReply => "WORKER_REPLY",
            Self::WorkerReplyAck => "WORKER_REPLY_ACK",
            Self::WorkerPause => "WORKER_PAUSE",
            Self::WorkerHeartbeat => "WORKER_HEARTBEAT",
            Self::GatewayHeartbeat => "GATEWAY_HEARTBEAT",
            Self::GatewayClosing => "GATEWAY_CLOSING",
            Self::WorkerRequestExtendLease => "WORKER_REQUEST_EXTEND_LEASE",
            Self::WorkerRequestExtendLeaseAck => "WORKER_REQUEST_EXTEND_LEASE_ACK",
            Self::SyncFailed => "SYNC_FAILED",
            Self::WorkerStatus => "WORKER_STATUS",
            Self::Unknown(number) => return write!(f, "kind {number}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn each_number_is_one_kind_and_unknown_ones_are_kept() {
        for (number, kind) in (0..).zip(Kind::KNOWN) {
            assert_eq!((kind.number(), Kind::of(number)), (number, kind));
        }
        for number in [-1, 16, i32::MIN, i32::MAX] {
            assert_eq!(Kind::of(number), Kind::Unknown(number));
            assert_eq!(Kind::of(number).number(), number);
        }
    }
}
