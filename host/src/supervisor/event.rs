//! The events of a supervisor and its actions: the language of [`super::state`].

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::{FromHost, ToHost, UpgradeError, UpgradeReport};

/// A host's number: the first one that a supervisor starts is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub u64);

/// The asker of an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeAsker {
    /// SIGHUP: the result goes into the log.
    Signal,
    /// Somebody who asked that host. The number is the ticket of the question.
    Host(HostId, u64),
}

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The supervisor is up.
    Begin,
    Spawned {
        host: HostId,
        pid: u32,
    },
    NotSpawned {
        host: HostId,
        error: String,
    },
    Said(HostId, FromHost),
    /// The host sent a line that the supervisor does not understand.
    Garbled(HostId, String),
    Exited {
        host: HostId,
        status: String,
        code: Option<i32>,
        lived: Duration,
    },
    /// The deadline of a host has passed.
    Overdue(HostId),
    /// The time for a look: does the host that accepts answer?
    Look,
    /// The wait before the next start is over.
    RestartDue,
    Upgrade {
        asker: UpgradeAsker,
        binary: Option<PathBuf>,
    },
    /// SIGTERM, SIGINT.
    Terminate,
    /// SIGQUIT.
    Quit,
}

/// An action. Actions are done in their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Spawn {
        host: HostId,
        binary: Binary,
    },
    Tell(HostId, ToHost),
    Kill(HostId),
    /// Tells the log of a host that does not answer.
    LogHung(HostId),
    /// Sets a deadline, counted from now; it replaces an earlier one.
    Deadline(HostId, Duration),
    NoDeadline(HostId),
    RestartIn(Duration),
    /// Answers in the log an upgrade that a signal asked for.
    Log(Result<UpgradeReport, UpgradeError>),
    /// Tells the service manager.
    Notify(Notice),
    /// Closes the socket, since no host will accept any more.
    ReleaseSocket,
    /// Goes on as this binary, once nothing is under way.
    ReplaceSelf {
        binary: Binary,
    },
    /// Goes on as the present binary: the binary of the new host cannot take over from it.
    StaySelf {
        version: String,
    },
    Exit(u8),
}

/// The binary of a new host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binary {
    /// The binary that this supervisor runs.
    Same,
    /// The binary that is now at the place from which this supervisor was started.
    Usual,
    Named(PathBuf),
}

/// A state that the service manager is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    Ready,
    Reloading,
    Stopping,
}
