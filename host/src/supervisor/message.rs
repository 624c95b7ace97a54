//! What the supervisor and a host say to each other: a JSON object on each line of a socket that
//! both have from the host's start.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::generation::{Frozen, GenerationId};
use crate::status::{HostLine, SupervisorLine};

/// Changes when either side would no longer understand the other.
pub const PROTOCOL: u32 = 1;

/// From the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum ToHost {
    /// Load the project, and say how that went.
    Load(Beginning),
    /// New calls are yours.
    Accept,
    /// Begin no more loads, and say where things are.
    Freeze,
    /// Go on, and accept if you had stopped. That number has been given.
    Resume {
        /// The newest number that was given; `None`: none since.
        given: Option<GenerationId>,
    },
    /// Take no new calls, and say so.
    StopAccepting,
    /// Your successor accepts: pass on what waits, finish what runs, and end.
    HandedOver,
    /// Who else there is.
    Hosts {
        /// The hosts that live.
        all: Vec<HostLine>,
        /// The supervisor itself.
        supervisor: SupervisorLine,
    },
    /// What became of the upgrade that you asked for.
    Upgraded {
        /// That of [`FromHost::Upgrade`].
        ticket: u64,
        /// The host that accepts from now on, or the reason why nothing was changed.
        result: Result<Upgraded, UpgradeError>,
    },
    /// There is no successor: finish what runs, and end.
    Drain,
    /// Answer this number. Said only to hosts that know it, while they accept.
    Ping {
        /// That of the answer, too.
        number: u64,
    },
    /// Name the calls that run, and end.
    EndNow,
}

/// From a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "says")]
pub enum FromHost {
    /// The first thing.
    Hello {
        /// [`PROTOCOL`] as the host has it.
        protocol: u32,
        /// The host's version of Baton.
        version: String,
        /// How long loading the project may take.
        load_ms: u64,
        /// The newest version of the supervisor's hand-over record that the host's binary knows; 0 for a binary
        /// from before the record had a version, which a supervisor cannot become.
        #[serde(default)]
        record: u32,
        /// The host answers [`ToHost::Ping`].
        #[serde(default)]
        pings: bool,
    },
    /// The host and its keeper go on.
    Pong {
        /// That of [`ToHost::Ping`].
        number: u64,
    },
    /// The engine is up: tell me what to load.
    Booted,
    /// A generation is there that could serve.
    Ready {
        /// Its number.
        generation: GenerationId,
    },
    /// The project could not be loaded.
    Failed {
        /// The reason, for people.
        message: String,
    },
    /// It takes new calls from now on.
    Accepting,
    /// It begins no more loads; this is where things are.
    Frozen(Frozen),
    /// It takes no new calls any more.
    Stopped,
    /// Which generation serves, and the newest number that was given.
    Numbers {
        /// The generation that serves.
        current: Option<GenerationId>,
        /// The newest number that was given.
        newest: Option<GenerationId>,
        /// What serves is not what is on the disk, which cannot be served.
        last_good: bool,
    },
    /// Somebody asks for an upgrade; `None`: with the binary that is at the usual place now.
    Upgrade {
        /// That of the answer, [`ToHost::Upgraded`], too.
        ticket: u64,
        /// The path of the binary.
        binary: Option<PathBuf>,
    },
    /// Somebody asks that all of it ends.
    Drain,
    /// It was told to end by a signal of its own.
    Leaving,
}

/// The beginning of a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beginning {
    /// The reason why it is started.
    pub occasion: Occasion,
    /// What the host before it served, and gave as numbers.
    pub before: Frozen,
}

/// The reason why a host is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// The supervisor starts.
    #[default]
    Start,
    /// The one before it is gone.
    Restart,
    /// It takes over from one that runs.
    Upgrade,
}

/// An upgrade that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgraded {
    /// Of the host that accepts from now on.
    pub pid: u32,
    /// Its version of Baton.
    pub version: String,
    /// The generation that serves there.
    pub generation: Option<GenerationId>,
    /// Of the one that finishes its calls.
    pub draining: Option<u32>,
}

/// The reason why an upgrade changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum UpgradeError {
    /// One at a time.
    #[error("another upgrade is under way")]
    UnderWay,
    /// The supervisor or the host was told to end.
    #[error("the host is ending")]
    Ending,
    /// There is nobody to take over from.
    #[error("no host accepts calls at the moment: it is being started again")]
    NobodyAccepts,
    /// The binary cannot be started.
    #[error("{binary} cannot be started: {error}", binary = .binary.display())]
    NotStarted {
        /// Its path.
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
    /// The new host said what this supervisor does not understand.
    #[error("the new host speaks another language: {said}")]
    NotUnderstood {
        /// Its words.
        said: String,
    },
    /// The new host cannot load the project.
    #[error("the new host cannot serve the project: {message}")]
    Rejected {
        /// Its reason.
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
    /// What to do about it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::UnderWay => "Wait for it: `baton status` shows it.",
            Self::Ending => "Start it again with the new binary.",
            Self::NobodyAccepts => "Ask again when `baton status` answers.",
            Self::NotStarted { .. } => "Name a baton binary for this machine, which this user may run.",
            Self::Ended { .. } => "Its last words are in the log. Nothing was changed: the old host serves on.",
            Self::TooSlow { .. } | Self::NotReleased { .. } => "Nothing was changed: the old host serves on.",
            Self::NotUnderstood { .. } => "Is it a baton of about this version? Nothing was changed.",
            Self::Rejected { .. } => "Nothing was changed: the old host serves on.",
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

    use super::{Beginning, FromHost, ToHost, UpgradeError};

    #[test]
    fn what_is_said_reads_back() {
        let upgraded = ToHost::Upgraded {
            ticket: 3,
            result: Err(UpgradeError::UnderWay),
        };
        for message in [ToHost::Accept, ToHost::Load(Beginning::default()), upgraded] {
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
