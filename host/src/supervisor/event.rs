//! What happens to a supervisor, and what it does: the language of [`super::state`].

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::{FromHost, ToHost, UpgradeError, Upgraded};

/// A host's number: the first one that a supervisor starts is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub u64);

/// Who asked for an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// SIGHUP: the log is told.
    Signal,
    /// Somebody who asked that host.
    Host(HostId, u64),
}

/// What happened.
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
    /// It said something that is not understood.
    Garbled(HostId, String),
    Exited {
        host: HostId,
        status: String,
        code: Option<i32>,
        lived: Duration,
    },
    /// The deadline of a host has passed.
    Overdue(HostId),
    /// Time to see whether the host that accepts answers.
    Look,
    /// The wait before the next start is over.
    RestartDue,
    Upgrade {
        asker: Asker,
        binary: Option<PathBuf>,
    },
    /// SIGTERM, SIGINT.
    Terminate,
    /// SIGQUIT.
    Quit,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Spawn {
        host: HostId,
        binary: Binary,
    },
    Tell(HostId, ToHost),
    Kill(HostId),
    /// The log is told of a host that does not answer.
    LogHung(HostId),
    /// From now on; it replaces an earlier one.
    Deadline(HostId, Duration),
    NoDeadline(HostId),
    RestartIn(Duration),
    /// An upgrade that a signal asked for is answered in the log.
    Log(Result<Upgraded, UpgradeError>),
    /// The service manager is told.
    Notify(Notice),
    /// No host will accept any more.
    ReleaseSocket,
    /// Go on as this binary, once nothing is under way.
    ReplaceSelf {
        binary: Binary,
    },
    /// Go on as the present binary: the one of the new host cannot take over from it.
    StaySelf {
        version: String,
    },
    Exit(u8),
}

/// What a host is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binary {
    /// The one that this supervisor runs.
    Same,
    /// The one that is where this one was started from, now.
    Usual,
    Named(PathBuf),
}

/// What a service manager may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    Ready,
    Reloading,
    Stopping,
}
