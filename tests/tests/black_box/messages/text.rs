//! Texts as a user reads them: `…` stands for each value that is put in.

/// Replaces each `{value}` of a format string, and makes `{{` a brace again.
pub(super) fn of_format(format: &str) -> String {
    let mut text = String::new();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '{' | '}' if letters.peek() == Some(&letter) => {
                letters.next();
                text.push(letter);
            }
            '{' => {
                for inner in letters.by_ref() {
                    if inner == '}' {
                        break;
                    }
                }
                text.push('…');
            }
            _ => text.push(letter),
        }
    }
    text
}

/// Splits a message from the help in it: a line `help: …`, the lines after the first one, or the sentences after it.
pub(super) fn apart_from_help(text: &str) -> (String, Option<String>) {
    let at = ["; help: ", "\nhelp: ", "\n", ". "];
    let split = at.iter().find_map(|between| text.split_once(between));
    match split {
        Some((message, help)) => (message.to_owned(), Some(help.to_owned())),
        None => (text.to_owned(), None),
    }
}

/// Tells whether a line says that something is wrong.
pub(super) fn names_fault(text: &str) -> bool {
    const FAULTS: [&str; 12] = [
        "cannot ",
        "not ",
        "no ",
        "failed",
        "rejected",
        "refused",
        "blocked",
        "lost",
        "has ended",
        "is ending",
        "wrong",
        "newer",
    ];
    let text = text.to_lowercase();
    let is_word = |word: &str| text.starts_with(word) || text.contains(&format!(" {word}"));
    FAULTS.iter().any(|word| is_word(word))
}

#[test]
fn a_help_is_split_off() {
    let split = |text| {
        let (message, help) = apart_from_help(text);
        (message, help.unwrap_or_default())
    };
    for text in [
        "it broke; help: mend it",
        "it broke\nhelp: mend it",
        "it broke\nmend it",
        "it broke. mend it",
    ] {
        assert_eq!(split(text), ("it broke".to_owned(), "mend it".to_owned()), "{text}");
    }
    assert_eq!(split("it broke"), ("it broke".to_owned(), String::new()));
}

#[test]
fn a_fault_is_told_by_its_words() {
    assert!(names_fault("not registered") && names_fault("the code was rejected: …"));
    assert!(!names_fault("generation … serves") && !names_fault("a note of it"));
}

#[test]
fn values_are_left_out_and_braces_stay() {
    assert_eq!(of_format("cannot read {}: {error:?}"), "cannot read …: …");
    assert_eq!(of_format("write `import {{ {name} }}`"), "write `import { … }`");
}
