//! Files that change under a generation: code that a function generates, imports, generates anew and imports again.
//!
//! Files that the load has read stay, whatever happens on the disk. A file that a call has read first is read anew
//! after the project's own code wrote it, and for an import by another query: so that `import("./rules.ts?v=2")`,
//! `delete require.cache[…]` and a new worker thread find the new text, as in Node.

use std::path::Path;

use deno_core::url::Url;

use super::snapshot::{ReadFiles, SourceSnapshot};

impl SourceSnapshot {
    /// Forgets a file that a call has read first. Files that the load has read stay.
    pub(super) fn forget_later(&self, path: &Path) {
        self.lock().forget_later(path);
    }

    /// Has an import by a new query read the file anew, unless the load has read it.
    pub(crate) fn read_anew_for(&self, url: &Url, path: &Path) {
        let mut read = self.lock();
        if url.query().is_some() && !read.given.contains_key(url.as_str()) {
            read.forget_later(path);
        }
    }
}

impl ReadFiles {
    fn forget_later(&mut self, path: &Path) {
        if !self.later.remove(path) {
            return;
        }
        self.files.remove(path);
        self.stamps.remove(path);
        self.package_jsons.remove(path);
        let Ok(url) = Url::from_file_path(path) else {
            return;
        };
        let is_of_file = |given: &str| {
            let rest = given.strip_prefix(url.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['?', '#']))
        };
        self.given.retain(|given, _| !is_of_file(given));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use deno_core::url::Url;
    use js_runtime_api::{Entry, EnvironmentSource, Project, Sources as _};

    use crate::source::emitted::EmittedCode;
    use crate::source::snapshot::SourceSnapshot;

    fn snapshot(folder: &Path) -> Arc<SourceSnapshot> {
        let project = Project {
            root: folder.to_owned(),
            entry: Entry::Folder(folder.to_owned()),
            environment: EnvironmentSource::default(),
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
    fn what_the_load_has_read_stays_and_what_a_call_has_read_is_read_anew_once_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let [loaded, generated] = ["loaded.ts", "generated.ts"].map(|name| root.join(name));
        for file in [&loaded, &generated] {
            std::fs::write(file, "one").unwrap();
        }
        let sources = snapshot(&root);
        assert_eq!(reads(&sources, &loaded), "one");
        sources.note_loaded();
        assert_eq!(reads(&sources, &generated), "one");
        for file in [&loaded, &generated] {
            std::fs::write(file, "two").unwrap();
            assert_eq!(reads(&sources, file), "one", "somebody else wrote it");
            sources.note_written(file);
        }
        assert_eq!(reads(&sources, &loaded), "one");
        assert_eq!(reads(&sources, &generated), "two");
        assert_eq!(sources.changed_on_disk(), [Path::new("loaded.ts")]);
    }

    #[test]
    fn an_import_by_another_query_reads_anew_and_by_the_same_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let file = root.join("generated.ts");
        std::fs::write(&file, "one").unwrap();
        let sources = snapshot(&root);
        sources.note_loaded();
        let import = |query: &str| {
            let mut url = Url::from_file_path(&file).unwrap();
            url.set_query(Some(query));
            sources.read_anew_for(&url, &file);
            let text = reads(&sources, &file);
            let code = EmittedCode {
                code: text.clone().into(),
                source_map: None,
            };
            sources.give(&url, Arc::new(code)).code.to_string()
        };
        assert_eq!(import("v=1"), "one");
        std::fs::write(&file, "two").unwrap();
        assert_eq!(import("v=1"), "one");
        assert_eq!(import("v=2"), "two");
    }
}
