//! The URLs of files that are the runtime's own and none of the user's.

use deno_core::url::Url;

/// The prelude's name in the project's root, where it is evaluated but never written.
pub(crate) const PRELUDE: &str = "__baton_prelude.ts";

/// The prelude's function that evaluates a package before the load, and does nothing else.
pub(crate) const IMPORTS_A_PACKAGE: &str = "importPackage";

/// The folder of all built-in files for V8. It is on no disk, and has a URL of a file, since only such URLs can be
/// required.
pub(crate) const BUILT_IN: &str = "file:///.baton/";

/// Tells whether a file is one of these.
pub(crate) fn is_own(url: &Url) -> bool {
    url.path().ends_with(PRELUDE) || is_built_in(url)
}

/// Tells whether a file is a built-in one.
pub(crate) fn is_built_in(url: &Url) -> bool {
    url.as_str().starts_with(BUILT_IN)
}
