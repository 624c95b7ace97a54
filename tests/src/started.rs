//! A command that goes on while the test looks at what it prints.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cli::Finished;
use crate::deadline;
use crate::pattern::mismatch;

/// A command that is killed on drop.
#[derive(Debug)]
pub struct Started {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// The part of its standard output that was read.
    stdout: String,
    /// Its standard error so far.
    stderr: watch::Receiver<String>,
    stderr_ends: JoinHandle<()>,
}

impl Started {
    pub(crate) fn new(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let stdout = child.stdout.take().expect("its standard output");
        let stderr = child.stderr.take().expect("its standard error");
        let mut stderr = BufReader::new(stderr).lines();
        let (written, read) = watch::channel(String::new());
        let stderr_ends = tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                written.send_modify(|text| {
                    text.push_str(&line);
                    text.push('\n');
                });
            }
        });
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
            stdout: String::new(),
            stderr: read,
            stderr_ends,
        }
    }

    /// Waits for the line of JSON that fits `pattern`.
    pub async fn line(&mut self, pattern: &Value) -> Value {
        let what = format!("a line {pattern}");
        let found = tokio::time::timeout(deadline::DEADLINE, async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                self.stdout.push_str(&line);
                self.stdout.push('\n');
                let json: Value = serde_json::from_str(&line).unwrap_or_default();
                if mismatch(&json, pattern).is_none() {
                    return Some(json);
                }
            }
            None
        });
        match found.await {
            Ok(Some(line)) => line,
            _ => panic!("in vain: {what}\n{}", self.stdout),
        }
    }

    /// Waits until its standard error has these words.
    pub async fn says(&mut self, words: &str) {
        let said = self.stderr.wait_for(|text| text.contains(words));
        let said = tokio::time::timeout(deadline::DEADLINE, said)
            .await
            .is_ok_and(|said| said.is_ok());
        assert!(said, "in vain: {words}\n{}", *self.stderr.borrow());
    }

    /// Sends it a signal, by its name without `SIG`.
    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &pid])
            .status()
            .await;
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} was sent");
    }

    /// Waits until it has ended.
    pub async fn finished(mut self) -> Finished {
        let rest = async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                self.stdout.push_str(&line);
                self.stdout.push('\n');
            }
            self.child.wait().await
        };
        let status = deadline::within("the end of the command", String::new, rest).await;
        let _ = self.stderr_ends.await;
        let stderr = self.stderr.borrow().clone();
        Finished {
            code: status.expect("its exit status").code(),
            stdout: self.stdout,
            stderr,
        }
    }
}
