//! The check of an environment file. The file holds secrets: only the user of the service may read it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use miette::Diagnostic;

use super::Owner;

/// The reason why an environment file cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum PrivateFileError {
    #[error("cannot read the environment file {path}: {error}", path = .path.display())]
    #[diagnostic(help("Run `install -m 600 /dev/null {}`, then write NAME=value lines into it.", .path.display()))]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("other users may read the environment file {path}: its mode is {mode:04o}", path = .path.display())]
    #[diagnostic(help("Make it private, since it holds secrets: `chmod 600 {}`", .path.display()))]
    Open { path: PathBuf, mode: u32 },
    #[error("the environment file {path} belongs to the user {uid}, and the service runs as {owner}", path = .path.display())]
    #[diagnostic(help("Run `chown {owner} {}`, or choose the user of the service with --run-as.", .path.display()))]
    Foreign { path: PathBuf, uid: u32, owner: String },
}

/// Checks the mode and the owner of an environment file.
///
/// # Errors
/// When others than the user of the service may read it, or that user may not.
pub fn check(path: &Path, owner: &Owner) -> Result<(), PrivateFileError> {
    let metadata = path.metadata().map_err(|error| PrivateFileError::Unreadable {
        path: path.to_owned(),
        error,
    })?;
    if metadata.uid() != owner.uid {
        return Err(PrivateFileError::Foreign {
            path: path.to_owned(),
            uid: metadata.uid(),
            owner: owner.name.clone(),
        });
    }
    match metadata.mode() & 0o7777 {
        mode if mode & 0o077 != 0 => Err(PrivateFileError::Open {
            path: path.to_owned(),
            mode,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::{PrivateFileError, check};
    use crate::service::Owner;

    #[test]
    fn only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        let mut owner = Owner::of(folder.path()).unwrap();
        assert!(matches!(check(&path, &owner), Err(PrivateFileError::Unreadable { .. })));
        std::fs::write(&path, "A=1").unwrap();
        for (mode, private) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(check(&path, &owner).is_ok(), private, "{mode:o}");
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        owner.uid += 1;
        assert!(matches!(check(&path, &owner), Err(PrivateFileError::Foreign { .. })));
    }
}
