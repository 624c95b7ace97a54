//! Judges files and folders by their names.

use std::ffi::OsStr;
use std::path::Path;

/// The extensions of the files that a project can import. A new file of this kind may change the
/// meaning of the project.
const MODULES: [&str; 9] = ["ts", "tsx", "mts", "cts", "js", "mjs", "cjs", "jsx", "json"];

/// Tells whether a file of this name could be a module. Dot-files are no modules: editors make
/// them.
pub(super) fn is_module(name: &OsStr) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    !is_hidden(name) && extension.is_some_and(|extension| MODULES.contains(&extension))
}

/// Tells whether a folder of this name in a tree is left alone.
pub(super) fn is_skipped(name: &OsStr) -> bool {
    is_hidden(name) || name == "node_modules"
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::{is_module, is_skipped};

    #[test]
    fn modules_are_told_from_what_editors_leave_beside_them() {
        for name in [
            "a.ts", "a.tsx", "a.mts", "a.cts", "a.js", "a.mjs", "a.cjs", "a.jsx", "a.json", "a.d.ts",
        ] {
            assert!(is_module(name.as_ref()), "{name}");
        }
        for name in [
            "a",
            ".ts",
            "4913",
            "a.ts~",
            ".a.ts.swp",
            "#a.ts#",
            ".#a.ts",
            "a.ts___jb_tmp___",
            "a.ts.tmp.1234",
            "out.csv",
        ] {
            assert!(!is_module(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn packages_and_dot_folders_are_skipped() {
        assert!(is_skipped("node_modules".as_ref()) && is_skipped(".git".as_ref()));
        assert!(!is_skipped("steps".as_ref()) && !is_skipped("__tests__".as_ref()));
    }
}
