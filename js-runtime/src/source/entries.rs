//! The modules of a project that are imported.

use std::fs::FileType;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use js_runtime_api::Entry;

/// The modules that a project's entry gives.
#[derive(Debug, Default, Clone)]
pub(crate) struct Entries {
    /// The modules to import, sorted by path.
    pub(crate) modules: Arc<[PathBuf]>,
    /// The modules and folders that are left out because their names are not UTF-8: no import could name them.
    pub(crate) not_utf8: Vec<PathBuf>,
}

/// Lists the modules of an entry. Reads the disk.
///
/// A folder gives every `*.{ts,tsx,mts,js,mjs}` below it except declarations, tests
/// (`*.test.*`, `*.spec.*`, `__tests__`), `node_modules` and dot-folders.
///
/// # Errors
/// When a folder cannot be read.
pub(crate) fn list(entry: &Entry) -> io::Result<Entries> {
    let (mut modules, mut not_utf8) = (Vec::new(), Vec::new());
    match entry {
        Entry::File(path) => modules.push(path.clone()),
        Entry::Folder(path) => walk(path, &mut modules, &mut not_utf8)?,
    }
    modules.sort();
    Ok(Entries {
        modules: modules.into(),
        not_utf8,
    })
}

fn walk(folder: &Path, modules: &mut Vec<PathBuf>, not_utf8: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            let Some(name) = name.to_str() else {
                if is_module(&name.to_string_lossy()) || path.is_dir() {
                    not_utf8.push(path);
                }
                continue;
            };
            if path.is_dir() {
                let skipped = name.starts_with('.') || name == "node_modules" || name == "__tests__";
                // A symlinked folder may lead back here; its modules are reached by imports.
                if !skipped && !path.is_symlink() {
                    folders.push(path);
                }
            } else if is_module(name) {
                modules.push(path);
            }
        }
    }
    Ok(())
}

/// Returns the reason why a path with a module's name is no file: a pipe, a link that leads nowhere. Reads the disk.
pub(crate) fn not_a_file(path: &Path) -> Option<String> {
    let is_link = path.is_symlink();
    match std::fs::metadata(path) {
        Ok(metadata) => kind(metadata.file_type()).map(|kind| format!("it is {kind}, not a file")),
        Err(error) if is_link && error.kind() == io::ErrorKind::NotFound => {
            Some("it is a symbolic link to a missing file".to_owned())
        }
        Err(_) if is_link => Some("it is a symbolic link to itself, or to an unreadable file".to_owned()),
        Err(_) => None,
    }
}

fn kind(kind: FileType) -> Option<&'static str> {
    match () {
        () if kind.is_fifo() => Some("a pipe"),
        () if kind.is_socket() => Some("a socket"),
        () if kind.is_char_device() || kind.is_block_device() => Some("a device"),
        () => None,
    }
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
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use js_runtime_api::Entry;

    use super::{is_module, list, not_a_file};

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

    #[test]
    fn what_is_no_file_is_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let [file, nowhere, circle, socket] =
            ["file.ts", "nowhere.ts", "circle.ts", "socket.ts"].map(|name| folder.path().join(name));
        std::fs::write(&file, "").unwrap();
        symlink(folder.path().join("none"), &nowhere).unwrap();
        symlink(&circle, &circle).unwrap();
        let _listening = UnixListener::bind(&socket).unwrap();
        assert_eq!(not_a_file(&file), None);
        assert_eq!(not_a_file(&folder.path().join("none")), None, "the loader says so");
        for (path, reason) in [
            (nowhere, "it is a symbolic link to a missing file"),
            (circle, "it is a symbolic link to itself, or to an unreadable file"),
            (socket, "it is a socket, not a file"),
        ] {
            assert_eq!(not_a_file(&path).as_deref(), Some(reason));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn modules_and_folders_whose_names_are_not_utf8_are_listed_apart() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
        std::fs::write(path(b"\xe9.ts"), "").unwrap();
        std::fs::write(path(b"\xe9.txt"), "").unwrap();
        std::fs::write(path("\u{e9}.ts".as_bytes()), "").unwrap();
        std::fs::create_dir(path(b"\xe9")).unwrap();
        std::fs::write(path(b"\xe9/a.ts"), "").unwrap();
        let entry = Entry::Folder(folder.path().to_owned());
        let listed = list(&entry).unwrap();
        let mut left_out = listed.not_utf8;
        left_out.sort();
        assert_eq!(left_out, [path(b"\xe9"), path(b"\xe9.ts")]);
        assert_eq!(*listed.modules, [path("\u{e9}.ts".as_bytes())]);
    }

    #[test]
    fn folders_are_listed_however_deep_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let mut deep = folder.path().to_owned();
        while deep.as_os_str().len() < 3900 {
            deep.push("d");
        }
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("a.ts"), "").unwrap();
        assert_eq!(
            *list(&Entry::Folder(folder.path().to_owned())).unwrap().modules,
            [deep.join("a.ts")]
        );
    }
}
