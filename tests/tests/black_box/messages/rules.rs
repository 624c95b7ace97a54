//! The rules for words that a machine can check.

use super::{Kind, Message};

/// The words with which no message and no help begins: a clause with one of them is no name for a thing.
const QUESTIONS: [&str; 8] = ["what", "whether", "who", "which", "where", "when", "how", "why"];

/// Turns of phrase that have a plainer word: the phrase, and the word.
const PHRASES: [(&str, &str); 8] = [
    ("is no ", "is not a"),
    ("are no ", "are not"),
    ("Come again", "Retry in a few seconds"),
    ("Nobody ", "name the subject"),
    ("nobody ", "name the subject"),
    (" anew", "again"),
    ("fault of Baton", "bug in Baton"),
    ("not understood", "malformed"),
];

/// Errors without a help, with the reason.
const WITHOUT_HELP: [(&str, &str); 2] = [
    ("cancelled: ", "the user asked for it"),
    ("`…` failed", "the output of the program follows, and says what to do"),
];

/// Describes the first rule that a message breaks.
pub(super) fn broken(message: &Message) -> Option<String> {
    let texts = || std::iter::once(&message.text).chain(&message.help);
    let fault = texts()
        .find_map(|text| asks(text).or_else(|| phrase(text)))
        .or_else(|| stop(message))
        .or_else(|| without_help(message))?;
    Some(format!(
        "{}: {fault}: {:?} {:?}",
        message.place, message.text, message.help
    ))
}

fn asks(text: &str) -> Option<String> {
    let first = text.split([' ', ',', ':', '\'']).next()?.to_lowercase();
    QUESTIONS
        .contains(&first.as_str())
        .then(|| format!("begins with {first:?}"))
}

fn phrase(text: &str) -> Option<String> {
    // "There is no file" is plain, "that is no file" is not.
    let text = text.replace("there is no ", "").replace("There is no ", "");
    let (phrase, plain) = PHRASES.iter().find(|(phrase, _)| text.contains(phrase))?;
    Some(format!("says {phrase:?}, and not {plain:?}"))
}

/// A message ends with a full stop only when it has another sentence before. The module `bun` has Bun's own words.
fn stop(message: &Message) -> Option<String> {
    if message.place.starts_with("js-runtime/bun/") {
        return None;
    }
    let text = &message.text;
    let has_more = || text.contains(". ") || text.contains(".\n") || text.contains('\n');
    (text.ends_with('.') && !has_more()).then(|| "ends with a full stop".to_owned())
}

fn without_help(message: &Message) -> Option<String> {
    let is_excused = || WITHOUT_HELP.iter().any(|(text, _)| message.text.starts_with(text));
    let takes_help = message.takes_help || matches!(message.kind, Kind::Finding | Kind::Lint);
    (takes_help && message.help.iter().all(String::is_empty) && !is_excused()).then(|| "has no help".to_owned())
}

#[test]
fn a_broken_rule_is_found() {
    let message = |text: &str, help: &str| Message {
        place: "a.rs".to_owned(),
        kind: Kind::Error,
        text: text.to_owned(),
        help: vec![help.to_owned()],
        takes_help: true,
    };
    for (text, help, fault) in [
        ("what was kept cannot be read", "Look.", Some("begins with")),
        ("this is no request", "Look.", Some("says")),
        ("cannot read it.", "Look.", Some("full stop")),
        ("cannot read it", "", Some("no help")),
        ("cannot read it", "When it is there, look.", Some("begins with")),
        ("cannot read it. Look there.", "Look.", None),
    ] {
        let broken = broken(&message(text, help));
        match fault {
            Some(fault) => assert!(broken.as_ref().is_some_and(|text| text.contains(fault)), "{broken:?}"),
            None => assert_eq!(broken, None),
        }
    }
}
