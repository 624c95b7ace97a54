//! A log file that the host rotates itself, by size and by age: `baton.log`, then `baton.log.1`, the newest of the
//! files that are over. A number of them is kept. Nobody has to tell the host that a file was moved.
//!
//! A project's supervisor and its hosts, of which there are two during an upgrade, write to one file: each line goes
//! to the file that has the name, and a lock on the file decides which process moves it.
//!
//! (Each of the crates that do this asks `chrono` for the local clock, which is a build of Deno of its own.)

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use miette::Diagnostic;

/// The file that lines go to, and the bounds of all log files.
#[derive(Debug, Clone)]
pub struct LogFileSettings {
    /// The file that is written to.
    pub path: PathBuf,
    /// The size in bytes at which a new file follows.
    pub size: u64,
    /// The age at which a new file follows.
    pub age: Duration,
    /// The number of older files that are kept.
    pub keep: usize,
}

/// The failure to write the log file.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot write the log file {path}: {error}", path = .path.display())]
#[diagnostic(help("Name another file with --log-file; its folder is made if it is missing."))]
pub struct LogFileError {
    path: PathBuf,
    error: io::Error,
}

/// The log file; see the module's documentation. It takes a whole line with each write.
#[derive(Debug)]
pub struct LogFile {
    settings: LogFileSettings,
    file: File,
    inode: u64,
    begun: SystemTime,
    /// The size in bytes that the file had when it could not be moved.
    ignored: u64,
}

impl LogFile {
    /// Opens the file to add to it; makes it, and its folder, where they are missing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(settings: LogFileSettings) -> Result<Self, LogFileError> {
        if let Some(folder) = settings.path.parent()
            && let Err(error) = std::fs::create_dir_all(folder)
        {
            return Err(LogFileError {
                path: settings.path,
                error,
            });
        }
        match Self::begin(&settings) {
            Ok((file, inode, begun)) => Ok(Self {
                settings,
                file,
                inode,
                begun,
                ignored: 0,
            }),
            Err(error) => Err(LogFileError {
                path: settings.path,
                error,
            }),
        }
    }

    fn begin(settings: &LogFileSettings) -> io::Result<(File, u64, SystemTime)> {
        let file = open(&settings.path)?;
        let known = file.metadata()?;
        // A start counts as the beginning of the file, where the file system does not tell the beginning.
        let begun = known.created().unwrap_or_else(|_| SystemTime::now());
        Ok((file, known.ino(), begun))
    }

    /// Goes on with the file that has the name now.
    fn reopen(&mut self) -> io::Result<()> {
        (self.file, self.inode, self.begun) = Self::begin(&self.settings)?;
        self.ignored = 0;
        Ok(())
    }

    /// Returns the size of the file; `None` when another file has its name, or none.
    fn size(&self) -> Option<u64> {
        let known = std::fs::metadata(&self.settings.path).ok()?;
        (known.ino() == self.inode).then_some(known.len())
    }

    fn is_due(&self, size: u64, more: u64, now: SystemTime) -> bool {
        let old = now.duration_since(self.begun).is_ok_and(|age| age >= self.settings.age);
        let size = size.saturating_sub(self.ignored);
        size > 0 && (old || size + more > self.settings.size)
    }

    /// Moves the files that are over on by one, removes the oldest, and begins a new one, unless another process has
    /// done it meanwhile.
    fn rotate(&mut self) -> io::Result<()> {
        self.file.lock()?;
        if self.size().is_some() {
            let number = |number: usize| {
                let mut name = self.settings.path.clone().into_os_string();
                name.push(format!(".{number}"));
                PathBuf::from(name)
            };
            for from in (1..self.settings.keep).rev() {
                move_if_there(&number(from), &number(from + 1))?;
            }
            match self.settings.keep {
                0 => std::fs::remove_file(&self.settings.path)?,
                _ => move_if_there(&self.settings.path, &number(1))?,
            }
        }
        // The lock goes with the file that it was on.
        self.reopen()
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let now = SystemTime::now();
        if self.size().is_none() {
            self.reopen()?;
        }
        if let Some(size) = self.size()
            && self.is_due(size, line.len() as u64, now)
            && let Err(error) = self.rotate()
        {
            // A large file is better than no lines; the next day or size leads to another try.
            self.begun = now;
            self.ignored = size;
            writeln!(
                self.file,
                "{{\"level\":\"WARN\",\"message\":\"the log file cannot be rotated\",\"error\":\"{error}\"}}"
            )?;
        }
        self.file.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Opens the file for its owner alone: lines may hold things that functions say.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;
    use std::time::Duration;

    use super::{LogFile, LogFileSettings};

    fn settings(folder: &Path, size: u64, age: Duration) -> LogFileSettings {
        LogFileSettings {
            path: folder.join("logs/baton.log"),
            size,
            age,
            keep: 2,
        }
    }

    fn read(folder: &Path, name: &str) -> Option<String> {
        std::fs::read_to_string(folder.join("logs").join(name)).ok()
    }

    #[test]
    fn a_full_file_is_followed_by_a_new_one_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(settings(folder.path(), 10, Duration::MAX)).unwrap();
        for line in ["one------\n", "two------\n", "three----\n", "four-----\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        let read = |name| read(folder.path(), name);
        assert_eq!(read("baton.log").as_deref(), Some("four-----\n"));
        assert_eq!(read("baton.log.1").as_deref(), Some("three----\n"));
        assert_eq!(read("baton.log.2").as_deref(), Some("two------\n"));
        assert_eq!(read("baton.log.3"), None);
    }

    #[test]
    fn an_old_file_is_followed_by_a_new_one_and_a_start_goes_on_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        for line in ["one\n", "two\n"] {
            let mut log = LogFile::open(settings(folder.path(), 1000, Duration::MAX)).unwrap();
            log.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(read(folder.path(), "baton.log").as_deref(), Some("one\ntwo\n"));
        let mut log = LogFile::open(settings(folder.path(), 1000, Duration::ZERO)).unwrap();
        log.write_all(b"three\n").unwrap();
        assert_eq!(read(folder.path(), "baton.log").as_deref(), Some("three\n"));
        assert_eq!(read(folder.path(), "baton.log.1").as_deref(), Some("one\ntwo\n"));
    }

    #[test]
    fn several_writers_share_the_file_and_lose_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let open = || LogFile::open(settings(folder.path(), 10, Duration::MAX)).unwrap();
        let (mut one, mut two) = (open(), open());
        one.write_all(b"one------\n").unwrap();
        two.write_all(b"two------\n").unwrap();
        one.write_all(b"three----\n").unwrap();
        let read = |name| read(folder.path(), name);
        assert_eq!(read("baton.log").as_deref(), Some("three----\n"));
        assert_eq!(read("baton.log.1").as_deref(), Some("two------\n"));
        assert_eq!(read("baton.log.2").as_deref(), Some("one------\n"));
    }

    #[test]
    fn a_line_larger_than_the_limit_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(settings(folder.path(), 3, Duration::MAX)).unwrap();
        log.write_all(b"a long line\n").unwrap();
        assert_eq!(read(folder.path(), "baton.log").as_deref(), Some("a long line\n"));
        assert_eq!(read(folder.path(), "baton.log.1"), None);
    }
}
