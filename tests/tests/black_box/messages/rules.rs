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
const WITHOUT_HELP: [(&str, &str); 8] = [
    ("cancelled: ", "the user asked for it"),
    ("`…` failed", "the output of the program follows, and says what to do"),
    (
        "isolate … is blocked by user code",
        "another isolate takes the calls, and the log has the step",
    ),
    (
        "… failed after …",
        "the error is the function's own, and its place follows",
    ),
    ("failed after …", "the error is the function's own"),
    ("rejected: …", "the help of the error follows"),
    (
        "no generation serves yet",
        "the lines below say whether the code loads or was rejected",
    ),
    ("connection lost at …, trying again", "it connects again by itself"),
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

/// Describes a word or a clause that a text says twice in a row.
pub(super) fn repeated(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let clauses: Vec<&str> = text.split(": ").map(str::trim).collect();
    let twice = |parts: &[&str]| {
        let is_text = |part: &str| part.len() > 1 && part.chars().all(|letter| letter.is_alphabetic() || letter == ' ');
        let pair = parts.windows(2).find(|pair| pair[0] == pair[1] && is_text(pair[0]));
        pair.map(|pair| format!("says {:?} twice", pair[0]))
    };
    twice(&words).or_else(|| twice(&clauses))
}

fn asks(text: &str) -> Option<String> {
    let first = text.split([' ', ',', ':', '\'']).next()?.to_lowercase();
    QUESTIONS
        .contains(&first.as_str())
        .then(|| format!("begins with {first:?}"))
}

fn phrase(text: &str) -> Option<String> {
    // "There is no file" is plain, "that is no file" is not.
    let text = ["there is no ", "There is no ", "there are no "]
        .iter()
        .fold(text.to_owned(), |text, plain| text.replace(plain, ""));
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
    let always = matches!(message.kind, Kind::Finding | Kind::Lint | Kind::Load | Kind::Page);
    let takes_help = message.takes_help || always;
    (takes_help && message.help.iter().all(String::is_empty) && !is_excused()).then(|| "has no help".to_owned())
}

#[test]
fn a_word_or_a_clause_that_is_said_twice_is_found() {
    assert!(repeated("port port 1 is free").is_some());
    assert!(repeated("cannot make it: cannot make it: nobody finds it").is_some());
    assert!(repeated("port 1 of port 2: it is free, it is free").is_none());
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
