//! The messages between the supervisor and a host: a JSON object on each line of a socket that both have from the
//! host's start.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::generation::{FrozenHost, GenerationId};
use crate::status::{HostLine, SupervisorLine};

/// The version of the messages. It changes when either side would no longer understand the other.
pub const PROTOCOL: u32 = 1;

/// A message from the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum ToHost {
    /// Orders the host to load the project and to report the result.
    Load(HostStart),
    /// Orders the host to take the new calls.
    Accept,
    /// Orders the host to begin no more loads, and to report its generations.
    Freeze,
    /// Orders the host to go on, and to accept if it had stopped. The number below has been given already.
    Resume {
        /// The newest number that was given; `None` if none was given since.
        given: Option<GenerationId>,
    },
    /// Orders the host to take no new calls, and to report that it has stopped.
    StopAccepting,
    /// Tells the host that its successor accepts: the host passes on the calls that wait, finishes the calls that
    /// run, and ends.
    HandedOver,
    /// Shows the hosts and the supervisor that there are.
    Hosts {
        /// The hosts that live.
        all: Vec<HostLine>,
        /// The supervisor itself.
        supervisor: SupervisorLine,
    },
    /// Tells the result of an upgrade that the host asked for.
    Upgraded {
        /// The ticket of [`FromHost::Upgrade`].
        ticket: u64,
        /// The host that accepts from now on, or the reason why nothing was changed.
        result: Result<UpgradeReport, UpgradeError>,
    },
    /// Tells the host that there is no successor: the host finishes the calls that run, and ends.
    Drain,
    /// Asks the host to answer this number. Only hosts that know pings are asked, and only while they accept.
    Ping {
        /// The number of the ping, and of its answer.
        number: u64,
    },
    /// Orders the host to name the calls that run, and to end.
    EndNow,
}

/// A message from a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "says")]
pub enum FromHost {
    /// The first message of a host.
    Hello {
        /// [`PROTOCOL`] as the host has it.
        protocol: u32,
        /// The host's version of Baton.
        version: String,
        /// The limit for loading the project, in milliseconds.
        load_ms: u64,
        /// The newest version of the supervisor's hand-over record that the host's binary knows; 0 for a binary
        /// from before the record had a version, which a supervisor cannot become.
        #[serde(default)]
        record: u32,
        /// Tells whether the host answers [`ToHost::Ping`].
        #[serde(default)]
        pings: bool,
    },
    /// The answer to a ping: the host and its keeper go on.
    Pong {
        /// The number of [`ToHost::Ping`].
        number: u64,
    },
    /// The engine is up: the host waits for [`ToHost::Load`].
    Booted,
    /// A generation is loaded that could serve.
    Ready {
        /// The number of the generation.
        generation: GenerationId,
    },
    /// The project could not be loaded.
    Failed {
        /// The reason, for people.
        message: String,
    },
    /// The host takes new calls from now on.
    Accepting,
    /// The host begins no more loads, and reports its generations.
    Frozen(FrozenHost),
    /// The host takes no new calls any more.
    Stopped,
    /// The generation that serves, and the newest number that was given.
    Numbers {
        /// The generation that serves.
        current: Option<GenerationId>,
        /// The newest number that was given.
        newest: Option<GenerationId>,
        /// Tells whether the generation that serves differs from the code on the disk, which cannot be served.
        last_good: bool,
    },
    /// Somebody asks for an upgrade.
    Upgrade {
        /// The ticket of this message and of its answer, [`ToHost::Upgraded`].
        ticket: u64,
        /// The path of the binary; `None` for the binary that is at the usual place now.
        binary: Option<PathBuf>,
    },
    /// Somebody asks that all hosts of the project finish their calls and end.
    Drain,
    /// The host was told to end by a signal of its own.
    Leaving,
}

/// The beginning of a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostStart {
    /// The reason why the host is started.
    pub occasion: Occasion,
    /// The numbers of the host before it: the generation that served, and the newest one.
    pub before: FrozenHost,
}

/// The reason why a host is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// The supervisor starts.
    #[default]
    Start,
    /// The host before it is gone.
    Restart,
    /// The new host takes over from a host that runs.
    Upgrade,
}

/// An upgrade that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeReport {
    /// The number of the process of the host that accepts from now on.
    pub pid: u32,
    /// The version of Baton of that host.
    pub version: String,
    /// The generation that serves in that host.
    pub generation: Option<GenerationId>,
    /// The number of the process of the host that finishes its calls.
    pub draining: Option<u32>,
}

/// The reason why an upgrade changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum UpgradeError {
    /// Another upgrade is under way, and there is one at a time.
    #[error("another upgrade is under way")]
    UnderWay,
    /// The supervisor or the host was told to end.
    #[error("the host is ending")]
    Ending,
    /// There is no host to take over from.
    #[error("no host accepts calls at the moment: it is being started again")]
    NobodyAccepts,
    /// The binary cannot be started.
    #[error("{binary} cannot be started: {error}", binary = .binary.display())]
    NotStarted {
        /// The path of the binary.
        binary: PathBuf,
        /// The system's reason.
        error: String,
    },
    /// The new host ended by itself.
    #[error("the new host ended before it was ready ({status})")]
    Ended {
        /// Its exit code or signal, for people.
        status: String,
    },
    /// The new host has missed a deadline.
    #[error("the new host was not {what} in time")]
    TooSlow {
        /// The state that it has not reached: `ready`.
        what: String,
    },
    /// The new host sent a message that this supervisor does not understand.
    #[error("the new host speaks another protocol: {said}")]
    NotUnderstood {
        /// The message of the host.
        said: String,
    },
    /// The new host cannot load the project.
    #[error("the new host cannot serve the project: {message}")]
    Rejected {
        /// The reason of the host.
        message: String,
    },
    /// The running host has missed a deadline.
    #[error("the running host did not {what} in time")]
    NotReleased {
        /// The step that it has not done: `stop accepting`.
        what: String,
    },
}

impl UpgradeError {
    /// Returns the advice on this error.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::UnderWay => "Wait for it: `baton status` shows it.",
            Self::Ending => "Start it again with the new binary.",
            Self::NobodyAccepts => "Run it again when `baton status` answers.",
            Self::NotStarted { .. } => "Name a baton binary for this machine, which this user may run.",
            Self::Ended { .. } => "Read its last lines in the log. Nothing was changed: the old host still serves.",
            Self::TooSlow { .. } | Self::NotReleased { .. } => {
                "Read the log, and try again. Nothing was changed: the old host still serves."
            }
            Self::NotUnderstood { .. } => {
                "Name a baton of about this version. Nothing was changed: the old host \
                                           still serves."
            }
            Self::Rejected { .. } => "Read the log, and try again. Nothing was changed: the old host still serves.",
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_host_that_does_not_know_pings_says_so_by_silence() {
        let hello = r#"{"says":"hello","protocol":1,"version":"0.1.0","load_ms":1,"record":1}"#;
        let FromHost::Hello { pings, .. } = serde_json::from_str(hello).unwrap() else {
            panic!("{hello}");
        };
        assert!(!pings);
    }

    use super::{FromHost, HostStart, ToHost, UpgradeError};

    #[test]
    fn what_is_said_reads_back() {
        let upgraded = ToHost::Upgraded {
            ticket: 3,
            result: Err(UpgradeError::UnderWay),
        };
        for message in [ToHost::Accept, ToHost::Load(HostStart::default()), upgraded] {
            let line = serde_json::to_string(&message).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<ToHost>(&line).unwrap(), message);
        }
        let line = r#"{"says":"upgrade","ticket":1,"binary":null}"#;
        assert_eq!(
            serde_json::from_str::<FromHost>(line).unwrap(),
            FromHost::Upgrade {
                ticket: 1,
                binary: None
            }
        );
    }
}
