//! The parts that the source snapshots of one process have in common, so that one more snapshot takes little: it
//! reads mostly the same files, under the same paths, for the same imports.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use deno_package_json::{PackageJson, PackageJsonRc};

use super::file::SourceFile;
use super::newest::{NewestValues, first_eight_bytes};
use super::shared::SharedValues;

/// The common parts that the module's documentation describes.
#[derive(Debug, Default)]
pub(crate) struct CommonParts {
    /// The contents of files.
    pub(super) bytes: SharedValues<[u8]>,
    paths: SharedValues<Path>,
    /// URLs and specifiers.
    names: SharedValues<str>,
    /// Files that modules have read and the project's code has written since.
    pub(super) written: Mutex<HashSet<Arc<Path>>>,
    package_jsons: NewestValues<PathBuf, Option<PackageJsonRc>>,
}

impl CommonParts {
    pub(super) fn path(&self, path: &Path) -> Arc<Path> {
        self.paths.like(path)
    }

    pub(super) fn name(&self, name: &str) -> Arc<str> {
        self.names.like(name)
    }

    /// Returns the parsed `package.json`; `None` where the file is none.
    pub(super) fn package_json(&self, path: &Path, file: &SourceFile) -> Option<PackageJsonRc> {
        let content = first_eight_bytes(&file.hash);
        let path = path.to_owned();
        self.package_jsons.get(&path, content).unwrap_or_else(|| {
            let text = String::from_utf8_lossy(&file.bytes);
            let parsed = PackageJson::load_from_string(path.clone(), &text).ok();
            let parsed = parsed.map(PackageJsonRc::new);
            self.package_jsons.put(path, content, parsed.clone());
            parsed
        })
    }
}
