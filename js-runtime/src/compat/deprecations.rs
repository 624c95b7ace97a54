//! Node tells of each of its deprecations once in a process. As each isolate has a Node of its own, the host would hear
//! of the same ones after every edit.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Whether a line tells of a deprecation of Node's that a line has told of before, in any isolate.
pub(super) fn is_told_again(line: &str) -> bool {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let Some(code) = code(line) else {
        return false;
    };
    !TOLD
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(code.to_owned())
}

/// `DEP0040` of `(node:123) [DEP0040] DeprecationWarning: …`. Packages have codes of other forms, and say as often as
/// they like what they have deprecated.
fn code(line: &str) -> Option<&str> {
    let (_process, told) = line.strip_prefix("(node:")?.split_once(") [")?;
    let (code, text) = told.split_once("] ")?;
    let number = code.strip_prefix("DEP")?;
    let is_nodes = number.len() == 4 && number.bytes().all(|digit| digit.is_ascii_digit());
    (is_nodes && text.starts_with("DeprecationWarning: ")).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::{code, is_told_again};

    #[test]
    fn only_what_node_has_deprecated_is_told_once() {
        let punycode = "(node:12) [DEP0040] DeprecationWarning: The `punycode` module is deprecated.";
        assert_eq!(code(punycode), Some("DEP0040"));
        assert_eq!([punycode, punycode, punycode].map(is_told_again), [false, true, true]);
        for other in [
            "(node:12) [DEP0005] Warning: Buffer() is deprecated",
            "(node:12) [MONGOOSE] DeprecationWarning: use another",
            "(node:12) [DEP00400] DeprecationWarning: no code of Node's",
            "(node:12) DeprecationWarning: [DEP0040]",
            "DEP0040",
            "",
        ] {
            assert_eq!([other, other].map(is_told_again), [false, false], "{other}");
        }
    }
}
