//! The newest lines of the log, in memory, for whoever asks the host for them. Bounded: older lines make room.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

/// The most bytes of all lines.
const MOST_BYTES: usize = 1 << 20;
/// The most bytes of a line that is kept.
const LARGEST_LINE: usize = 64 << 10;

/// The newest lines of the log, the oldest first. Each is one object of JSON.
#[derive(Debug, Clone, Default)]
pub struct RecentLines(Arc<Mutex<LineBuffer>>);

#[derive(Debug, Default)]
struct LineBuffer {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
}

/// The lines that are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineFilter {
    /// The least level of a line.
    pub level: Level,
    /// The function that a line is about, with or without the app's id.
    pub function: Option<String>,
    /// A text that a line has in it.
    pub text: Option<String>,
}

/// The level of a line: each has those above it, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names of levels say it")]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
}

impl RecentLines {
    /// Returns the newest lines that fit the filter, at most so many, the oldest first.
    #[must_use]
    pub fn newest(&self, filter: &LineFilter, most: usize) -> Vec<Value> {
        // The lines are copied: who logs meanwhile does not wait for the reading.
        let lines: Vec<Vec<u8>> = self.lock().lines.iter().cloned().collect();
        let read = lines.iter().rev().filter_map(|line| serde_json::from_slice(line).ok());
        let mut newest: Vec<Value> = read.filter(|line| filter.fits(line)).take(most).collect();
        newest.reverse();
        newest
    }

    fn push(&self, line: &[u8]) {
        if line.len() > LARGEST_LINE {
            return;
        }
        let mut lines = self.lock();
        lines.bytes += line.len();
        lines.lines.push_back(line.to_vec());
        while lines.bytes > MOST_BYTES {
            let Some(oldest) = lines.lines.pop_front() else {
                return;
            };
            lines.bytes -= oldest.len();
        }
    }

    fn lock(&self) -> MutexGuard<'_, LineBuffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LineFilter {
    fn fits(&self, line: &Value) -> bool {
        let field = |name: &str| line[name].as_str().unwrap_or_default();
        let level = match field("level") {
            "ERROR" => Level::Error,
            "WARN" => Level::Warn,
            "INFO" => Level::Info,
            _ => Level::Debug,
        };
        let is_of = |wanted: &String| {
            let function = field("function");
            function == wanted || function.strip_suffix(&**wanted).is_some_and(|app| app.ends_with('-'))
        };
        level <= self.level
            && self.function.as_ref().is_none_or(is_of)
            && self.text.as_ref().is_none_or(|text| line.to_string().contains(text))
    }
}

impl Write for RecentLines {
    /// Keeps one line: a line is written at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for RecentLines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{LARGEST_LINE, Level, LineFilter, MOST_BYTES, RecentLines};

    fn written(lines: &[Value]) -> RecentLines {
        let recent = RecentLines::default();
        lines.iter().for_each(|line| recent.push(line.to_string().as_bytes()));
        recent
    }

    #[test]
    fn the_newest_lines_that_fit_are_told_the_oldest_first() {
        let recent = written(&[
            json!({"level": "ERROR", "message": "one", "function": "app-hello"}),
            json!({"level": "INFO", "message": "two", "function": "app-hello"}),
            json!({"level": "WARN", "message": "three"}),
            json!({"level": "ERROR", "message": "four", "function": "app-othello"}),
        ]);
        let told = |filter: LineFilter, most: usize| -> Vec<String> {
            let lines = recent.newest(&filter, most);
            lines
                .iter()
                .map(|line| line["message"].as_str().unwrap().to_owned())
                .collect()
        };
        let with = |level: Level| LineFilter {
            level,
            ..LineFilter::default()
        };
        assert_eq!(told(with(Level::Debug), 9), ["one", "two", "three", "four"]);
        assert_eq!(told(with(Level::Warn), 2), ["three", "four"]);
        assert_eq!(told(with(Level::Error), 9), ["one", "four"]);
        for function in ["hello", "app-hello"] {
            let of = LineFilter {
                function: Some(function.to_owned()),
                ..LineFilter::default()
            };
            assert_eq!(told(of, 9), ["one", "two"]);
        }
        let text = LineFilter {
            text: Some("hree".to_owned()),
            ..LineFilter::default()
        };
        assert_eq!(told(text, 9), ["three"]);
    }

    #[test]
    fn old_lines_make_room_and_huge_ones_are_not_kept() {
        let line = |n: usize| json!({"level": "INFO", "n": n, "message": "x".repeat(LARGEST_LINE / 2)});
        let recent = written(&(0..100).map(line).collect::<Vec<_>>());
        let kept = recent.newest(&LineFilter::default(), usize::MAX);
        assert_eq!(kept.last().unwrap()["n"], 99);
        assert!(recent.lock().bytes <= MOST_BYTES && kept.len() > 10 && kept.len() < 100);
        recent.push(&vec![b'x'; LARGEST_LINE + 1]);
        assert_eq!(recent.newest(&LineFilter::default(), usize::MAX).len(), kept.len());
    }
}
