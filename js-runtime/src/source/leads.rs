//! The import of the project's own that leads to a file of a package.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deno_core::url::Url;

use super::packages::is_of_package;
use super::snapshot::{ReadFiles, SourceSnapshot};

impl SourceSnapshot {
    /// Finds the own file, `module` or one that it imports, and the specifier in it for which a package's file was
    /// loaded.
    pub(crate) fn import_that_leads_to(&self, target: &Path, module: &Path) -> Option<(PathBuf, Arc<str>)> {
        let read = self.lock();
        let mut seen = HashSet::from([module.to_owned()]);
        let mut own = VecDeque::from([module.to_owned()]);
        while let Some(file) = own.pop_front() {
            for (specifier, found) in read.meant_in(&file) {
                if is_of_package(&found) {
                    if read.leads(&found, target) {
                        return Some((file, specifier));
                    }
                } else if seen.insert(found.clone()) {
                    own.push_back(found);
                }
            }
        }
        None
    }
}

impl ReadFiles {
    /// Returns the files that a file imports and requires, by specifier.
    fn meant_in(&self, file: &Path) -> Vec<(Arc<str>, PathBuf)> {
        // `import` has URLs and `require` paths.
        let names = [
            file.to_str().map(str::to_owned),
            Url::from_file_path(file).ok().map(String::from),
        ];
        let meant = names.iter().flatten().filter_map(|name| self.resolved.get(&**name));
        let path = |found: &str| match Url::parse(found) {
            Ok(url) => url.to_file_path().ok(),
            Err(_) => Some(PathBuf::from(found)),
        };
        meant
            .flatten()
            .filter_map(|(specifier, found)| Some((specifier.clone(), path(found)?)))
            .collect()
    }

    fn leads(&self, from: &Path, target: &Path) -> bool {
        let mut seen = HashSet::from([from.to_owned()]);
        let mut next = vec![from.to_owned()];
        while let Some(file) = next.pop() {
            if file == target {
                return true;
            }
            let found = self.meant_in(&file).into_iter().map(|(_, found)| found);
            next.extend(found.filter(|found| seen.insert(found.clone())));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use js_runtime_api::{Entry, EnvironmentSource, Project};

    use crate::source::snapshot::SourceSnapshot;

    #[test]
    fn an_import_leads_over_own_files_and_over_what_packages_require() {
        let folder = tempfile::tempdir().unwrap();
        let project = Project {
            root: folder.path().to_owned(),
            entry: Entry::Folder(folder.path().to_owned()),
            environment: EnvironmentSource::default(),
            serve_path: js_runtime_api::DEFAULT_SERVE_PATH.to_owned(),
            default_retries: None,
            conditions: Vec::new(),
            includes: Vec::new(),
        };
        let snapshot = SourceSnapshot::begin(project, Arc::default()).unwrap();
        let meant = [
            ("./lib.ts", "file:///p/a.ts", "file:///p/lib.ts"),
            ("node:fs", "file:///p/a.ts", "node:fs"),
            ("other", "file:///p/a.ts", "file:///p/node_modules/other/main.js"),
            ("./a.ts", "file:///p/lib.ts", "file:///p/a.ts"),
            ("native", "file:///p/lib.ts", "file:///p/node_modules/native/main.js"),
            (
                "./binding",
                "/p/node_modules/native/main.js",
                "/p/node_modules/native/binding.js",
            ),
            (
                "./main",
                "/p/node_modules/native/binding.js",
                "/p/node_modules/native/main.js",
            ),
        ];
        for (specifier, referrer, found) in meant {
            snapshot.note_resolved(specifier, referrer, found);
        }
        let leads = |target: &str| snapshot.import_that_leads_to(Path::new(target), Path::new("/p/a.ts"));
        let native = Some((Path::new("/p/lib.ts").to_owned(), Arc::from("native")));
        assert_eq!(leads("/p/node_modules/native/binding.js"), native);
        assert_eq!(leads("/p/node_modules/native/main.js"), native);
        assert_eq!(
            leads("/p/node_modules/other/main.js"),
            Some((Path::new("/p/a.ts").to_owned(), Arc::from("other")))
        );
        assert_eq!(leads("/p/node_modules/unknown.js"), None);
    }
}
