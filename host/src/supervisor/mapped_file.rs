//! A file that is part of this process's memory: what is stored there can be read by others when the process is gone.

#![allow(unsafe_code, reason = "a mapping has no safe name elsewhere")]

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::AtomicU64;

/// A file of words.
#[derive(Debug)]
pub struct MappedFile {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: it is memory of this process until it is dropped, and all access is atomic.
unsafe impl Send for MappedFile {}
// SAFETY: as above.
unsafe impl Sync for MappedFile {}

impl MappedFile {
    /// Makes a file of so many words, all of them 0, that only its owner may read. One that is there is replaced, not
    /// changed: it may be mapped by another process.
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
        let mapped = file.write_all(&vec![0; size]).and_then(|()| map(&file, size));
        match mapped {
            Ok(start) => Ok(Self { start, words }),
            Err(error) => {
                let _ = std::fs::remove_file(path);
                Err(error)
            }
        }
    }

    /// Its words.
    pub const fn words(&self) -> &[AtomicU64] {
        // SAFETY: so many words are mapped at a page's beginning, which suits their alignment, until `self` is dropped.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

fn map(file: &std::fs::File, size: usize) -> io::Result<NonNull<AtomicU64>> {
    // SAFETY: the system chooses a place where nothing else is.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: it was mapped with that size, and nobody has a reference into it any more.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.words * size_of::<AtomicU64>());
        }
    }
}
