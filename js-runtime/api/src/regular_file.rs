//! Reading files that others may have put there. Only regular files are read: a pipe or a device would keep its
//! reader for ever.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::libc;

/// Opens a regular file.
///
/// # Errors
/// When it cannot be opened, or is no regular file.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(path, OFlag::empty())
}

/// Opens a regular file as [`open`] does, with more flags.
pub(crate) fn open_with(path: &Path, flags: OFlag) -> io::Result<File> {
    // Opening a pipe would wait for somebody who writes to it.
    let flags = flags | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// Reads a regular file of at most so many bytes.
///
/// # Errors
/// When it cannot be read, is no regular file, or is larger.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(most)).unwrap_or_default());
    // A file that grows meanwhile is not read for ever.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let message = format!("larger than {} MiB", most >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Tells whether an operation failed because the system, or this process, has no descriptor, thread or memory left.
#[must_use]
pub fn is_lack(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN | libc::ENOBUFS)
    )
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;
    use std::process::Command;

    use nix::libc;

    use super::{is_lack, read};

    #[test]
    fn a_pipe_a_device_a_folder_and_what_is_too_large_are_not_read() {
        let folder = std::env::temp_dir().join(format!("baton-regular-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (file, pipe) = (folder.join("file"), folder.join("pipe"));
        std::fs::write(&file, [7; 10]).unwrap();
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(read(&file, 10).unwrap(), [7; 10]);
        let failed = |path: &Path, most| read(path, most).unwrap_err().kind();
        assert_eq!(failed(&file, 9), io::ErrorKind::FileTooLarge);
        assert_eq!(failed(&pipe, 10), io::ErrorKind::InvalidInput);
        assert_eq!(failed(Path::new("/dev/zero"), 10), io::ErrorKind::InvalidInput);
        assert_eq!(failed(&folder, 10), io::ErrorKind::IsADirectory);
        assert_eq!(failed(&folder.join("none"), 10), io::ErrorKind::NotFound);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_lack_is_told_from_what_is_missing() {
        assert!(is_lack(&io::Error::from_raw_os_error(libc::EMFILE)));
        assert!(!is_lack(&io::Error::from_raw_os_error(libc::ENOENT)));
        assert!(!is_lack(&io::Error::other("else")));
    }
}
