//! Messages of TypeScript and JavaScript: the text of each error that is made with `new …Error(…)`, the failures that
//! the package on npm prints, and those that the dashboard's script shows.

use std::sync::LazyLock;

use regex::Regex;

use super::text::apart_from_help;
use super::{Kind, Message};

/// An error with the literals of its message, which `+` may join.
static MADE: LazyLock<Regex> = LazyLock::new(|| {
    let literal = r#""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`"#;
    Regex::new(&format!(
        r"new [A-Za-z]*Error\(\s*((?:{literal})(?:\s*\+\s*(?:{literal}))*)"
    ))
    .expect("a pattern")
});

/// A failure that is printed or shown: the function and its first argument, then the text, and perhaps the help.
static SHOWN: LazyLock<Regex> = LazyLock::new(|| {
    let literal = r#""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`"#;
    Regex::new(&format!(
        r#"(?:\bfail\(\s*(?:[^;"`]*\?\s*)?|\bstep\("failed", |\bconnection\("lost", |\bsay\(|: )({literal})(?:\s*:\s*({literal}))?(?:, ("bad"|{literal}))?,?\s*[);]"#
    ))
    .expect("a pattern")
});

/// One literal.
static LITERAL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|`((?:[^`\\]|\\.)*)`"#).expect("a pattern"));

/// A value in a template.
static VALUE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}").expect("a pattern"));

pub(super) fn messages(place: &str, source: &str) -> Vec<Message> {
    let made = MADE.captures_iter(source);
    made.map(|made| {
        let literals = LITERAL.captures_iter(made.get(1).map_or("", |all| all.as_str()));
        let parts = literals.map(|parts| {
            let part = parts.get(1).or_else(|| parts.get(2)).or_else(|| parts.get(3));
            part.map_or("", |part| part.as_str()).to_owned()
        });
        let text = parts.collect::<String>().replace("\\`", "`");
        Message {
            place: place.to_owned(),
            kind: Kind::Thrown,
            text: VALUE.replace_all(&text, "…").into_owned(),
            help: Vec::new(),
            takes_help: false,
        }
    })
    .collect()
}

/// Reads the failures that a script in the browser or the package on npm shows.
pub(super) fn shown(place: &str, source: &str) -> Vec<Message> {
    let is_page = place.ends_with("page.js");
    let mut messages = Vec::new();
    for found in SHOWN.captures_iter(source) {
        let shown = &found[0];
        let is_bad = found.get(3).is_some_and(|kind| kind.as_str() == "\"bad\"");
        if shown.starts_with(": ") && !shown.contains("Not done") || shown.starts_with("say(") && !is_bad {
            continue;
        }
        for text in [found.get(1), found.get(2)].into_iter().flatten() {
            let (text, mut help) = apart_from_help(&read(text.as_str()));
            help = help.or_else(|| found.get(3).filter(|_| !is_bad).map(|help| read(help.as_str())));
            if text.contains(' ') {
                messages.push(Message {
                    place: place.to_owned(),
                    kind: if is_page { Kind::Page } else { Kind::Script },
                    text,
                    help: help.into_iter().collect(),
                    takes_help: true,
                });
            }
        }
    }
    messages
}

/// Reads the errors of the package on npm that have a help beside the text.
pub(super) fn with_help(place: &str, source: &str) -> Vec<Message> {
    let literal = r#""(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`|help"#;
    let made = Regex::new(&format!(r"new NoBinaryError\(\s*({literal}),\s*({literal}),?\s*\)")).expect("a pattern");
    let made = made.captures_iter(source).map(|found| Message {
        place: place.to_owned(),
        kind: Kind::Script,
        text: read(&found[1]),
        help: vec![read(&found[2])],
        takes_help: true,
    });
    made.collect()
}

/// Returns the text of a literal as a user reads it.
fn read(literal: &str) -> String {
    let inner = match literal {
        "help" => "…",
        literal => &literal[1..literal.len() - 1],
    };
    let text = VALUE.replace_all(inner, "…").into_owned();
    text.replace("\\`", "`").replace("\\n", "\n")
}

#[test]
fn the_failures_that_a_script_shows_are_found() {
    let source = "say(\"The host is gone. Look.\", \"bad\"); say(\"All is well.\", \"good\");\n\
                  step(\"failed\", `The data is ${bad}`, 'Write {}.'); step(\"done\", \"it is done\");\n\
                  fail(\"there is none\\\\nhelp: Make one.\"); fail(a === b ? `it is\\\\nhelp: x` : `is not\\\\nhelp: y`);";
    let source = source.replace("\\\\n", "\\n");
    let found = shown("page.js", &source);
    let found: Vec<_> = found.iter().map(|one| (one.text.as_str(), one.help.join(""))).collect();
    assert_eq!(
        found,
        [
            ("The host is gone", "Look.".to_owned()),
            ("The data is …", "Write {}.".to_owned()),
            ("there is none", "Make one.".to_owned()),
            ("it is", "x".to_owned()),
            ("is not", "y".to_owned()),
        ]
    );
    let source = "throw new NoBinaryError(\n  `there is no ${x}`,\n  \"Make one.\",\n);";
    let found = with_help("a.js", source);
    assert_eq!((&*found[0].text, &*found[0].help[0]), ("there is no …", "Make one."));
}

#[test]
fn the_texts_of_errors_are_found() {
    let source = "throw new TypeError(`no ${a({ b })} here: ` +\n  \"look.\");\nnew Error(text); new Error('x')";
    let found: Vec<_> = messages("a.ts", source).into_iter().map(|found| found.text).collect();
    assert_eq!(found, ["no … here: look.", "x"]);
}
