//! Digests over modules with everything that they import: two equal digests mean the same code.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, MutexGuard};

use super::packages::is_of_package;
use super::snapshot::{ReadFiles, SourceSnapshot};

/// The digests of the files that were read until now. Holds the snapshot's lock.
pub(crate) struct Hashes<'a> {
    read: MutexGuard<'a, ReadFiles>,
    root: &'a Path,
    /// The digests of packages' files with all that they import: many modules import the same ones.
    packages: HashMap<Arc<Path>, blake3::Hash>,
}

impl<'a> Hashes<'a> {
    pub(crate) fn of(sources: &'a SourceSnapshot) -> Self {
        Self {
            read: sources.lock(),
            root: &sources.project().root,
            packages: HashMap::new(),
        }
    }

    /// Returns the hex digest over a module and everything that it imports, directly or not.
    pub(crate) fn of_module(&mut self, module: &Path) -> String {
        let (own, packages) = self.reach(module, |path| !is_of_package(path));
        let mut hasher = self.digest(&own);
        for package in packages {
            let hash = match self.packages.get(&package) {
                Some(known) => *known,
                None => {
                    let (files, _) = self.reach(&package, |_| true);
                    let hash = self.digest(&files).finalize();
                    self.packages.insert(package, hash);
                    hash
                }
            };
            hasher.update(hash.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Returns the files that are reached over `passable` ones, and the others at which that ends.
    fn reach(&self, from: &Path, passable: impl Fn(&Path) -> bool) -> (BTreeSet<Arc<Path>>, BTreeSet<Arc<Path>>) {
        let from: Arc<Path> = from.into();
        let mut within = BTreeSet::from([from.clone()]);
        let mut beyond = BTreeSet::new();
        let mut next = vec![from];
        while let Some(file) = next.pop() {
            for import in self.read.imports.get(&file).into_iter().flatten() {
                if !passable(&import.file) {
                    beyond.insert(import.file.clone());
                } else if within.insert(import.file.clone()) {
                    next.push(import.file.clone());
                }
            }
        }
        (within, beyond)
    }

    fn digest(&self, files: &BTreeSet<Arc<Path>>) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new();
        for path in files {
            if let Some(file) = self.read.files.get(path) {
                let path = path.strip_prefix(self.root).unwrap_or(path);
                hasher.update(path.as_os_str().as_encoded_bytes());
                hasher.update(&[0]);
                hasher.update(file.hash.as_bytes());
            }
        }
        hasher
    }
}
