//! The variables that a generation's code sees beside the host's own.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use js_runtime_api::{EnvironmentDigest, EnvironmentSource, regular_file};

use super::secrets::{self, Secrets, SecretsError};

/// The most bytes that an environment file may have, or a command may print.
pub(super) const LARGEST: u64 = 1 << 20;

/// A generation's variables, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    /// The variables from the file, if there is one.
    file: Option<BTreeMap<String, String>>,
    /// The variables from the command, once it has run.
    secrets: OnceLock<Secrets>,
    defaults: BTreeMap<String, String>,
}

impl Environment {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read; with its path.
    pub(super) fn read(source: &EnvironmentSource) -> Result<Self, (PathBuf, io::Error)> {
        let parsed = source
            .file
            .as_ref()
            .map(|path| match regular_file::read(path, LARGEST) {
                Ok(bytes) => Ok(parse(&String::from_utf8_lossy(&bytes))),
                Err(error) => Err((path.clone(), error)),
            });
        Ok(Self {
            file: parsed.transpose()?,
            secrets: OnceLock::new(),
            defaults: source.defaults.clone(),
        })
    }

    /// Reads the environment; a file that cannot be read leaves the defaults alone.
    pub(super) fn read_or_defaults(source: &EnvironmentSource) -> Self {
        Self::read(source).unwrap_or_else(|_| Self {
            file: None,
            secrets: OnceLock::new(),
            defaults: source.defaults.clone(),
        })
    }

    /// Tells whether the file of both reads the same.
    pub(super) fn has_file_of(&self, other: &Self) -> bool {
        self.file == other.file
    }

    /// Runs the command, unless it has run.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn obtain_secrets(&self, command: &[String], folder: &Path) -> Result<(), SecretsError> {
        if self.secrets.get().is_none() {
            // Another thread may have done the same meanwhile: the variables of the first one are the generation's.
            let _ = self.secrets.set(secrets::run(command, folder)?);
        }
        Ok(())
    }

    /// Tells whether the command prints something else now, or fails.
    pub(super) fn secrets_changed(&self, command: &[String], folder: &Path) -> bool {
        secrets::run(command, folder).ok().as_ref() != self.secrets.get()
    }

    /// Returns the given variables by name: those of the command, then those of the file.
    fn given(&self) -> Option<BTreeMap<&String, &String>> {
        let secrets = self.secrets.get().map(|secrets| &secrets.0);
        if secrets.is_none() && self.file.is_none() {
            return None;
        }
        // The later one counts.
        Some(self.file.iter().chain(secrets).flatten().collect())
    }

    /// Returns all variables as the generation's code finds them when it begins. The host's own come first, then
    /// those of the command, of the file, and the defaults.
    pub(crate) fn variables(&self) -> HashMap<String, String> {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        let own = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        self.completed(own.collect())
    }

    fn completed(&self, mut variables: HashMap<String, String>) -> HashMap<String, String> {
        let given = self.given().unwrap_or_default();
        for (name, value) in given.into_iter().chain(&self.defaults) {
            variables.entry(name.clone()).or_insert_with(|| value.clone());
        }
        variables
    }

    /// Returns one of [`Self::variables`].
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let own = std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let given = || Some(self.given()?.get(&name.to_owned())?.to_string());
        own.or_else(given).or_else(|| self.defaults.get(name).cloned())
    }

    pub(super) fn digest(&self) -> EnvironmentDigest {
        let Some(given) = self.given() else {
            return EnvironmentDigest::default();
        };
        let mut hasher = blake3::Hasher::new();
        for part in given.iter().flat_map(|(name, value)| [name, value]) {
            hasher.update(&part.len().to_le_bytes());
            hasher.update(part.as_bytes());
        }
        EnvironmentDigest {
            names: given.into_keys().cloned().collect(),
            hash: Some(hasher.finalize().to_hex().to_string()),
        }
    }
}

/// Parses the lines of a file as Node does; of a name that is written twice the last value counts.
pub(crate) fn parse(text: &str) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    // Neither names nor values can hold a NUL, and the system would refuse it.
    let until_nul = |text: &str| text.split('\0').next().unwrap_or_default().to_owned();
    deno_dotenv::parse_env_content_hook(text, &mut |name, value| {
        let name = until_nul(name);
        if !name.is_empty() {
            variables.insert(name, until_nul(value));
        }
    });
    variables
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use js_runtime_api::EnvironmentSource;

    use super::Environment;

    #[test]
    fn what_is_set_comes_first_then_the_file_then_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "# of today\nA=file\nB=\"of the file\"\nexport C='x y'\n").unwrap();
        let defaults = [("B", "default"), ("D", "default")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let source = EnvironmentSource {
            file: Some(path.clone()),
            defaults: defaults.into(),
            ..EnvironmentSource::default()
        };
        let environment = Environment::read(&source).unwrap();
        let variables = environment.completed(HashMap::from([("A".to_owned(), "set".to_owned())]));
        let value = |name: &str| variables.get(name).map(String::as_str);
        assert_eq!(
            [value("A"), value("B"), value("C"), value("D")],
            [Some("set"), Some("of the file"), Some("x y"), Some("default")]
        );
        let digest = environment.digest();
        assert_eq!(digest.names, ["A", "B", "C"]);
        std::fs::write(&path, "A=other\nB=\"of the file\"\nC='x y'\n").unwrap();
        assert_ne!(Environment::read(&source).unwrap().digest().hash, digest.hash);
        std::fs::remove_file(&path).unwrap();
        assert!(Environment::read(&source).is_err());
    }

    #[test]
    fn one_variable_is_what_it_is_among_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "PATH=file\nOF_BOTH=file\nOF_FILE=file\nWITH_DEFAULT=file\n").unwrap();
        let defaults = ["WITH_DEFAULT", "OF_DEFAULTS"].map(|name| (name.to_owned(), "default".to_owned()));
        let source = EnvironmentSource {
            file: Some(path),
            defaults: defaults.into(),
            ..EnvironmentSource::default()
        };
        let environment = Environment::read(&source).unwrap();
        let command = ["sh", "-c", "echo OF_BOTH=command; echo OF_COMMAND=command"].map(str::to_owned);
        environment.obtain_secrets(&command, Path::new("/")).unwrap();
        let all = environment.variables();
        assert_eq!(environment.variable("PATH"), std::env::var("PATH").ok());
        for (name, value) in [
            ("OF_BOTH", "command"),
            ("OF_COMMAND", "command"),
            ("OF_FILE", "file"),
            ("WITH_DEFAULT", "file"),
            ("OF_DEFAULTS", "default"),
        ] {
            assert_eq!(environment.variable(name).as_deref(), Some(value), "{name}");
            assert_eq!(all.get(name), environment.variable(name).as_ref(), "{name}");
        }
        assert_eq!(environment.variable("OF_NOBODY"), None);
    }
}
