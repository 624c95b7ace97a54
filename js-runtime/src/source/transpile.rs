//! TypeScript and JSX to JavaScript, one file at a time, never type-checked.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use deno_ast::{
    DecoratorsTranspileOption, EmitOptions, JsxAutomaticOptions, JsxClassicOptions, JsxRuntime, MediaType, ModuleKind,
    ParseDiagnostic, ParseParams, ParsedSource, SourceMapOption, TranspileModuleOptions, TranspileOptions,
};
use deno_core::url::Url;
use js_runtime_api::{LoadError, LoadErrorKind};

use super::tsconfig::CompilerOptions;
use crate::diagnostics::Position;

/// The module system that a file is emitted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EmitKind {
    Esm,
    Cjs,
}

/// What a file became.
#[derive(Debug)]
pub(crate) struct Emitted {
    pub(crate) code: Arc<str>,
    pub(crate) source_map: Option<Arc<[u8]>>,
}

impl Emitted {
    /// For the disk: the length of the code, the code, and the map behind it if there is one.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let map = self.source_map.as_deref().unwrap_or_default();
        let length = (self.code.len() as u64).to_le_bytes();
        [&length, self.code.as_bytes(), map].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (code, map) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        Some(Self {
            code: std::str::from_utf8(code).ok()?.into(),
            source_map: (!map.is_empty()).then(|| map.into()),
        })
    }

    /// For debuggers, which find the map in a comment behind the code.
    pub(crate) fn with_source_map_in_code(self) -> Self {
        let Some(map) = &self.source_map else {
            return self;
        };
        let map = BASE64_STANDARD.encode(map);
        let code = format!(
            "{}\n//# sourceMappingURL=data:application/json;base64,{map}\n",
            self.code
        );
        Self {
            code: code.into(),
            ..self
        }
    }
}

/// Parses a module or script.
///
/// # Errors
/// With the position, when it is no JavaScript or TypeScript.
pub(crate) fn parse(url: &Url, media_type: MediaType, text: Arc<str>) -> Result<ParsedSource, LoadError> {
    let parsed = deno_ast::parse_program(ParseParams {
        specifier: url.clone(),
        text: text.clone(),
        media_type,
        capture_tokens: false,
        scope_analysis: false,
        maybe_syntax: None,
    })
    .map_err(|diagnostic| syntax_error(&diagnostic, &text))?;
    match parsed.diagnostics().first() {
        Some(diagnostic) => Err(syntax_error(diagnostic, &text)),
        None => Ok(parsed),
    }
}

/// Emits JavaScript for a parsed file.
///
/// # Errors
/// When a construct cannot be transpiled.
pub(crate) fn emit(
    url: &Url,
    parsed: ParsedSource,
    kind: EmitKind,
    options: &CompilerOptions,
) -> Result<Emitted, LoadError> {
    let text = parsed.text().clone();
    let module_kind = match kind {
        EmitKind::Esm => ModuleKind::Esm,
        EmitKind::Cjs => ModuleKind::Cjs,
    };
    let emitted = parsed
        .transpile(
            &transpile_options(options),
            &TranspileModuleOptions {
                module_kind: Some(module_kind),
            },
            &EmitOptions {
                source_map: SourceMapOption::Separate,
                ..Default::default()
            },
        )
        .map_err(|error| Position::start_of(url, &text).into_error(LoadErrorKind::Syntax, error.to_string()))?
        .into_source();
    Ok(Emitted {
        code: emitted.text.into(),
        source_map: emitted.source_map.map(|map| map.into_bytes().into()),
    })
}

/// As TypeScript reads the settings. JSX that is to be preserved would be no JavaScript.
fn transpile_options(options: &CompilerOptions) -> TranspileOptions {
    let automatic = |development| {
        JsxRuntime::Automatic(JsxAutomaticOptions {
            development,
            import_source: options.jsx_import_source.clone(),
        })
    };
    let jsx = match options.jsx.as_deref() {
        Some("react-jsxdev") => automatic(true),
        Some("react" | "react-native") => classic(options),
        Some("react-jsx") => automatic(false),
        _ if options.jsx_import_source.is_some() => automatic(false),
        _ => classic(options),
    };
    let decorators = if options.experimental_decorators.unwrap_or(false) {
        DecoratorsTranspileOption::LegacyTypeScript {
            emit_metadata: options.emit_decorator_metadata.unwrap_or(false),
        }
    } else {
        DecoratorsTranspileOption::Ecma
    };
    TranspileOptions {
        decorators,
        verbatim_module_syntax: options.verbatim_module_syntax.unwrap_or(false),
        jsx: Some(jsx),
        ..Default::default()
    }
}

fn classic(options: &CompilerOptions) -> JsxRuntime {
    let defaults = JsxClassicOptions::default();
    JsxRuntime::Classic(JsxClassicOptions {
        factory: options.jsx_factory.clone().unwrap_or(defaults.factory),
        fragment_factory: options
            .jsx_fragment_factory
            .clone()
            .unwrap_or(defaults.fragment_factory),
    })
}

fn syntax_error(diagnostic: &ParseDiagnostic, text: &str) -> LoadError {
    let at = diagnostic.display_position();
    let position = Position::new(diagnostic.specifier(), text, at.line_number, at.column_number);
    position.into_error(LoadErrorKind::Syntax, diagnostic.kind().msg().to_string())
}

#[cfg(test)]
mod tests {
    use super::Emitted;

    #[test]
    fn what_was_emitted_reads_back_and_what_is_too_short_does_not() {
        for source_map in [None, Some(b"{}".as_slice().into())] {
            let emitted = Emitted {
                code: "export const a = \"\u{e9}\";".into(),
                source_map,
            };
            let bytes = emitted.to_bytes();
            let again = Emitted::from_bytes(&bytes).unwrap();
            assert_eq!(
                (again.code, again.source_map),
                (emitted.code.clone(), emitted.source_map)
            );
            assert!(Emitted::from_bytes(&bytes[..emitted.code.len()]).is_none());
        }
        assert!(Emitted::from_bytes(b"").is_none());
        assert!(Emitted::from_bytes(&[255; 20]).is_none());
    }
}
