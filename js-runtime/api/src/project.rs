//! A project as the host describes it to the engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A project's place on the disk, and the settings of its loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The folder that holds `package.json`: packages are resolved from here.
    pub root: PathBuf,
    /// The folder or file that the user asked to be served.
    pub entry: Entry,
    /// The sources of the variables that its code sees.
    pub environment: EnvironmentSource,
    /// The path at which an app serves Inngest: `/api/inngest`.
    pub serve_path: String,
    /// The retries of a function that says nothing about them; `None`: Inngest's own default.
    pub default_retries: Option<u32>,
    /// Conditions of `exports` and `imports` in a `package.json` that hold beside those of Node and of
    /// `tsconfig.json`.
    pub conditions: Vec<String>,
    /// Globs of files that belong to the code though no module reads them, relative to the root.
    pub includes: Vec<String>,
}

/// The path at which an app serves Inngest, unless the project says otherwise.
pub const DEFAULT_SERVE_PATH: &str = "/api/inngest";

/// The sources of the variables that the project's code sees beside the host's own, which come
/// first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentSource {
    /// A file with lines of `NAME=value`; read for each generation anew.
    pub file: Option<PathBuf>,
    /// A program and its arguments. The program prints such lines, or a JSON object; it runs for each generation
    /// anew. Its variables come before those of the file.
    pub secret_command: Option<Vec<String>>,
    /// Values by name, for variables that neither the host nor the file or command sets.
    pub defaults: BTreeMap<String, String>,
    /// The working folder of its code, and of the children that it starts; `None`: the process's own.
    pub working_folder: Option<PathBuf>,
}

/// The variables that a generation's file and command gave it, as far as they may be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvironmentDigest {
    /// The names of the variables, in alphabetical order.
    pub names: Vec<String>,
    /// The hex digest over names and values; `None` without a file and a command.
    pub hash: Option<String>,
}

/// The two shapes a project may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Every module below this folder is imported and its Inngest functions are collected.
    Folder(PathBuf),
    /// One module: either it exports an app or has an app listen, which then answers everything, or it exports
    /// Inngest functions, which are served as those of a folder are.
    File(PathBuf),
}

impl Entry {
    /// Returns the folder or file itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::File(path) => path,
        }
    }
}
