//! The messages that users meet, read from the sources: they keep the rules for words, and `docs/messages.md` lists
//! them.

mod rules;
mod rust;
mod table;
mod text;
mod typescript;

use std::path::{Path, PathBuf};

/// The kind of a message, by the way in which it reaches a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// An error of a command, of a load or of a call.
    Error,
    /// An error that user code can catch.
    Thrown,
    /// A finding of `baton doctor`.
    Finding,
    /// The body of an HTTP answer.
    Answer,
    /// A warning about code that loads.
    Lint,
    /// A line of the log at the level `ERROR`.
    LoggedError,
    /// A line of the log at the level `WARN`.
    LoggedWarning,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Thrown => "thrown",
            Self::Finding => "doctor",
            Self::Answer => "HTTP",
            Self::Lint => "lint",
            Self::LoggedError => "log, `ERROR`",
            Self::LoggedWarning => "log, `WARN`",
        }
    }
}

/// A message with its help. `…` stands for each value that is put in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Message {
    /// The source, relative to the root of the repository.
    place: String,
    kind: Kind,
    text: String,
    help: Vec<String>,
    /// Tells whether this kind of error has a place for help.
    takes_help: bool,
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads the messages of all sources, in the order of the paths.
fn collected() -> Vec<Message> {
    let mut folders = vec![root().join("host/src"), root().join("js-runtime")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if name != "node_modules" && name != "tests" {
                    folders.push(path);
                }
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    let sources: Vec<_> = files.iter().filter_map(|file| source(file)).collect();
    let rust = || sources.iter().filter(|(place, _)| place.ends_with(".rs"));
    let constants: rust::Texts = rust().flat_map(|(place, text)| rust::constants(place, text)).collect();
    let messages = sources.iter().flat_map(|(place, text)| match place.ends_with(".rs") {
        true => rust::messages(place, text, &constants),
        false => typescript::messages(place, text),
    });
    messages.collect()
}

/// Reads a source that may have messages: its place in the repository, and its text.
fn source(file: &Path) -> Option<(String, String)> {
    let place = file.strip_prefix(root()).expect("a file of the repository");
    let place = place.to_str().expect("a path that is text").to_owned();
    let name = place.rsplit('/').next().unwrap_or_default();
    let is_for_tests = name.ends_with("tests.rs") || matches!(name, "fuzz.rs" | "fake_engine.rs" | "build.rs");
    let is_source = (name.ends_with(".rs") || name.ends_with(".ts")) && !is_for_tests;
    is_source.then(|| (place, std::fs::read_to_string(file).expect("a source")))
}

#[test]
fn every_message_keeps_the_rules_for_words() {
    let wrong: Vec<_> = collected().iter().filter_map(rules::broken).collect();
    assert!(wrong.is_empty(), "{} messages:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_table_lists_every_message() {
    table::check(&collected());
}
