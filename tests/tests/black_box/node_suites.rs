//! Suites of tests in JavaScript, which are run here so that they are a part of the black-box tests.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// A suite installs packages, or starts a dozen of hosts.
const LIMIT: Duration = Duration::from_secs(100);

/// A suite and the program that runs it.
pub(crate) struct Suite(Command);

/// Returns the Node that is on the `PATH`.
pub(crate) fn node() -> Command {
    Command::new("node")
}

impl Suite {
    pub(crate) fn new(mut program: Command, folder: &Path) -> Self {
        program
            .current_dir(folder)
            // A runner within a runner reports to it.
            .env_remove("NODE_TEST_CONTEXT")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Self(program)
    }

    pub(crate) fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.0.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Asserts that all of its tests pass.
    pub(crate) async fn passes(self) {
        let (passed, said) = self.run().await;
        assert!(passed, "{said}");
    }

    /// Asserts that a test fails, and that all of these words are said.
    pub(crate) async fn fails(self, words: &[&str]) {
        let (passed, said) = self.run().await;
        assert!(!passed, "{said}");
        for words in words {
            assert!(said.contains(words), "{words:?} is not in: {said}");
        }
    }

    async fn run(mut self) -> (bool, String) {
        let output = tokio::time::timeout(LIMIT, self.0.output());
        let output = output.await.expect("the suite ends in time").expect("the suite runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }
}
