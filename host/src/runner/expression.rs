//! The equalities that people write into `if:` and `match:`, of CEL's many expressions:
//! `event.data.id == async.data.id && async.data.approved == true`.

use serde_json::Value;

/// What an expression says of two events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    Fails,
    /// It is more than equalities joined by `&&`.
    NotUnderstood,
}

/// Evaluates it over `event`, which began the run, and `async`, which has come.
#[must_use]
pub fn evaluate(expression: &str, event: &Value, came: &Value) -> Verdict {
    let Some(tokens) = tokens(expression) else {
        return Verdict::NotUnderstood;
    };
    let scope = Scope { event, came };
    let mut holds = true;
    for term in tokens.split(|token| *token == Token::And) {
        let term = without_parentheses(term);
        let truth = match term {
            [left, Token::Equal, right] => scope
                .value(left)
                .zip(scope.value(right))
                .map(|(one, other)| same(&one, &other)),
            [left, Token::Differs, right] => scope
                .value(left)
                .zip(scope.value(right))
                .map(|(one, other)| !same(&one, &other)),
            _ => None,
        };
        match truth {
            Some(truth) => holds &= truth,
            None => return Verdict::NotUnderstood,
        }
    }
    if holds { Verdict::Holds } else { Verdict::Fails }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    And,
    Equal,
    Differs,
    Open,
    Close,
    /// `event.data.items[0]["a b"]`, in parts.
    Path(Vec<String>),
    Literal(Value),
}

struct Scope<'a> {
    event: &'a Value,
    came: &'a Value,
}

impl Scope<'_> {
    fn value(&self, token: &Token) -> Option<Value> {
        let path = match token {
            Token::Literal(value) => return Some(value.clone()),
            Token::Path(path) => path,
            _ => return None,
        };
        let (root, rest) = path.split_first()?;
        let mut value = match root.as_str() {
            "event" => self.event,
            "async" => self.came,
            _ => return None,
        };
        for part in rest {
            value = match value {
                Value::Array(items) => part
                    .parse::<usize>()
                    .ok()
                    .and_then(|at| items.get(at))
                    .unwrap_or(&Value::Null),
                other => &other[part.as_str()],
            };
        }
        Some(value.clone())
    }
}

/// Numbers are compared as numbers: 1 is 1.0.
fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

fn without_parentheses(mut term: &[Token]) -> &[Token] {
    while let [Token::Open, inner @ .., Token::Close] = term {
        term = inner;
    }
    term
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '&' if rest.starts_with("&&") => (Token::And, 2),
            '=' if rest.starts_with("==") => (Token::Equal, 2),
            '!' if rest.starts_with("!=") => (Token::Differs, 2),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '"' | '\'' => {
                let (text, length) = string(rest, first)?;
                (Token::Literal(text.into()), length)
            }
            '-' | '0'..='9' => {
                let length = rest
                    .find(|letter: char| !matches!(letter, '-' | '.' | '0'..='9'))
                    .unwrap_or(rest.len());
                (Token::Literal(serde_json::from_str(&rest[..length]).ok()?), length)
            }
            letter if letter.is_alphabetic() || letter == '_' => path(rest)?,
            _ => return None,
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

/// The text between quotes, and how long it is with them.
fn string(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.push(letters.next()?.1),
            letter if letter == quote => return Some((value, at + 1)),
            letter => value.push(letter),
        }
    }
    None
}

fn path(text: &str) -> Option<(Token, usize)> {
    let word = |text: &str| {
        text.find(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .unwrap_or(text.len())
    };
    let mut at = word(text);
    let mut parts = vec![text[..at].to_owned()];
    loop {
        let rest = &text[at..];
        if let Some(after) = rest.strip_prefix('.') {
            let length = word(after);
            if length == 0 {
                return None;
            }
            parts.push(after[..length].to_owned());
            at += 1 + length;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (part, length) = match after.chars().next()? {
                quote @ ('"' | '\'') => string(after, quote)?,
                _ => {
                    let length = after.find(|letter: char| !letter.is_ascii_digit())?;
                    (after[..length].to_owned(), length)
                }
            };
            if !after[length..].starts_with(']') {
                return None;
            }
            parts.push(part);
            at += length + 2;
        } else {
            break;
        }
    }
    let token = match (parts.as_slice(), parts.len()) {
        ([word], 1) if word == "true" => Token::Literal(true.into()),
        ([word], 1) if word == "false" => Token::Literal(false.into()),
        ([word], 1) if word == "null" => Token::Literal(Value::Null),
        _ => Token::Path(parts),
    };
    Some((token, at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{Verdict, evaluate};

    #[test]
    fn equalities_of_two_events_are_understood() {
        let event = json!({"name": "a", "data": {"id": 7, "tags": ["x", "y"], "a b": null}});
        let came = json!({"name": "b", "data": {"id": 7.0, "by": "Ada \"L\"", "ok": true}});
        let check = |expression: &str, expected: Verdict| {
            assert_eq!(evaluate(expression, &event, &came), expected, "{expression}");
        };
        check("event.data.id == async.data.id", Verdict::Holds);
        check("async.data.id==event.data.id&&async.data.ok == true", Verdict::Holds);
        check("async.data.ok == false", Verdict::Fails);
        check("async.data.by == 'Ada \"L\"'", Verdict::Holds);
        check(
            "async.data.by != \"Bob\" && (event.data.tags[1] == \"y\")",
            Verdict::Holds,
        );
        check("event.data[\"a b\"] == null", Verdict::Holds);
        check("event.data.gone == async.data.id", Verdict::Fails);
        check("async.data.id > 3", Verdict::NotUnderstood);
        check("async.data.ok == true || async.data.id == 7", Verdict::NotUnderstood);
        check("size(async.data.by) == 3", Verdict::NotUnderstood);
        check("async.data.ok", Verdict::NotUnderstood);
        check("", Verdict::NotUnderstood);
    }

    proptest! {
        #[test]
        fn nothing_that_is_written_breaks_it(text in "[a-z&=!.()\"'\\[\\]0-9\\\\é ]{0,40}") {
            let _ = evaluate(&text, &json!({}), &json!({"data": [1]}));
        }
    }
}
