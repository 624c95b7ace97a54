//! The calls that a host is answering, kept so that the record survives the host: the file of a host that died names
//! the calls that were lost, and the generations and threads that ran them.
//!
//! `calls/<pid>` in the state folder is a row of [`SLOTS`] slots of [`SLOT`] bytes, mapped into the host's memory: a
//! length of two bytes, a line of JSON, and in the last two words the generation and the thread that run the call. A
//! call takes a free slot, its isolate's thread notes itself, and the slot is given back: stores to memory, no system
//! call. Nothing is synced: the file is to survive the process, not the machine.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use js_runtime_api::{RunRecord, ownership};
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use crate::generation::{CallInfo, GenerationId};
use crate::posix::mapped_file::MappedFile;

const SLOT: usize = 512;
const WORDS: usize = SLOT / 8;
/// The number of slots. A call beyond them has no name if the host dies.
const SLOTS: usize = 2048;
const GENERATION: usize = WORDS - 2;
const THREAD: usize = WORDS - 1;
/// The bytes for the length and the line.
const TEXT: usize = GENERATION * 8;
/// The number of letters of a name that are kept.
const NAME: usize = 120;

/// A call as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostCall {
    pub function: Option<String>,
    pub run: Option<String>,
    pub step: Option<String>,
    /// The time at which the call was written down, in milliseconds since 1970.
    pub since: u64,
    /// The generation that took the call; absent while the call was held.
    #[serde(skip)]
    pub generation: Option<u64>,
    /// The system's number of the thread that ran the call; absent while the call waited for one.
    #[serde(skip)]
    pub thread: Option<u64>,
}

/// The ledger of this host.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    /// The mapped file; `None` where it cannot be made.
    file: Option<MappedFile>,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    free: VecDeque<usize>,
    made: usize,
}

/// The place of a call in the ledger. The call is in the ledger as long as this value lives.
#[derive(Debug)]
pub struct LedgerEntry {
    ledger: Arc<Ledger>,
    slot: usize,
}

impl Ledger {
    /// Makes the file of the process with that id. Where the file cannot be made, no call is written down.
    #[must_use]
    pub fn create(state_folder: &Path, pid: u32) -> Self {
        let path = folder(state_folder).join(pid.to_string());
        let file = create(&path);
        if let Err(error) = &file {
            warn!(%error, "cannot write the ledger: if this host dies, its calls in flight are not known");
        }
        Self {
            path,
            file: file.ok(),
            slots: Mutex::default(),
        }
    }

    /// Writes a call down. Without a file or a free slot the call has no name if the host dies.
    #[must_use]
    pub fn note(self: &Arc<Self>, call: &CallInfo) -> Option<Arc<LedgerEntry>> {
        self.file.as_ref()?;
        let slot = self.take_slot()?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let call = LostCall {
            function: call.function.as_deref().map(short),
            run: call.run.as_deref().map(short),
            step: call.step.as_deref().map(short),
            since: u64::try_from(since.as_millis()).unwrap_or_default(),
            generation: None,
            thread: None,
        };
        let line = serde_json::to_vec(&call).unwrap_or_default();
        let mut bytes = Vec::with_capacity(TEXT);
        bytes.extend(u16::try_from(line.len()).unwrap_or_default().to_le_bytes());
        bytes.extend(line);
        bytes.resize(TEXT.min(bytes.len().next_multiple_of(8)), 0);
        let noted = LedgerEntry {
            ledger: self.clone(),
            slot,
        };
        let words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
        let words: Vec<_> = words.enumerate().collect();
        noted.store(GENERATION, 0);
        noted.store(THREAD, 0);
        // The first word is stored last: with its length the call is there.
        words
            .into_iter()
            .rev()
            .for_each(|(place, word)| noted.store(place, word));
        Some(Arc::new(noted))
    }

    /// Removes the file: the calls are named already, or there are none, so nobody else may name them.
    pub fn clear(&self) {
        let _ = std::fs::remove_file(&self.path);
    }

    fn take_slot(&self) -> Option<usize> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.free.pop_front().or_else(|| {
            let slot = slots.made;
            slots.made = (slot + 1).min(SLOTS);
            (slot < SLOTS).then_some(slot)
        })
    }
}

impl LedgerEntry {
    /// Notes the generation that has taken the call.
    pub fn taken_by(&self, GenerationId(generation): GenerationId) {
        self.store(GENERATION, generation);
    }

    fn store(&self, place: usize, word: u64) {
        if let Some(stored) = self.word(place) {
            stored.store(word, Ordering::Release);
        }
    }

    fn word(&self, place: usize) -> Option<&AtomicU64> {
        self.ledger.file.as_ref()?.words().get(self.slot * WORDS + place)
    }
}

impl RunRecord for LedgerEntry {
    fn runs_on(&self, thread: u64) {
        self.store(THREAD, thread);
    }
}

impl Drop for LedgerEntry {
    fn drop(&mut self) {
        self.store(0, 0);
        let mut slots = self.ledger.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.free.push_back(self.slot);
    }
}

/// Names in the log the calls that a host took with it, and removes their file.
pub fn tell_lost(state_folder: &Path, pid: u32) {
    let path = folder(state_folder).join(pid.to_string());
    for call in take(&path) {
        let LostCall {
            function,
            run,
            step,
            since,
            generation,
            thread,
        } = call;
        let since = UNIX_EPOCH + Duration::from_millis(since);
        let running = since.elapsed().unwrap_or_default().as_millis();
        error!(
            host = pid,
            function,
            run,
            step,
            generation,
            thread,
            running_ms = running,
            "call lost: its host died"
        );
    }
}

/// Does the same for every host that an earlier supervisor left behind, except for the hosts in `except`.
pub fn tell_all_lost(state_folder: &Path, except: &[u32]) {
    let names = std::fs::read_dir(folder(state_folder)).into_iter().flatten().flatten();
    for pid in names.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if !except.contains(&pid) {
            tell_lost(state_folder, pid);
        }
    }
}

fn create(path: &Path) -> io::Result<MappedFile> {
    if let Some(folder) = path.parent() {
        ownership::close_folder(folder).map_err(io::Error::other)?;
    }
    MappedFile::create(path, SLOTS * WORDS)
}

fn folder(state_folder: &Path) -> PathBuf {
    state_folder.join("calls")
}

fn take(path: &Path) -> Vec<LostCall> {
    let Ok(bytes) = std::fs::read(path) else {
        return Vec::new();
    };
    let _ = std::fs::remove_file(path);
    bytes.chunks(SLOT).filter_map(read).collect()
}

fn read(slot: &[u8]) -> Option<LostCall> {
    let (length, rest) = slot.split_first_chunk::<2>()?;
    let line = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
    let call: LostCall = serde_json::from_slice(line).ok()?;
    let word = |place: usize| {
        let word = slot.as_chunks().0.get(place)?;
        Some(u64::from_le_bytes(*word)).filter(|word| *word > 0)
    };
    Some(LostCall {
        generation: word(GENERATION),
        thread: word(THREAD),
        ..call
    })
}

/// Leaves out the letters that JSON escapes: a call has to fit into its slot.
fn short(name: &str) -> String {
    name.chars()
        .filter(|letter| letter.is_ascii_graphic() && !matches!(letter, '"' | '\\'))
        .take(NAME)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use js_runtime_api::RunRecord as _;

    use super::{Ledger, SLOTS, folder, take};
    use crate::generation::{CallInfo, GenerationId};

    fn call(function: &str) -> CallInfo {
        CallInfo {
            function: Some(function.to_owned()),
            run: Some("01RUN".to_owned()),
            step: Some("\"step\\".repeat(200)),
            ..CallInfo::default()
        }
    }

    fn names(calls: &[super::LostCall]) -> Vec<&str> {
        calls.iter().filter_map(|call| call.function.as_deref()).collect()
    }

    #[test]
    fn what_was_not_answered_is_found_after_the_host_is_gone() {
        let state = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::create(state.path(), 7));
        let one = ledger.note(&call("one"));
        let _two = ledger.note(&call("two"));
        drop(one);
        let three = ledger.note(&call("three"));
        let _four = ledger.note(&call("four"));
        let path = folder(state.path()).join("7");
        assert_eq!(names(&take(&path)), ["three", "two", "four"], "a slot is used again");
        assert_eq!(take(&path), [], "and named once");
        drop(three);
    }

    #[test]
    fn a_disk_that_cannot_be_written_costs_no_call() {
        let state = tempfile::tempdir().unwrap();
        // A file is in the place of the folder.
        std::fs::write(folder(state.path()), "").unwrap();
        let ledger = Arc::new(Ledger::create(state.path(), 7));
        drop(ledger.note(&call("one")));
        ledger.clear();
    }

    #[test]
    fn what_was_named_by_the_host_itself_is_not_named_again() {
        let state = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::create(state.path(), 7));
        let _one = ledger.note(&call("one"));
        ledger.clear();
        assert_eq!(take(&folder(state.path()).join("7")), []);
    }

    #[test]
    fn a_lost_call_names_the_generation_and_the_thread_that_ran_it() {
        let state = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::create(state.path(), 7));
        let begun = ledger.note(&call("begun")).unwrap();
        begun.taken_by(GenerationId(3));
        begun.runs_on(4711);
        let _held = ledger.note(&call("held"));
        let lost = take(&folder(state.path()).join("7"));
        let places: Vec<_> = lost.iter().map(|call| (call.generation, call.thread)).collect();
        assert_eq!(places, [(Some(3), Some(4711)), (None, None)]);
        drop(begun);
        let path = folder(state.path()).join("7");
        assert!(!path.exists(), "what a host notes after it was found makes no file");
    }

    #[test]
    fn names_of_any_length_fit_into_their_slot() {
        let state = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::create(state.path(), 7));
        let long = CallInfo {
            function: Some("\"f\\".repeat(1000)),
            run: Some("r\u{1}".repeat(1000)),
            step: Some("s".repeat(1000)),
            ..CallInfo::default()
        };
        let _long = ledger.note(&long);
        let lost = take(&folder(state.path()).join("7"));
        let lengths: Vec<_> = lost
            .iter()
            .flat_map(|call| [&call.function, &call.run, &call.step])
            .map(|name| name.as_ref().map(String::len))
            .collect();
        assert_eq!(lengths, [Some(120); 3]);
    }

    #[test]
    fn more_calls_than_there_are_slots_have_no_name() {
        let state = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::create(state.path(), 7));
        let mut noted: Vec<_> = (0..SLOTS).map(|_| ledger.note(&call("named"))).collect();
        assert!(noted.iter().all(Option::is_some));
        assert!(ledger.note(&call("one more")).is_none());
        noted.pop();
        assert!(
            ledger.note(&call("again")).is_some(),
            "a slot that is given back is used"
        );
    }
}
