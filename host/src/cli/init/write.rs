//! Writing: all files of a plan, or none. Nothing that is there is written over.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::InitError;
use super::init_plan::NewFile;

/// Writes the files below a folder, which is made where it is missing. Where one cannot be written, those that were
/// are taken back.
///
/// # Errors
/// With the path that cannot be written.
pub(super) fn write(folder: &Path, files: &[NewFile]) -> Result<(), InitError> {
    let mut made = WrittenFiles::default();
    let result = files
        .iter()
        .try_for_each(|file| made.file(&folder.join(&file.path), &file.text));
    if result.is_err() {
        made.take_back();
    }
    result
}

/// The files and folders that were made so far.
#[derive(Default)]
struct WrittenFiles {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl WrittenFiles {
    fn file(&mut self, path: &Path, text: &str) -> Result<(), InitError> {
        self.folder(path.parent().unwrap_or(path))?;
        // A link that leads elsewhere is not followed either.
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let mut file = file.map_err(|error| unwritable(path, error))?;
        self.files.push(path.to_owned());
        file.write_all(text.as_bytes()).map_err(|error| unwritable(path, error))
    }

    fn folder(&mut self, path: &Path) -> Result<(), InitError> {
        let is_missing = |folder: &&Path| !folder.is_dir();
        let mut missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
        while let Some(folder) = missing.pop() {
            match fs::create_dir(folder) {
                Ok(()) => self.folders.push(folder.to_owned()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
                Err(error) => return Err(unwritable(folder, error)),
            }
        }
        Ok(())
    }

    fn take_back(self) {
        for file in self.files.iter().rev() {
            let _ = fs::remove_file(file);
        }
        // A folder in which somebody else has put something stays.
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn unwritable(path: &Path, error: io::Error) -> InitError {
    InitError::Unwritable {
        path: path.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::init_plan::NewFile;
    use super::write;

    fn file(path: &str) -> NewFile {
        NewFile {
            path: path.to_owned(),
            text: "new".to_owned(),
        }
    }

    #[test]
    fn where_one_file_cannot_be_written_nothing_is_left() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("a/b");
        fs::create_dir(scratch.path().join("a")).unwrap();
        fs::write(scratch.path().join("a/kept"), "old").unwrap();
        write(&folder, &[file("one"), file("deep/er/two")]).unwrap();
        assert_eq!(fs::read_to_string(folder.join("deep/er/two")).unwrap(), "new");
        fs::remove_dir_all(&folder).unwrap();
        // A file where a folder would have to be.
        assert!(write(&folder, &[file("one"), file("x/two"), file("one/three")]).is_err());
        assert!(!folder.exists() && scratch.path().join("a/kept").exists());
    }

    #[test]
    fn nothing_that_is_there_is_written_over() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("one"), "old").unwrap();
        assert!(write(scratch.path(), &[file("one")]).is_err());
        assert_eq!(fs::read_to_string(scratch.path().join("one")).unwrap(), "old");
        std::os::unix::fs::symlink("elsewhere", scratch.path().join("link")).unwrap();
        assert!(write(scratch.path(), &[file("link")]).is_err());
        assert!(!scratch.path().join("elsewhere").exists());
    }
}
