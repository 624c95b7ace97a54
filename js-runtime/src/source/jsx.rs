//! JSX becomes calls of a factory that is in scope (classic), or of functions that are imported for it
//! (automatic). `tsconfig.json` decides, and a file's own pragmas before it, by TypeScript's rules.
//!
//! JSX that is to be preserved is left to a bundler, and so is JSX for which there is no setting: both become what
//! bundlers make of it, the automatic calls, unless a factory is named.

use std::sync::Arc;

use deno_ast::swc::common::comments::CommentKind;
use deno_ast::{
    JsxAutomaticOptions, JsxClassicOptions, JsxRuntime, MediaType, ParsedSource, SourceRangedForSpanned as _,
};

use super::tsconfig::CompilerOptions;

const FACTORY: &str = "@jsx ";

/// The text that replaces a pragma: as long as that.
const NO_FACTORY: &str = "@___ ";

/// The pragmas about JSX in a file's first comments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pragmas {
    /// Tells whether the runtime is the automatic one: by `@jsxRuntime`, or by `@jsxImportSource`, which means that.
    is_automatic: Option<bool>,
    names_factory: bool,
}

impl Pragmas {
    pub(super) fn of(parsed: &ParsedSource) -> Self {
        if !matches!(parsed.media_type(), MediaType::Tsx | MediaType::Jsx) {
            return Self::default();
        }
        let comments = parsed.get_leading_comments().into_iter().flatten();
        let blocks = comments.filter(|comment| comment.kind == CommentKind::Block);
        blocks.fold(Self::default(), |found, comment| found.with(&comment.text))
    }

    fn with(self, comment: &str) -> Self {
        let value = |name: &str| {
            let (_, rest) = comment.split_once(name)?;
            rest.split_whitespace().next()
        };
        let runtime = match value("@jsxRuntime ") {
            Some("classic") => Some(false),
            Some("automatic") => Some(true),
            _ => value("@jsxImportSource ").map(|_| true),
        };
        Self {
            is_automatic: runtime.or(self.is_automatic),
            names_factory: self.names_factory || comment.contains(FACTORY) || comment.contains("@jsxFrag "),
        }
    }
}

/// Returns the runtime for JSX in a file with these pragmas.
pub(super) fn runtime(options: &CompilerOptions, pragmas: Pragmas) -> JsxRuntime {
    if is_automatic(options, pragmas) {
        JsxRuntime::Automatic(JsxAutomaticOptions {
            development: options.jsx.as_deref() == Some("react-jsxdev"),
            import_source: options.jsx_import_source.clone(),
        })
    } else {
        classic(options)
    }
}

fn is_automatic(options: &CompilerOptions, pragmas: Pragmas) -> bool {
    let names_factory = options.jsx_factory.is_some() || options.react_namespace.is_some() || pragmas.names_factory;
    pragmas.is_automatic.unwrap_or(match options.jsx.as_deref() {
        Some("react-jsx" | "react-jsxdev") => true,
        Some("react") => false,
        // These are `preserve`, `react-native`, and no setting.
        _ => options.jsx_import_source.is_some() || !names_factory,
    })
}

fn classic(options: &CompilerOptions) -> JsxRuntime {
    let namespace = options.react_namespace.as_deref().unwrap_or("React");
    let named = |factory: &Option<String>, name| factory.clone().unwrap_or_else(|| format!("{namespace}.{name}"));
    JsxRuntime::Classic(JsxClassicOptions {
        factory: named(&options.jsx_factory, "createElement"),
        fragment_factory: named(&options.jsx_fragment_factory, "Fragment"),
    })
}

/// Returns the text, of the same length, without the pragmas of a factory that TypeScript passes over and the
/// transpiler refuses; `None` where there is no such pragma.
pub(super) fn without_factory(parsed: &ParsedSource, options: &CompilerOptions, pragmas: Pragmas) -> Option<Arc<str>> {
    if !pragmas.names_factory || !is_automatic(options, pragmas) {
        return None;
    }
    let mut text = parsed.text().to_string();
    let start = parsed.range().start;
    for comment in parsed.get_leading_comments().into_iter().flatten() {
        let range = comment.range();
        let range = range.start.as_byte_index(start)..range.end.as_byte_index(start);
        let changed = text.get(range.clone())?.replace(FACTORY, NO_FACTORY);
        text.replace_range(range, &changed.replace("@jsxFrag ", "@_______ "));
    }
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use deno_ast::MediaType;
    use deno_core::url::Url;

    use super::{Pragmas, is_automatic, without_factory};
    use crate::source::transpile;
    use crate::source::tsconfig::CompilerOptions;

    fn options(json: &str) -> CompilerOptions {
        let options: Option<CompilerOptions> = jsonc_parser::parse_to_serde_value(json, &Default::default()).unwrap();
        options.unwrap()
    }

    fn parsed(text: &str) -> transpile::ParsedText {
        let url = Url::parse("file:///p/a.tsx").unwrap();
        transpile::parse(&url, MediaType::Tsx, text.into()).unwrap()
    }

    #[test]
    fn settings_and_pragmas_decide_between_the_automatic_and_the_classic_calls() {
        for (settings, text, automatic) in [
            ("{}", "", true),
            (r#"{ "jsx": "preserve" }"#, "", true),
            (r#"{ "jsx": "react-native" }"#, "", true),
            (r#"{ "jsx": "react-jsx" }"#, "", true),
            (r#"{ "jsx": "react-jsxdev" }"#, "", true),
            (r#"{ "jsx": "react" }"#, "", false),
            (r#"{ "jsx": "preserve", "jsxFactory": "h" }"#, "", false),
            (r#"{ "reactNamespace": "P" }"#, "", false),
            (r#"{ "jsxFactory": "h", "jsxImportSource": "preact" }"#, "", true),
            ("{}", "/** @jsx h */", false),
            ("{}", "// @jsx h\n", true),
            ("{}", "/** @jsx h */ /** @jsxRuntime automatic */", true),
            (r#"{ "jsx": "react-jsx" }"#, "/** @jsx h */", true),
            (r#"{ "jsx": "react-jsx" }"#, "/** @jsxRuntime classic */", false),
            (r#"{ "jsx": "react" }"#, "/** @jsxImportSource preact */", true),
            (r#"{ "jsx": "react" }"#, "/* @jsxRuntime automatic */", true),
        ] {
            let pragmas = parsed(&format!("{text} export {{}};")).walk(Pragmas::of);
            assert_eq!(
                is_automatic(&options(settings), pragmas),
                automatic,
                "{settings} {text}"
            );
        }
    }

    #[test]
    fn a_factory_is_passed_over_only_in_the_first_comments_and_nothing_moves() {
        let text = "/** @jsx h @jsxFrag F */\nexport const a = \"/** @jsx h */\";";
        let parsed = parsed(text);
        let without = |settings| parsed.walk(|parsed| without_factory(parsed, &options(settings), Pragmas::of(parsed)));
        assert_eq!(without("{}"), None);
        let without = without(r#"{ "jsx": "react-jsx" }"#).unwrap();
        assert_eq!(without.len(), text.len());
        assert!(
            without.ends_with("\"/** @jsx h */\";") && !without.starts_with("/** @jsx"),
            "{without}"
        );
    }
}
