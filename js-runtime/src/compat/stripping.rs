//! `stripTypeScriptTypes` of the module `module`, on a stack with room for its argument.

use deno_ast::{
    EmitOptions, ImportsNotUsedAsValues, MediaType, ParseParams, SourceMapOption, TranspileModuleOptions,
    TranspileOptions, TypeStripOptions,
};
use deno_core::op2;
use deno_core::url::Url;
use deno_error::JsErrorBox;

use crate::source::nesting::StackRoom;

#[op2]
#[string]
pub(super) fn op_baton_strip_typescript_types(
    #[string] code: String,
    #[string] mode: &str,
    source_map: bool,
) -> Result<String, JsErrorBox> {
    let room = StackRoom::of(&code, MediaType::TypeScript);
    let room = room.map_err(|_| JsErrorBox::new("SyntaxError", "The code is nested too deeply to be parsed"))?;
    room.run(|| strip(code, mode == "strip", source_map))
}

/// Strips the types as Deno does.
fn strip(code: String, only_strips: bool, source_map: bool) -> Result<String, JsErrorBox> {
    let error = |class: &'static str| move |error: &dyn std::fmt::Display| JsErrorBox::new(class, error.to_string());
    let (syntax_error, other_error) = (error("SyntaxError"), error("Error"));
    let specifier = Url::parse("file:///stripTypeScriptTypes.ts").map_err(|error| other_error(&error))?;
    if only_strips {
        let options = TypeStripOptions { module: None };
        return deno_ast::type_strip(&specifier, code, options).map_err(|error| syntax_error(&error));
    }
    let parsed = deno_ast::parse_module(ParseParams {
        specifier,
        text: code.into(),
        media_type: MediaType::TypeScript,
        capture_tokens: false,
        scope_analysis: false,
        maybe_syntax: None,
    });
    let options = TranspileOptions {
        imports_not_used_as_values: ImportsNotUsedAsValues::Remove,
        ..Default::default()
    };
    let emit = EmitOptions {
        source_map: if source_map {
            SourceMapOption::Inline
        } else {
            SourceMapOption::None
        },
        ..Default::default()
    };
    let emitted = parsed.map_err(|error| syntax_error(&error))?;
    let emitted = emitted.transpile(&options, &TranspileModuleOptions { module_kind: None }, &emit);
    Ok(emitted.map_err(|error| other_error(&error))?.into_source().text)
}
