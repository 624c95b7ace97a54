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

#[test]
fn values_are_left_out_and_braces_stay() {
    assert_eq!(of_format("cannot read {}: {error:?}"), "cannot read …: …");
    assert_eq!(of_format("write `import {{ {name} }}`"), "write `import { … }`");
}
