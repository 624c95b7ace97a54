//! The requests that this host has acknowledged, kept so that the record survives the host: the next host tells Inngest
//! at once that they are lost, where it would wait for the ends of their leases.
//!
//! `connection/<pid>` in the state folder is a row of [`SLOTS`] slots of [`SLOT`] bytes, mapped into the host's memory: a
//! length of four bytes, and the reply of a failure as the wire has it. Notes are stores to memory, no system calls. The
//! host holds a lock on the file, which the system gives back when the host is gone.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use connect_wire::message::SdkResponse;
use js_runtime_api::{ownership, regular_file};
use prost::Message as _;

use crate::posix::mapped_file::MappedFile;

const SLOT: usize = 2048;
const WORDS: usize = SLOT / 8;
/// The number of slots. A request beyond them ends with its lease if the host dies.
const SLOTS: usize = 1024;
/// The extension of a file that its host has not locked yet.
const UNLOCKED: &str = "new";
/// The most bytes of a file that are read.
const LARGEST: u64 = (SLOT * SLOTS) as u64;

/// The record of this host.
#[derive(Debug)]
pub struct CrashRecord {
    path: PathBuf,
    file: MappedFile,
    _lock: File,
    slots: HashMap<String, usize>,
    free: Vec<usize>,
}

impl CrashRecord {
    /// Makes the file of this process.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(state_folder: &Path) -> io::Result<Self> {
        let folder = folder(state_folder);
        ownership::close_folder(&folder).map_err(io::Error::other)?;
        let path = folder.join(std::process::id().to_string());
        // Another host takes a record that nobody has locked: this one gets its name once it is locked.
        let unlocked = path.with_extension(UNLOCKED);
        let file = MappedFile::create(&unlocked, SLOTS * WORDS)?;
        let lock = File::open(&unlocked)?;
        lock.try_lock().map_err(io::Error::other)?;
        std::fs::rename(&unlocked, &path)?;
        Ok(Self {
            path,
            file,
            _lock: lock,
            slots: HashMap::new(),
            free: (0..SLOTS).rev().collect(),
        })
    }

    /// Notes the reply that a request gets if this host dies.
    pub fn note(&mut self, failure: &SdkResponse) {
        let mut bytes = vec![0; 4];
        bytes.extend(failure.encode_to_vec());
        let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        if bytes.len() > SLOT {
            return;
        }
        let Some(slot) = self.free.pop() else { return };
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
        // The first word is stored last: with its length the note is there.
        for (place, word) in words.enumerate().collect::<Vec<_>>().into_iter().rev() {
            self.store(slot, place, word);
        }
        if let Some(before) = self.slots.insert(failure.request_id.clone(), slot) {
            self.store(before, 0, 0);
            self.free.push(before);
        }
    }

    /// Forgets a request: Inngest has its reply.
    pub fn forget(&mut self, request_id: &str) {
        if let Some(slot) = self.slots.remove(request_id) {
            self.store(slot, 0, 0);
            self.free.push(slot);
        }
    }

    fn store(&self, slot: usize, place: usize, word: u64) {
        if let Some(stored) = self.file.words().get(slot * WORDS + place) {
            stored.store(word, Ordering::Release);
        }
    }
}

impl Drop for CrashRecord {
    fn drop(&mut self) {
        // The host ends in an orderly way: whoever is told nothing waits for the leases.
        if self.slots.is_empty() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Takes the notes of hosts that are gone: the replies that their requests get.
#[must_use]
pub fn take_lost(state_folder: &Path) -> Vec<SdkResponse> {
    let mut lost = Vec::new();
    for entry in std::fs::read_dir(folder(state_folder)).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == UNLOCKED) {
            continue;
        }
        // The lock of a host that lives is its own.
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_err() {
            continue;
        }
        let bytes = regular_file::read(&path, LARGEST).unwrap_or_default();
        let _ = std::fs::remove_file(&path);
        lost.extend(bytes.chunks(SLOT).filter_map(read));
    }
    lost
}

fn read(slot: &[u8]) -> Option<SdkResponse> {
    let (length, rest) = slot.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let reply = SdkResponse::decode(rest.get(..length)?).ok()?;
    (!reply.request_id.is_empty()).then_some(reply)
}

fn folder(state_folder: &Path) -> PathBuf {
    state_folder.join("connection")
}

#[cfg(test)]
mod tests {
    use connect_wire::message::SdkResponse;

    use super::{CrashRecord, SLOTS, folder, take_lost};

    fn reply(id: &str) -> SdkResponse {
        SdkResponse {
            request_id: id.to_owned(),
            run_id: "01RUN".to_owned(),
            ..SdkResponse::default()
        }
    }

    #[test]
    fn the_requests_of_a_host_that_is_gone_are_taken_once() {
        let state = tempfile::tempdir().unwrap();
        let mut record = CrashRecord::create(state.path()).unwrap();
        for id in ["a", "b", "c"] {
            record.note(&reply(id));
        }
        record.forget("b");
        assert_eq!(take_lost(state.path()), [], "the host lives");
        drop(record);
        let mut ids: Vec<_> = take_lost(state.path())
            .into_iter()
            .map(|reply| reply.request_id)
            .collect();
        ids.sort();
        assert_eq!(ids, ["a", "c"]);
        assert_eq!(take_lost(state.path()), []);
    }

    #[test]
    fn a_host_that_ends_with_nothing_open_leaves_no_file() {
        let state = tempfile::tempdir().unwrap();
        let mut record = CrashRecord::create(state.path()).unwrap();
        record.note(&reply("a"));
        record.forget("a");
        drop(record);
        assert_eq!(std::fs::read_dir(folder(state.path())).unwrap().count(), 0);
    }

    #[test]
    fn what_has_no_room_is_left_out_and_room_is_used_again() {
        let state = tempfile::tempdir().unwrap();
        let mut record = CrashRecord::create(state.path()).unwrap();
        record.note(&SdkResponse {
            body: vec![b'x'; 3000].into(),
            ..reply("large")
        });
        for number in 0..SLOTS + 5 {
            record.note(&reply(&number.to_string()));
        }
        record.forget("0");
        record.note(&reply("again"));
        drop(record);
        let lost = take_lost(state.path());
        assert_eq!(lost.len(), SLOTS);
        assert!(lost.iter().any(|reply| reply.request_id == "again"));
    }
}
