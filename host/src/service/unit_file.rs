//! A unit on the disk. It is there whole or not at all, and readable by everybody, for it holds no secret.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::ServiceError;

/// A file of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    /// The name of the file in its folder.
    pub name: String,
    pub text: String,
}

impl UnitFile {
    /// Writes the file into the folder, which is made if there is none. Returns false when the same file was there.
    pub(super) fn write(&self, folder: &Path) -> Result<bool, ServiceError> {
        let path = folder.join(&self.name);
        if std::fs::read_to_string(&path).is_ok_and(|text| text == self.text) {
            return Ok(false);
        }
        let written = || {
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(self.text.as_bytes())?;
            file.as_file().set_permissions(Permissions::from_mode(0o644))?;
            file.persist(&path)?;
            Ok(())
        };
        written().map_err(|error| ServiceError::Unwritable {
            path: path.clone(),
            error,
        })?;
        Ok(true)
    }
}

/// Removes a file of a unit. Returns false when there was none.
pub(super) fn remove(path: &Path) -> Result<bool, ServiceError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(ServiceError::Unwritable {
            path: path.to_owned(),
            error,
        }),
    }
}
