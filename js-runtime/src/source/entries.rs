//! Which modules of a project are imported.

use std::io;
use std::path::{Path, PathBuf};

use js_runtime_api::Entry;

/// Lists the modules to import, sorted by path.
///
/// A folder gives every `*.{ts,tsx,mts,js,mjs}` below it except declarations, tests
/// (`*.test.*`, `*.spec.*`, `__tests__`), `node_modules` and dot-folders.
///
/// # Errors
/// When a folder cannot be read.
pub(crate) fn list(entry: &Entry) -> io::Result<Vec<PathBuf>> {
    let mut modules = Vec::new();
    match entry {
        Entry::File(path) => modules.push(path.clone()),
        Entry::Folder(path) => walk(path, &mut modules)?,
    }
    modules.sort();
    Ok(modules)
}

fn walk(folder: &Path, modules: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if path.is_dir() {
            let skipped = name.starts_with('.') || name == "node_modules" || name == "__tests__";
            // A symlinked folder may lead back here; its modules are reached by imports.
            if !skipped && !path.is_symlink() {
                walk(&path, modules)?;
            }
        } else if is_module(name) {
            modules.push(path);
        }
    }
    Ok(())
}

fn is_module(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else {
        return false;
    };
    let loadable = matches!(extension, "ts" | "tsx" | "mts" | "js" | "mjs");
    let declaration = stem.ends_with(".d");
    let test = stem.ends_with(".test") || stem.ends_with(".spec");
    loadable && !declaration && !test && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::is_module;

    #[test]
    fn modules_are_told_from_declarations_tests_and_other_files() {
        for name in ["a.ts", "a.tsx", "a.mts", "a.js", "a.mjs", "latest.ts", "a.b.ts"] {
            assert!(is_module(name), "{name}");
        }
        for name in [
            "a.d.ts",
            "a.test.ts",
            "a.spec.js",
            "a.cjs",
            "a.json",
            "README",
            ".hidden.ts",
        ] {
            assert!(!is_module(name), "{name}");
        }
    }
}
