//! The output of user code becomes lines of the host's log, with the call that it belongs to.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use super::lines::{Lines, PATIENCE};
use crate::control::Name;

/// The longest text of the console that is logged, in bytes; of a longer text the beginning is logged.
const LONGEST: usize = 1 << 20;

/// The call that text was written for; its parts are empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OutputCall {
    pub(super) function: String,
    pub(super) run: String,
    pub(super) step: String,
}

/// One of the process's standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// The writer of a line that has not ended yet.
type LineSource = (Stream, OutputCall);

/// The destination of one isolate's lines. Lives on the isolate's thread; at its end it gives the lines that are
/// left.
pub(super) struct Console(Rc<ConsoleState>);

struct ConsoleState {
    isolate: Name,
    said: Cell<u64>,
    unfinished: RefCell<BTreeMap<LineSource, Lines>>,
}

impl Console {
    pub(super) fn new(isolate: Name) -> Self {
        Self(Rc::new(ConsoleState {
            isolate,
            said: Cell::default(),
            unfinished: RefCell::default(),
        }))
    }

    /// Returns the number of lines and writes so far.
    pub(super) fn said(&self) -> u64 {
        self.0.said.get()
    }

    /// Logs a line of the console.
    pub(super) fn log(&self, level: &str, text: &str, caller: &OutputCall) {
        self.0.said.set(self.0.said.get() + 1);
        self.0.finish_all_of(caller);
        let (isolate, text) = (self.0.isolate.get(), &*shortened(text));
        let isolate = &*isolate;
        let OutputCall { function, run, step } = caller;
        let (function, run, step) = (known(function), known(run), known(step));
        match level {
            "debug" => tracing::debug!(target: "user", isolate, function, run, step, "{text}"),
            "warn" => tracing::warn!(target: "user", isolate, function, run, step, "{text}"),
            "error" => tracing::error!(target: "user", isolate, function, run, step, "{text}"),
            _ => tracing::info!(target: "user", isolate, function, run, step, "{text}"),
        }
    }

    /// Takes bytes that were written to a stream. A line that has not ended waits a little for the rest.
    pub(super) fn write(&self, stream: Stream, bytes: &[u8], caller: OutputCall) {
        self.0.said.set(self.0.said.get() + 1);
        let writer = (stream, caller);
        let mut unfinished = self.0.unfinished.borrow_mut();
        let mut lines = unfinished.remove(&writer).unwrap_or_default();
        let waited = !lines.is_empty();
        lines.push(bytes, |line| self.0.line(&writer, line));
        if lines.is_empty() {
            return;
        }
        unfinished.insert(writer.clone(), lines);
        if !waited {
            deno_core::unsync::spawn(finish_later(Rc::downgrade(&self.0), writer));
        }
    }
}

/// Returns a text of the console as far as it is logged.
fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return text.into();
    }
    let end = (0..=LONGEST)
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or_default();
    format!("{}… ({} bytes in all)", &text[..end], text.len()).into()
}

async fn finish_later(written: Weak<ConsoleState>, writer: LineSource) {
    tokio::time::sleep(PATIENCE).await;
    if let Some(written) = written.upgrade() {
        written.finish(&writer);
    }
}

impl ConsoleState {
    /// Finishes the caller's unfinished lines: text written before a line of the console comes before that line.
    fn finish_all_of(&self, caller: &OutputCall) {
        let of_caller = |(_, whose): &&LineSource| whose == caller;
        let writers: Vec<_> = self.unfinished.borrow().keys().filter(of_caller).cloned().collect();
        writers.iter().for_each(|writer| self.finish(writer));
    }

    fn finish(&self, writer: &LineSource) {
        let unfinished = self.unfinished.borrow_mut().remove(writer);
        if let Some(mut lines) = unfinished {
            lines.end(|line| self.line(writer, line));
        }
    }

    fn line(&self, (stream, caller): &LineSource, text: &str) {
        let (isolate, stream) = (self.isolate.get(), stream.name());
        let isolate = &*isolate;
        let OutputCall { function, run, step } = caller;
        let (function, run, step) = (known(function), known(run), known(step));
        tracing::info!(target: "user", isolate, stream, function, run, step, "{text}");
    }
}

impl Drop for ConsoleState {
    fn drop(&mut self) {
        for (writer, mut lines) in std::mem::take(self.unfinished.get_mut()) {
            lines.end(|line| self.line(&writer, line));
        }
    }
}

impl Stream {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

fn known(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, shortened};

    #[test]
    fn a_text_without_end_is_logged_in_part() {
        assert_eq!(shortened("short"), "short");
        let long = "ł".repeat(LONGEST);
        let logged = shortened(&long);
        assert!(logged.ends_with("ł… (2097152 bytes in all)") && logged.len() < LONGEST + 40);
    }
}
