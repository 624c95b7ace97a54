//! What Baton writes to its standard error: JSON lines, one per event, kept
//! for the tests to wait on and for their failure messages to show.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;

use crate::deadline;
use crate::pattern::mismatch;

/// How many lines a failure message shows.
const TAIL: usize = 40;

/// One line.
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
    /// How many lines there are; closed at the end of the stream.
    count: watch::Receiver<usize>,
}

impl Stderr {
    /// Reads `stream` to its end, in the background.
    #[must_use]
    pub fn collect(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (counter, count) = watch::channel(0);
        let kept = Arc::clone(&lines);
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut bytes = Vec::new();
            while stream.read_until(b'\n', &mut bytes).await.is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                let json = serde_json::from_str(&text).unwrap_or_default();
                kept.lock().expect("no poison").push(Line { text, json });
                counter.send_modify(|count| *count += 1);
                bytes.clear();
            }
        });
        Self { lines, count }
    }

    /// The first line, from the beginning, for which `wanted` holds; panics
    /// when it does not come.
    pub async fn wait_for_line(&self, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        let mut count = self.count.clone();
        let found = deadline::within(what, || self.tail(), async {
            loop {
                let seen = *count.borrow_and_update();
                if let Some(line) = self.lines().into_iter().take(seen).find(&wanted) {
                    return Some(line);
                }
                if count.changed().await.is_err() {
                    return self.lines().into_iter().find(&wanted);
                }
            }
        })
        .await;
        found.unwrap_or_else(|| panic!("the program ended before: {what}\n{}", self.tail()))
    }

    /// As [`Stderr::wait_for_line`]: the line with this message whose fields
    /// fit `pattern`.
    pub async fn wait_for(&self, message: &str, pattern: &Value) -> Line {
        let what = format!("the line {message:?} with {pattern}");
        self.wait_for_line(&what, |line| {
            line.message() == message && mismatch(&line.json, pattern).is_none()
        })
        .await
    }

    /// Waits for the end of the stream.
    pub async fn end(&self) {
        let mut count = self.count.clone();
        while count.changed().await.is_ok() {}
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().expect("no poison").clone()
    }

    /// All text so far.
    #[must_use]
    pub fn text(&self) -> String {
        let lines: Vec<_> = self.lines().into_iter().map(|line| line.text).collect();
        lines.join("\n")
    }

    /// The last lines, for a failure message.
    #[must_use]
    pub fn tail(&self) -> String {
        let lines = self.lines();
        let skipped = lines.len().saturating_sub(TAIL);
        let shown: Vec<_> = lines[skipped..].iter().map(|line| line.text.as_str()).collect();
        format!(
            "--- the last {} of {} lines of its standard error ---\n{}\n---",
            shown.len(),
            lines.len(),
            shown.join("\n")
        )
    }
}
