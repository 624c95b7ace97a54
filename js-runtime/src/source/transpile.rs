//! TypeScript and JSX to JavaScript, one file at a time, never type-checked.

#![allow(unsafe_code, reason = "a syntax tree is dropped on another stack than its owner")]

use std::mem::ManuallyDrop;
use std::sync::Arc;

use deno_ast::swc::ast::Program;
use deno_ast::{
    DecoratorsTranspileOption, EmitOptions, MediaType, ModuleKind, ParseDiagnostic, ParseParams, ParsedSource,
    SourceMapOption, TranspileError, TranspileModuleOptions, TranspileOptions,
};
use deno_core::url::Url;
use js_runtime_api::{LoadError, LoadErrorKind};

use super::emitted::EmittedCode;
use super::jsx::{self, Pragmas};
use super::nesting::{NestingError, StackRoom};
use super::tsconfig::CompilerOptions;
use super::{commonjs, decorated, fields};
use crate::position::Position;
use crate::system::contained::contained;

/// The module system that a file is emitted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EmitKind {
    Esm,
    /// A script that has neither imports nor exports of ES modules.
    Cjs,
    /// CommonJS that is made of an ES module.
    Compiled,
}

/// A text and its syntax tree, which is walked and dropped on a stack with room for it.
pub(crate) struct ParsedText {
    room: StackRoom,
    source: ManuallyDrop<ParsedSource>,
}

impl ParsedText {
    fn new(room: StackRoom, source: ParsedSource) -> Self {
        Self {
            room,
            source: ManuallyDrop::new(source),
        }
    }

    /// Does work that walks the tree.
    pub(crate) fn walk<T>(&self, work: impl FnOnce(&ParsedSource) -> T) -> T {
        self.room.run(|| work(&self.source))
    }

    /// Does work that wants the tree for itself.
    fn consume<T>(self, work: impl FnOnce(ParsedSource) -> T) -> T {
        let mut parsed = ManuallyDrop::new(self);
        // SAFETY: it is not dropped here, and nobody sees what it was taken of any more.
        let source = unsafe { ManuallyDrop::take(&mut parsed.source) };
        parsed.room.run(|| work(source))
    }

    /// Analyses which declaration each name means.
    pub(super) fn with_scopes(self) -> Self {
        let room = self.room;
        Self::new(room, self.consume(ParsedSource::into_with_scope_analysis))
    }

    /// Tells whether the file has neither import nor export.
    pub(crate) fn is_script(&self) -> bool {
        self.walk(ParsedSource::compute_is_script)
    }
}

impl Drop for ParsedText {
    fn drop(&mut self) {
        // SAFETY: it is dropped once, here.
        self.room.run(|| unsafe { ManuallyDrop::drop(&mut self.source) });
    }
}

/// Parses a module or script.
///
/// # Errors
/// With the position, when it is no JavaScript or TypeScript, or is nested too deeply.
pub(crate) fn parse(url: &Url, media_type: MediaType, text: Arc<str>) -> Result<ParsedText, LoadError> {
    parse_changed(url, media_type, text, |_| {})
}

/// Makes the error for a text that is nested too deeply.
pub(crate) fn nested_too_deeply(url: &Url, text: &str, NestingError { offset }: NestingError) -> LoadError {
    LoadError {
        help: Some("Split the expression or block at this place into several.".to_owned()),
        ..Position::of_offset(url, text, offset).into_error(
            LoadErrorKind::Syntax,
            "the code is nested too deeply to be parsed".to_owned(),
        )
    }
}

fn parse_changed(
    url: &Url,
    media_type: MediaType,
    text: Arc<str>,
    change: impl FnOnce(&mut Program),
) -> Result<ParsedText, LoadError> {
    let room = StackRoom::of(&text, media_type).map_err(|too_deep| nested_too_deeply(url, &text, too_deep))?;
    parse_in(room, url, media_type, text, change)
}

/// Parses a text with room for it.
pub(super) fn parse_in(
    room: StackRoom,
    url: &Url,
    media_type: MediaType,
    text: Arc<str>,
    change: impl FnOnce(&mut Program),
) -> Result<ParsedText, LoadError> {
    let params = ParseParams {
        specifier: url.clone(),
        text: text.clone(),
        media_type,
        capture_tokens: false,
        scope_analysis: false,
        maybe_syntax: None,
    };
    let parsed = contained(|| {
        room.run(|| {
            deno_ast::parse_program_with_post_process(params, |mut program, _| {
                change(&mut program);
                program
            })
        })
    });
    let parsed = parsed.map_err(|panic| not_compiled(url, &text, &panic))?;
    let source = parsed.map_err(|diagnostic| syntax_error(&diagnostic, &text))?;
    let refused = source.diagnostics().first().map(|first| syntax_error(first, &text));
    let parsed = ParsedText::new(room, source);
    match refused {
        Some(error) => Err(error),
        None => Ok(parsed),
    }
}

/// Emits JavaScript for a parsed file.
///
/// # Errors
/// When a construct cannot be transpiled.
pub(crate) fn emit(
    url: &Url,
    parsed: ParsedText,
    kind: EmitKind,
    options: &CompilerOptions,
) -> Result<EmittedCode, LoadError> {
    let (text, media_type) = (parsed.source.text().clone(), parsed.source.media_type());
    let (pragmas, without_factory) = parsed.walk(|source| {
        let pragmas = Pragmas::of(source);
        (pragmas, jsx::without_factory(source, options, pragmas))
    });
    let changes_classes = changes_classes(options) && text.contains("class");
    let is_prepared = kind == EmitKind::Compiled && parsed.walk(commonjs::wants_preparation);
    let mut assigns_exports = false;
    let parsed = if changes_classes || without_factory.is_some() || is_prepared {
        // A parsed program cannot be changed any more.
        let text = without_factory.unwrap_or_else(|| text.clone());
        parse_changed(url, media_type, text, |program| {
            if is_prepared {
                assigns_exports = commonjs::prepare(program);
            }
            change_classes(program, options);
        })?
    } else {
        parsed
    };
    let module_kind = match kind {
        EmitKind::Esm | EmitKind::Compiled => ModuleKind::Esm,
        EmitKind::Cjs => ModuleKind::Cjs,
    };
    let module_options = TranspileModuleOptions {
        module_kind: Some(module_kind),
    };
    let emit_options = EmitOptions {
        source_map: SourceMapOption::Separate,
        ..Default::default()
    };
    let transpile_options = transpile_options(options, pragmas);
    let emitted = contained(|| {
        parsed.consume(|source| {
            let emitted = source.transpile(&transpile_options, &module_options, &emit_options)?;
            Ok::<_, TranspileError>(emitted.into_source())
        })
    });
    let emitted = emitted
        .map_err(|panic| not_compiled(url, &text, &panic))?
        .map_err(|error| Position::start_of(url, &text).into_error(LoadErrorKind::Syntax, error.to_string()))?;
    let emitted = EmittedCode {
        code: emitted.text.into(),
        source_map: emitted.source_map.map(|map| map.into_bytes().into()),
    };
    if kind != EmitKind::Compiled {
        return Ok(emitted);
    }
    let settings = commonjs::FormSettings {
        interop: options.has_interop(),
        assigns_exports,
    };
    commonjs::convert(url, &emitted, settings)
}

fn not_compiled(url: &Url, text: &str, panic: &str) -> LoadError {
    LoadError {
        help: Some("This is a bug in the compiler: please report it with the file.".to_owned()),
        ..Position::start_of(url, text).into_error(LoadErrorKind::Syntax, format!("cannot compile the file: {panic}"))
    }
}

fn changes_classes(options: &CompilerOptions) -> bool {
    !options.defines_class_fields() || has_legacy_decorators(options)
}

/// Changes classes by those settings that the transpiler is not asked to follow.
fn change_classes(program: &mut Program, options: &CompilerOptions) {
    if has_legacy_decorators(options) {
        decorated::rewrite(program, emits_metadata(options));
    }
    if !options.defines_class_fields() {
        fields::assign(program, has_legacy_decorators(options));
    }
}

fn has_legacy_decorators(options: &CompilerOptions) -> bool {
    options.experimental_decorators.unwrap_or(false)
}

fn emits_metadata(options: &CompilerOptions) -> bool {
    has_legacy_decorators(options) && options.emit_decorator_metadata.unwrap_or(false)
}

/// Returns the transpiler's options, as TypeScript reads the settings.
fn transpile_options(options: &CompilerOptions, pragmas: Pragmas) -> TranspileOptions {
    let decorators = if has_legacy_decorators(options) {
        DecoratorsTranspileOption::LegacyTypeScript {
            emit_metadata: emits_metadata(options),
        }
    } else {
        DecoratorsTranspileOption::Ecma
    };
    TranspileOptions {
        decorators,
        verbatim_module_syntax: options.verbatim_module_syntax.unwrap_or(false),
        jsx: Some(jsx::runtime(options, pragmas)),
        ..Default::default()
    }
}

fn syntax_error(diagnostic: &ParseDiagnostic, text: &str) -> LoadError {
    let at = diagnostic.display_position();
    let position = Position::new(diagnostic.specifier(), text, at.line_number, at.column_number);
    position.into_error(LoadErrorKind::Syntax, diagnostic.kind().msg().to_string())
}
