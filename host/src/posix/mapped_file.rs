//! A file that is part of this process's memory: others can read its content when the process is gone.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::slice;
use std::sync::atomic::AtomicU64;

use memmap2::MmapRaw;

/// A file of words.
#[derive(Debug)]
pub struct MappedFile {
    memory: MmapRaw,
    words: usize,
}

impl MappedFile {
    /// Makes a file of so many words, all of them 0, that only its owner may read. A file that is there already is
    /// replaced, not changed: another process may have mapped it.
    ///
    /// # Errors
    /// When the file cannot be made or mapped, or the disk has no room for the whole of it: a store that finds none
    /// later would end the process.
    pub fn create(path: &Path, words: usize) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let mut file = options.open(path)?;
        let size = words * size_of::<AtomicU64>();
        let mapped = file.write_all(&vec![0; size]).and_then(|()| MmapRaw::map_raw(&file));
        match mapped {
            Ok(memory) => Ok(Self { memory, words }),
            Err(error) => {
                let _ = std::fs::remove_file(path);
                Err(error)
            }
        }
    }

    /// The words of the file.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        #[allow(unsafe_code, reason = "a mapping is a place of bytes")]
        // SAFETY: the file has so many words, all of them are mapped until `self` is dropped, a mapping begins at a
        // page, which suits their alignment, and nobody of this process reaches them but through atomics.
        unsafe {
            slice::from_raw_parts(self.memory.as_ptr().cast(), self.words)
        }
    }
}
