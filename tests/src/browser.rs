//! A real browser that runs scripts: Debian's Chromium, by playwright-core (`tests/dashboard`).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::binary::baton_binary;

/// The limit for a script. A script waits by itself, for less long than this.
const DEADLINE: Duration = Duration::from_secs(60);

/// A browser with one page; it ends with its guard.
#[derive(Debug)]
pub struct Browser {
    _child: Child,
    scripts: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    /// Starts the browser.
    ///
    /// # Panics
    /// When its packages are not installed.
    pub async fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboard");
        assert!(
            folder.join("node_modules/playwright-core").is_dir(),
            "packages are missing: run `npm ci` in {}",
            folder.display()
        );
        let mut child = Command::new("node")
            .arg("browser.mjs")
            .env("SHOTS", Self::shots())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        Self {
            scripts: child.stdin.take().expect("its standard input"),
            answers: BufReader::new(child.stdout.take().expect("its standard output")).lines(),
            _child: child,
        }
    }

    /// Returns the folder of screenshots, which is beside the built binary.
    #[must_use]
    pub fn shots() -> PathBuf {
        baton_binary().with_file_name("dashboard-screenshots")
    }

    /// Runs the body of an async function that sees `page` (see `tests/dashboard/browser.mjs`).
    #[track_caller]
    pub fn run(&mut self, script: &str) -> impl Future<Output = Value> {
        let line = format!("{}\n", json!({ "script": script }));
        let script = script.to_owned();
        let at = std::panic::Location::caller();
        async move {
            self.scripts
                .write_all(line.as_bytes())
                .await
                .expect("a browser that runs");
            let answer = tokio::time::timeout(DEADLINE, self.answers.next_line()).await;
            let answer = answer.unwrap_or_else(|_| panic!("{at}: no end of {script}"));
            let answer = answer.expect("its answer").expect("a browser that runs");
            let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
            if let Some(error) = answer["error"].as_str() {
                panic!("{at}: {error}\nin {script}");
            }
            answer["value"].take()
        }
    }
}
