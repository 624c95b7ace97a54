//! The user as whom a service runs.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use nix::unistd::{Uid, User};

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub name: String,
    pub uid: u32,
    pub home: PathBuf,
}

/// The reason why a user is not known.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum OwnerError {
    #[error("there is no user {0:?} on this machine")]
    #[diagnostic(help("Name one that exists with --run-as."))]
    Unknown(String),
    #[error("cannot look up the user {who}: {error}")]
    #[diagnostic(help("Try again, or name another user with --run-as."))]
    Unanswered { who: String, error: nix::Error },
}

impl Owner {
    /// Returns the user of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self, OwnerError> {
        found(name, User::from_name(name))
    }

    /// Returns the user who runs this command; their home is the value of `HOME`.
    ///
    /// # Errors
    /// When the system has no name for them.
    pub fn this_user() -> Result<Self, OwnerError> {
        let uid = Uid::current();
        let mut user = found(&uid.to_string(), User::from_uid(uid))?;
        if let Some(home) = std::env::var_os("HOME").filter(|home| !home.is_empty()) {
            user.home = home.into();
        }
        Ok(user)
    }

    /// Returns the user to whom a folder belongs.
    ///
    /// # Errors
    /// When the system has no name for them.
    pub fn of(folder: &Path) -> Result<Self, OwnerError> {
        let Ok(metadata) = folder.metadata() else {
            return Self::this_user();
        };
        let uid = Uid::from_raw(metadata.uid());
        found(&uid.to_string(), User::from_uid(uid))
    }

    /// Tells whether root runs this command.
    #[must_use]
    pub fn is_root() -> bool {
        Uid::current().is_root()
    }
}

fn found(who: &str, answer: nix::Result<Option<User>>) -> Result<Owner, OwnerError> {
    let user = answer.map_err(|error| OwnerError::Unanswered {
        who: who.to_owned(),
        error,
    })?;
    let user = user.ok_or_else(|| OwnerError::Unknown(who.to_owned()))?;
    Ok(Owner {
        name: user.name,
        uid: user.uid.as_raw(),
        home: user.dir,
    })
}
