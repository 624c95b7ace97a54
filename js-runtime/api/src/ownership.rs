//! Files and folders that are this user's alone. Anything else in their place, from another user, open to others, a
//! link, or no file at all, is not believed.

use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::libc;

use crate::regular_file;

/// The reason why a file or folder is not believed.
#[derive(Debug, thiserror::Error)]
pub enum OwnershipError {
    /// The file or folder is not there, or the system gives no access to it.
    #[error("cannot use {path}: {error}", path = .0.display(), error = .1)]
    Unusable(PathBuf, #[source] io::Error),
    /// The file or folder is another user's.
    #[error("{path} belongs to the user with the id {owner}, who could change its content", path = .path.display())]
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// The number of the user who owns it.
        owner: u32,
    },
    /// The group or everybody may write to it.
    #[error("other users may write to {path} and could change its content", path = .0.display())]
    Writable(PathBuf),
    /// The group or everybody may read it.
    #[error("other users may read {path}, which holds a secret", path = .0.display())]
    Readable(PathBuf),
    /// The path leads to a folder, a link, a pipe, a device or a socket.
    #[error("{path} is not a regular file", path = .0.display())]
    NoFile(PathBuf),
}

impl OwnershipError {
    /// Tells whether nothing is at the path.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unusable(_, error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Returns the number of the user whose rights this process has.
#[must_use]
pub fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Checks that the user owns the file or folder and nobody else may write to it.
///
/// # Errors
/// When that is not so.
pub fn check(path: &Path, metadata: &Metadata) -> Result<(), OwnershipError> {
    if metadata.uid() != own_user() {
        return Err(OwnershipError::Foreign {
            path: path.to_owned(),
            owner: metadata.uid(),
        });
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(OwnershipError::Writable(path.to_owned()));
    }
    Ok(())
}

/// Makes a folder that only the user can enter, and the missing folders above it; checks a folder that is there.
///
/// # Errors
/// When it cannot be made, or is not the user's alone.
pub fn make_folder(folder: &Path) -> Result<(), OwnershipError> {
    let unusable = |error| OwnershipError::Unusable(folder.to_owned(), error);
    // The mode also holds for the folders above it.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(unusable)?;
    check(folder, &folder.metadata().map_err(unusable)?)
}

/// Makes a folder that only the user can write to. For a folder that is there, takes that right from everybody else:
/// an earlier version may have made it by another mask.
///
/// # Errors
/// When it cannot be made, or is another user's.
pub fn close_folder(folder: &Path) -> Result<(), OwnershipError> {
    match make_folder(folder) {
        Err(OwnershipError::Writable(_)) => std::fs::set_permissions(folder, Permissions::from_mode(0o700))
            .map_err(|error| OwnershipError::Unusable(folder.to_owned(), error)),
        made => made,
    }
}

/// Opens a file to be read, once it is known to be the user's own. This follows no link, and waits for nothing.
///
/// # Errors
/// When it is missing, or is not the user's alone.
pub fn open(path: &Path) -> Result<File, OwnershipError> {
    let file = open_regular(path)?;
    check(
        path,
        &file
            .metadata()
            .map_err(|error| OwnershipError::Unusable(path.to_owned(), error))?,
    )?;
    Ok(file)
}

/// Opens a file as [`open`] does, if nobody else may read it either.
///
/// # Errors
/// When it is missing, or is not the user's alone, or can be read by others.
pub fn open_secret(path: &Path) -> Result<File, OwnershipError> {
    let file = open(path)?;
    let metadata = file
        .metadata()
        .map_err(|error| OwnershipError::Unusable(path.to_owned(), error))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(OwnershipError::Readable(path.to_owned()));
    }
    Ok(file)
}

fn open_regular(path: &Path) -> Result<File, OwnershipError> {
    regular_file::open_with(path, OFlag::O_NOFOLLOW).map_err(|error| match error.raw_os_error() {
        // The errors for a link, and for a socket.
        Some(libc::ELOOP | libc::ENXIO) => OwnershipError::NoFile(path.to_owned()),
        _ if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::IsADirectory) => {
            OwnershipError::NoFile(path.to_owned())
        }
        _ => OwnershipError::Unusable(path.to_owned(), error),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::{Path, PathBuf};

    use super::{OwnershipError, check, close_folder, make_folder, open, open_secret};

    /// Returns a folder of this test.
    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("baton-ownership-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        make_folder(&folder).unwrap();
        folder
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_a_regular_file_of_ones_own_is_believed() {
        let folder = scratch("files");
        let file = folder.join("file");
        assert!(open(&file).unwrap_err().is_missing());
        std::fs::write(&file, "text").unwrap();
        chmod(&file, 0o644);
        assert!(open(&file).is_ok());
        assert!(matches!(open_secret(&file), Err(OwnershipError::Readable(_))));
        chmod(&file, 0o600);
        assert!(open_secret(&file).is_ok());
        chmod(&file, 0o620);
        assert!(matches!(open(&file), Err(OwnershipError::Writable(_))));
        chmod(&file, 0o600);
        let link = folder.join("link");
        symlink(&file, &link).unwrap();
        assert!(matches!(open(&link), Err(OwnershipError::NoFile(_))));
        let pipe = folder.join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(open(&pipe), Err(OwnershipError::NoFile(_))));
        assert!(matches!(open(&folder), Err(OwnershipError::NoFile(_))));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_not_used() {
        let folder = scratch("folders");
        chmod(&folder, 0o777);
        assert!(matches!(make_folder(&folder), Err(OwnershipError::Writable(_))));
        close_folder(&folder).unwrap();
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        chmod(&folder, 0o755);
        assert!(make_folder(&folder).is_ok());
        std::fs::remove_dir_all(&folder).unwrap();
        if super::own_user() != 0 {
            assert!(matches!(
                check(Path::new("/"), &Path::new("/").metadata().unwrap()),
                Err(OwnershipError::Foreign { owner: 0, .. })
            ));
        }
    }
}
