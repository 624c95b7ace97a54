//! Each `package.json` is read once per generation, as every file is: the meaning of a package's name and of a file's
//! extension depends on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use deno_package_json::{PackageJsonCache, PackageJsonCacheResult, PackageJsonRc};

use crate::source::snapshot::SourceSnapshot;

/// The `package.json` files that Deno's resolver asks for before it looks at the disk.
#[derive(Debug)]
pub(crate) struct PackageJsons(pub(crate) Arc<SourceSnapshot>);

impl PackageJsonCache for PackageJsons {
    fn get(&self, path: &Path) -> PackageJsonCacheResult {
        PackageJsonCacheResult::Hit(self.0.package_json(path))
    }

    fn set(&self, _: PathBuf, _: Option<PackageJsonRc>) {
        // Every file that Deno asks for is known by then.
    }
}
