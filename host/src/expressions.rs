//! Expressions in CEL, as people write them into a function's options and conditions. `cel` parses, evaluates and
//! drops them recursively, so that happens on a stack of its own. The length of an expression bounds that stack.

use cel::Program;

/// The longest expression that is parsed, in bytes.
const LONGEST: usize = 4 << 10;

/// The size of the stack in bytes, of which the system gives only the part that is used. A debug build takes 40 KiB
/// for a parenthesis (`cel` takes 96 of them), and 20 KiB for a term of a sum.
const STACK: usize = 256 << 20;

/// Parses an expression, and calls `then` with the program or with the text of the error.
pub(crate) fn with_program<T>(expression: &str, then: impl FnOnce(Result<&Program, String>) -> T) -> T {
    if expression.len() > LONGEST {
        return then(Err(format!("it has more than {LONGEST} bytes")));
    }
    stacker::grow(STACK, || match Program::compile(expression) {
        Ok(program) => then(Ok(&program)),
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().find(|line| !line.trim().is_empty());
            let first = first.unwrap_or("it does not parse").trim();
            then(Err(first.trim_start_matches("ERROR: ").to_owned()))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, with_program};

    #[test]
    fn the_deepest_expression_is_parsed_evaluated_or_refused() {
        for (piece, last) in [
            ("1 + ", "1 == 1"),
            ("!", "true"),
            ("(", ""),
            ("[", "1"),
            ("{1:", "1"),
            ("a.", "b"),
            ("-", "1"),
            ("true || ", "true"),
            ("true ? 1 : ", "1"),
            ("1==", "1"),
        ] {
            let deepest = (LONGEST - last.len()) / piece.len();
            for depth in [deepest, LONGEST] {
                let expression = format!("{}{last}", piece.repeat(depth));
                let outcome = with_program(&expression, |program| {
                    program.map(|program| drop(program.execute(&cel::Context::default())))
                });
                assert!(depth < LONGEST || outcome.is_err(), "{piece}");
            }
        }
    }
}
