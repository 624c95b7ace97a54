//! Which calls a host is answering, kept so that it survives the host: whoever finds the file of a
//! host that was killed can name what was lost.
//!
//! `calls/<pid>` in the state folder is a row of slots of [`SLOT`] bytes: a length, and a line of JSON.
//! A call takes a free slot with one write and gives it back with another. Nothing is synced: the
//! file is to survive the process, not the machine.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use js_runtime_api::ownership;
use serde::{Deserialize, Serialize};
use tracing::{debug, error, warn};

use crate::generation::CallInfo;

const SLOT: usize = 512;
/// As much of a name is kept.
const NAME: usize = 120;

/// A call as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostCall {
    pub function: Option<String>,
    pub run: Option<String>,
    pub step: Option<String>,
    /// Milliseconds since 1970.
    pub since: u64,
}

/// The file of this host.
#[derive(Debug)]
pub struct Ledger {
    /// `None` where the disk cannot be written.
    file: Option<File>,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    free: VecDeque<u32>,
    made: u32,
}

/// While it lives, the call is in the ledger.
#[derive(Debug)]
pub struct Noted {
    ledger: Arc<Ledger>,
    slot: u32,
}

impl Ledger {
    /// Makes the file of the process with that id. Where it cannot be made nothing is written down.
    #[must_use]
    pub fn create(state_folder: &Path, pid: u32) -> Self {
        let file = create(&folder(state_folder), pid);
        if let Err(error) = &file {
            warn!(%error, "calls cannot be written down: if this host dies, nobody knows which it was answering");
        }
        Self {
            file: file.ok(),
            slots: Mutex::default(),
        }
    }

    /// Writes a call down. A disk that cannot be written costs its name, not the call.
    #[must_use]
    pub fn note(self: &Arc<Self>, call: &CallInfo) -> Noted {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.free.pop_front().unwrap_or_else(|| {
            slots.made += 1;
            slots.made - 1
        });
        drop(slots);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let call = LostCall {
            function: call.function.as_deref().map(short),
            run: call.run.as_deref().map(short),
            step: call.step.as_deref().map(short),
            since: u64::try_from(since.as_millis()).unwrap_or_default(),
        };
        let line = serde_json::to_vec(&call).unwrap_or_default();
        let line = line.get(..SLOT - 2).unwrap_or(&line);
        let mut bytes = Vec::with_capacity(SLOT);
        bytes.extend(u16::try_from(line.len()).unwrap_or_default().to_le_bytes());
        bytes.extend(line);
        self.write(slot, &bytes);
        Noted {
            ledger: self.clone(),
            slot,
        }
    }

    /// The calls are named already: nobody else is to name them.
    pub fn clear(&self) {
        if let Some(file) = &self.file {
            let _ = file.set_len(0);
        }
    }

    fn write(&self, slot: u32, bytes: &[u8]) {
        if let Some(file) = &self.file
            && let Err(error) = file.write_all_at(bytes, u64::from(slot) * SLOT as u64)
        {
            debug!(%error, "a call cannot be written down");
        }
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.ledger.write(self.slot, &0_u16.to_le_bytes());
        let mut slots = self.ledger.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.free.push_back(self.slot);
    }
}

/// Names the calls that a host took with it, and forgets them.
pub fn tell_lost(state_folder: &Path, pid: u32) {
    let path = folder(state_folder).join(pid.to_string());
    for call in take(&path) {
        let LostCall {
            function,
            run,
            step,
            since,
        } = call;
        let since = UNIX_EPOCH + Duration::from_millis(since);
        let running = since.elapsed().unwrap_or_default().as_millis();
        error!(
            host = pid,
            function,
            run,
            step,
            running_ms = running,
            "call lost: its host died"
        );
    }
}

/// The same for every host that an earlier supervisor left behind, except those.
pub fn tell_all_lost(state_folder: &Path, except: &[u32]) {
    let names = std::fs::read_dir(folder(state_folder)).into_iter().flatten().flatten();
    for pid in names.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if !except.contains(&pid) {
            tell_lost(state_folder, pid);
        }
    }
}

fn create(folder: &Path, pid: u32) -> io::Result<File> {
    ownership::close_folder(folder).map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(folder.join(pid.to_string()))
}

fn folder(state_folder: &Path) -> PathBuf {
    state_folder.join("calls")
}

fn take(path: &Path) -> Vec<LostCall> {
    let Ok(bytes) = std::fs::read(path) else {
        return Vec::new();
    };
    let _ = std::fs::remove_file(path);
    let call = |slot: &[u8]| {
        let (length, rest) = slot.split_first_chunk::<2>()?;
        let line = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
        serde_json::from_slice(line).ok()
    };
    bytes.chunks(SLOT).filter_map(call).collect()
}

fn short(name: &str) -> String {
    name.chars()
        .filter(|letter| letter.is_ascii_graphic())
        .take(NAME)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Ledger, folder, take};
    use crate::generation::CallInfo;

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
        // Where a folder is needed there is a file.
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
}
