//! The standard error of Baton: JSON lines, one per event, kept for the tests
//! to wait on and for their failure messages to show.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;

use crate::deadline;
use crate::pattern::mismatch;

/// The number of lines that a failure message shows.
const TAIL: usize = 40;

/// One line of standard error.
#[derive(Clone, Debug)]
pub struct Line {
    pub text: String,
    /// The line as JSON, `null` when it is none.
    pub json: Value,
}

impl Line {
    /// The event's message.
    #[must_use]
    pub fn message(&self) -> &str {
        self.json["message"].as_str().unwrap_or_default()
    }
}

/// All lines so far, and those to come.
#[derive(Clone, Debug)]
pub struct Stderr {
    lines: Arc<Mutex<Vec<Line>>>,
    /// Changes with each line; closed at the end of the stream.
    changes: watch::Receiver<()>,
    reads: watch::Sender<bool>,
}

impl Stderr {
    /// Reads `stream` to its end, in the background.
    #[must_use]
    pub fn collect(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (change, changes) = watch::channel(());
        let (reads, mut may_read) = watch::channel(true);
        let kept = Arc::clone(&lines);
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut bytes = Vec::new();
            loop {
                // Without the sender nobody looks at the lines either.
                let _ = may_read.wait_for(|reads| *reads).await;
                if !stream.read_until(b'\n', &mut bytes).await.is_ok_and(|read| read > 0) {
                    break;
                }
                let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                let json = serde_json::from_str(&text).unwrap_or_default();
                kept.lock().expect("no poison").push(Line { text, json });
                change.send_replace(());
                bytes.clear();
            }
        });
        Self { lines, changes, reads }
    }

    /// Reads on, or lets the stream fill up from now on.
    pub fn reads(&self, reads: bool) {
        self.reads.send_replace(reads);
    }

    /// The first line, from the beginning, for which `wanted` holds; panics
    /// when it does not come.
    pub async fn wait_for_line(&self, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        self.from_the_beginning().wait_for_line(what, wanted).await
    }

    /// Waits as [`Stderr::wait_for_line`] does, for the line with this message
    /// whose fields fit `pattern`.
    pub async fn wait_for(&self, message: &str, pattern: &Value) -> Line {
        self.from_the_beginning().wait_for(message, pattern).await
    }

    /// Returns a reader of the lines in their order; it does not look at a line
    /// again that it has passed.
    #[must_use]
    pub fn from_the_beginning(&self) -> Follower {
        Follower {
            stderr: self.clone(),
            passed: 0,
        }
    }

    /// Waits for the end of the stream.
    pub async fn end(&self) {
        let mut changes = self.changes.clone();
        while changes.changed().await.is_ok() {}
    }

    /// Returns the number of lines with this message and fields so far.
    #[must_use]
    pub fn count(&self, message: &str, pattern: &Value) -> usize {
        let fits = |line: &&Line| line.message() == message && mismatch(&line.json, pattern).is_none();
        self.lock().iter().filter(fits).count()
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.lock().clone()
    }

    /// All text so far.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.lock();
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        texts.join("\n")
    }

    /// The last lines, for a failure message.
    #[must_use]
    pub fn tail(&self) -> String {
        let lines = self.lock();
        let skipped = lines.len().saturating_sub(TAIL);
        let shown: Vec<_> = lines[skipped..].iter().map(|line| line.text.as_str()).collect();
        format!(
            "--- the last {} of {} lines of its standard error ---\n{}\n---",
            shown.len(),
            lines.len(),
            shown.join("\n")
        )
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().expect("no poison")
    }
}

/// A reader of the lines that goes on where it stopped. So a test that waits
/// for one line after another takes no longer when there are many lines.
#[derive(Clone, Debug)]
pub struct Follower {
    stderr: Stderr,
    passed: usize,
}

impl Follower {
    /// The next line for which `wanted` holds; panics when it does not come.
    pub async fn wait_for_line(&mut self, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        let stderr = self.stderr.clone();
        let mut changes = stderr.changes.clone();
        let found = deadline::within(what, || stderr.tail(), async {
            loop {
                changes.mark_unchanged();
                if let Some(line) = self.advance(&wanted) {
                    return Some(line);
                }
                if changes.changed().await.is_err() {
                    return self.advance(&wanted);
                }
            }
        })
        .await;
        found.unwrap_or_else(|| panic!("the program ended before: {what}\n{}", stderr.tail()))
    }

    /// Waits as [`Follower::wait_for_line`] does, for the line with this
    /// message whose fields fit `pattern`.
    pub async fn wait_for(&mut self, message: &str, pattern: &Value) -> Line {
        let what = format!("the line {message:?} with {pattern}");
        self.wait_for_line(&what, |line| {
            line.message() == message && mismatch(&line.json, pattern).is_none()
        })
        .await
    }

    /// Passes all lines that are there, or those up to and with the wanted
    /// line.
    fn advance(&mut self, wanted: impl Fn(&Line) -> bool) -> Option<Line> {
        let lines = self.stderr.lock();
        let ahead = &lines[self.passed..];
        let found = ahead.iter().position(wanted);
        self.passed += found.map_or(ahead.len(), |at| at + 1);
        found.map(|at| ahead[at].clone())
    }
}
