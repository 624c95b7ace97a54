//! The messages that users meet, read from the sources: they keep the rules for words, and `docs/messages.md` lists
//! them.

mod rules;
mod rust;
mod shell;
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
    /// An error of a load, which the answer, the log and the command have.
    Load,
    /// A fault that the dashboard shows.
    Page,
    /// A fault that a command prints by itself.
    Printed,
    /// A failure of a script, or of the package on npm.
    Script,
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
            Self::Load => "load",
            Self::Page => "page",
            Self::Printed => "printed",
            Self::Script => "script",
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

/// Reads the sources that may have messages, in the order of the paths: the place of each, and its text.
fn sources() -> Vec<(String, String)> {
    let folders = [".ci", "bin", "host/src", "js-runtime", "packaging"];
    let mut folders: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut files = vec![root().join("install.sh")];
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
    files.iter().filter_map(|file| source(file)).collect()
}

/// Reads the messages of all sources.
fn collected() -> Vec<Message> {
    let sources = sources();
    let rust = || sources.iter().filter(|(place, _)| place.ends_with(".rs"));
    let constants: rust::Texts = rust().flat_map(|(place, text)| rust::constants(place, text)).collect();
    let messages = sources.iter().flat_map(|(place, text)| {
        let extension = Path::new(place).extension().and_then(|extension| extension.to_str());
        match extension {
            Some("rs") => rust::messages(place, text, &constants),
            Some("ts") => typescript::messages(place, text),
            Some("js" | "mjs") if place.ends_with("page.js") => typescript::shown(place, text),
            Some("js" | "mjs") => {
                let thrown = typescript::messages(place, text).into_iter();
                let printed = typescript::with_help(place, text)
                    .into_iter()
                    .chain(typescript::shown(place, text));
                thrown
                    .filter(|one| !one.text.contains("help: "))
                    .chain(printed)
                    .collect()
            }
            _ => shell::messages(place, text),
        }
    });
    messages.collect()
}

/// Reads a source that may have messages: its place in the repository, and its text.
fn source(file: &Path) -> Option<(String, String)> {
    let place = file.strip_prefix(root()).expect("a file of the repository");
    let place = place.to_str().expect("a path that is text").to_owned();
    let name = place.rsplit('/').next().unwrap_or_default();
    let is_for_tests = name.ends_with("tests.rs") || matches!(name, "fuzz.rs" | "fake_engine.rs" | "build.rs");
    let extension = file.extension().and_then(|extension| extension.to_str());
    let is_script = || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.starts_with("#!/usr/bin/env bash") || text.starts_with("#!/bin/sh") || text.starts_with("# shellcheck")
    };
    let is_source = match extension {
        Some("rs") => !is_for_tests,
        Some("ts") => !is_for_tests && !name.ends_with(".d.ts"),
        Some("js" | "mjs") => place.starts_with("packaging/") || place.ends_with("page.js"),
        Some("sh") | None => is_script(),
        _ => false,
    };
    is_source.then(|| (place, std::fs::read_to_string(file).expect("a source")))
}

#[test]
fn every_message_keeps_the_rules_for_words() {
    let wrong: Vec<_> = collected().iter().filter_map(rules::broken).collect();
    assert!(wrong.is_empty(), "{} messages:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_text_says_a_word_twice_in_a_row() {
    let sources = sources();
    let texts = sources.iter().flat_map(|(place, source)| match place.ends_with(".rs") {
        true => rust::texts(place, source)
            .into_iter()
            .map(|text| (place, text))
            .collect(),
        false => Vec::new(),
    });
    let wrong: Vec<_> = texts
        .filter_map(|(place, text)| Some(format!("{place}: {}: {text:?}", rules::repeated(&text)?)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_lists_every_message() {
    table::check(&collected());
}
