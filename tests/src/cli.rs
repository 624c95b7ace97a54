//! Commands that end by themselves: `baton reload`, `baton status`, and every start that is
//! refused.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::binary::baton_binary;
use crate::deadline;
use crate::started::Started;

/// A command and the folder that it runs in.
#[derive(Clone, Debug)]
pub struct Cli {
    folder: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl Cli {
    /// Commands that are run in `folder`.
    #[must_use]
    pub fn within(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            environment: Vec::new(),
        }
    }

    /// Sets a variable of their environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Runs `baton` with these arguments to its end.
    pub async fn baton(&self, arguments: &[&str]) -> Finished {
        finish(self.command(arguments)).await
    }

    /// Starts `baton` with these arguments, and reads what it prints.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Started {
        Started::new(self.command(arguments))
    }

    /// Returns the same command, to be run in another folder.
    #[must_use]
    pub fn at(self, folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            ..self
        }
    }

    /// Starts `baton` with these arguments; it is killed on drop.
    #[must_use]
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("baton starts")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(baton_binary());
        clean_environment(&mut command);
        command
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The exit code, `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Its standard output as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON on standard output ({error}): {self}"))
    }

    /// Asserts the exit code and that the message to the user has each of
    /// `words` in it.
    pub fn refuses(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in the message: {self}");
        }
        assert!(!self.stderr.contains("panicked"), "{self}");
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "exit code {:?}\n--- stdout ---\n{}\n--- stderr ---\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

/// Runs `command` to its end.
pub(crate) async fn finish(mut command: Command) -> Finished {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let what = format!("the end of {:?}", command.as_std());
    let output = deadline::within(&what, String::new, command.output()).await;
    let output = output.expect("the command ran");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The variables that say which certificates are trusted.
const CERTIFICATES: [&str; 8] = [
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "DENO_CERT",
    "DENO_TLS_CA_STORE",
    "NODE_OPTIONS",
    "NODE_USE_SYSTEM_CA",
    "NODE_TLS_REJECT_UNAUTHORIZED",
];

/// Takes variables that would change the behaviour of Baton or of the SDK out of the environment: a
/// test sets itself what it wants.
pub fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let ours = ["BATON_", "INNGEST_"].iter().any(|prefix| text.starts_with(prefix));
        let settings = ["PORT", "RUST_LOG", "XDG_STATE_HOME", "NODE_ENV", "TZ"];
        if ours || settings.contains(&&*text) || CERTIFICATES.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    // A test does not use a developer's code cache, but it uses the developer's startup snapshot,
    // which takes long to make.
    command.env("BATON_CODE_CACHE", "off");
}
