//! The life of a host, from the plan to the last answer.
//!
//! ```text
//! plan ──▶ Host::begin ─────────▶ loads, serves ──▶ Ending ──▶ Host::end: the calls in flight are finished
//!     └──▶ Host::supervised ──▶ waits to accept ──┘   ▲
//!                                                     └ a signal, a drain, a failed task, the supervisor
//! ```
//!
//! `settings` declares the flags and variables, `plan` settles every value. `alone` is `baton dev`; `supervised` is a
//! host of `baton start`, which does as its supervisor says. `serving` has the parts of a host, which both share, and
//! `ending` its end. `follow` makes reloads of changes on the disk, `released` is about the release that a host is
//! started from. `announcement` has the first lines of the log, `dev_screen` what a person's terminal shows in their place.

mod alone;
mod announcement;
mod dev_screen;
mod ending;
mod follow;
mod plan;
mod released;
mod serving;
mod settings;
mod signals;
mod supervised;

use miette::Diagnostic;

pub use alone::alone;
pub use plan::{Mode, Plan, plan};
pub use released::fetch_release;
pub use settings::ServeArgs;
pub use supervised::{greet, supervised};

pub(crate) use plan::{DEFAULT_DRAIN_TIMEOUT, DEFAULT_PORT, NAME_THE_ENV_FILE};
pub(crate) use serving::Host;
pub(crate) use settings::{parse_port, parse_whole};

use crate::config::{ProjectError, StateError};
use crate::exit_code;
use crate::net::ListenError;
use crate::release::download::DownloadError;
use crate::release::reference::ReferenceError;
use crate::tasks::TaskFailure;
use crate::telemetry::TracesError;

/// The reason why a host did not start.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ServeError {
    /// There is no project, or its configuration is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Project(#[from] ProjectError),
    /// The state folder cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    State(#[from] StateError),
    /// The port cannot be listened on.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Listen(#[from] ListenError),
    /// PATH is not a reference to a release.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Reference(#[from] ReferenceError),
    /// A release is served by `baton start` alone.
    #[error("{0} is a release, which only `baton start` serves")]
    #[diagnostic(help("Run: baton start {0}"))]
    OnlyStart(String),
    /// The release cannot be pulled.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Release(#[from] DownloadError),
    /// The release is not here any more.
    #[error("no release of {0} is unpacked in the state folder")]
    #[diagnostic(help("Start the host again with `baton start`, which pulls the release."))]
    NotUnpacked(String),
    /// Spans cannot be exported.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Traces(#[from] TracesError),
    /// The host served, and one of its tasks failed.
    #[error(transparent)]
    #[diagnostic(help("The calls in flight were finished. Start the host again."))]
    Task(#[from] TaskFailure),
    /// The system refused something else.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl ServeError {
    /// Returns 2 for a wrong request, 78 (`EX_CONFIG`) for a failure that no retry can mend, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Project(ProjectError::Unreadable { .. }) | Self::Reference(_) | Self::OnlyStart(_) => {
                exit_code::USAGE
            }
            Self::Project(ProjectError::ConfigFile(_)) => exit_code::CONFIGURATION,
            Self::State(error) => exit_code::of_failed_start(error.is_lasting()),
            Self::Listen(error) => exit_code::of_failed_start(error.is_lasting()),
            _ => exit_code::of_failed_start(false),
        }
    }
}
