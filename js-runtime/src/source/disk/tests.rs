use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use tempfile::TempDir;

use super::cache_store::{CacheStore, Lookup};
use super::{Disk, LIMIT, ValueKind};

fn open(folder: &Path) -> Disk {
    Disk::start(folder.to_owned(), LIMIT, "ours".to_owned(), "v8".to_owned())
}

fn file(folder: &Path) -> PathBuf {
    folder.join("1.sqlite")
}

/// Keeps one value and ends, as a process does.
fn keep(folder: &Path, content: &str, value: &[u8]) {
    let disk = open(folder);
    disk.put(disk.key(ValueKind::Emitted, &[content.as_bytes()]), value.to_vec());
    disk.close();
}

/// Returns the value that another process finds.
fn found(folder: &Path, content: &str) -> Option<Vec<u8>> {
    let disk = open(folder);
    disk.get(&disk.key(ValueKind::Emitted, &[content.as_bytes()]))
}

#[test]
fn what_one_process_keeps_the_next_one_finds() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().join("below/code");
    assert_eq!(found(&folder, "a"), None);
    keep(&folder, "a", b"one");
    assert_eq!(found(&folder, "a").as_deref(), Some(b"one".as_slice()));
    assert_eq!(found(&folder, "b"), None);
    keep(&folder, "a", b"another");
    assert_eq!(found(&folder, "a").as_deref(), Some(b"another".as_slice()));
}

#[test]
fn what_is_waiting_is_written_without_a_close() {
    let folder = TempDir::new().unwrap();
    let writing = open(folder.path());
    let key = writing.key(ValueKind::Findings, &[b"a"]);
    writing.put(key, b"value".to_vec());
    let reading = open(folder.path());
    while reading.get(&key).is_none() {
        std::thread::yield_now();
    }
    let counts = reading.counts();
    assert_eq!(counts.hits.load(Ordering::Relaxed), 1);
}

#[test]
fn a_key_tells_kinds_makers_and_parts_apart() {
    let folder = TempDir::new().unwrap();
    let disk = open(folder.path());
    let another_maker = Disk::start(folder.path().to_owned(), LIMIT, "theirs".to_owned(), "v8".to_owned());
    let key = disk.key(ValueKind::Emitted, &[b"ab", b"c"]);
    assert_eq!(key, disk.key(ValueKind::Emitted, &[b"ab", b"c"]));
    assert_ne!(key, disk.key(ValueKind::Emitted, &[b"a", b"bc"]));
    assert_ne!(key, disk.key(ValueKind::Findings, &[b"ab", b"c"]));
    assert_ne!(key, another_maker.key(ValueKind::Emitted, &[b"ab", b"c"]));
    // V8's code is V8's, for any Baton.
    let code = disk.key(ValueKind::ModuleCode, &[b"ab"]);
    assert_eq!(code, another_maker.key(ValueKind::ModuleCode, &[b"ab"]));
    assert_ne!(code, disk.key(ValueKind::ScriptCode, &[b"ab"]));
}

#[test]
fn a_value_that_was_changed_on_the_disk_is_made_again() {
    let folder = TempDir::new().unwrap();
    keep(folder.path(), "a", b"what was written");
    let connection = Connection::open(file(folder.path())).unwrap();
    connection
        .execute("UPDATE bodies SET value = ?1", [b"what was wrotten".as_slice()])
        .unwrap();
    drop(connection);
    let disk = open(folder.path());
    let key = disk.key(ValueKind::Emitted, &[b"a"]);
    assert_eq!(disk.get(&key), None);
    assert_eq!(disk.counts().damaged.load(Ordering::Relaxed), 1);
    disk.put(key, b"made again".to_vec());
    disk.close();
    assert_eq!(found(folder.path(), "a").as_deref(), Some(b"made again".as_slice()));
}

#[test]
fn a_file_that_is_damaged_anywhere_gives_what_was_written_or_nothing_and_is_written_again() {
    let folder = TempDir::new().unwrap();
    let contents: Vec<String> = (0..40).map(|number| format!("content {number}")).collect();
    let value = |content: &str| content.repeat(400).into_bytes();
    let disk = open(folder.path());
    for content in &contents {
        disk.put(disk.key(ValueKind::Emitted, &[content.as_bytes()]), value(content));
    }
    disk.close();
    let good = fs::read(file(folder.path())).unwrap();
    let mut damaged: Vec<Vec<u8>> = [0, 1, 100, 4096, good.len() / 2, good.len() - 1]
        .iter()
        .map(|length| good[..*length].to_vec())
        .collect();
    damaged.push(b"something else".repeat(1000));
    for page in 0..good.len() / 4096 {
        let mut one = good.clone();
        one[page * 4096..(page + 1) * 4096].fill(0x5a);
        damaged.push(one);
    }
    for (number, bytes) in damaged.into_iter().enumerate() {
        fs::write(file(folder.path()), &bytes).unwrap();
        // A process finds damage as it reads, and writes the values that it did not find; values that it found before
        // may go with the file, and the next process writes them.
        let made = [(); 3].map(|()| {
            let disk = open(folder.path());
            let mut made = 0;
            for content in &contents {
                let key = disk.key(ValueKind::Emitted, &[content.as_bytes()]);
                match disk.get(&key) {
                    Some(found) => assert!(found == value(content), "damage {number}: {content}"),
                    None => {
                        made += 1;
                        disk.put(key, value(content));
                    }
                }
            }
            disk.close();
            made
        });
        assert_eq!(made[2], 0, "damage {number}: {made:?}");
    }
}

#[test]
fn a_file_of_another_format_is_replaced() {
    let folder = TempDir::new().unwrap();
    keep(folder.path(), "a", b"value");
    let connection = Connection::open(file(folder.path())).unwrap();
    connection.pragma_update(None, "user_version", 77).unwrap();
    drop(connection);
    assert_eq!(found(folder.path(), "a"), None);
    keep(folder.path(), "a", b"value");
    assert!(found(folder.path(), "a").is_some());
}

#[test]
fn many_processes_share_one_file() {
    let folder = TempDir::new().unwrap();
    std::thread::scope(|scope| {
        for process in 0..8 {
            let folder = folder.path();
            scope.spawn(move || {
                let disk = open(folder);
                for number in 0..20 {
                    let own = format!("{process} {number}");
                    disk.put(disk.key(ValueKind::Emitted, &[own.as_bytes()]), own.into_bytes());
                    // All of them write the same value.
                    disk.put(disk.key(ValueKind::Emitted, &[b"common"]), vec![7; 100_000]);
                }
                disk.close();
            });
        }
    });
    for process in 0..8 {
        for number in 0..20 {
            let own = format!("{process} {number}");
            assert_eq!(found(folder.path(), &own), Some(own.into_bytes()));
        }
    }
    assert_eq!(found(folder.path(), "common"), Some(vec![7; 100_000]));
}

#[test]
fn a_folder_that_is_deleted_meanwhile_is_made_again() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().join("code");
    keep(&folder, "a", b"before");
    let disk = open(&folder);
    let [a, b] = [b"a", b"b"].map(|content| disk.key(ValueKind::Emitted, &[content]));
    assert!(disk.get(&a).is_some());
    fs::remove_dir_all(&folder).unwrap();
    // The old process reads on in the file that has no name any more.
    assert!(disk.get(&a).is_some());
    disk.put(b, b"after".to_vec());
    disk.close();
    assert_eq!(found(&folder, "b").as_deref(), Some(b"after".as_slice()));
    assert_eq!(found(&folder, "a"), None);
}

#[test]
fn what_was_used_longest_ago_goes_first_and_the_file_stays_below_its_bound() {
    const SMALL: u64 = 1 << 20;
    let folder = TempDir::new().unwrap();
    let mut store = CacheStore::open(folder.path(), SMALL).unwrap();
    let key = |number: u32| *blake3::hash(&number.to_le_bytes()).as_bytes();
    store.put(&[(key(0), vec![0; 1000])], &[]).unwrap();
    let yesterday = |key: &[u8]| {
        let connection = Connection::open(file(folder.path())).unwrap();
        connection
            .execute("UPDATE entries SET used = used - 1 WHERE key = ?1", [key])
            .unwrap();
    };
    for number in 1..200 {
        store.put(&[(key(number), vec![1; 20_000])], &[key(0)]).unwrap();
        yesterday(&key(number));
    }
    assert!(
        matches!(store.get(&key(0)).unwrap(), Lookup::Value { .. }),
        "used today"
    );
    assert!(
        matches!(store.get(&key(199)).unwrap(), Lookup::Value { .. }),
        "the newest"
    );
    assert_eq!(store.get(&key(1)).unwrap(), Lookup::Nothing, "the oldest");
    // A value that is larger than makes sense is not kept, and is no failure.
    store.put(&[(key(1000), vec![2; 500_000])], &[]).unwrap();
    assert_eq!(store.get(&key(1000)).unwrap(), Lookup::Nothing);
    drop(store);
    assert!(fs::metadata(file(folder.path())).unwrap().len() <= SMALL / 2 * 3);
}

#[test]
fn what_others_could_write_to_is_not_used() {
    let folder = TempDir::new().unwrap();
    let code = folder.path().join("code");
    keep(&code, "a", b"value");
    for path in [code.clone(), file(&code)] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is ours alone", path.display());
        fs::set_permissions(&path, PermissionsExt::from_mode(mode | 0o020)).unwrap();
        let Err(error) = CacheStore::open(&code, LIMIT) else {
            panic!("a store that others can write to was opened");
        };
        assert!(error.to_string().contains("other users may write to"), "{error}");
        assert_eq!(found(&code, "a"), None);
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }
    assert!(found(&code, "a").is_some());
}

#[test]
fn without_a_folder_nothing_is_kept_and_nothing_fails() {
    let folder = TempDir::new().unwrap();
    let blocked = folder.path().join("code");
    File::create(&blocked).unwrap();
    keep(&blocked, "a", b"value");
    assert_eq!(found(&blocked, "a"), None);
}

#[test]
fn a_write_that_was_cut_off_costs_only_itself() {
    let folder = TempDir::new().unwrap();
    keep(folder.path(), "a", b"whole");
    // A killed process leaves such a file: the log of the last write, of which a part is there.
    let torn = folder.path().join("torn");
    fs::create_dir(&torn).unwrap();
    let disk = Arc::new(open(folder.path()));
    let key = disk.key(ValueKind::Emitted, &[b"b"]);
    disk.put(key, vec![9; 50_000]);
    let other = open(folder.path());
    while other.get(&key).is_none() {
        std::thread::yield_now();
    }
    for name in ["1.sqlite", "1.sqlite-wal"] {
        fs::copy(folder.path().join(name), torn.join(name)).unwrap();
    }
    fs::set_permissions(&torn, PermissionsExt::from_mode(0o700)).unwrap();
    let log = torn.join("1.sqlite-wal");
    let length = fs::metadata(&log).unwrap().len();
    assert!(length > 50_000, "the write is in the log");
    OpenOptions::new()
        .write(true)
        .open(&log)
        .unwrap()
        .set_len(length - 6000)
        .unwrap();
    assert_eq!(found(&torn, "a").as_deref(), Some(b"whole".as_slice()));
    assert_eq!(found(&torn, "b"), None);
    // Damage in the middle of the log likewise.
    fs::copy(folder.path().join("1.sqlite"), torn.join("1.sqlite")).unwrap();
    fs::copy(folder.path().join("1.sqlite-wal"), &log).unwrap();
    let mut log = OpenOptions::new().read(true).write(true).open(&log).unwrap();
    log.seek(SeekFrom::Start(length / 2)).unwrap();
    let mut bytes = [0; 64];
    log.read_exact(&mut bytes).unwrap();
    log.seek(SeekFrom::Start(length / 2)).unwrap();
    log.write_all(&bytes.map(|byte| !byte)).unwrap();
    assert_eq!(found(&torn, "a").as_deref(), Some(b"whole".as_slice()));
    assert_eq!(found(&torn, "b"), None);
}
