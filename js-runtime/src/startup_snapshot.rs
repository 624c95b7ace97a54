//! V8's startup snapshot: an isolate that starts from it is up in a hundredth of the time.
//!
//! It belongs to exactly one binary. Each binary makes its own, once, in a process of its own (a
//! process either makes a snapshot or runs isolates), and keeps it in a cache folder, named after
//! the binary's identity and verified by digest when it is read.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use deno_runtime::ops::bootstrap::SnapshotOptions;
use deno_runtime::snapshot::{LazyExtensionFileKind, create_runtime_snapshot};

/// A snapshot in memory, for the life of the process.
#[derive(Clone, Copy)]
pub(crate) struct StartupSnapshot {
    pub(crate) blob: &'static [u8],
    pub(crate) lazy_js: &'static [(&'static str, &'static str)],
    pub(crate) lazy_esm: &'static [(&'static str, &'static str)],
}

/// Why there is no startup snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("cannot find out which binary this is: {0}")]
    Identity(#[source] io::Error),
    #[error("cannot keep the startup snapshot in {folder}: {error}", folder = .0.display(), error = .1)]
    Folder(PathBuf, #[source] io::Error),
    #[error("making the startup snapshot failed:\n{0}")]
    Maker(String),
    #[error("the startup snapshot that was just made does not read back")]
    Unreadable,
}

/// Name and source text of modules that are compiled on first use.
type LazySources = Vec<(String, String)>;

const MAGIC: &[u8] = b"baton startup snapshot 1\n";

/// Reads this binary's snapshot from the folder, or has it made by a child process: this binary
/// with `maker_arguments` and the path to write.
pub(crate) fn obtain(folder: &Path, maker_arguments: &[&OsStr]) -> Result<StartupSnapshot, SnapshotError> {
    let identity = Identity::of_this_binary().map_err(SnapshotError::Identity)?;
    let path = folder.join(identity.file_name());
    if let Some(snapshot) = read(&path, &identity.build) {
        return Ok(snapshot);
    }
    let keep = |error| SnapshotError::Folder(folder.to_owned(), error);
    std::fs::create_dir_all(folder).map_err(keep)?;
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
    read(&path, &identity.build).ok_or(SnapshotError::Unreadable)
}

/// Makes the snapshot and writes it to the file. Only in a process that runs no isolate.
///
/// # Errors
/// When the file cannot be written, or a source that belongs in it cannot be read.
pub fn make(path: &Path) -> io::Result<()> {
    // Beside it and under its whole name, since another process may make one at the same time.
    let mut blob_path = path.as_os_str().to_owned();
    blob_path.push(".blob");
    let blob_path = PathBuf::from(blob_path);
    let output = create_runtime_snapshot(
        blob_path.clone(),
        SnapshotOptions {
            ts_version: String::new(),
            v8_version: deno_core::v8::VERSION_STRING,
            target: target(),
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
    let build = Identity::of_this_binary()?.build;
    write(path, &build, &blob, &serde_json::to_vec(&(lazy_js, lazy_esm))?)
}

/// As Rust names targets, which is where Deno reads the platform from.
fn target() -> String {
    let arch = std::env::consts::ARCH;
    match std::env::consts::OS {
        "macos" => format!("{arch}-apple-darwin"),
        system => format!("{arch}-unknown-{system}-gnu"),
    }
}

fn write(path: &Path, build: &str, blob: &[u8], lazy: &[u8]) -> io::Result<()> {
    let mut body = Vec::with_capacity(build.len() + 8 + blob.len() + lazy.len());
    body.extend_from_slice(build.as_bytes());
    body.extend_from_slice(&(blob.len() as u64).to_le_bytes());
    body.extend_from_slice(blob);
    body.extend_from_slice(lazy);
    let mut file = std::fs::File::create(path)?;
    file.write_all(MAGIC)?;
    file.write_all(blake3::hash(&body).as_bytes())?;
    file.write_all(&body)?;
    file.sync_all()
}

/// The snapshot, unless the file is missing, cut short, damaged, or made by another build.
fn read(path: &Path, build: &str) -> Option<StartupSnapshot> {
    // V8 reads the blob for as long as the process lives.
    let file: &'static [u8] = Vec::leak(std::fs::read(path).ok()?);
    let (digest, body) = file.strip_prefix(MAGIC)?.split_at_checked(blake3::OUT_LEN)?;
    if blake3::hash(body) != *<&[u8; blake3::OUT_LEN]>::try_from(digest).ok()? {
        return None;
    }
    let (length, rest) = body.strip_prefix(build.as_bytes())?.split_first_chunk::<8>()?;
    let (blob, lazy) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (lazy_js, lazy_esm) = serde_json::from_slice::<(LazySources, LazySources)>(lazy).ok()?;
    Some(StartupSnapshot {
        blob,
        lazy_js: leak(lazy_js),
        lazy_esm: leak(lazy_esm),
    })
}

fn leak(sources: LazySources) -> &'static [(&'static str, &'static str)] {
    let leaked: Vec<(&'static str, &'static str)> = sources
        .into_iter()
        .map(|(name, code)| (&*name.leak(), &*code.leak()))
        .collect();
    leaked.leak()
}

/// Which binary this process runs.
struct Identity {
    binary: PathBuf,
    /// By the path: a newer build at the same path succeeds this one.
    place: String,
    /// By what the file system says of the file, and the versions in it.
    build: String,
}

impl Identity {
    fn of_this_binary() -> io::Result<Self> {
        let binary = std::env::current_exe()?;
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
            place: short(binary.as_os_str().as_encoded_bytes()),
            build: short(build.as_bytes()),
            binary,
        })
    }

    fn file_name(&self) -> String {
        format!("startup-{}-{}.snapshot", self.place, self.build)
    }
}

/// Removes what earlier builds at this path have left.
fn remove_predecessors(folder: &Path, identity: &Identity) {
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
    use super::{MAGIC, read, write};

    #[test]
    fn a_snapshot_reads_back_and_a_damaged_or_foreign_one_does_not() {
        let path = std::env::temp_dir().join(format!("baton-snapshot-test-{}", std::process::id()));
        let lazy = serde_json::to_vec(&(vec![("a", "1")], Vec::<(String, String)>::new())).unwrap();
        write(&path, "build", b"blob", &lazy).unwrap();
        assert!(read(&path, "other").is_none());
        let snapshot = read(&path, "build").unwrap();
        assert_eq!(snapshot.blob, b"blob");
        assert_eq!(snapshot.lazy_js, [("a", "1")]);

        let good = std::fs::read(&path).unwrap();
        for damaged in [&good[..good.len() - 1], &good[..MAGIC.len() + 3], b"".as_slice()] {
            std::fs::write(&path, damaged).unwrap();
            assert!(read(&path, "build").is_none());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path, "build").is_none());
    }
}
