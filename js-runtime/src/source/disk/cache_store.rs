//! Values by key in one SQLite file, for any number of processes at once.
//!
//! A value that is read is the one that was written, or there is none: each has a digest, and a file that is damaged,
//! or of another format, is replaced. A crash loses unfinished writes, and nothing else. The file is this user's
//! alone, since its content is executed.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use js_runtime_api::ownership::{self, OwnershipError};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior, params};

/// The digest of all that a value is made from.
pub(crate) type Key = [u8; blake3::OUT_LEN];

/// A value to be kept.
pub(super) type NewValue = (Key, Vec<u8>);

/// The number of the format: another one for each change of the tables. It is part of the file's name, so that two
/// versions of Baton do not replace each other's file.
const FORMAT: u32 = 1;

/// The text `baton` in the header of the file.
const APPLICATION: u32 = 0x6261_746f;

const PAGE: u64 = 4096;

/// The time for which another process may hold the file.
const PATIENCE: Duration = Duration::from_millis(500);

/// The same time for a reader, which another process hardly ever keeps waiting.
const IMPATIENCE: Duration = Duration::from_millis(5);

/// The divisor of the limit that gives the largest value that is kept.
const LARGEST_PART: u64 = 8;

const DAY: u64 = 24 * 60 * 60;

/// The reason why there is no store. The texts go on from "…: ".
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("cannot use {path}: {error}", path = .0.display(), error = .1)]
    Folder(PathBuf, #[source] io::Error),
    #[error(transparent)]
    NotOurs(#[from] OwnershipError),
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    File(PathBuf, #[source] rusqlite::Error),
}

impl StoreError {
    /// Tells whether the file holds something else than it should.
    pub(super) fn is_damage(&self) -> bool {
        self.has_code(&[ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase])
    }

    /// Tells whether a retry may succeed once another process is done.
    pub(super) fn is_busy(&self) -> bool {
        self.has_code(&[ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked])
    }

    fn has_code(&self, codes: &[ErrorCode]) -> bool {
        matches!(self, Self::File(_, error) if error.sqlite_error_code().is_some_and(|code| codes.contains(&code)))
    }
}

/// One connection to the file.
pub(super) struct CacheStore {
    path: PathBuf,
    connection: Connection,
    limit: u64,
    /// The identity of the file: another file may be in its place by now.
    identity: (u64, u64),
}

/// The outcome of a look at a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    Nothing,
    /// The value is not the one that was written.
    Damaged,
    Value {
        value: Vec<u8>,
        /// Tells whether nobody has used the value today.
        unused_today: bool,
    },
}

impl CacheStore {
    /// Opens the store in the folder, which is made if it is not there; the store holds about `limit` bytes.
    pub(super) fn open(folder: &Path, limit: u64) -> Result<Self, StoreError> {
        ownership::make_folder(folder)?;
        let path = folder.join(format!("{FORMAT}.sqlite"));
        match Self::open_file(&path, limit) {
            Err(error) if error.is_damage() => {
                remove(&path)?;
                Self::open_file(&path, limit)
            }
            opened => opened,
        }
    }

    fn open_file(path: &Path, limit: u64) -> Result<Self, StoreError> {
        let unusable = |error| StoreError::Folder(path.to_owned(), error);
        // SQLite alone would make a file that others can read.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK);
        let file = options.open(path).map_err(unusable)?;
        let metadata = file.metadata().map_err(unusable)?;
        drop(file);
        ownership::check(path, &metadata)?;
        let connection = connect(path, limit).map_err(|error| StoreError::File(path.to_owned(), error))?;
        Ok(Self {
            path: path.to_owned(),
            connection,
            limit,
            identity: (metadata.dev(), metadata.ino()),
        })
    }

    /// Tells whether the file at its place is still this one: a cache folder may be deleted at any time.
    pub(super) fn is_in_place(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity)
    }

    /// Removes the file, if it is still this one, so that the next [`CacheStore::open`] begins anew.
    pub(super) fn discard(self) -> Result<(), StoreError> {
        if self.is_in_place() {
            remove(&self.path)?;
        }
        Ok(())
    }

    /// Shortens the wait for another process: a reader makes a value rather than wait.
    pub(super) fn for_reading(self) -> Result<Self, StoreError> {
        let hurried = self.connection.busy_timeout(IMPATIENCE);
        hurried.map_err(|error| self.error(error))?;
        Ok(self)
    }

    pub(super) fn get(&self, key: &Key) -> Result<Lookup, StoreError> {
        let look = || {
            let mut statement = self.connection.prepare_cached(
                "SELECT bodies.digest, bodies.value, entries.used \
                 FROM entries JOIN bodies ON bodies.id = entries.id WHERE entries.key = ?1",
            )?;
            let row = statement.query_row([key], |row| {
                Ok((
                    row.get::<_, Vec<u8>>(0)?,
                    row.get::<_, Vec<u8>>(1)?,
                    row.get::<_, i64>(2)?,
                ))
            });
            row.optional()
        };
        Ok(match look().map_err(|error| self.error(error))? {
            None => Lookup::Nothing,
            Some((digest, value, used)) if digest == digest_of(key, &value).as_slice() => Lookup::Value {
                value,
                unused_today: used < today(),
            },
            Some(_) => Lookup::Damaged,
        })
    }

    /// Keeps the values, notes the others that were used today, and makes room: all of it, or nothing.
    pub(super) fn put(&mut self, values: &[NewValue], used: &[Key]) -> Result<(), StoreError> {
        self.write(values, used)
            .map_err(|error| StoreError::File(self.path.clone(), error))
    }

    fn write(&mut self, values: &[NewValue], used: &[Key]) -> rusqlite::Result<()> {
        let (limit, today) = (self.limit, today());
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (key, value) in values {
            if value.len() as u64 > limit / LARGEST_PART {
                continue;
            }
            let id: i64 = transaction
                .prepare_cached(
                    "INSERT INTO entries (key, size, used) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (key) DO UPDATE SET size = ?2, used = ?3 RETURNING id",
                )?
                .query_row(params![key, size(value), today], |row| row.get(0))?;
            transaction
                .prepare_cached("INSERT OR REPLACE INTO bodies (id, digest, value) VALUES (?1, ?2, ?3)")?
                .execute(params![id, digest_of(key, value), value])?;
        }
        for key in used {
            transaction
                .prepare_cached("UPDATE entries SET used = ?2 WHERE key = ?1")?
                .execute(params![key, today])?;
        }
        make_room(&transaction, limit)?;
        transaction.commit()
    }

    fn error(&self, error: rusqlite::Error) -> StoreError {
        StoreError::File(self.path.clone(), error)
    }
}

fn connect(path: &Path, limit: u64) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(16);
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // The last writes may be lost with the machine's power; the file stays whole.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let part = |of: u64| i64::try_from(of).unwrap_or(i64::MAX);
    connection.pragma_update(None, "journal_size_limit", part(limit / 16))?;
    // A bound for pages that nobody counts: half-empty ones, and those of the index.
    connection.pragma_update(None, "max_page_count", part(limit / 2 * 3 / PAGE))?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    match (number("application_id")?, number("user_version")?) {
        (APPLICATION, FORMAT) => return Ok(connection),
        (0, 0) => {}
        _ => return Err(not_ours()),
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, \
             size INTEGER NOT NULL, used INTEGER NOT NULL) STRICT;
         CREATE TABLE IF NOT EXISTS bodies (id INTEGER PRIMARY KEY, digest BLOB NOT NULL, value BLOB NOT NULL) STRICT;",
    )?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    Ok(connection)
}

fn not_ours() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB),
        Some("it belongs to another program".to_owned()),
    )
}

/// Deletes the values that were used longest ago, a quarter more than must be, so that this does not happen at each
/// write.
fn make_room(transaction: &Connection, limit: u64) -> rusqlite::Result<()> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut held: i64 = transaction.query_row("SELECT COALESCE(SUM(size), 0) FROM entries", [], |row| row.get(0))?;
    if held <= limit {
        return Ok(());
    }
    let mut oldest = transaction.prepare("SELECT id, size FROM entries ORDER BY used, id")?;
    let mut rows = oldest.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        if held <= limit / 4 * 3 {
            break;
        }
        ids.push(row.get::<_, i64>(0)?);
        held -= row.get::<_, i64>(1)?;
    }
    for id in ids {
        transaction
            .prepare_cached("DELETE FROM entries WHERE id = ?1")?
            .execute([id])?;
        transaction
            .prepare_cached("DELETE FROM bodies WHERE id = ?1")?
            .execute([id])?;
    }
    Ok(())
}

fn digest_of(key: &Key, value: &[u8]) -> Key {
    *blake3::keyed_hash(key, value).as_bytes()
}

/// Returns the day, so that a value that is used often is written once a day.
fn today() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs() / DAY).unwrap_or(i64::MAX)
}

fn size(value: &[u8]) -> i64 {
    i64::try_from(value.len()).unwrap_or(i64::MAX)
}

/// Removes the file and SQLite's files beside it. A process that has it open goes on with it, unseen.
fn remove(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::Folder(name.into(), error));
            }
            _ => {}
        }
    }
    Ok(())
}
