//! The project that is meant: that of PATH, or of the folders that stand for PATH when it is left out.

use std::io;
use std::path::{Component, Path, PathBuf};

use js_runtime_api::{DEFAULT_SERVE_PATH, Entry, EnvironmentSource, Project};
use miette::Diagnostic;

use super::conditions::conditions;
use super::config_file::{ConfigFile, ConfigFileError};

/// The folders in which functions are looked for when nothing names their place.
pub const USUAL_FOLDERS: [&str; 4] = ["functions", "src/functions", "inngest", "src/inngest"];

/// The reason why there is no project.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ProjectError {
    #[error("cannot read {path}: {error}", path = .path.display())]
    #[diagnostic(help("Name a folder of functions or an entry file that exists."))]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("no package.json in {folder} or above it", folder = .0.display())]
    #[diagnostic(help("Go to the project's folder, or make a project in this one with `baton init`."))]
    NoPackageJson(PathBuf),
    #[error("cannot find the functions: no PATH was given, {root} has no baton.toml with a path, and none of these \
             folders exists in it: {folders}", root = .0.display(), folders = USUAL_FOLDERS.join(", "))]
    #[diagnostic(help(
        "Name the folder, `baton dev path/to/functions`, or make one with a first function: `baton init`."
    ))]
    NoFunctions(PathBuf),
    #[error(transparent)]
    #[diagnostic(transparent)]
    ConfigFile(#[from] ConfigFileError),
}

/// Finds the project and reads its `baton.toml`. `path` and the usual folders are relative to
/// `working_folder`; the root is the nearest folder upwards that holds a `package.json`.
///
/// # Errors
/// When nothing is there, or nothing says where it is.
pub fn discover(path: Option<&Path>, working_folder: &Path) -> Result<(Project, ConfigFile), ProjectError> {
    if let Some(path) = path {
        let entry = entry(&working_folder.join(path))?;
        let root = root_of(entry.path())?;
        let config = ConfigFile::read(&root)?;
        let project = Project {
            root,
            entry,
            environment: EnvironmentSource::default(),
            serve_path: serve_path(&config),
            default_retries: None,
            conditions: conditions_of(&config),
            includes: config.watch.include.clone(),
        };
        return Ok((project, config));
    }
    let root = root_of(&absolute(working_folder)?)?;
    let config = ConfigFile::read(&root)?;
    let named = config.path.clone().map(|path| root.join(path));
    let usual = || {
        USUAL_FOLDERS
            .iter()
            .map(|folder| root.join(folder))
            .find(|folder| folder.is_dir())
    };
    let path = named
        .or_else(usual)
        .ok_or_else(|| ProjectError::NoFunctions(root.clone()))?;
    Ok((
        Project {
            root,
            entry: entry(&path)?,
            environment: EnvironmentSource::default(),
            serve_path: serve_path(&config),
            default_retries: None,
            conditions: conditions_of(&config),
            includes: config.watch.include.clone(),
        },
        config,
    ))
}

fn conditions_of(config: &ConfigFile) -> Vec<String> {
    conditions(config, std::env::var("NODE_OPTIONS").ok().as_deref())
}

fn serve_path(config: &ConfigFile) -> String {
    let named = config.inngest.serve_path.clone();
    named.unwrap_or_else(|| DEFAULT_SERVE_PATH.to_owned())
}

fn entry(path: &Path) -> Result<Entry, ProjectError> {
    let path = absolute(path)?;
    Ok(if path.is_dir() {
        Entry::Folder(path)
    } else {
        Entry::File(path)
    })
}

/// Returns the path as it was written, over symbolic links too: such links may be made to lead elsewhere.
fn absolute(path: &Path) -> Result<PathBuf, ProjectError> {
    let unreadable = |error| ProjectError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let canonical = path.canonicalize().map_err(unreadable)?;
    // The folder above `..` depends on the target of a link.
    if path.components().any(|component| component == Component::ParentDir) {
        return Ok(canonical);
    }
    std::path::absolute(path).map_err(unreadable)
}

/// The working folder as the shell shows it; the system tells it without symbolic links.
///
/// # Errors
/// When there is none any more.
pub fn working_folder() -> io::Result<PathBuf> {
    let folder = std::env::current_dir()?;
    let shown = std::env::var_os("PWD").map(PathBuf::from);
    let same = |shown: &PathBuf| shown.is_absolute() && shown.canonicalize().is_ok_and(|shown| shown == folder);
    Ok(shown.filter(same).unwrap_or(folder))
}

fn root_of(path: &Path) -> Result<PathBuf, ProjectError> {
    let mut folders = path.ancestors().filter(|folder| folder.join("package.json").is_file());
    folders
        .next()
        .map(Path::to_owned)
        .ok_or_else(|| ProjectError::NoPackageJson(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use js_runtime_api::Entry;

    use super::{ProjectError, discover};

    #[test]
    fn the_root_is_the_nearest_folder_with_a_package_json() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("app/src/functions")).unwrap();
        fs::write(root.join("package.json"), "{}").unwrap();
        let path = root.join("app/src/functions");
        let (project, _) = discover(Some(&path), &root).unwrap();
        assert_eq!(project.root, root);
        fs::write(root.join("app/package.json"), "{}").unwrap();
        let (project, _) = discover(Some(&path), &root).unwrap();
        assert_eq!(project.root, root.join("app"));
        assert_eq!(project.entry, Entry::Folder(path));
    }

    #[test]
    fn without_a_path_baton_toml_comes_before_the_usual_folders_and_never_everything() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        assert!(matches!(discover(None, &root), Err(ProjectError::NoPackageJson(_))));
        fs::write(root.join("package.json"), "{}").unwrap();
        assert!(matches!(discover(None, &root), Err(ProjectError::NoFunctions(_))));
        fs::create_dir_all(root.join("src/inngest")).unwrap();
        assert_eq!(
            discover(None, &root).unwrap().0.entry,
            Entry::Folder(root.join("src/inngest"))
        );
        fs::create_dir_all(root.join("functions")).unwrap();
        assert_eq!(
            discover(None, &root).unwrap().0.entry,
            Entry::Folder(root.join("functions"))
        );
        fs::write(root.join("serve.ts"), "").unwrap();
        fs::write(root.join("baton.toml"), "path = \"serve.ts\"").unwrap();
        assert_eq!(
            discover(None, &root).unwrap().0.entry,
            Entry::File(root.join("serve.ts"))
        );
    }

    #[test]
    fn a_path_that_does_not_exist_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = discover(Some("nowhere".as_ref()), folder.path()).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    }
}
