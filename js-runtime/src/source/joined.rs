//! Two snapshots of one project become one: an isolate that has read some of it ahead then loads the files as an
//! existing generation has read them, whatever the disk says by now.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::snapshot::{ReadFiles, SourceFile, SourceSnapshot};

impl SourceSnapshot {
    /// Joins another snapshot of the project: from now on this one reads the files that the other one has read, or
    /// will. Tells whether it joined: it does so only if all that this one has read reads the same in the other one.
    pub(crate) fn join(&self, other: &Arc<Self>) -> bool {
        let agrees = self.joined.get().is_none()
            && self.asked == other.asked
            && self.project == other.project
            && self.environment == other.environment
            && self.lock().is_part_of(&other.lock());
        if agrees && self.joined.set(other.clone()).is_ok() {
            let entries = other.entries.read().unwrap_or_else(PoisonError::into_inner).clone();
            *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
            // Of no use any more.
            drop(std::mem::take(
                &mut *self.read.lock().unwrap_or_else(PoisonError::into_inner),
            ));
            return true;
        }
        false
    }
}

impl ReadFiles {
    /// Tells whether the other one has read and asked all of this; changes nothing.
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
            && self.asked_as(other)
            && self.missing.iter().all(|path| !other.files.contains_key(path))
            && self.links.iter().all(leads_there)
            && self.resolved.iter().all(means_the_same)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use js_runtime_api::{Entry, EnvironmentSource, Project};

    use crate::source::snapshot::SourceSnapshot;

    fn snapshot(folder: &Path, environment: EnvironmentSource) -> Arc<SourceSnapshot> {
        let project = Project {
            root: folder.to_owned(),
            entry: Entry::Folder(folder.to_owned()),
            environment,
            serve_path: js_runtime_api::DEFAULT_SERVE_PATH.to_owned(),
            default_retries: None,
            conditions: Vec::new(),
            includes: Vec::new(),
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
        // A file that one of them reads, the other one has read.
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
