//! The answers of an SDK and its messages to Inngest meanwhile, as lines of text that do not depend on
//! the place and the time of the run.
//!
//! Bodies keep their bytes, but for the texts that [`Differing`] takes out. JSON is broken into lines,
//! so that a difference is a line. Headers of the connection are left out.

use std::fmt::Write as _;

use harness::{Answer, Received, signature};
use regex::Regex;
use sha2::{Digest as _, Sha256};

/// The headers of framing and time, which belong to the server, not to the SDK.
const OF_CONNECTION: [&str; 5] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "transfer-encoding",
];

/// Tells whether a header of a request to Inngest is the SDK's own; the others are the runtime's.
fn is_of_sdk(header: &str) -> bool {
    header.starts_with("x-") || matches!(header, "authorization" | "content-type" | "traceparent")
}

/// The length from which a text between two quotes is shown by its length and hash.
const LONG: usize = 4096;

/// A transcript that is being written.
pub(super) struct Transcript {
    differing: Differing,
    /// The keys that may sign answers, with their names.
    keys: Vec<(&'static str, &'static str)>,
    text: String,
}

impl Transcript {
    pub(super) fn new(differing: Differing, keys: Vec<(&'static str, &'static str)>) -> Self {
        Self {
            differing,
            keys,
            text: String::new(),
        }
    }

    /// Adds an answer, and the call that it answers.
    pub(super) fn answered(&mut self, call: &str, answer: &Answer) {
        self.line(&format!("▶ {call}"));
        self.line(&format!("status: {}", answer.status));
        let mut headers: Vec<_> = answer.headers.iter().collect();
        headers.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in headers {
            let value = value.to_str().unwrap_or("(binary)");
            match name.as_str() {
                name if OF_CONNECTION.contains(&name) => {}
                "x-inngest-signature" => {
                    let text = answer.text();
                    let by = self.keys.iter().find(|(_, key)| signature::is_by(value, &text, key));
                    self.line(&format!(
                        "x-inngest-signature: {}",
                        by.map_or("invalid", |(name, _)| name)
                    ));
                }
                name => self.line(&format!("{name}: {value}")),
            }
        }
        self.body(&answer.text());
    }

    /// Adds the requests that Inngest got meanwhile.
    pub(super) fn told(&mut self, received: &[Received]) {
        for request in received {
            let query = if request.query.is_empty() { "" } else { "?" };
            self.line(&format!(
                "◀ {} {}{query}{}",
                request.method, request.path, request.query
            ));
            let mut headers: Vec<_> = request.headers.iter().collect();
            headers.sort_by_key(|(name, _)| name.as_str());
            for (name, value) in headers {
                if is_of_sdk(name.as_str()) {
                    self.line(&format!("{name}: {}", value.to_str().unwrap_or("(binary)")));
                }
            }
            self.body(&request.text);
        }
    }

    pub(super) fn lines(self) -> Vec<String> {
        self.text.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn line(&mut self, line: &str) {
        let line = self.differing.taken_out_of(line);
        writeln!(self.text, "{line}").expect("text grows");
    }

    fn body(&mut self, body: &str) {
        let body = self.differing.taken_out_of(&shortened(body));
        for line in broken_into_lines(&body) {
            writeln!(self.text, "{line}").expect("text grows");
        }
    }
}

/// The texts that differ from run to run and place to place.
#[derive(Clone)]
pub(super) struct Differing {
    /// The texts that belong to one side, and their replacements.
    texts: Vec<(String, &'static str)>,
    patterns: Vec<(Regex, &'static str)>,
}

impl Differing {
    pub(super) fn new(texts: Vec<(String, &'static str)>) -> Self {
        let patterns = [
            // A stack stays a stack, whatever its lines are.
            (r"(?:\\n\s+at (?:[^\x22\\]|\\[^n])*)+", r"\n    at <stack>"),
            // Ids of the harness's runs, calls and events.
            (r"01J(RUN|REQUEST|JOB|EVENT)0*\d{4}", "<$1>"),
            // Times of now in milliseconds; the events of the harness all have one time that is never
            // now.
            (r"\b17(?:[789]\d|6[1-9])\d{9}\b|\b1[89]\d{11}\b", "<ms>"),
            (r"\b202[6-9]-\d\d-\d\dT[\d:.]+Z", "<iso>"),
            (r#""timing":\{"a":\d+,"b":\d+\}"#, r#""timing":{"a":"<ns>","b":"<ns>"}"#),
            // The SDK writes nothing for a duration of less than a millisecond.
            (r";dur=[\d.]+", ""),
            (r"(x-inngest-event-id-seed: <ms>),\S+", "$1,<seed>"),
        ];
        let patterns = patterns.map(|(pattern, name)| (Regex::new(pattern).expect("a regular expression"), name));
        Self {
            texts,
            patterns: patterns.into(),
        }
    }

    fn taken_out_of(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (own, name) in &self.texts {
            text = text.replace(own, name);
        }
        for (pattern, name) in &self.patterns {
            text = pattern.replace_all(&text, *name).into_owned();
        }
        text
    }
}

/// Returns JSON with an element a line; every byte is there, and only line breaks are added. Other text
/// stays as it is.
fn broken_into_lines(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    let is_json = serde_json::from_str::<serde_json::Value>(text).is_ok();
    for letter in text.chars() {
        let line = lines.last_mut().expect("a line");
        if !is_json || quoted {
            match letter {
                '\n' => lines.push(String::new()),
                letter => line.push(letter),
            }
            quoted = quoted && (escaped || letter != '"');
            escaped = quoted && !escaped && letter == '\\';
            continue;
        }
        match letter {
            '{' | '[' | ',' => {
                line.push(letter);
                lines.push(String::new());
            }
            '}' | ']' => {
                lines.push(letter.into());
            }
            letter => {
                quoted = letter == '"';
                line.push(letter);
            }
        }
    }
    lines.retain(|line| !line.trim().is_empty());
    lines
}

/// Shortens long texts; this also keeps the regular expressions from reading megabytes.
fn shortened(text: &str) -> String {
    let parts = text.split('"').map(|part| {
        if part.len() <= LONG {
            return part.to_owned();
        }
        let hash = Sha256::digest(part.as_bytes());
        let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("<{} bytes, SHA-256 {hash}…>", part.len())
    });
    parts.collect::<Vec<_>>().join("\"")
}
