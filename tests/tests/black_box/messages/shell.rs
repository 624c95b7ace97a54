//! Messages of shell scripts: the texts that go to standard error, to `fail` and to `lacks`.

use std::sync::LazyLock;

use regex::Regex;

use super::text::apart_from_help;
use super::{Kind, Message};

/// A text between double quotes, which may have commands with quotes in it, or between single quotes.
const TEXT: &str = r#"(?:"((?:[^"\\$]|\\.|\$\((?:[^()"]|"[^"]*")*\)|\$)*)"|'([^']*)')"#;

/// A call of `fail` or of the functions that note a missing program, with its last text.
static CALL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(&format!(
        r#"(?:\b(fail)|\b(lacks)(?: [a-z-]+)?|\b(lacks_[a-z]+)(?: [a-z-]+)?|\b(left_out)\+=\() ?{TEXT}(?: {TEXT})?"#
    ))
    .expect("a pattern")
});

/// A line that is printed to standard error.
static PRINTED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!(r"(?m)\b(?:printf|echo) {TEXT}[^\n]*>&2")).expect("a pattern"));

/// A text of several lines that is printed to standard error.
static DOCUMENT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s)>&2 <<'([A-Z]+)'\n(.*?)\n[A-Z]+\n").expect("a pattern"));

/// A value that the shell puts in.
static VALUE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\$\(\([^()]*\)\)|\$\((?:[^()]|\([^()]*\))*\)|\$\{[^{}]*\}|\$[A-Za-z0-9_*@?]+|%s").expect("a pattern")
});

/// The help of a program that is missing, which `bin/requirements` prints below all that are.
const INSTALL: &str = "Install it with the line that follows, then try again.";

pub(super) fn messages(place: &str, source: &str) -> Vec<Message> {
    let text_of = |found: &regex::Captures<'_>, first: usize| {
        let text = found.get(first).or_else(|| found.get(first + 1));
        text.map(|text| as_read(text.as_str()))
    };
    let calls = CALL.captures_iter(source).filter_map(|found| {
        let text = text_of(&found, 5)?;
        if found.get(1).is_some() {
            return Some(text);
        }
        Some(match (text_of(&found, 7), found.get(2), found.get(4)) {
            (None, _, Some(_)) => text,
            // The first text is the name of the program.
            (Some(line), Some(_), _) => format!("missing: {line}; help: {INSTALL}"),
            (None, ..) => format!("missing: {text}; help: {INSTALL}"),
            (Some(tests), ..) => format!("{tests}: {text} is missing; help: {INSTALL}"),
        })
    });
    let printed = PRINTED.captures_iter(source).filter_map(|found| text_of(&found, 1));
    let documents = DOCUMENT.captures_iter(source).map(|found| found[2].trim().to_owned());
    let texts = calls.chain(printed).chain(documents);
    let mut messages: Vec<Message> = Vec::new();
    for text in texts.filter(|text| has_words(text)) {
        let (text, help) = apart_from_help(&text);
        let message = Message {
            place: place.to_owned(),
            kind: Kind::Script,
            text,
            help: help.into_iter().collect(),
            // A check says what it found: its reader has just changed it.
            takes_help: !place.starts_with("packaging/check-"),
        };
        if !messages.contains(&message) {
            messages.push(message);
        }
    }
    messages
}

/// Returns a text as a user reads it.
fn as_read(text: &str) -> String {
    let text = VALUE.replace_all(text, "…");
    text.replace("\\n", "\n")
        .replace("\\\n", "")
        .replace('\\', "")
        .trim_end()
        .to_owned()
}

/// Tells whether a text has more than values.
fn has_words(text: &str) -> bool {
    text.split(' ')
        .filter(|word| word.chars().any(char::is_alphabetic))
        .count()
        > 1
}

#[test]
fn the_texts_of_a_script_are_found() {
    let source = r#"
fail() {
  printf 'x: %s\n' "$*" >&2
}
[ -w "$folder" ] || fail "cannot write to ${folder:-$HOME}; help: name \`another\` with $(dirname x)"
lacks libclang "libclang, of $1"
lacks_optional redis "Redis" "packages that talk to Redis"
left_out+=("a part: $program is missing; help: cargo install it")
lacks "$program" "$program, which tests run"
fail "the step does not begin: $(cat "$scratch/run")"
printf 'there is no %s\nhelp: make one\n' "$1" >&2
printf 'all is %s\n' well
cat >&2 <<'HELP'

If it failed, set one of these:
  A  a file
HELP
"#;
    let found = messages("bin/a", source);
    let found: Vec<_> = found.iter().map(|one| (one.text.as_str(), one.help.join(""))).collect();
    assert_eq!(
        found,
        [
            ("cannot write to …", "name `another` with …".to_owned()),
            ("missing: libclang, of …", INSTALL.to_owned()),
            ("packages that talk to Redis: Redis is missing", INSTALL.to_owned()),
            ("a part: … is missing", "cargo install it".to_owned()),
            ("missing: …, which tests run", INSTALL.to_owned()),
            ("the step does not begin: …", String::new()),
            ("there is no …", "make one".to_owned()),
            ("If it failed, set one of these:", "  A  a file".to_owned()),
        ]
    );
}
