//! The differences between the disk and the files that a snapshot has read.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use js_runtime_api::{Sources as _, regular_file};

use super::environment::Environment;
use super::packages::is_of_package;
use super::snapshot::{LARGEST, SourceFile, SourceSnapshot};
use super::stamp::FileStamp;
use super::{entries, included};

/// Returns the hash of a regular file's content, without holding all of it.
fn hash_of(path: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(regular_file::open(path)?.take(LARGEST))?;
    Ok(hasher.finalize())
}

impl SourceSnapshot {
    fn differs(&self, path: &Path, hash: blake3::Hash, stamp: Option<FileStamp>) -> bool {
        let now = FileStamp::of(path);
        if now.is_some() && now == stamp {
            return false;
        }
        let same = hash_of(path).is_ok_and(|now| now == hash);
        if let (true, Some(now)) = (same, now) {
            let path = self.common.path(path);
            self.lock().stamps.insert(path, now);
        }
        !same
    }

    /// Returns the files that were read, of packages or of none, with the facts that tell whether they read the same.
    fn read_files(&self, of_packages: bool) -> Vec<(Arc<Path>, blake3::Hash, Option<FileStamp>)> {
        let read = self.lock();
        let files = read.files.iter();
        let wanted = files.filter(|(path, _)| is_of_package(path) == of_packages);
        let of = |(path, file): (&Arc<Path>, &SourceFile)| (path.clone(), file.hash, read.stamps.get(path).copied());
        wanted.map(of).collect()
    }

    /// Returns the files that were read and that differ on the disk now; first the project's own, which are most of
    /// those. Reads the disk as far as the caller goes on.
    pub(super) fn changed_files(&self) -> impl Iterator<Item = PathBuf> {
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
            changed(true)
                .chain(found)
                .chain(self.changed_environment())
                .chain(self.changed_files_of_modules())
        };
        changed(false).chain(std::iter::once_with(others).flatten())
    }

    fn changed_environment(&self) -> Option<PathBuf> {
        let file = self.asked.environment.file.as_ref()?;
        let is_as_read = Environment::read(&self.asked.environment).is_ok_and(|now| now.has_file_of(&self.environment));
        (!is_as_read).then(|| file.clone())
    }

    /// Returns the entry modules that came or went. Reads the disk.
    pub(super) fn changed_entries(&self) -> Vec<PathBuf> {
        match entries::list(&self.project.entry) {
            Ok(entries) => {
                let before: BTreeSet<_> = self.entries().iter().cloned().collect();
                let now: BTreeSet<_> = entries.modules.iter().cloned().collect();
                before.symmetric_difference(&now).cloned().collect()
            }
            Err(_) => vec![self.project.entry.path().to_owned()],
        }
    }

    /// Returns the files that the project includes and that were not there. Reads the disk.
    pub(super) fn new_included(&self) -> Vec<PathBuf> {
        let mut included = included::list(&self.project);
        let read = self.lock();
        included.retain(|path| !read.files.contains_key(path.as_path()));
        included.into_iter().collect()
    }

    /// Tells whether all files and answers so far are the same. Reads the disk, and runs the command that prints
    /// variables, if there is one.
    pub(crate) fn reads_the_same(&self) -> bool {
        self.changed_files().next().is_none()
            && self.new_included().is_empty()
            && self.looks_the_same()
            && !self.secrets_changed()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::sync::Arc;

    use js_runtime_api::{DEFAULT_SERVE_PATH, Entry, EnvironmentSource, Project, Sources as _};

    use super::SourceSnapshot;

    #[test]
    fn a_file_that_has_become_a_pipe_has_changed_and_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let [module, variables] = ["a.ts", ".env"].map(|name| root.join(name));
        let write = || {
            std::fs::write(&module, "export {}").unwrap();
            std::fs::write(&variables, "A=1").unwrap();
        };
        write();
        let project = Project {
            root: root.clone(),
            entry: Entry::Folder(root.clone()),
            environment: EnvironmentSource {
                file: Some(variables.clone()),
                ..EnvironmentSource::default()
            },
            serve_path: DEFAULT_SERVE_PATH.to_owned(),
            default_retries: None,
            conditions: Vec::new(),
            includes: Vec::new(),
        };
        let snapshot = SourceSnapshot::begin(project.clone(), Arc::default()).unwrap();
        snapshot.read(&module).unwrap();
        assert!(!snapshot.is_changed_on_disk());
        let become_pipe = |path: &Path| {
            std::fs::remove_file(path).unwrap();
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        };
        become_pipe(&module);
        assert_eq!(snapshot.changed_on_disk(), [Path::new("a.ts")]);
        become_pipe(&variables);
        assert_eq!(snapshot.changed_on_disk(), [Path::new(".env"), Path::new("a.ts")]);
        assert!(SourceSnapshot::begin(project, Arc::default()).is_err());
        for path in [&module, &variables] {
            std::fs::remove_file(path).unwrap();
        }
        write();
        assert!(!snapshot.is_changed_on_disk());
    }
}
