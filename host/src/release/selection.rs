//! The files of a project that belong into a release.
//!
//! | file | |
//! |---|---|
//! | below a `node_modules` | in the layer of packages, but for its `.cache` |
//! | anything else | in the layer of the project: all but what `.batonignore` names; without such a file, all but what git ignores |
//! | `.git`, environment files | never |
//!
//! Links are kept as links. A link that leads out of the project is an error, since nothing would be there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use ignore::WalkBuilder;
use js_runtime_api::regular_file;
use miette::Diagnostic;

use super::addon::{Addon, package_of, platform_of};
use super::secret_files;

const PACKAGES: &str = "node_modules";
const IGNORE_FILE: &str = ".batonignore";
/// The most bytes of a `package.json` that is looked into.
const LARGEST_PACKAGE_FILE: u64 = 4 << 20;

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    Folder,
    File {
        is_executable: bool,
    },
    /// A link, by its target, which is relative.
    Link(PathBuf),
}

/// A file that looks like a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// The file, relative to the project's root.
    pub file: String,
    pub why: &'static str,
}

/// The files of a project, by their paths relative to its root.
#[derive(Debug, Default)]
pub struct Selection {
    pub project: BTreeMap<PathBuf, FileKind>,
    pub packages: BTreeMap<PathBuf, FileKind>,
    pub addons: Vec<Addon>,
    pub suspicious: Vec<Suspicion>,
    /// The environment files that are left out.
    pub environment_files: Vec<PathBuf>,
}

/// The failure to select the files of a project.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum SelectionError {
    #[error("cannot read {path}: {error}", path = .path.display())]
    #[diagnostic(help("Make the file readable, or name it in .batonignore."))]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("cannot list the project's files: {0}")]
    #[diagnostic(help("Make the file readable, or name it in .batonignore."))]
    Walk(#[source] ignore::Error),
    #[error("the link {link} leads out of the project, to {target}", link = .link.display(), target = .target.display())]
    #[diagnostic(help(
        "Push the folder that holds both, or install the package into the project (npm: install-links)."
    ))]
    LeadsOut { link: PathBuf, target: PathBuf },
    #[error("{path} is neither a file, a folder nor a link", path = .0.display())]
    #[diagnostic(help("Name it in .batonignore."))]
    Special(PathBuf),
}

impl Selection {
    /// Looks at a project's files. Reads the project's own for secrets, and the heads of addons.
    ///
    /// # Errors
    /// When a file cannot be read, or a link leads out.
    pub fn of(root: &Path) -> Result<Self, SelectionError> {
        let root = root.canonicalize().map_err(|error| SelectionError::Unreadable {
            path: root.to_owned(),
            error,
        })?;
        let mut selection = Self::default();
        let package_folders = selection.walk_project(&root)?;
        for folder in package_folders {
            selection.walk_packages(&root, &folder)?;
        }
        selection.addons.sort();
        Ok(selection)
    }

    /// Lists the project's own files; returns the folders of packages.
    fn walk_project(&mut self, root: &Path) -> Result<Vec<PathBuf>, SelectionError> {
        let has_own_list = root.join(IGNORE_FILE).is_file();
        let mut walk = WalkBuilder::new(root);
        walk.standard_filters(false).follow_links(false);
        if has_own_list {
            walk.add_custom_ignore_filename(IGNORE_FILE);
        } else {
            walk.parents(true).git_ignore(true).git_exclude(true).git_global(true);
        }
        walk.filter_entry(|entry| entry.file_name() != ".git" && entry.file_name() != PACKAGES);
        let mut folders = Vec::new();
        for entry in walk.build() {
            let entry = entry.map_err(SelectionError::Walk)?;
            let path = entry.path();
            let relative = path.strip_prefix(root).unwrap_or(path).to_owned();
            let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            if is_folder && path.join(PACKAGES).is_dir() {
                folders.push(relative.join(PACKAGES));
            }
            if relative.as_os_str().is_empty() {
                continue;
            }
            let name = entry.file_name().to_string_lossy();
            if !is_folder && secret_files::is_environment_file(&name) {
                self.environment_files.push(relative);
                continue;
            }
            let kind = kind_of(root, &relative)?;
            if let FileKind::File { .. } = kind {
                self.look_for_secrets(root, &relative, &name)?;
            }
            self.project.insert(relative, kind);
        }
        Ok(folders)
    }

    fn walk_packages(&mut self, root: &Path, folder: &Path) -> Result<(), SelectionError> {
        let mut walk = WalkBuilder::new(root.join(folder));
        walk.standard_filters(false).follow_links(false);
        walk.filter_entry(|entry| {
            let is_cache = entry.file_name() == ".cache" && entry.depth() == 1;
            !is_cache && entry.file_name() != ".git"
        });
        for entry in walk.build() {
            let entry = entry.map_err(SelectionError::Walk)?;
            let path = entry.path();
            let relative = path.strip_prefix(root).unwrap_or(path).to_owned();
            let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
            if is_file && secret_files::is_environment_file(&entry.file_name().to_string_lossy()) {
                self.environment_files.push(relative);
                continue;
            }
            let kind = match entry.depth() {
                // The folder itself may be a link: to one that several checkouts share.
                0 => FileKind::Folder,
                _ => kind_of(root, &relative)?,
            };
            if is_file && path.extension().is_some_and(|extension| extension == "node") {
                self.addons.extend(addon(root, &relative)?);
            }
            self.packages.insert(relative, kind);
        }
        Ok(())
    }

    fn look_for_secrets(&mut self, root: &Path, relative: &Path, name: &str) -> Result<(), SelectionError> {
        let head = head(&root.join(relative), secret_files::LOOKED_AT)?;
        if let Some(why) = secret_files::suspicion(name, &head) {
            self.suspicious.push(Suspicion {
                file: relative.to_string_lossy().into_owned(),
                why,
            });
        }
        Ok(())
    }
}

fn head(path: &Path, most: u64) -> Result<Vec<u8>, SelectionError> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut head));
    read.map(|_| head).map_err(|error| SelectionError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

fn addon(root: &Path, relative: &Path) -> Result<Option<Addon>, SelectionError> {
    let Some(platform) = platform_of(&head(&root.join(relative), 20)?) else {
        return Ok(None);
    };
    let file = relative.to_string_lossy().into_owned();
    let manifest = root.join(package_of(&file)).join("package.json");
    let manifest = regular_file::read(&manifest, LARGEST_PACKAGE_FILE).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap_or_default();
    Ok(Some(Addon {
        file,
        platform: platform.to_owned(),
        optional: manifest.get("os").is_some() || manifest.get("cpu").is_some(),
    }))
}

fn kind_of(root: &Path, relative: &Path) -> Result<FileKind, SelectionError> {
    let path = root.join(relative);
    let unreadable = |error| SelectionError::Unreadable {
        path: path.clone(),
        error,
    };
    let metadata = fs::symlink_metadata(&path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Ok(FileKind::Folder);
    }
    if metadata.is_file() {
        let is_executable = metadata.permissions().mode() & 0o100 != 0;
        return Ok(FileKind::File { is_executable });
    }
    if !metadata.is_symlink() {
        return Err(SelectionError::Special(path));
    }
    let target = fs::read_link(&path).map_err(unreadable)?;
    inner_target(root, relative, &target)
        .map(FileKind::Link)
        .ok_or(SelectionError::LeadsOut {
            link: relative.to_owned(),
            target,
        })
}

/// Returns the target of a link as a relative path that goes up first and then down; `None` when it leads out.
fn inner_target(root: &Path, link: &Path, target: &Path) -> Option<PathBuf> {
    let folder = link.parent().unwrap_or(Path::new(""));
    let target = match target.strip_prefix(root) {
        Ok(inside) => inside.to_owned(),
        Err(_) if target.is_absolute() => return None,
        Err(_) => folder.join(target),
    };
    let mut inside: Vec<&std::ffi::OsStr> = Vec::new();
    for component in target.components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::ParentDir => drop(inside.pop()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    let own: Vec<_> = folder.components().map(Component::as_os_str).collect();
    let shared = own.iter().zip(&inside).take_while(|(one, other)| one == other).count();
    let up = std::iter::repeat_n(std::ffi::OsStr::new(".."), own.len() - shared);
    let path: PathBuf = up.chain(inside.get(shared..)?.iter().copied()).collect();
    Some(if path.as_os_str().as_bytes().is_empty() {
        ".".into()
    } else {
        path
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::{Path, PathBuf};

    use tempfile::TempDir;

    use super::{FileKind, Selection, SelectionError, inner_target};

    fn project(files: &[(&str, &str)]) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        (folder, root)
    }

    fn names(selection: &Selection) -> Vec<String> {
        let all = selection.project.keys().chain(selection.packages.keys());
        all.map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn environment_files_git_and_caches_stay_out_and_packages_are_apart() {
        let (_folder, root) = project(&[
            ("package.json", "{}"),
            ("src/a.ts", ""),
            (".env", "SECRET=1"),
            ("src/.env.production", ""),
            (".git/config", ""),
            ("node_modules/p/index.js", ""),
            ("node_modules/p/.env", ""),
            ("node_modules/.cache/x", ""),
            ("lib/node_modules/q/index.js", ""),
        ]);
        fs::create_dir(root.join("empty")).unwrap();
        fs::set_permissions(root.join("src/a.ts"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("p", root.join("node_modules/alias")).unwrap();
        let selection = Selection::of(&root).unwrap();
        assert_eq!(
            names(&selection),
            [
                "empty",
                "lib",
                "package.json",
                "src",
                "src/a.ts",
                "lib/node_modules",
                "lib/node_modules/q",
                "lib/node_modules/q/index.js",
                "node_modules",
                "node_modules/alias",
                "node_modules/p",
                "node_modules/p/index.js",
            ]
        );
        assert_eq!(
            selection.project[Path::new("src/a.ts")],
            FileKind::File { is_executable: true }
        );
        assert_eq!(
            selection.packages[Path::new("node_modules/alias")],
            FileKind::Link("p".into())
        );
        assert_eq!(selection.environment_files.len(), 3);
    }

    #[test]
    fn git_says_what_is_ignored_unless_the_project_has_a_list_of_its_own() {
        let files = [
            ("package.json", "{}"),
            (".gitignore", "dist\n"),
            ("dist/a.js", ""),
            ("notes/x", ""),
        ];
        let (_folder, root) = project(&files);
        fs::create_dir(root.join(".git")).unwrap();
        let all = names(&Selection::of(&root).unwrap());
        assert!(
            !all.contains(&"dist/a.js".to_owned()) && all.contains(&"notes/x".to_owned()),
            "{all:?}"
        );
        fs::write(root.join(".batonignore"), "notes/\n").unwrap();
        let all = names(&Selection::of(&root).unwrap());
        assert!(
            all.contains(&"dist/a.js".to_owned()) && !all.contains(&"notes/x".to_owned()),
            "{all:?}"
        );
    }

    #[test]
    fn a_file_that_looks_like_a_secret_is_named() {
        let (_folder, root) = project(&[("package.json", "{}"), ("certs/server.key", "x")]);
        let suspicious = Selection::of(&root).unwrap().suspicious;
        assert_eq!(suspicious[0].file, "certs/server.key");
    }

    #[test]
    fn a_link_that_leads_out_is_an_error_and_an_absolute_one_inside_becomes_relative() {
        let (_folder, root) = project(&[("package.json", "{}"), ("a/b/c", ""), ("d/e", "")]);
        symlink(root.join("d/e"), root.join("a/b/to")).unwrap();
        let kinds = Selection::of(&root).unwrap().project;
        assert_eq!(kinds[Path::new("a/b/to")], FileKind::Link("../../d/e".into()));
        symlink("../../..", root.join("a/b/out")).unwrap();
        assert!(matches!(Selection::of(&root), Err(SelectionError::LeadsOut { .. })));
        for (target, found) in [
            ("../../d", Some("../../d")),
            ("./c", Some("c")),
            (".", Some(".")),
            ("../b/../../d/./e", Some("../../d/e")),
            ("../../../x", None),
            ("/etc/passwd", None),
        ] {
            let target = inner_target(&root, Path::new("a/b/link"), Path::new(target));
            assert_eq!(target, found.map(PathBuf::from));
        }
    }
}
