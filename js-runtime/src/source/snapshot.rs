//! The source snapshot: every file that a load reads, read once and kept.
//!
//! Whatever is on the disk later, the modules of one generation see the bytes of the first read: in a lazy `import()`
//! an hour later, in a `require` at the end of a step, in a rollback. A specifier keeps its first meaning for good. A
//! reload compares the disk with the set of files read.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use deno_core::url::Url;
use deno_package_json::PackageJsonRc;
use js_runtime_api::{
    Certificates, Entry, EnvironmentDigest, KeptSources, LoadError, LoadErrorKind, Project, Sources, WatchedPaths,
    regular_file,
};

use super::common::CommonParts;
use super::emitted::EmittedCode;
use super::entries::Entries;
use super::environment::Environment;
pub(crate) use super::file::SourceFile;
use super::looks::{Look, territory};
use super::packages::is_of_package;
use super::stamp::FileStamp;
use super::{description, entries, included};

/// The limit for the size of a file, in bytes. V8 takes no longer text than twice that.
pub(super) const LARGEST: u64 = 256 << 20;

/// The snapshot that the module's documentation describes.
#[derive(Debug)]
pub(crate) struct SourceSnapshot {
    /// The project as it was asked for, which may be over symbolic links.
    pub(super) asked: Project,
    /// The project to which the links lead.
    pub(super) project: Project,
    /// The modules to import, as the folder read when the load began.
    pub(super) entries: RwLock<Entries>,
    pub(super) environment: Environment,
    pub(super) read: Mutex<ReadFiles>,
    /// Another snapshot that this one has joined.
    pub(super) joined: OnceLock<Arc<Self>>,
    pub(super) common: Arc<CommonParts>,
    /// The folder below which files are the project's own.
    pub(super) territory: PathBuf,
    /// Tells whether a file could not be read since the system had no descriptor or memory left.
    lack: AtomicBool,
}

#[derive(Debug, Default)]
pub(crate) struct ReadFiles {
    pub(super) files: BTreeMap<Arc<Path>, SourceFile>,
    /// The stamps of the files whose stamp tells whether they are as they were read.
    pub(super) stamps: HashMap<Arc<Path>, FileStamp>,
    /// The files that were looked for in vain: if one of these appeared, an import would resolve to it.
    pub(super) missing: BTreeSet<Arc<Path>>,
    /// The paths that lead over a symbolic link, and their targets.
    pub(super) links: BTreeMap<Arc<Path>, Arc<Path>>,
    /// The paths that lead over no link.
    pub(super) straight: HashSet<Arc<Path>>,
    /// The meaning of each specifier, by referrer and specifier; both as JavaScript has them.
    pub(crate) resolved: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<str>>>,
    pub(super) package_jsons: HashMap<Arc<Path>, Option<PackageJsonRc>>,
    /// The imports of each file, in the order in which V8 asked.
    pub(crate) imports: HashMap<Arc<Path>, Vec<FileImport>>,
    /// The code that V8 was given for a file, by the file's URL.
    pub(super) given: HashMap<Arc<str>, Arc<EmittedCode>>,
    /// The questions that modules asked about files while they were evaluated, with the digest of the first answer.
    pub(super) looks: BTreeMap<Look, blake3::Hash>,
    /// Files that were read first by calls, after the load.
    pub(super) later: HashSet<Arc<Path>>,
    /// Tells whether an isolate has loaded all of it: from then on, imports are those of calls.
    pub(super) is_loaded: bool,
}

/// One file that another imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileImport {
    pub(crate) file: Arc<Path>,
    /// Tells whether a call imported the file, and not the load.
    pub(crate) is_lazy: bool,
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
    /// Starts a snapshot of the disk: lists the entry modules and reads the settings.
    ///
    /// # Errors
    /// When the folder, the entry file or the environment's file cannot be read; with its path.
    pub(crate) fn begin(asked: Project, common: Arc<CommonParts>) -> Result<Arc<Self>, (PathBuf, io::Error)> {
        let path = asked.entry.path().to_owned();
        let environment = Environment::read(&asked.environment)?;
        Self::list(asked, environment, common).map_err(|error| (path, error))
    }

    fn list(asked: Project, environment: Environment, common: Arc<CommonParts>) -> io::Result<Arc<Self>> {
        let project = Project {
            root: asked.root.canonicalize()?,
            entry: match &asked.entry {
                Entry::Folder(path) => Entry::Folder(path.canonicalize()?),
                Entry::File(path) => Entry::File(path.canonicalize()?),
            },
            environment: asked.environment.clone(),
            serve_path: asked.serve_path.clone(),
            default_retries: asked.default_retries,
            conditions: asked.conditions.clone(),
            includes: asked.includes.clone(),
        };
        let entries = entries::list(&project.entry)?;
        let snapshot = Self::new(asked, project, entries, environment, ReadFiles::default(), common);
        for path in [snapshot.asked.root.as_path(), snapshot.asked.entry.path()] {
            snapshot.canonical(path)?;
        }
        snapshot.read_settings();
        Ok(Arc::new(snapshot))
    }

    pub(super) fn new(
        asked: Project,
        project: Project,
        entries: Entries,
        environment: Environment,
        read: ReadFiles,
        common: Arc<CommonParts>,
    ) -> Self {
        Self {
            lack: AtomicBool::new(false),
            territory: territory(&project.root),
            asked,
            project,
            entries: RwLock::new(entries),
            environment,
            read: Mutex::new(read),
            joined: OnceLock::new(),
            common,
        }
    }

    /// Returns the project as it was asked for.
    pub(crate) fn asked(&self) -> &Project {
        &self.asked
    }

    pub(crate) fn project(&self) -> &Project {
        &self.project
    }

    pub(crate) fn variables(&self) -> &Environment {
        &self.environment
    }

    /// Returns the modules to import, sorted.
    pub(crate) fn entries(&self) -> Arc<[PathBuf]> {
        self.entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .modules
            .clone()
    }

    /// Lists the modules to import again, for a snapshot from which nothing was loaded.
    ///
    /// # Errors
    /// When the folder or the entry file cannot be read.
    pub(crate) fn list_entries_again(&self) -> io::Result<()> {
        let entries = entries::list(&self.project.entry)?;
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
        Ok(())
    }

    /// Forgets the files that were read, so that files are read again, but only those that are asked for again.
    pub(crate) fn begin_anew(&self) {
        *self.lock() = ReadFiles::default();
        self.read_settings();
    }

    fn read_settings(&self) {
        for name in SETTINGS {
            // An absent file is remembered as missing, which is all that matters here.
            let _ = self.read(&self.project.root.join(name));
        }
        for path in included::list(&self.project) {
            // A file that went meanwhile counts as missing.
            let _ = self.read(&path);
        }
    }

    /// Returns the file's bytes: from the first read if there was one, else from the disk.
    ///
    /// # Errors
    /// What reading the file says; the file counts as missing then.
    pub(crate) fn read(&self, path: &Path) -> io::Result<SourceFile> {
        if let Some(file) = self.lock().files.get(path) {
            return Ok(file.clone());
        }
        let stamp = FileStamp::of(path);
        match regular_file::read(path, LARGEST) {
            Ok(bytes) => {
                let (hash, bytes) = self.common.bytes.one(bytes.into());
                let file = SourceFile { bytes, hash };
                let path = self.common.path(path);
                // Two threads may have read at once: the first one's bytes are the snapshot's.
                let mut read = self.lock();
                read.missing.remove(&path);
                if let Some(first) = read.files.get(&path) {
                    return Ok(first.clone());
                }
                if let Some(stamp) = stamp {
                    read.stamps.insert(path.clone(), stamp);
                }
                if read.is_loaded {
                    read.later.insert(path.clone());
                }
                read.files.insert(path, file.clone());
                Ok(file)
            }
            Err(error) => {
                if regular_file::is_lack(&error) {
                    self.lack.store(true, Ordering::Relaxed);
                } else {
                    self.note_missing(path);
                }
                Err(error)
            }
        }
    }

    /// Forgets and tells whether a file could not be read because the system had no descriptor or memory left.
    pub(crate) fn take_lack(&self) -> bool {
        self.lack.swap(false, Ordering::Relaxed)
    }

    /// Returns a file as it was read, if it was.
    pub(crate) fn file(&self, path: &Path) -> Option<SourceFile> {
        self.lock().files.get(path).cloned()
    }

    /// Returns the project's own files that were read so far: those of no package.
    pub(crate) fn own_files(&self) -> Vec<(PathBuf, SourceFile)> {
        let read = self.lock();
        let own = read.files.iter().filter(|(path, _)| !is_of_package(path));
        own.map(|(path, file)| (path.to_path_buf(), file.clone())).collect()
    }

    /// Tells whether the path is a file, for resolution; the answer "no" is remembered.
    pub(crate) fn is_file(&self, path: &Path) -> bool {
        let known = self.lock().files.contains_key(path);
        let is_file = known || path.is_file();
        if !is_file {
            self.note_missing(path);
        }
        is_file
    }

    fn note_missing(&self, path: &Path) {
        let path = self.common.path(path);
        self.lock().missing.insert(path);
    }

    /// Returns the path without symbolic links; remembers the targets of the links.
    ///
    /// # Errors
    /// When there is nothing at the path.
    pub(crate) fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        {
            let read = self.lock();
            if read.straight.contains(path) {
                return Ok(path.to_owned());
            }
            if let Some(known) = read.links.get(path) {
                return Ok(known.to_path_buf());
            }
        }
        let canonical = match path.canonicalize() {
            Ok(canonical) => canonical,
            Err(_) if self.lock().files.contains_key(path) => path.to_owned(),
            Err(error) => return Err(error),
        };
        let (from, led) = (self.common.path(path), self.common.path(&canonical));
        let mut read = self.lock();
        if canonical == path {
            read.straight.insert(led);
        } else {
            read.links.insert(from, led);
        }
        Ok(canonical)
    }

    /// Returns the meaning that the specifier had when it was resolved first.
    pub(crate) fn resolved(&self, specifier: &str, referrer: &str) -> Option<Arc<str>> {
        self.lock().resolved.get(referrer)?.get(specifier).cloned()
    }

    /// Notes the meaning of a specifier, for good.
    pub(crate) fn note_resolved(&self, specifier: &str, referrer: &str, found: &str) {
        let [specifier, referrer, found] = [specifier, referrer, found].map(|name| self.common.name(name));
        let mut read = self.lock();
        let of_referrer = read.resolved.entry(referrer).or_default();
        of_referrer.entry(specifier).or_insert(found);
    }

    /// Returns a `package.json` as it was read the first time; `None` where there is none or the file is none.
    pub(crate) fn package_json(&self, path: &Path) -> Option<PackageJsonRc> {
        if let Some(known) = self.lock().package_jsons.get(path) {
            return known.clone();
        }
        let file = self.read(path).ok();
        let parsed = file.and_then(|file| self.common.package_json(path, &file));
        let path = self.common.path(path);
        self.lock().package_jsons.entry(path).or_insert(parsed).clone()
    }

    /// Returns the code that V8 was given for a file before.
    pub(crate) fn given(&self, url: &Url) -> Option<Arc<EmittedCode>> {
        self.lock().given.get(url.as_str()).cloned()
    }

    /// Notes the code that V8 gets for a file, in every isolate.
    pub(crate) fn give(&self, url: &Url, code: Arc<EmittedCode>) -> Arc<EmittedCode> {
        let url = self.common.name(url.as_str());
        self.lock().given.entry(url).or_insert(code).clone()
    }

    /// Notes that one file imports another.
    pub(crate) fn note_import(&self, from: &Path, file: &Path) {
        let [from, file] = [from, file].map(|path| self.common.path(path));
        let mut read = self.lock();
        let import = FileImport {
            file,
            is_lazy: read.is_loaded,
        };
        let imports = read.imports.entry(from).or_default();
        if !imports.contains(&import) {
            imports.push(import);
        }
    }

    /// Notes that an isolate has loaded the project. The first time it warns of files without a name that could be
    /// imported.
    pub(crate) fn note_loaded(&self) {
        if std::mem::replace(&mut self.lock().is_loaded, true) {
            return;
        }
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let left_out = &entries.not_utf8;
        if let Some(first) = left_out.first() {
            let (files, first) = (left_out.len(), first.display());
            tracing::warn!(files, %first, "modules are left out: their names are not valid UTF-8");
        }
    }

    /// Returns a module and everything that it imports, directly or not; imports come first.
    pub(crate) fn evaluation_order(&self, module: &Path) -> Vec<PathBuf> {
        fn visit(
            imports: &HashMap<Arc<Path>, Vec<FileImport>>,
            path: &Path,
            seen: &mut HashSet<PathBuf>,
            order: &mut Vec<PathBuf>,
        ) {
            if seen.insert(path.to_owned()) {
                for FileImport { file, .. } in imports.get(path).into_iter().flatten() {
                    visit(imports, file, seen, order);
                }
                order.push(path.to_owned());
            }
        }
        let mut order = Vec::new();
        visit(&self.lock().imports, module, &mut HashSet::new(), &mut order);
        order
    }

    /// Returns the folders of a package of which something was imported: one for each copy.
    pub(crate) fn package_folders(&self, name: &str) -> BTreeSet<PathBuf> {
        let part = format!("/node_modules/{name}/");
        let folder = |path: &Arc<Path>| {
            let path = path.to_str()?;
            let end = path.rfind(&part)? + part.len() - 1;
            // A package that is within the package is another one.
            (!path[end..].contains("/node_modules/")).then(|| PathBuf::from(&path[..end]))
        };
        self.lock().imports.keys().filter_map(folder).collect()
    }

    fn digest<'a>(&self, files: impl Iterator<Item = (&'a Arc<Path>, blake3::Hash)>) -> String {
        let mut hasher = blake3::Hasher::new();
        for (path, hash) in files {
            let path = path.strip_prefix(&self.project.root).unwrap_or(path);
            hasher.update(path.as_os_str().as_encoded_bytes());
            hasher.update(&[0]);
            hasher.update(hash.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, ReadFiles> {
        let read = self.joined.get().map_or(&self.read, |other| &other.read);
        // Every critical section leaves the maps consistent, so a panicked holder harms nobody.
        read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sources for SourceSnapshot {
    fn hash(&self) -> String {
        let read = self.read_by_modules();
        let mut files = self.digest(self.lock().files.iter().map(|(path, file)| (path, file.hash)));
        if !read.is_empty() {
            let read = self.digest(read.iter().map(|(path, hash)| (path, *hash)));
            files = blake3::hash(format!("{files} {read}").as_bytes()).to_hex().to_string();
        }
        let conditions = &self.project.conditions;
        if !conditions.is_empty() {
            files = blake3::hash(format!("{files} {conditions:?}").as_bytes())
                .to_hex()
                .to_string();
        }
        match self.environment.digest().hash {
            None => files,
            Some(environment) => blake3::hash(format!("{files} {environment}").as_bytes())
                .to_hex()
                .to_string(),
        }
    }

    fn secrets_changed(&self) -> bool {
        let command = self.asked.environment.secret_command.as_ref();
        command.is_some_and(|command| self.environment.secrets_changed(command, &self.project.root))
    }

    fn obtain_secrets(&self) -> Result<(), LoadError> {
        let Some(command) = &self.asked.environment.secret_command else {
            return Ok(());
        };
        let obtained = self.environment.obtain_secrets(command, &self.project.root);
        obtained.map_err(|error| LoadError {
            kind: LoadErrorKind::Environment,
            message: error.to_string(),
            help: Some(error.help().to_owned()),
            ..LoadError::default()
        })
    }

    fn environment(&self) -> EnvironmentDigest {
        self.environment.digest()
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.environment.variable(name)
    }

    fn certificates(&self) -> Certificates {
        Certificates::of(|name| self.variable(name), &self.project.root)
    }

    fn changed_on_disk(&self) -> Vec<PathBuf> {
        let changed: BTreeSet<PathBuf> = self
            .changed_files()
            .chain(self.changed_entries())
            .chain(self.new_included())
            .collect();
        let named = |path: PathBuf| {
            path.strip_prefix(&self.project.root)
                .map_or(path.clone(), Path::to_owned)
        };
        changed.into_iter().map(named).collect()
    }

    fn is_changed_on_disk(&self) -> bool {
        self.changed_files().next().is_some() || !self.changed_entries().is_empty() || !self.new_included().is_empty()
    }

    fn revision(&self) -> usize {
        let read = self.lock();
        read.files.len() + read.missing.len() + read.links.len() + read.looks.len()
    }

    fn watched(&self) -> WatchedPaths {
        let tree = match &self.project.entry {
            Entry::Folder(folder) => Some(folder.clone()),
            Entry::File(_) => None,
        };
        let by_modules = self.read_by_modules();
        let read = self.lock();
        let asked = [self.asked.root.as_path(), self.asked.entry.path()].map(Path::to_owned);
        let entries = self.entries();
        let files = read.files.keys().chain(&read.missing).map(|path| path.to_path_buf());
        let files = files.chain(entries.iter().cloned());
        let files = files.chain(by_modules.iter().map(|(path, _)| path.to_path_buf()));
        WatchedPaths {
            files: files.chain(self.asked.environment.file.clone()).collect(),
            trees: tree.into_iter().collect(),
            links: read.links.keys().map(|path| path.to_path_buf()).chain(asked).collect(),
        }
    }

    fn keep(&self) -> Result<KeptSources, String> {
        description::keep(self)
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
