//! Messages of TypeScript sources: the text of each error that is made with `new …Error(…)`.

use std::sync::LazyLock;

use regex::Regex;

use super::{Kind, Message};

/// An error with the literals of its message, which `+` may join.
static MADE: LazyLock<Regex> = LazyLock::new(|| {
    let literal = r#""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`"#;
    Regex::new(&format!(
        r"new [A-Za-z]*Error\(\s*((?:{literal})(?:\s*\+\s*(?:{literal}))*)"
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

#[test]
fn the_texts_of_errors_are_found() {
    let source = "throw new TypeError(`no ${a({ b })} here: ` +\n  \"look.\");\nnew Error(text); new Error('x')";
    let found: Vec<_> = messages("a.ts", source).into_iter().map(|found| found.text).collect();
    assert_eq!(found, ["no … here: look.", "x"]);
}
