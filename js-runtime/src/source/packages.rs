//! Files of packages, told from the project's own by where they are.

use std::path::Path;

/// Tells whether a file is below a `node_modules`.
pub(crate) fn is_of_package(path: &Path) -> bool {
    memchr::memmem::find(path.as_os_str().as_encoded_bytes(), b"/node_modules/").is_some()
}
