//! The source snapshot: every file that a load reads, read once and kept.
//!
//! Whatever is on the disk later, the modules of one generation see the bytes of the first read:
//! in a lazy `import()` an hour later, in a `require` at the end of a step, in a rollback. What a
//! specifier meant, it means for good. The set of files read is also what a reload is compared with.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use deno_core::url::Url;
use deno_package_json::PackageJsonRc;
use js_runtime_api::{Entry, EnvironmentDigest, KeptSources, Project, Sources, Watched};

use super::ahead::is_of_package;
use super::common::Common;
use super::environment::Environment;
use super::secrets::SecretsError;
use super::stamp::Stamp;
use super::transpile::Emitted;
use super::{entries, kept};

/// One file as it was read.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) hash: blake3::Hash,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct SourceSnapshot {
    /// As it was asked for, which may be over symbolic links.
    pub(super) asked: Project,
    /// Where that led.
    pub(super) project: Project,
    /// The modules to import, as the folder read when the load began.
    entries: RwLock<Arc<[PathBuf]>>,
    pub(super) environment: Environment,
    read: Mutex<Read>,
    /// Another one that it has joined.
    joined: OnceLock<Arc<Self>>,
    common: Arc<Common>,
}

#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) files: BTreeMap<Arc<Path>, SourceFile>,
    /// Of the files whose stamp tells whether they are as they were read.
    pub(super) stamps: HashMap<Arc<Path>, Stamp>,
    /// Looked for in vain: would one of these appear, an import would resolve to it.
    pub(super) missing: BTreeSet<Arc<Path>>,
    /// Paths that lead over a symbolic link, and where they led.
    pub(super) links: BTreeMap<Arc<Path>, Arc<Path>>,
    /// Paths that lead over none.
    pub(super) straight: HashSet<Arc<Path>>,
    /// What each specifier meant, by referrer and specifier; both as JavaScript has them.
    pub(super) resolved: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<str>>>,
    pub(super) package_jsons: HashMap<Arc<Path>, Option<PackageJsonRc>>,
    /// What each file imports, in the order in which V8 asked.
    pub(super) imports: HashMap<Arc<Path>, Vec<Import>>,
    /// What V8 was given for a file, by its URL.
    pub(super) given: HashMap<Arc<str>, Arc<Emitted>>,
    /// An isolate has loaded all of it: what is imported from now on, calls import.
    pub(super) is_loaded: bool,
}

/// One file that another imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) file: Arc<Path>,
    /// By a call, and not by the load.
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
    /// Starts a snapshot of what is on the disk: lists the entry modules and reads the settings.
    ///
    /// # Errors
    /// When the folder, the entry file or the environment's file cannot be read; with its path.
    pub(crate) fn begin(asked: Project, common: Arc<Common>) -> Result<Arc<Self>, (PathBuf, io::Error)> {
        let path = asked.entry.path().to_owned();
        let environment = Environment::read(&asked.environment)?;
        Self::list(asked, environment, common).map_err(|error| (path, error))
    }

    fn list(asked: Project, environment: Environment, common: Arc<Common>) -> io::Result<Arc<Self>> {
        let project = Project {
            root: asked.root.canonicalize()?,
            entry: match &asked.entry {
                Entry::Folder(path) => Entry::Folder(path.canonicalize()?),
                Entry::File(path) => Entry::File(path.canonicalize()?),
            },
            environment: asked.environment.clone(),
            serve_path: asked.serve_path.clone(),
            default_retries: asked.default_retries,
        };
        let entries = entries::list(&project.entry)?;
        let snapshot = Self::new(asked, project, entries, environment, Read::default(), common);
        for path in [snapshot.asked.root.as_path(), snapshot.asked.entry.path()] {
            snapshot.canonical(path)?;
        }
        snapshot.read_settings();
        Ok(Arc::new(snapshot))
    }

    pub(super) fn new(
        asked: Project,
        project: Project,
        entries: Vec<PathBuf>,
        environment: Environment,
        read: Read,
        common: Arc<Common>,
    ) -> Self {
        Self {
            asked,
            project,
            entries: RwLock::new(entries.into()),
            environment,
            read: Mutex::new(read),
            joined: OnceLock::new(),
            common,
        }
    }

    /// What was asked for, in those words.
    pub(crate) fn asked(&self) -> &Project {
        &self.asked
    }

    pub(crate) fn project(&self) -> &Project {
        &self.project
    }

    pub(crate) fn variables(&self) -> &Environment {
        &self.environment
    }

    /// Runs the command that prints variables, if there is one and that was not done.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn obtain_secrets(&self) -> Result<(), SecretsError> {
        match &self.asked.environment.secret_command {
            Some(command) => self.environment.obtain_secrets(command, &self.project.root),
            None => Ok(()),
        }
    }

    /// The modules to import, sorted.
    pub(crate) fn entries(&self) -> Arc<[PathBuf]> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lists the modules to import again, of a snapshot that none was loaded from.
    ///
    /// # Errors
    /// When the folder or the entry file cannot be read.
    pub(crate) fn list_entries_again(&self) -> io::Result<()> {
        let entries = entries::list(&self.project.entry)?;
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries.into();
        Ok(())
    }

    /// Forgets what was read, so that the files are read again, and only those that are asked for again.
    pub(crate) fn begin_anew(&self) {
        *self.lock() = Read::default();
        self.read_settings();
    }

    /// Becomes one with another snapshot of the project: reads from now on what that one has read, or will. Whether
    /// it does: only if whatever this one has read reads the same in the other one.
    pub(crate) fn join(&self, other: &Arc<Self>) -> bool {
        let agrees = self.joined.get().is_none()
            && self.asked == other.asked
            && self.project == other.project
            && self.environment == other.environment
            && self.lock().is_part_of(&other.lock());
        if agrees && self.joined.set(other.clone()).is_ok() {
            *self.entries.write().unwrap_or_else(PoisonError::into_inner) = other.entries();
            // Of no use any more.
            drop(std::mem::take(
                &mut *self.read.lock().unwrap_or_else(PoisonError::into_inner),
            ));
            return true;
        }
        false
    }

    fn read_settings(&self) {
        for name in SETTINGS {
            // An absent one is remembered as missing, which is all that matters here.
            let _ = self.read(&self.project.root.join(name));
        }
    }

    /// The file's bytes: from the first read if there was one, else from the disk.
    ///
    /// # Errors
    /// What reading the file says; the file counts as missing then.
    pub(crate) fn read(&self, path: &Path) -> io::Result<SourceFile> {
        if let Some(file) = self.lock().files.get(path) {
            return Ok(file.clone());
        }
        let stamp = Stamp::of(path);
        match std::fs::read(path) {
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
                read.files.insert(path, file.clone());
                Ok(file)
            }
            Err(error) => {
                self.note_missing(path);
                Err(error)
            }
        }
    }

    /// A file as it was read, if it was.
    pub(crate) fn file(&self, path: &Path) -> Option<SourceFile> {
        self.lock().files.get(path).cloned()
    }

    /// The project's own files that were read so far: those of no package.
    pub(crate) fn own_files(&self) -> Vec<(PathBuf, SourceFile)> {
        let read = self.lock();
        let own = read.files.iter().filter(|(path, _)| !is_of_package(path));
        own.map(|(path, file)| (path.to_path_buf(), file.clone())).collect()
    }

    /// Whether the path is a file, for resolution; the answer "no" is remembered.
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

    /// The path without symbolic links; where they led is remembered.
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

    /// What the specifier meant when it was resolved first.
    pub(crate) fn resolved(&self, specifier: &str, referrer: &str) -> Option<Arc<str>> {
        self.lock().resolved.get(referrer)?.get(specifier).cloned()
    }

    /// Notes what a specifier means, for good.
    pub(crate) fn note_resolved(&self, specifier: &str, referrer: &str, found: &str) {
        let [specifier, referrer, found] = [specifier, referrer, found].map(|name| self.common.name(name));
        let mut read = self.lock();
        let of_referrer = read.resolved.entry(referrer).or_default();
        of_referrer.entry(specifier).or_insert(found);
    }

    /// A `package.json` as it was read the first time; `None` where there is none or it is none.
    pub(crate) fn package_json(&self, path: &Path) -> Option<PackageJsonRc> {
        if let Some(known) = self.lock().package_jsons.get(path) {
            return known.clone();
        }
        let file = self.read(path).ok();
        let parsed = file.and_then(|file| self.common.package_json(path, &file));
        let path = self.common.path(path);
        self.lock().package_jsons.entry(path).or_insert(parsed).clone()
    }

    /// What V8 was given for a file before.
    pub(crate) fn given(&self, url: &Url) -> Option<Arc<Emitted>> {
        self.lock().given.get(url.as_str()).cloned()
    }

    /// Notes what V8 is given for a file, in every isolate.
    pub(crate) fn give(&self, url: &Url, code: Arc<Emitted>) -> Arc<Emitted> {
        let url = self.common.name(url.as_str());
        self.lock().given.entry(url).or_insert(code).clone()
    }

    /// Notes that one file imports another.
    pub(crate) fn note_import(&self, from: &Path, file: &Path) {
        let [from, file] = [from, file].map(|path| self.common.path(path));
        let mut read = self.lock();
        let import = Import {
            file,
            is_lazy: read.is_loaded,
        };
        let imports = read.imports.entry(from).or_default();
        if !imports.contains(&import) {
            imports.push(import);
        }
    }

    /// Notes that an isolate has loaded the project.
    pub(crate) fn note_loaded(&self) {
        self.lock().is_loaded = true;
    }

    /// A module and everything that it imports, directly or not; what is imported comes first.
    pub(crate) fn evaluation_order(&self, module: &Path) -> Vec<PathBuf> {
        fn visit(
            imports: &HashMap<Arc<Path>, Vec<Import>>,
            path: &Path,
            seen: &mut HashSet<PathBuf>,
            order: &mut Vec<PathBuf>,
        ) {
            if seen.insert(path.to_owned()) {
                for Import { file, .. } in imports.get(path).into_iter().flatten() {
                    visit(imports, file, seen, order);
                }
                order.push(path.to_owned());
            }
        }
        let mut order = Vec::new();
        visit(&self.lock().imports, module, &mut HashSet::new(), &mut order);
        order
    }

    fn digest<'a>(&self, files: impl Iterator<Item = (&'a Arc<Path>, &'a SourceFile)>) -> String {
        let mut hasher = blake3::Hasher::new();
        for (path, file) in files {
            let path = path.strip_prefix(&self.project.root).unwrap_or(path);
            hasher.update(path.as_os_str().as_encoded_bytes());
            hasher.update(&[0]);
            hasher.update(file.hash.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Read> {
        let read = self.joined.get().map_or(&self.read, |other| &other.read);
        // Every critical section leaves the maps consistent, so a panicked holder harms nobody.
        read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    /// Whether another one has read all of these files, and nothing otherwise.
    fn is_part_of(&self, other: &Self) -> bool {
        let has_file =
            |(path, file): (&Arc<Path>, &SourceFile)| other.files.get(path).is_some_and(|of| of.hash == file.hash);
        let leads_there =
            |(path, led): (&Arc<Path>, &Arc<Path>)| other.links.get(path).is_none_or(|other| other == led);
        let means_the_same = |(referrer, meant): (&Arc<str>, &BTreeMap<Arc<str>, Arc<str>>)| {
            let of = other.resolved.get(referrer);
            let meant_by_it = |specifier| of.and_then(|of| of.get(specifier));
            meant
                .iter()
                .all(|(specifier, found)| meant_by_it(specifier).is_none_or(|other| other == found))
        };
        self.files.iter().all(has_file)
            && self.missing.iter().all(|path| !other.files.contains_key(path))
            && self.links.iter().all(leads_there)
            && self.resolved.iter().all(means_the_same)
    }
}

impl SourceSnapshot {
    fn differs(&self, path: &Path, hash: blake3::Hash, stamp: Option<Stamp>) -> bool {
        let now = Stamp::of(path);
        if now.is_some() && now == stamp {
            return false;
        }
        let same = std::fs::read(path).is_ok_and(|bytes| blake3::hash(&bytes) == hash);
        if let (true, Some(now)) = (same, now) {
            let path = self.common.path(path);
            self.lock().stamps.insert(path, now);
        }
        !same
    }

    /// The files that were read, of packages or of none, with what tells whether they read the same.
    fn read_files(&self, of_packages: bool) -> Vec<(Arc<Path>, blake3::Hash, Option<Stamp>)> {
        let read = self.lock();
        let files = read.files.iter();
        let wanted = files.filter(|(path, _)| is_of_package(path) == of_packages);
        let of = |(path, file): (&Arc<Path>, &SourceFile)| (path.clone(), file.hash, read.stamps.get(path).copied());
        wanted.map(of).collect()
    }

    /// What of the files that were read differs on the disk now; first of the project's own, which are mostly those that
    /// do. Reads the disk as far as it is asked to go on.
    fn changed_files(&self) -> impl Iterator<Item = PathBuf> {
        let changed = |of_packages| {
            let files = self.read_files(of_packages).into_iter();
            let changed = files.filter(|(path, hash, stamp)| self.differs(path, *hash, *stamp));
            changed.map(|(path, ..)| path.to_path_buf())
        };
        let others = move || {
            let (missing, links) = {
                let read = self.lock();
                (read.missing.clone(), read.links.clone())
            };
            let appeared = missing.into_iter().filter(|path| path.is_file());
            let leads_elsewhere =
                |(path, led): &(Arc<Path>, Arc<Path>)| path.canonicalize().ok().as_deref() != Some(&**led);
            let led_elsewhere = links.into_iter().filter(leads_elsewhere).map(|(path, _)| path);
            let found = appeared.chain(led_elsewhere).map(|path| path.to_path_buf());
            changed(true).chain(found).chain(self.changed_environment())
        };
        changed(false).chain(std::iter::once_with(others).flatten())
    }

    fn changed_environment(&self) -> Option<PathBuf> {
        let file = self.asked.environment.file.as_ref()?;
        let is_as_read = Environment::read(&self.asked.environment).is_ok_and(|now| now.has_file_of(&self.environment));
        (!is_as_read).then(|| file.clone())
    }

    /// The entry modules that came or went. Reads the disk.
    fn changed_entries(&self) -> Vec<PathBuf> {
        match entries::list(&self.project.entry) {
            Ok(entries) => {
                let before: BTreeSet<_> = self.entries().iter().cloned().collect();
                let now: BTreeSet<_> = entries.into_iter().collect();
                before.symmetric_difference(&now).cloned().collect()
            }
            Err(_) => vec![self.project.entry.path().to_owned()],
        }
    }

    /// Whether everything that was read so far reads the same. Reads the disk, and runs the command that
    /// prints variables, if there is one.
    pub(crate) fn reads_the_same(&self) -> bool {
        self.changed_files().next().is_none() && !self.secrets_changed()
    }
}

impl Sources for SourceSnapshot {
    fn hash(&self) -> String {
        let files = self.digest(self.lock().files.iter());
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

    fn environment(&self) -> EnvironmentDigest {
        self.environment.digest()
    }

    fn variable(&self, name: &str) -> Option<String> {
        // The process's own come first.
        std::env::var(name).ok().or_else(|| self.environment.variable(name))
    }

    fn changed_on_disk(&self) -> Vec<PathBuf> {
        let changed: BTreeSet<PathBuf> = self.changed_files().chain(self.changed_entries()).collect();
        let named = |path: PathBuf| {
            path.strip_prefix(&self.project.root)
                .map_or(path.clone(), Path::to_owned)
        };
        changed.into_iter().map(named).collect()
    }

    fn is_changed_on_disk(&self) -> bool {
        self.changed_files().next().is_some() || !self.changed_entries().is_empty()
    }

    fn revision(&self) -> usize {
        let read = self.lock();
        read.files.len() + read.missing.len() + read.links.len()
    }

    fn watched(&self) -> Watched {
        let tree = match &self.project.entry {
            Entry::Folder(folder) => Some(folder.clone()),
            Entry::File(_) => None,
        };
        let read = self.lock();
        let asked = [self.asked.root.as_path(), self.asked.entry.path()].map(Path::to_owned);
        let entries = self.entries();
        let files = read.files.keys().chain(&read.missing).map(|path| path.to_path_buf());
        let files = files.chain(entries.iter().cloned());
        Watched {
            files: files.chain(self.asked.environment.file.clone()).collect(),
            trees: tree.into_iter().collect(),
            links: read.links.keys().map(|path| path.to_path_buf()).chain(asked).collect(),
        }
    }

    fn keep(&self) -> Result<KeptSources, String> {
        kept::keep(self)
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use js_runtime_api::{Entry, EnvironmentSource, Project};

    use super::SourceSnapshot;

    fn snapshot(folder: &Path, environment: EnvironmentSource) -> Arc<SourceSnapshot> {
        let project = Project {
            root: folder.to_owned(),
            entry: Entry::Folder(folder.to_owned()),
            environment,
            serve_path: js_runtime_api::DEFAULT_SERVE_PATH.to_owned(),
            default_retries: None,
        };
        SourceSnapshot::begin(project, Arc::default()).unwrap()
    }

    fn reads(snapshot: &SourceSnapshot, file: &Path) -> String {
        String::from_utf8_lossy(&snapshot.read(file).unwrap().bytes).into_owned()
    }

    #[test]
    fn one_that_has_read_the_same_joins_and_reads_what_the_other_one_has_read() {
        let folder = tempfile::tempdir().unwrap();
        let [package, module, lazy] = ["package.js", "a.ts", "lazy.ts"].map(|name| folder.path().join(name));
        for file in [&package, &module, &lazy] {
            std::fs::write(file, "one").unwrap();
        }
        let serves = snapshot(folder.path(), EnvironmentSource::default());
        serves.read(&package).unwrap();
        serves.read(&module).unwrap();
        let spare = snapshot(folder.path(), EnvironmentSource::default());
        spare.read(&package).unwrap();
        std::fs::write(&module, "two").unwrap();
        std::fs::write(folder.path().join("b.ts"), "one").unwrap();

        assert!(spare.join(&serves));
        assert_eq!(reads(&spare, &module), "one");
        assert_eq!(spare.entries(), serves.entries());
        // What one of them reads, the other one has read.
        spare.read(&lazy).unwrap();
        std::fs::write(&lazy, "two").unwrap();
        assert_eq!(reads(&serves, &lazy), "one");
        assert!(!spare.join(&serves), "it has");
    }

    #[test]
    fn one_that_has_read_anything_else_does_not_join() {
        let folder = tempfile::tempdir().unwrap();
        let [package, other] = ["package.js", "other.js"].map(|name| folder.path().join(name));
        std::fs::write(&package, "one").unwrap();
        std::fs::write(&other, "one").unwrap();
        let defaults = [("A".to_owned(), "1".to_owned())].into();
        let environment = EnvironmentSource {
            defaults,
            ..EnvironmentSource::default()
        };
        let serves = snapshot(folder.path(), EnvironmentSource::default());
        serves.read(&package).unwrap();
        serves.note_resolved("x", "file:///a", "file:///x");

        let of_another_environment = snapshot(folder.path(), environment);
        assert!(!of_another_environment.join(&serves));
        let more = snapshot(folder.path(), EnvironmentSource::default());
        more.read(&other).unwrap();
        assert!(!more.join(&serves));
        let otherwise_resolved = snapshot(folder.path(), EnvironmentSource::default());
        otherwise_resolved.note_resolved("x", "file:///a", "file:///y");
        assert!(!otherwise_resolved.join(&serves));
        std::fs::write(&package, "two").unwrap();
        let changed = snapshot(folder.path(), EnvironmentSource::default());
        changed.read(&package).unwrap();
        assert!(!changed.join(&serves));
        std::fs::remove_file(&package).unwrap();
        let removed = snapshot(folder.path(), EnvironmentSource::default());
        assert!(!removed.is_file(&package));
        assert!(!removed.join(&serves));
        assert_eq!(reads(&serves, &package), "one");
    }
}
