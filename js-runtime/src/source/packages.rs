//! Which files are packages'.

use std::path::Path;

/// Tells whether a file is an installed package's and not the project's own.
pub(crate) fn is_of_package(path: &Path) -> bool {
    memchr::memmem::find(path.as_os_str().as_encoded_bytes(), b"/node_modules/").is_some()
}
