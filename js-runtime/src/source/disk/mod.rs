//! Results that were made from a file's content, kept on the disk for the next process.
//!
//! Nothing waits for a write: values are collected, and a thread writes them a little later, or when the engine
//! closes. A value that cannot be read, written or trusted is made anew; the lack of a store is reported once, and
//! changes no answer. Deleting the folder is harmless at any time.

mod cache_store;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) use cache_store::Key;
use cache_store::{CacheStore, Lookup, NewValue, StoreError};

/// The limit for the whole store, in bytes.
pub(crate) const LIMIT: u64 = 256 << 20;

/// The limit for values that wait to be written, in bytes; beyond it values are not kept.
const MOST_WAITING: usize = 64 << 20;

/// The time for which a load is left alone before its results are written.
const SETTLE: Duration = Duration::from_millis(500);

/// The time that a look waits for the store to be opened. The opening began before the first isolate did.
const OPENING: Duration = Duration::from_millis(250);

/// The time that the end of the process waits for values that are still to be written.
const CLOSING: Duration = Duration::from_secs(2);

/// The number of bytes that are written at once, so that others get their turn.
const BATCH: usize = 8 << 20;

/// The number of failures to write in a row after which nothing is tried again.
const FAILURES: u32 = 3;

/// The kind of a value, which is a part of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ValueKind {
    IsScript,
    Emitted,
    Findings,
    CommonJs,
    ModuleCode,
    ScriptCode,
}

/// The numbers of looks, by their outcome.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    /// The number of values that differed from those that were written.
    pub(crate) damaged: AtomicU64,
}

/// The store and the thread that writes to it.
pub(crate) struct Disk {
    shared: Arc<DiskState>,
    /// The writer, until it is closed. Nothing is sent: the channel ends with the thread.
    writer: Mutex<Option<(JoinHandle<()>, Receiver<()>)>>,
}

struct DiskState {
    folder: PathBuf,
    limit: u64,
    /// The part of each key that names the maker of the value, by whether the value is V8's.
    makers: [String; 2],
    reader: Mutex<StoreReader>,
    opened: Condvar,
    waiting: Mutex<PendingWrites>,
    changed: Condvar,
    counts: Counts,
}

enum StoreReader {
    Opening,
    Open(Box<CacheStore>),
    /// There is no store, for now or for good.
    Absent,
}

#[derive(Default)]
struct PendingWrites {
    values: HashMap<Key, Vec<u8>>,
    bytes: usize,
    used: HashSet<Key>,
    closing: bool,
}

impl Disk {
    /// Begins to open the store in the folder. `ours` and `v8` name the makers of values.
    pub(crate) fn start(folder: PathBuf, limit: u64, ours: String, v8: String) -> Self {
        let shared = Arc::new(DiskState::new(folder, limit, [ours, v8]));
        let (running, ended) = channel();
        let writer = std::thread::Builder::new().name("caches".to_owned()).spawn({
            let shared = shared.clone();
            move || {
                shared.write();
                drop(running);
            }
        });
        if let Err(error) = &writer {
            say_off(&format!("cannot start a thread: {error}"));
            shared.set_reader(StoreReader::Absent);
        }
        Self {
            shared,
            writer: Mutex::new(writer.ok().map(|writer| (writer, ended))),
        }
    }

    /// Makes a store that keeps nothing.
    pub(crate) fn off() -> Self {
        let shared = DiskState::new(PathBuf::new(), 0, Default::default());
        shared.set_reader(StoreReader::Absent);
        lock(&shared.waiting).closing = true;
        Self {
            shared: Arc::new(shared),
            writer: Mutex::default(),
        }
    }

    /// Returns the key of the value that is made from these parts.
    pub(crate) fn key(&self, kind: ValueKind, parts: &[&[u8]]) -> Key {
        let [ours, v8] = &self.shared.makers;
        let (name, maker) = match kind {
            ValueKind::IsScript => ("is script", ours),
            ValueKind::Emitted => ("emitted", ours),
            ValueKind::Findings => ("findings", ours),
            ValueKind::CommonJs => ("commonjs", ours),
            ValueKind::ModuleCode => ("module code", v8),
            ValueKind::ScriptCode => ("script code", v8),
        };
        let mut hasher = blake3::Hasher::new();
        for part in [name.as_bytes(), maker.as_bytes()].iter().chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let found = self.shared.look(key);
        let Counts { hits, misses, damaged } = &self.shared.counts;
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match found {
            Lookup::Value { value, unused_today } => {
                count(hits);
                if unused_today {
                    lock(&self.shared.waiting).used.insert(*key);
                    self.shared.changed.notify_one();
                }
                Some(value)
            }
            Lookup::Nothing => {
                count(misses);
                None
            }
            Lookup::Damaged => {
                count(misses);
                count(damaged);
                None
            }
        }
    }

    /// Keeps a value, in the place of an earlier one.
    pub(crate) fn put(&self, key: Key, value: Vec<u8>) {
        let mut waiting = lock(&self.shared.waiting);
        if waiting.closing || waiting.bytes + value.len() > MOST_WAITING {
            return;
        }
        waiting.bytes += value.len();
        if let Some(before) = waiting.values.insert(key, value) {
            waiting.bytes -= before.len();
        }
        drop(waiting);
        self.shared.changed.notify_one();
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Writes the waiting values and ends the thread; gives up on a disk that is too slow.
    pub(crate) fn close(&self) {
        lock(&self.shared.waiting).closing = true;
        self.shared.changed.notify_one();
        let Some((writer, ended)) = lock(&self.writer).take() else {
            return;
        };
        if ended.recv_timeout(CLOSING) == Err(RecvTimeoutError::Timeout) {
            tracing::debug!("caches are still being written: the rest is made again");
        } else if writer.join().is_err() {
            tracing::warn!("the thread that writes caches panicked");
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}

impl DiskState {
    fn new(folder: PathBuf, limit: u64, makers: [String; 2]) -> Self {
        Self {
            folder,
            limit,
            makers,
            reader: Mutex::new(StoreReader::Opening),
            opened: Condvar::new(),
            waiting: Mutex::default(),
            changed: Condvar::new(),
            counts: Counts::default(),
        }
    }

    fn look(&self, key: &Key) -> Lookup {
        let reader = lock(&self.reader);
        let waited = self
            .opened
            .wait_timeout_while(reader, OPENING, |reader| matches!(reader, StoreReader::Opening));
        let (mut reader, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let StoreReader::Open(store) = &*reader else {
            return Lookup::Nothing;
        };
        match store.get(key) {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "cannot read a cache");
                if error.is_damage() {
                    // The writer replaces it.
                    *reader = StoreReader::Absent;
                }
                Lookup::Nothing
            }
        }
    }

    fn set_reader(&self, to: StoreReader) {
        *lock(&self.reader) = to;
        self.opened.notify_all();
    }

    /// Runs the writer's thread, from its first to its last line.
    fn write(&self) {
        let mut store = self.open();
        let mut failures = if store.is_some() { 0 } else { FAILURES };
        while let Some((values, used)) = self.next() {
            if failures == FAILURES {
                continue;
            }
            match self.keep(&mut store, &values, &used) {
                Ok(()) => failures = 0,
                Err(error) => {
                    tracing::debug!(%error, "cannot write caches");
                    failures += 1;
                    if failures == FAILURES {
                        say_off(&error.to_string());
                    }
                }
            }
        }
        // The last connection that closes tidies up.
        self.set_reader(StoreReader::Absent);
    }

    /// Opens the store for the reader and for the writer.
    fn open(&self) -> Option<CacheStore> {
        // Several hosts may make it at the same time.
        const TRIES: u32 = 20;
        let opened = (0..TRIES).find_map(|tried| match self.open_both() {
            Err(error) if error.is_busy() && tried + 1 < TRIES => {
                std::thread::sleep(Duration::from_millis(10));
                None
            }
            opened => Some(opened),
        })?;
        match opened {
            Ok((reader, writer)) => {
                self.set_reader(StoreReader::Open(Box::new(reader)));
                Some(writer)
            }
            Err(error) => {
                say_off(&error.to_string());
                self.set_reader(StoreReader::Absent);
                None
            }
        }
    }

    fn open_both(&self) -> Result<(CacheStore, CacheStore), StoreError> {
        let open = || CacheStore::open(&self.folder, self.limit);
        Ok((open()?.for_reading()?, open()?))
    }

    /// Waits for values that are to be written; `None` when there will be no more.
    fn next(&self) -> Option<(Vec<NewValue>, Vec<Key>)> {
        let mut waiting = lock(&self.waiting);
        while waiting.values.is_empty() && waiting.used.is_empty() && !waiting.closing {
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let settled = Instant::now() + SETTLE;
        while !waiting.closing {
            let left = settled.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let (again, _) = self
                .changed
                .wait_timeout(waiting, left)
                .unwrap_or_else(PoisonError::into_inner);
            waiting = again;
        }
        if waiting.values.is_empty() && waiting.used.is_empty() {
            return None;
        }
        waiting.bytes = 0;
        let values = std::mem::take(&mut waiting.values).into_iter().collect();
        Some((values, std::mem::take(&mut waiting.used).into_iter().collect()))
    }

    fn keep(&self, store: &mut Option<CacheStore>, values: &[NewValue], used: &[Key]) -> Result<(), StoreError> {
        if !store.as_ref().is_some_and(CacheStore::is_in_place) || matches!(*lock(&self.reader), StoreReader::Absent) {
            self.reopen(store)?;
        }
        let mut used = used;
        for batch in batches(values) {
            let written = match store {
                Some(store) => store.put(batch, used),
                None => return Ok(()),
            };
            match written {
                Err(error) if error.is_damage() => {
                    tracing::debug!(%error, "the caches' file was replaced");
                    self.reopen(store)?;
                    if let Some(store) = store {
                        store.put(batch, &[])?;
                    }
                }
                written => written?,
            }
            used = &[];
        }
        tracing::debug!(values = values.len(), "caches were written");
        Ok(())
    }

    /// Opens another file in the place of one that is damaged or gone.
    fn reopen(&self, store: &mut Option<CacheStore>) -> Result<(), StoreError> {
        self.set_reader(StoreReader::Absent);
        if let Some(store) = store.take() {
            store.discard()?;
        }
        let (reader, writer) = self.open_both()?;
        *store = Some(writer);
        self.set_reader(StoreReader::Open(Box::new(reader)));
        Ok(())
    }
}

/// Returns the parts that are written at once.
fn batches(values: &[NewValue]) -> Vec<&[NewValue]> {
    let mut batches = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (at, (_, value)) in values.iter().enumerate() {
        bytes += value.len();
        if bytes >= BATCH {
            batches.push(&values[begin..=at]);
            (begin, bytes) = (at + 1, 0);
        }
    }
    // A batch without values comes too: uses are noted with the first batch.
    if begin < values.len() || batches.is_empty() {
        batches.push(&values[begin..]);
    }
    batches
}

fn say_off(error: &str) {
    tracing::warn!(error, "caches are not stored on the disk: each start makes them again");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
