//! The source snapshot: every file that a load reads, read once and kept.
//!
//! Whatever is on the disk later, the modules of one generation see the bytes of the first read:
//! in a lazy `import()` an hour later, in a `require` at the end of a step, in a rollback. The set
//! of files read is also what a reload is compared with.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use js_runtime_api::{Project, Sources};

use super::entries;

/// One file as it was read.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) hash: blake3::Hash,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct SourceSnapshot {
    project: Project,
    /// The modules to import, as the folder read when the load began.
    entries: Vec<PathBuf>,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    files: BTreeMap<PathBuf, SourceFile>,
    /// Looked for in vain: would one of these appear, an import would resolve to it.
    missing: BTreeSet<PathBuf>,
    /// Which project file imports which.
    imports: HashMap<PathBuf, BTreeSet<PathBuf>>,
}

/// Files that decide how the others are read, though no module imports them.
const SETTINGS: [&str; 6] = [
    "package.json",
    "tsconfig.json",
    "package-lock.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "bun.lock",
];

impl SourceSnapshot {
    /// Starts a snapshot of what is on the disk: lists the entry modules and reads the settings.
    ///
    /// # Errors
    /// When the folder or entry file cannot be listed.
    pub(crate) fn begin(project: Project) -> io::Result<Arc<Self>> {
        let entries = entries::list(&project.entry)?;
        let snapshot = Self {
            entries,
            read: Mutex::default(),
            project,
        };
        for name in SETTINGS {
            // An absent one is remembered as missing, which is all that matters here.
            let _ = snapshot.read(&snapshot.project.root.join(name));
        }
        Ok(Arc::new(snapshot))
    }

    pub(crate) fn project(&self) -> &Project {
        &self.project
    }

    /// The modules to import, sorted.
    pub(crate) fn entries(&self) -> &[PathBuf] {
        &self.entries
    }

    /// The file's bytes: from the first read if there was one, else from the disk.
    ///
    /// # Errors
    /// What reading the file says; the file counts as missing then.
    pub(crate) fn read(&self, path: &Path) -> io::Result<SourceFile> {
        if let Some(file) = self.lock().files.get(path) {
            return Ok(file.clone());
        }
        match std::fs::read(path) {
            Ok(bytes) => {
                let file = SourceFile {
                    hash: blake3::hash(&bytes),
                    bytes: bytes.into(),
                };
                // Two threads may have read at once: the first one's bytes are the snapshot's.
                let mut read = self.lock();
                read.missing.remove(path);
                Ok(read.files.entry(path.to_owned()).or_insert(file).clone())
            }
            Err(error) => {
                self.lock().missing.insert(path.to_owned());
                Err(error)
            }
        }
    }

    /// Whether the path is a file, for resolution; the answer "no" is remembered.
    pub(crate) fn is_file(&self, path: &Path) -> bool {
        let known = self.lock().files.contains_key(path);
        let is_file = known || path.is_file();
        if !is_file {
            self.lock().missing.insert(path.to_owned());
        }
        is_file
    }

    /// Notes that one file imports another.
    pub(crate) fn note_import(&self, from: PathBuf, to: PathBuf) {
        self.lock().imports.entry(from).or_default().insert(to);
    }

    /// A module and everything that it imports, directly or not; what is imported comes first.
    pub(crate) fn evaluation_order(&self, module: &Path) -> Vec<PathBuf> {
        fn visit(
            imports: &HashMap<PathBuf, BTreeSet<PathBuf>>,
            path: &Path,
            seen: &mut HashSet<PathBuf>,
            order: &mut Vec<PathBuf>,
        ) {
            if seen.insert(path.to_owned()) {
                for imported in imports.get(path).into_iter().flatten() {
                    visit(imports, imported, seen, order);
                }
                order.push(path.to_owned());
            }
        }
        let mut order = Vec::new();
        visit(&self.lock().imports, module, &mut HashSet::new(), &mut order);
        order
    }

    /// Digest over a module and everything that it imports.
    pub(crate) fn hash_of_module(&self, module: &Path) -> String {
        let reached: BTreeSet<PathBuf> = self.evaluation_order(module).into_iter().collect();
        let read = self.lock();
        self.digest(read.files.iter().filter(|(path, _)| reached.contains(*path)))
    }

    fn digest<'a>(&self, files: impl Iterator<Item = (&'a PathBuf, &'a SourceFile)>) -> String {
        let mut hasher = blake3::Hasher::new();
        for (path, file) in files {
            let path = path.strip_prefix(&self.project.root).unwrap_or(path);
            hasher.update(path.as_os_str().as_encoded_bytes());
            hasher.update(&[0]);
            hasher.update(file.hash.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    fn lock(&self) -> MutexGuard<'_, Read> {
        // Every critical section leaves the maps consistent, so a panicked holder harms nobody.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sources for SourceSnapshot {
    fn hash(&self) -> String {
        self.digest(self.lock().files.iter())
    }

    fn changed_on_disk(&self) -> Vec<PathBuf> {
        let (files, missing) = {
            let read = self.lock();
            let hashes: Vec<_> = read
                .files
                .iter()
                .map(|(path, file)| (path.clone(), file.hash))
                .collect();
            (hashes, read.missing.clone())
        };
        let mut changed: BTreeSet<PathBuf> = files
            .into_iter()
            .filter(|(path, hash)| std::fs::read(path).map(|bytes| blake3::hash(&bytes)).ok() != Some(*hash))
            .map(|(path, _)| path)
            .collect();
        changed.extend(missing.into_iter().filter(|path| path.is_file()));
        match entries::list(&self.project.entry) {
            Ok(entries) => {
                let before: BTreeSet<_> = self.entries.iter().cloned().collect();
                let now: BTreeSet<_> = entries.into_iter().collect();
                changed.extend(before.symmetric_difference(&now).cloned());
            }
            Err(_) => {
                changed.insert(self.project.entry.path().to_owned());
            }
        }
        changed.into_iter().collect()
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
