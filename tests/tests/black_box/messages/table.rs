//! `docs/messages.md`: every message with its help, by source.

use std::fmt::Write as _;

use super::{Message, root};

/// The variable that, when set, has the file written instead of compared.
const RENEW: &str = "BATON_RENEW_COVERAGE";

const HEAD: &str = "# Messages\n\n\
    The errors and warnings of Baton, each with its help, by the source that has it. `…` stands for a value. A test reads \
    them from\nthe sources, checks the rules for words, and compares this table.\n\n\
    | kind | where a user meets it |\n|---|---|\n\
    | error | a command that fails, or a call |\n\
    | load | code that cannot be served: in the log, the page, the answer and the command |\n\
    | thrown | user code can catch it |\n\
    | doctor | `baton doctor` |\n\
    | HTTP | the body of an answer |\n\
    | lint | a warning about code that loads |\n\
    | page | the dashboard |\n\
    | printed | a line of a command |\n\
    | script | a script of `bin/` or `packaging/`, `install.sh`, or the package on npm |\n\
    | log | a line of the log, with its level |\n";

/// Fails when the file does not have these messages.
pub(super) fn check(messages: &[Message]) {
    let table = table(messages);
    let file = root().join("docs/messages.md");
    if std::env::var_os(RENEW).is_some() {
        std::fs::write(&file, table).expect("a written table");
        return;
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == table,
        "docs/messages.md is out of date; renew it with\n  {RENEW}=1 cargo nextest run -p baton-tests -E 'test(messages)'"
    );
}

fn table(messages: &[Message]) -> String {
    let mut text = HEAD.to_owned();
    let mut place = "";
    for message in messages {
        if message.place != place {
            place = &message.place;
            write!(text, "\n## {place}\n\n| message | help | kind |\n|---|---|---|\n").expect("text grows");
        }
        let help = message.help.iter().filter(|help| !help.is_empty());
        let help = help.map(|help| cell(help)).collect::<Vec<_>>().join(" / ");
        let row = format!("| {} | {help} | {} |", cell(&message.text), message.kind.name());
        writeln!(text, "{}", row.replace("|  |", "| |")).expect("text grows");
    }
    text
}

/// Writes a text into one cell.
fn cell(text: &str) -> String {
    text.replace('\n', " ")
        .replace('|', "\\|")
        .replace('<', "&lt;")
        .trim()
        .to_owned()
}
