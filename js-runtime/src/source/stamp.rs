//! Stamps, which tell without a read that a file is as it was.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The age below which a written file may be written again without its time telling: the clocks of some file systems
/// go by two seconds.
const SETTLED: Duration = Duration::from_secs(2);

/// The time of a file's last write, with the file's identity and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    modified: SystemTime,
    changed: (i64, i64),
    device: u64,
    inode: u64,
    length: u64,
}

impl FileStamp {
    /// Returns the file's stamp, to be taken before the file is read. `None` when the stamp would tell nothing: there
    /// is no such file, or it was written only just now.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let modified = metadata.modified().ok()?;
        let age = SystemTime::now().duration_since(modified).ok()?;
        (age > SETTLED).then_some(Self {
            modified,
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::FileStamp;

    #[test]
    fn a_file_that_was_written_just_now_has_no_stamp_and_an_older_one_has_the_same_until_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ts");
        assert_eq!(FileStamp::of(&path), None);
        std::fs::write(&path, "one").unwrap();
        assert_eq!(FileStamp::of(&path), None);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
        let stamp = FileStamp::of(&path);
        assert!(stamp.is_some());
        assert_eq!(FileStamp::of(&path), stamp);
        std::fs::write(&path, "two").unwrap();
        assert_ne!(FileStamp::of(&path), stamp);
    }
}
