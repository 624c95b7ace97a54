//! The exports of a CommonJS file may be those of another file: `module.exports = require("./other")`. Deno looks in
//! the other file for names, and refuses the first file where the other one is no JavaScript. To Node the first file
//! has no names then: the other file may be an addon, or be looked for in a `try`.

use std::borrow::Cow;

const REQUIRE: &str = "require";

/// The name that replaces `require`: as long as that.
const UNKNOWN: &str = "unknown";

/// Returns the code in which names are looked for: a `require` of a relative file that `has_names` denies requires
/// nothing.
pub(crate) fn without_unknown<'a>(code: &'a str, has_names: impl Fn(&str) -> bool) -> Cow<'a, str> {
    let required = code.match_indices(REQUIRE).filter_map(|(at, _)| {
        let specifier = literal(code.get(at + REQUIRE.len()..)?)?;
        let is_relative = specifier.starts_with("./") || specifier.starts_with("../");
        (is_relative && !has_names(specifier)).then_some(at)
    });
    required.fold(Cow::Borrowed(code), |mut code, at| {
        code.to_mut().replace_range(at..at + REQUIRE.len(), UNKNOWN);
        code
    })
}

/// Takes `./a` from `("./a")…`.
fn literal(code: &str) -> Option<&str> {
    let code = code.trim_start().strip_prefix('(')?.trim_start();
    let quote = code.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    code[1..].split(quote).next()
}

#[cfg(test)]
mod tests {
    use super::without_unknown;

    #[test]
    fn only_what_is_required_of_no_javascript_is_left_out() {
        let code = r#"try { module.exports = require( './native' ) } catch { module.exports = require("./é/other") }
const { required } = require("./native");
"#;
        let known = without_unknown(code, |specifier| specifier == "./é/other");
        let expected = r#"try { module.exports = unknown( './native' ) } catch { module.exports = require("./é/other") }
const { required } = unknown("./native");
"#;
        assert_eq!(known, expected);
        assert_eq!(known.len(), code.len());
        for code in ["require('package'); require(name); require", ""] {
            assert_eq!(without_unknown(code, |_| false), code);
        }
    }
}
