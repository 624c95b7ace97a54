//! V8's startup snapshot: an isolate that starts from it is up in a hundredth of the time.
//!
//! A shipped binary has the snapshot inside (`bin/release`). A binary that only `cargo build` made makes its own
//! snapshot, once, in a process of its own (a process either makes a snapshot or runs isolates), from the sources
//! that cargo keeps on that machine. It keeps the snapshot in a cache folder, named after the binary's identity, and
//! verifies it by digest when it reads it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use deno_runtime::ops::bootstrap::SnapshotOptions;
use deno_runtime::snapshot::{LazyExtensionFileKind, create_runtime_snapshot};
use js_runtime_api::ownership::{self, OwnershipError};

/// A snapshot in memory, for the life of the process.
#[derive(Clone, Copy)]
pub(crate) struct StartupSnapshot {
    pub(crate) blob: &'static [u8],
    pub(crate) lazy_js: Slices,
    pub(crate) lazy_esm: Slices,
}

/// The reason why there is no startup snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file of this process's program cannot be found, or read.
    #[error("cannot find the running binary: {0}")]
    Identity(#[source] io::Error),
    /// The cache folder cannot be written to.
    #[error("cannot store the startup snapshot in {folder}: {error}", folder = .0.display(), error = .1)]
    Folder(PathBuf, #[source] io::Error),
    /// The cache folder is another user's: its content is executed.
    #[error("cannot store the startup snapshot: {0}. Name a folder of your own with XDG_CACHE_HOME.")]
    NotOurs(#[from] OwnershipError),
    /// The process that makes the snapshot failed; with that process's output.
    #[error(
        "cannot make the startup snapshot:\n{0}\nThis binary was built by cargo, and makes the snapshot from sources \
         on the machine of the build. Build one that runs everywhere with `bin/release`."
    )]
    Maker(String),
    /// The embedded snapshot was made by another build.
    #[error(
        "the startup snapshot in this binary belongs to another build: it is for {theirs:?}, the binary is {ours:?}. \
         Build the binary again with `bin/release`."
    )]
    Foreign {
        /// The build that made the snapshot.
        theirs: String,
        /// This build.
        ours: String,
    },
    /// The embedded snapshot is not the one that was written.
    #[error("the startup snapshot in this binary is damaged. Build the binary again with `bin/release`.")]
    Damaged,
    /// The snapshot that was just made is not the one that was written.
    #[error("cannot read back the startup snapshot that was just made")]
    Unreadable,
}

/// The names and source texts of modules that are compiled on first use.
type LazySources = Vec<(String, String)>;

/// The same names and texts, where they lie in the file.
type Slices = &'static [(&'static str, &'static str)];

const MAGIC: &[u8] = b"baton startup snapshot 3\n";

/// Takes the snapshot that is part of this binary, as [`make`] wrote it. Nothing is read or written.
///
/// Its digest is not compared: the system reads the pages of a binary only as they are needed.
pub(crate) fn embedded(file: &'static [u8]) -> Result<StartupSnapshot, SnapshotError> {
    let (_digest, body) = split_digest(file).ok_or(SnapshotError::Damaged)?;
    let (build, parts) = split_build(body).ok_or(SnapshotError::Damaged)?;
    if build != this_build().as_bytes() {
        return Err(SnapshotError::Foreign {
            theirs: String::from_utf8_lossy(build).into_owned(),
            ours: this_build(),
        });
    }
    split_parts(parts).ok_or(SnapshotError::Damaged)
}

/// Reads this binary's snapshot from the folder, or has it made by a child process: this binary
/// with `maker_arguments` and the path to write.
pub(crate) fn obtain(folder: &Path, maker_arguments: &[&OsStr]) -> Result<StartupSnapshot, SnapshotError> {
    let identity = BinaryIdentity::of_this_binary().map_err(SnapshotError::Identity)?;
    // The code in the snapshot is executed.
    ownership::make_folder(folder)?;
    let path = folder.join(identity.file_name());
    if let Some(snapshot) = read(&path) {
        return Ok(snapshot);
    }
    let keep = |error| SnapshotError::Folder(folder.to_owned(), error);
    // Written beside and renamed, so that two processes may do this at once.
    let partial = folder.join(format!("{}.{}", identity.file_name(), std::process::id()));
    let made = Command::new(&identity.binary)
        .args(maker_arguments)
        .arg(&partial)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| SnapshotError::Maker(error.to_string()))?;
    if !made.status.success() {
        let _ = std::fs::remove_file(&partial);
        return Err(SnapshotError::Maker(String::from_utf8_lossy(&made.stderr).into_owned()));
    }
    std::fs::rename(&partial, &path).map_err(keep)?;
    remove_predecessors(folder, &identity);
    read(&path).ok_or(SnapshotError::Unreadable)
}

/// Makes the snapshot and writes it to the file. To be called only in a process that runs no isolate.
///
/// # Errors
/// When the file cannot be written, or a source that belongs in it cannot be read.
pub fn make(path: &Path) -> io::Result<()> {
    // The file is beside the other and has its whole name, since another process may make one at the same time.
    let mut blob_path = path.as_os_str().to_owned();
    blob_path.push(".blob");
    let blob_path = PathBuf::from(blob_path);
    // Deno panics where it cannot write.
    std::fs::File::create(&blob_path)?;
    let output = create_runtime_snapshot(
        blob_path.clone(),
        SnapshotOptions {
            ts_version: String::new(),
            v8_version: deno_core::v8::VERSION_STRING,
            target: env!("BATON_TARGET").to_owned(),
        },
        Vec::new(),
    );
    let consumed: HashSet<&str> = output.consumed_lazy_specifiers.iter().map(AsRef::as_ref).collect();
    let (mut lazy_js, mut lazy_esm) = (LazySources::new(), LazySources::new());
    for file in &output.lazy_extension_files {
        if consumed.contains(AsRef::<str>::as_ref(&file.specifier)) {
            continue;
        }
        let source = std::fs::read_to_string(&file.path)?;
        let (code, _map) =
            deno_runtime::transpile::maybe_transpile_source(file.specifier.clone().into(), source.into())
                .map_err(io::Error::other)?;
        let specifier = file.specifier.to_string();
        match file.kind {
            LazyExtensionFileKind::Js => lazy_js.push((specifier, deno_core::wrap_lazy_ext_script(code.as_str()))),
            LazyExtensionFileKind::Esm => lazy_esm.push((specifier, code.as_str().to_owned())),
        }
    }
    let blob = std::fs::read(&blob_path)?;
    std::fs::remove_file(&blob_path)?;
    write(path, &this_build(), &blob, &[lazy_js, lazy_esm])
}

/// Returns the build by which a snapshot has to be made: the same V8, and the same operations in the same order.
fn this_build() -> String {
    format!(
        "{} {} {}-{}",
        env!("CARGO_PKG_VERSION"),
        deno_core::v8::VERSION_STRING,
        std::env::consts::ARCH,
        std::env::consts::OS
    )
}

/// Writes the file: `MAGIC`, the digest of the rest, the build and a line's end, the blob, and of each list of lazy
/// modules their number, their names and their sources; the blob and each text behind its length.
fn write(path: &Path, build: &str, blob: &[u8], lazy: &[LazySources; 2]) -> io::Result<()> {
    fn put(body: &mut Vec<u8>, part: &[u8]) {
        body.extend_from_slice(&(part.len() as u64).to_le_bytes());
        body.extend_from_slice(part);
    }
    let mut body = Vec::new();
    body.extend_from_slice(build.as_bytes());
    body.push(b'\n');
    put(&mut body, blob);
    for sources in lazy {
        body.extend_from_slice(&(sources.len() as u64).to_le_bytes());
        for (name, code) in sources {
            put(&mut body, name.as_bytes());
            put(&mut body, code.as_bytes());
        }
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(MAGIC)?;
    file.write_all(blake3::hash(&body).as_bytes())?;
    file.write_all(&body)?;
    file.sync_all()
}

/// Reads the snapshot; `None` where the file is missing, cut short, damaged, or made by another build.
fn read(path: &Path) -> Option<StartupSnapshot> {
    // V8 reads the blob for as long as the process lives.
    let mut file = Vec::new();
    ownership::open(path).ok()?.read_to_end(&mut file).ok()?;
    let file: &'static [u8] = Vec::leak(file);
    let (digest, body) = split_digest(file)?;
    if blake3::hash(body) != *digest {
        return None;
    }
    let (build, parts) = split_build(body)?;
    (build == this_build().as_bytes()).then(|| split_parts(parts))?
}

fn split_digest(file: &'static [u8]) -> Option<(&'static [u8; blake3::OUT_LEN], &'static [u8])> {
    file.strip_prefix(MAGIC)?.split_first_chunk()
}

fn split_build(body: &'static [u8]) -> Option<(&'static [u8], &'static [u8])> {
    let end = body.iter().position(|byte| *byte == b'\n')?;
    Some((&body[..end], &body[end + 1..]))
}

fn split_parts(mut rest: &'static [u8]) -> Option<StartupSnapshot> {
    let snapshot = StartupSnapshot {
        blob: take(&mut rest)?,
        lazy_js: take_sources(&mut rest)?,
        lazy_esm: take_sources(&mut rest)?,
    };
    rest.is_empty().then_some(snapshot)
}

/// Takes the texts out of the file, without copying them.
fn take_sources(rest: &mut &'static [u8]) -> Option<Slices> {
    let number = take_number(rest)?;
    let mut sources = Vec::new();
    for _ in 0..number {
        let name = std::str::from_utf8(take(rest)?).ok()?;
        let code = std::str::from_utf8(take(rest)?).ok()?;
        sources.push((name, code));
    }
    Some(sources.leak())
}

fn take(rest: &mut &'static [u8]) -> Option<&'static [u8]> {
    let length = take_number(rest)?;
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn take_number(rest: &mut &'static [u8]) -> Option<usize> {
    let (number, left) = rest.split_first_chunk::<8>()?;
    *rest = left;
    usize::try_from(u64::from_le_bytes(*number)).ok()
}

/// The identity of the binary that this process runs.
struct BinaryIdentity {
    binary: PathBuf,
    /// The hash of the path: a newer build at the same path succeeds this one.
    place: String,
    /// The hash of the file's metadata, and of the versions in it.
    build: String,
}

/// Returns the file of this process's program, and the place where it is or was: another file may have taken its
/// place, which Linux says at the end of the path.
fn this_binary(told: PathBuf) -> (PathBuf, PathBuf) {
    let place = told.to_str().and_then(|told| told.strip_suffix(" (deleted)"));
    match place.filter(|_| cfg!(target_os = "linux")) {
        Some(place) => (PathBuf::from("/proc/self/exe"), PathBuf::from(place)),
        None => (told.clone(), told),
    }
}

impl BinaryIdentity {
    fn of_this_binary() -> io::Result<Self> {
        let (binary, place) = this_binary(std::env::current_exe()?);
        let metadata = binary.metadata()?;
        let modified = metadata
            .modified()?
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let build = format!(
            "{} {} {} {}",
            metadata.len(),
            modified.as_nanos(),
            deno_core::v8::VERSION_STRING,
            env!("CARGO_PKG_VERSION")
        );
        let short = |text: &[u8]| blake3::hash(text).to_hex()[..16].to_owned();
        Ok(Self {
            place: short(place.as_os_str().as_encoded_bytes()),
            build: short(build.as_bytes()),
            binary,
        })
    }

    fn file_name(&self) -> String {
        format!("startup-{}-{}.snapshot", self.place, self.build)
    }
}

/// Removes the files that earlier builds at this path have left.
fn remove_predecessors(folder: &Path, identity: &BinaryIdentity) {
    let prefix = format!("startup-{}-", identity.place);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix) && name.ends_with(".snapshot") && *name != identity.file_name() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_that_cannot_be_written_to_is_an_error() {
        let error = super::make(std::path::Path::new(&"n".repeat(300))).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidFilename, "{error}");
    }

    use super::{LazySources, MAGIC, SnapshotError, embedded, read, this_build, write};

    fn lazy() -> [LazySources; 2] {
        [vec![("a".to_owned(), "1".to_owned())], Vec::new()]
    }

    #[test]
    fn a_snapshot_reads_back_and_a_damaged_or_foreign_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot");
        write(&path, "another", b"blob", &lazy()).unwrap();
        assert!(read(&path).is_none());
        write(&path, &this_build(), b"blob", &lazy()).unwrap();
        let snapshot = read(&path).unwrap();
        assert_eq!(snapshot.blob, b"blob");
        assert_eq!(snapshot.lazy_js, [("a", "1")]);

        let good = std::fs::read(&path).unwrap();
        for damaged in [&good[..good.len() - 1], &good[..MAGIC.len() + 3], b"".as_slice()] {
            std::fs::write(&path, damaged).unwrap();
            assert!(read(&path).is_none());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path).is_none());
    }

    #[test]
    fn a_binary_takes_the_snapshot_in_it_if_it_was_made_for_this_build() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot");
        let inside = |build: &str| -> &'static [u8] {
            write(&path, build, b"blob", &lazy()).unwrap();
            std::fs::read(&path).unwrap().leak()
        };
        assert_eq!(embedded(inside(&this_build())).unwrap().blob, b"blob");
        let Err(foreign) = embedded(inside("0.0.1 of another V8")) else {
            panic!("a foreign snapshot was taken");
        };
        assert!(foreign.to_string().contains("0.0.1 of another V8"), "{foreign}");
        assert!(foreign.to_string().contains(&this_build()), "{foreign}");
        assert!(matches!(embedded(b"nothing of ours"), Err(SnapshotError::Damaged)));
    }
}
