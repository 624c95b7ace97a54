//! Marks in an ES module of the project at its top-level awaits. They tell which await the module has come to, also
//! while something else goes on, which is when V8 does not say.
//!
//! `await value` becomes `await mark(url, n, value)`: the value is made before the mark, so an await within another
//! comes before it. Behind the module's end is a last mark.

use deno_ast::{MediaType, ParsedSource};
use deno_core::url::Url;

use super::commonjs::TextEdits;
use super::emitted::EmittedCode;
use super::top_level_await::waits_in;
use super::transpile;

/// The number of the mark behind the end.
pub(crate) const DONE: i32 = -1;

/// The call that marks. It tells nobody where there is no prelude, as in worker threads.
const MARK: &str = "(globalThis[Symbol.for(\"baton:mark\")] ?? ((_url, _n, value) => value))";

/// Adds marks to the code of a module; their numbers are those of its awaits in the order of their beginnings.
pub(crate) fn mark(url: &Url, emitted: EmittedCode) -> EmittedCode {
    // Emitted code parses.
    match transpile::parse(url, MediaType::JavaScript, emitted.code.clone()) {
        Ok(parsed) => parsed.walk(|parsed| marked(url, &emitted, parsed)),
        Err(_) => emitted,
    }
}

fn marked(url: &Url, emitted: &EmittedCode, parsed: &ParsedSource) -> EmittedCode {
    let name = serde_json::Value::from(url.as_str());
    let mut edits = TextEdits::default();
    for (number, wait) in waits_in(parsed).into_iter().enumerate() {
        for value in wait.values {
            edits.insert(value.start, format!("{MARK}({name}, {number}, "));
            edits.insert(value.end, ")");
        }
    }
    edits.insert(emitted.code.len(), format!("\n;{MARK}({name}, {DONE});\n"));
    edits.apply_to(url, emitted)
}

#[cfg(test)]
mod tests {
    use deno_core::url::Url;

    use super::{MARK, mark};
    use crate::source::emitted::EmittedCode;

    #[test]
    fn each_await_at_the_top_is_marked_with_its_number_and_so_is_the_end() {
        let url = Url::parse("file:///p/a.ts").unwrap();
        let text =
            "const a = await b(await c());\nfor await (const d of e){ await d; }\nconst f = async ()=>await g;\n";
        let emitted = EmittedCode {
            code: text.into(),
            source_map: None,
        };
        let marked = mark(&url, emitted)
            .code
            .replace(MARK, "M")
            .replace("\"file:///p/a.ts\"", "u");
        let expected = "const a = await M(u, 0, b(await M(u, 1, c())));\nfor await (const d of M(u, 2, e)){ await M(u, 3, d); }\n\
                        const f = async ()=>await g;\n\n;M(u, -1);\n";
        assert_eq!(marked, expected);
    }
}
