//! A command that goes on while the test looks at what it prints.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::cli::Finished;
use crate::deadline;
use crate::pattern::mismatch;

/// Killed on drop.
#[derive(Debug)]
pub struct Started {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What was read of it.
    stdout: String,
    stderr: JoinHandle<String>,
}

impl Started {
    pub(crate) fn new(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let stdout = child.stdout.take().expect("its standard output");
        let mut stderr = child.stderr.take().expect("its standard error");
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
            stdout: String::new(),
            stderr: tokio::spawn(async move {
                let mut text = String::new();
                let _ = stderr.read_to_string(&mut text).await;
                text
            }),
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
        Finished {
            code: status.expect("its exit status").code(),
            stdout: self.stdout,
            stderr: self.stderr.await.unwrap_or_default(),
        }
    }
}
