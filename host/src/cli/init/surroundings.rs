//! The surroundings of a project that is to be: what its folder has already, and what is around it. Everything here
//! looks, and changes nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use js_runtime_api::regular_file;
use serde::Deserialize;
use serde_json::Value;

use super::InitError;
use super::manager::{self, FolderSigns, ManagerSigns, PackageManager};
use super::workspace::{self, WorkspaceMembers};
use crate::config::{ConfigFile, USUAL_FOLDERS};

/// The most bytes of a file that is looked into.
const LARGEST: u64 = 16 << 20;
/// The most folders upwards that are looked into.
const MOST_FOLDERS: usize = 64;
/// The files that a project has in its own folder.
pub(super) const FILES: [&str; 4] = ["package.json", "tsconfig.json", "baton.toml", ".gitignore"];

/// A folder, as it is before anything is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Surroundings {
    /// The folder's name.
    pub(super) name: String,
    pub(super) manifest: Option<PackageManifest>,
    /// Those of [`FILES`] that are there.
    pub(super) files: Vec<&'static str>,
    /// The place that `baton.toml` names, or the usual folder that is there.
    pub(super) functions: Option<FunctionsPlace>,
    /// Tells whether the folder has a `src/`.
    pub(super) has_src: bool,
    /// Tells whether a folder around this one, in the same repository, has a `.gitignore`.
    pub(super) is_ignored_above: bool,
    pub(super) workspace: Option<Workspace>,
    pub(super) signs: ManagerSigns,
    /// The binary that runs.
    pub(super) binary: ProgramOrigin,
}

/// The way in which the running binary came onto this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum ProgramOrigin {
    /// By an installer: it is on the PATH.
    #[default]
    Installed,
    /// By npm or one of its like: it is in a `node_modules` of the project, or in a cache.
    Npm,
}

/// The npm package with this binary.
pub(super) const NPM_PACKAGE: &str = "baton-inngest";

impl ProgramOrigin {
    /// Tells by the path of a binary how it came: `…/node_modules/baton-inngest-linux-x64/bin/baton`.
    fn at(path: &Path) -> Self {
        let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
        let is_package = |pair: &[&str]| pair[0] == "node_modules" && pair[1].starts_with(NPM_PACKAGE);
        match parts.windows(2).any(is_package) {
            true => Self::Npm,
            false => Self::Installed,
        }
    }
}

/// The parts of a `package.json` that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PackageManifest {
    pub(super) name: Value,
    package_manager: Value,
    workspaces: Value,
    dependencies: Option<BTreeMap<String, Value>>,
    dev_dependencies: Option<BTreeMap<String, Value>>,
}

/// A place where functions are, relative to the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FunctionsPlace {
    pub(super) path: String,
    pub(super) content: PlaceContent,
}

/// The content of a place where functions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlaceContent {
    /// Modules, or one that is the place itself.
    Code,
    /// A folder without files, or nothing yet.
    Nothing,
}

/// A workspace: this folder is its root, or is below its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Workspace {
    pub(super) root: PathBuf,
    /// The folder relative to the root; empty for the root itself.
    pub(super) folder: PathBuf,
    pub(super) members: WorkspaceMembers,
    /// The file that lists the members.
    pub(super) list: &'static str,
}

impl PackageManifest {
    /// Tells whether a package is among the dependencies.
    pub(super) fn has(&self, package: &str) -> bool {
        self.range(package).is_some()
    }

    /// Returns the range of versions that is wanted of a package; empty where it is no text.
    pub(super) fn range(&self, package: &str) -> Option<&str> {
        let all = [&self.dependencies, &self.dev_dependencies];
        let range = all.iter().find_map(|packages| packages.as_ref()?.get(package))?;
        Some(range.as_str().unwrap_or_default())
    }

    fn members(&self) -> Option<WorkspaceMembers> {
        let globs = match &self.workspaces {
            Value::Object(fields) => fields.get("packages")?,
            other => other,
        };
        let globs = globs.as_array()?.iter().filter_map(Value::as_str);
        Some(WorkspaceMembers(globs.map(str::to_owned).collect()))
    }

    /// Reads the `package.json` of a folder; none where there is none.
    fn read(folder: &Path) -> Result<Option<Self>, InitError> {
        let path = folder.join("package.json");
        let bytes = match regular_file::read(&path, LARGEST) {
            Ok(bytes) => bytes,
            // A link that leads nowhere is something.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(InitError::Unreadable { path, error });
            }
            Err(error) => {
                return Err(InitError::Manifest {
                    path,
                    reason: error.to_string(),
                });
            }
        };
        // npm reads over a byte order mark, too.
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let read = serde_json::from_slice::<Value>(text).and_then(|value| match value {
            Value::Object(_) => serde_json::from_value(value),
            _ => Err(serde::de::Error::custom("expected an object")),
        });
        read.map(Some).map_err(|error| InitError::Manifest {
            path,
            reason: error.to_string(),
        })
    }
}

impl Surroundings {
    /// Looks at a folder, which need not be there, and at what is around it.
    ///
    /// # Errors
    /// When the folder has a file that is not understood.
    pub(super) fn look(folder: &Path) -> Result<Self, InitError> {
        let manifest = PackageManifest::read(folder)?;
        let mut surroundings = Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            functions: functions(folder)?,
            has_src: folder.join("src").is_dir(),
            files: FILES.into_iter().filter(|file| is_there(&folder.join(file))).collect(),
            signs: ManagerSigns {
                folders: Vec::new(),
                agent: std::env::var("npm_config_user_agent").ok(),
                installed: installed(),
            },
            manifest,
            binary: std::env::current_exe().map_or(ProgramOrigin::Installed, |path| ProgramOrigin::at(&path)),
            ..Self::default()
        };
        for around in folder.ancestors().take(MOST_FOLDERS) {
            let is_here = around == folder;
            // What is wrong around the project is not this command's affair.
            let of_around = if is_here {
                None
            } else {
                PackageManifest::read(around).ok().flatten()
            };
            let manifest = if is_here {
                surroundings.manifest.as_ref()
            } else {
                of_around.as_ref()
            };
            surroundings.signs.folders.push(signs(around, manifest));
            if surroundings.workspace.is_none() {
                surroundings.workspace = workspace(folder, around, manifest);
            }
            surroundings.is_ignored_above |= !is_here && is_there(&around.join(".gitignore"));
            if is_there(&around.join(".git")) {
                break;
            }
        }
        Ok(surroundings)
    }
}

/// Returns the place of the functions, where `baton.toml` or a usual folder tells it.
fn functions(folder: &Path) -> Result<Option<FunctionsPlace>, InitError> {
    let named = ConfigFile::read(folder)?.path;
    let usual = || {
        USUAL_FOLDERS
            .iter()
            .find(|usual| is_there(&folder.join(usual)))
            .map(PathBuf::from)
    };
    let Some(path) = named.or_else(usual) else {
        return Ok(None);
    };
    let place = folder.join(&path);
    let path = path.to_string_lossy().into_owned();
    let content = match place.metadata() {
        Ok(found) if found.is_dir() => match std::fs::read_dir(&place) {
            Ok(mut entries) => match entries.next() {
                None => PlaceContent::Nothing,
                Some(_) => PlaceContent::Code,
            },
            Err(error) => return Err(InitError::Unreadable { path: place, error }),
        },
        Ok(_) if !USUAL_FOLDERS.contains(&&*path) => PlaceContent::Code,
        // A name that has an ending is a file's.
        Err(_) if !is_there(&place) && place.extension().is_none() => PlaceContent::Nothing,
        Err(_) if !is_there(&place) => PlaceContent::Code,
        _ => return Err(InitError::NoFolderOfFunctions(place)),
    };
    Ok(Some(FunctionsPlace { path, content }))
}

fn signs(folder: &Path, manifest: Option<&PackageManifest>) -> FolderSigns {
    let is_locked = |manager: &PackageManager| manager.files().iter().any(|file| is_there(&folder.join(file)));
    FolderSigns {
        declared: manifest.and_then(|manifest| manifest.package_manager.as_str().map(str::to_owned)),
        locked: manager::ALL.into_iter().find(is_locked),
    }
}

/// Returns the workspace whose root `around` is, seen from `folder`.
fn workspace(folder: &Path, around: &Path, manifest: Option<&PackageManifest>) -> Option<Workspace> {
    let pnpm = regular_file::read(&around.join("pnpm-workspace.yaml"), LARGEST).ok();
    let pnpm = pnpm.and_then(|bytes| workspace::of_pnpm(&String::from_utf8_lossy(&bytes)));
    let npm = || Some((manifest?.members()?, "package.json"));
    let (members, list) = pnpm.map(|members| (members, "pnpm-workspace.yaml")).or_else(npm)?;
    Some(Workspace {
        root: around.to_owned(),
        folder: folder.strip_prefix(around).ok()?.to_owned(),
        members,
        list,
    })
}

/// Returns the package managers on the PATH.
fn installed() -> Vec<PackageManager> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let is_installed = |manager: &PackageManager| folders.iter().any(|folder| folder.join(manager.program()).is_file());
    manager::ALL.into_iter().filter(is_installed).collect()
}

/// Tells whether there is something, be it a link that leads nowhere.
pub(super) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{PlaceContent, ProgramOrigin, Surroundings};
    use crate::cli::init::InitError;
    use crate::cli::init::manager::PackageManager;

    #[test]
    fn a_binary_tells_by_its_path_how_it_came() {
        for (path, binary) in [
            ("/home/a/.local/bin/baton", ProgramOrigin::Installed),
            ("/a/node_modules/baton-inngest-linux-x64/bin/baton", ProgramOrigin::Npm),
            (
                "/a/node_modules/.pnpm/baton-inngest-linux-x64@1.0.0/node_modules/baton-inngest-linux-x64/bin/baton",
                ProgramOrigin::Npm,
            ),
            ("/a/node_modules/other/target/baton", ProgramOrigin::Installed),
        ] {
            assert_eq!(ProgramOrigin::at(Path::new(path)), binary, "{path}");
        }
    }

    fn look(folder: &Path) -> Surroundings {
        Surroundings::look(folder).unwrap()
    }

    #[test]
    fn a_member_of_a_workspace_sees_its_root_and_the_roots_manager() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        fs::create_dir(root.join(".git")).unwrap();
        fs::write(root.join(".gitignore"), "node_modules/").unwrap();
        fs::write(root.join("package.json"), r#"{"private":true}"#).unwrap();
        fs::write(root.join("pnpm-workspace.yaml"), "packages:\n  - packages/*\n").unwrap();
        let here = look(&root.join("packages/jobs"));
        let workspace = here.workspace.as_ref().unwrap();
        assert!(workspace.members.contain(&workspace.folder), "{workspace:?}");
        assert_eq!(workspace.list, "pnpm-workspace.yaml");
        assert_eq!(here.signs.chosen(), PackageManager::Pnpm);
        assert!(here.is_ignored_above && here.manifest.is_none() && here.name == "jobs");
        assert!(look(root).workspace.unwrap().folder.as_os_str().is_empty());
    }

    #[test]
    fn a_workspace_of_package_json_is_one_too() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        fs::create_dir(root.join(".git")).unwrap();
        for workspaces in [r#"["apps/*"]"#, r#"{"packages":["apps/*"]}"#] {
            fs::write(root.join("package.json"), format!(r#"{{"workspaces":{workspaces}}}"#)).unwrap();
            let workspace = look(&root.join("apps/jobs")).workspace.unwrap();
            assert!(workspace.members.contain(&workspace.folder), "{workspace:?}");
        }
    }

    #[test]
    fn functions_are_where_baton_toml_says_or_in_a_usual_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        assert_eq!(look(root).functions, None);
        fs::create_dir_all(root.join("src/inngest")).unwrap();
        let place = look(root).functions.unwrap();
        assert_eq!((&*place.path, place.content), ("src/inngest", PlaceContent::Nothing));
        fs::write(root.join("src/inngest/client.ts"), "").unwrap();
        assert_eq!(look(root).functions.unwrap().content, PlaceContent::Code);
        fs::write(root.join("baton.toml"), "path = \"jobs\"").unwrap();
        let place = look(root).functions.unwrap();
        assert_eq!((&*place.path, place.content), ("jobs", PlaceContent::Nothing));
        fs::write(root.join("baton.toml"), "path = \"src/serve.ts\"").unwrap();
        assert_eq!(look(root).functions.unwrap().content, PlaceContent::Code);
        fs::remove_file(root.join("baton.toml")).unwrap();
        fs::write(root.join("functions"), "").unwrap();
        assert!(matches!(
            Surroundings::look(root),
            Err(InitError::NoFolderOfFunctions(_))
        ));
    }

    #[test]
    fn a_package_json_that_is_not_understood_is_an_error_with_its_place() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        for (text, reason) in [
            ("{", "line 1"),
            ("[]", "expected an object"),
            ("", "EOF"),
            (r#"{"dependencies":3}"#, "expected"),
        ] {
            fs::write(root.join("package.json"), text).unwrap();
            let error = Surroundings::look(root).unwrap_err().to_string();
            assert!(
                error.contains("package.json") && error.contains(reason),
                "{text}: {error}"
            );
        }
        fs::write(
            root.join("package.json"),
            "\u{feff}{\"dependencies\":{\"inngest\":\"^4\"}}",
        )
        .unwrap();
        assert!(look(root).manifest.unwrap().has("inngest"));
        fs::remove_file(root.join("package.json")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("package.json")).unwrap();
        assert!(Surroundings::look(root).is_err());
    }
}
