//! The JavaScript of a module, in whatever language its file is written: made once, the same in every isolate.

use std::borrow::Cow;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use deno_ast::MediaType;
use deno_core::url::Url;
use deno_error::JsErrorBox;
use js_runtime_api::{LoadError, LoadErrorKind};
use node_resolver::analyze::CjsAnalysisSourceProvider;

use super::{Modules, interop};
use crate::diagnostics::source_text;
use crate::own_modules::before_thread;
use crate::position::Position;
use crate::prelude::findings::{self, Findings};
use crate::prelude::sdk_package;
use crate::resolve::reexports;
use crate::source::emitted::EmittedCode;
use crate::source::marks;
use crate::source::second_url::without_mark;
use crate::source::snapshot::SourceFile;
use crate::source::transpile::{self, EmitKind, ParsedText};
use crate::source::tsconfig::CompilerOptions;
use crate::source::{attributes, bundled};

impl Modules {
    /// Returns the ES module of a file, in whatever language the file is written: the same in every isolate.
    pub(super) async fn javascript(
        &self,
        url: &Url,
        media_type: MediaType,
        file: &SourceFile,
    ) -> Result<Arc<str>, JsErrorBox> {
        let given = match self.sources.given(url) {
            Some(given) => given,
            None => {
                let mut made = self.make_javascript(url, media_type, file).await?;
                if let Some(code) = self.with_import_meta(url, &made.code)? {
                    made.code = code;
                }
                let (_, code) = self.caches.code.one(made.code);
                self.sources.give(url, Arc::new(EmittedCode { code, ..made }))
            }
        };
        let given = match self.begins_thread(url) {
            true => &Arc::new(before_thread(url, &given)),
            false => &given,
        };
        self.keep_source_map(url, given);
        Ok(given.code.clone())
    }

    async fn make_javascript(
        &self,
        url: &Url,
        media_type: MediaType,
        file: &SourceFile,
    ) -> Result<EmittedCode, JsErrorBox> {
        let text = self.text(url, file)?;
        if let Some(around) = sdk_package::around_connect(url) {
            let (code, source_map) = (around.into(), None);
            return Ok(EmittedCode { code, source_map });
        }
        if self.node.is_package(url)? && !media_type.is_emittable() {
            let is_cjs = self.node.is_maybe_cjs(url, media_type)?;
            let code = if is_cjs {
                self.cjs_to_esm(url, text).await?
            } else {
                match sdk_package::behind_module(url, &text) {
                    Some(behind) => format!("{text}{behind}").into(),
                    None => text,
                }
            };
            return Ok(EmittedCode { code, source_map: None });
        }
        if self.is_compiled(url)? {
            let emitted = self.emitted(url, media_type, file, &text, None, EmitKind::Compiled)?;
            let code = Self::around(url, &emitted).into();
            let source_map = emitted.source_map.clone();
            return Ok(EmittedCode { code, source_map });
        }
        let mut parsed = None;
        let is_script = self.caches.is_script(url, &file.hash, || {
            let source = self.parse(url, media_type, &text)?;
            let is_script = source.is_script();
            parsed = Some(source);
            Ok::<_, JsErrorBox>(is_script)
        })?;
        let is_cjs = self.node.is_cjs(url, media_type, is_script)?;
        let kind = if is_cjs { EmitKind::Cjs } else { EmitKind::Esm };
        let names = if !is_cjs && bundled::may_use_names(&text) {
            let source = parsed.take().map_or_else(|| self.parse(url, media_type, &text), Ok)?;
            let names = bundled::import_of_names(&source);
            parsed = Some(source);
            names
        } else {
            None
        };
        let mut emitted = if self.is_emitted(url, media_type)? {
            let emitted = self.emitted(url, media_type, file, &text, parsed, kind)?;
            EmittedCode {
                code: emitted.code.clone(),
                source_map: emitted.source_map.clone(),
            }
        } else {
            let (code, source_map) = (text.clone(), None);
            EmittedCode { code, source_map }
        };
        if !is_cjs {
            emitted = attributes::without_types_of_data(url, emitted);
            if text.contains("await") && self.facts(url)?.is_some_and(|facts| facts.waits) {
                emitted = marks::mark(url, emitted);
            }
        }
        let EmittedCode { code, source_map } = emitted;
        let code = match names {
            _ if is_cjs => self.cjs_to_esm(url, code).await?,
            Some(names) => format!("{code}{names}").into(),
            None => code,
        };
        Ok(EmittedCode { code, source_map })
    }

    async fn cjs_to_esm(&self, url: &Url, code: Arc<str>) -> Result<Arc<str>, JsErrorBox> {
        let file = &without_mark(url.clone());
        self.analyse(file, &code).await?;
        let made = match self.node.cjs_to_esm(file, code.clone(), self).await {
            Err(_) => {
                let code: Arc<str> = self.without_unknown(file, &code).into();
                self.analyse(file, &code).await?;
                self.node.cjs_to_esm(file, code, &KnownExportsSource(self)).await
            }
            made => made,
        };
        made.map(|wrapper| interop::wrapped(url, wrapper))
    }

    /// Finds a file's exports, at once; `None` when the file is nested too deeply.
    fn look_through(&self, url: &Url, code: &Arc<str>) -> Option<()> {
        let analysis = self.node.analysis(url, code).ok()?;
        if analysis.is_done() {
            return Some(());
        }
        analysis.run().ok()
    }

    /// Finds a file's exports, beside the loop.
    async fn analyse(&self, url: &Url, code: &Arc<str>) -> Result<(), JsErrorBox> {
        let analysis = self.node.analysis(url, code)?;
        if analysis.is_done() {
            return Ok(());
        }
        let analysed = tokio::task::spawn_blocking(move || analysis.run()).await;
        let analysed = analysed.map_err(JsErrorBox::from_err)?;
        analysed.map_err(|too_deep| self.fail(transpile::nested_too_deeply(url, code, too_deep)))
    }

    fn without_unknown<'a>(&self, url: &Url, code: &'a str) -> Cow<'a, str> {
        reexports::without_unknown(code, |specifier| {
            let path = url.join(specifier).ok().and_then(|url| url.to_file_path().ok());
            path.is_some_and(|path| {
                let is_file = |end: &str| {
                    let mut file = path.clone().into_os_string();
                    file.push(end);
                    self.sources.is_file(Path::new(&file))
                };
                let is_addon = path.extension().is_some_and(|extension| extension == "node");
                is_file("") && !is_addon || [".js", ".json", "/index.js"].into_iter().any(is_file)
            })
        })
    }

    /// Returns the text that `require` evaluates.
    pub(crate) fn required(&self, url: &Url, path: &Path) -> Result<Arc<str>, JsErrorBox> {
        let file = self.read(url, path)?;
        let media_type = MediaType::from_specifier(url);
        let text = self.text(url, &file)?;
        if self.is_emitted(url, media_type)? {
            let kind = match self.is_compiled(url)? {
                true => EmitKind::Compiled,
                false => EmitKind::Cjs,
            };
            let emitted = self.emitted(url, media_type, &file, &text, None, kind)?;
            self.keep_source_map(url, &emitted);
            return Ok(emitted.code.clone());
        }
        if let Some(behind) = sdk_package::behind_required_connect(url) {
            return Ok(format!("{text}{behind}").into());
        }
        // Node itself tells JSON from code.
        if media_type != MediaType::Json
            && let Some(content) = self.content(url, &file)?
        {
            return Ok(content.as_commonjs().into());
        }
        Ok(text)
    }

    fn emitted(
        &self,
        url: &Url,
        media_type: MediaType,
        file: &SourceFile,
        text: &Arc<str>,
        parsed: Option<ParsedText>,
        kind: EmitKind,
    ) -> Result<Arc<EmittedCode>, JsErrorBox> {
        let mut options = self.compiler_options(url)?;
        if !media_type.is_emittable() {
            // In JavaScript, TypeScript takes no import for one of types.
            options = Rc::new((*options).clone().keeping_imports());
        }
        self.caches.emitted((url, kind), &file.hash, &options, || {
            let parsed = parsed.map_or_else(|| self.parse(url, media_type, text), Ok)?;
            if findings::may_tell(text) {
                findings::of_file(url, &file.hash, &self.caches, || Some(findings::look(&parsed)));
            }
            transpile::emit(url, parsed, kind, &options).map_err(|error| self.fail(error))
        })
    }

    /// Returns the findings in the texts of the project's own modules, with their URLs.
    pub(crate) fn findings(&self) -> Vec<(Url, Arc<Findings>)> {
        let files = self.sources.own_files().into_iter();
        files
            .filter_map(|(path, file)| self.findings_of(&path, &file))
            .collect()
    }

    fn findings_of(&self, path: &Path, file: &SourceFile) -> Option<(Url, Arc<Findings>)> {
        let url = Url::from_file_path(path).ok()?;
        let media_type = MediaType::from_specifier(&url);
        let code =
            media_type.is_emittable() || matches!(media_type, MediaType::JavaScript | MediaType::Mjs | MediaType::Cjs);
        let text = std::str::from_utf8(&file.bytes)
            .ok()
            .filter(|text| code && findings::may_tell(text))?;
        let found = findings::of_file(&url, &file.hash, &self.caches, || {
            // A file that was never loaded may well not parse.
            let parsed = transpile::parse(&url, media_type, text.into()).ok()?;
            Some(findings::look(&parsed))
        })?;
        Some((url, found))
    }

    pub(super) fn keep_source_map(&self, url: &Url, emitted: &EmittedCode) {
        if let Some(map) = &emitted.source_map {
            self.source_maps.borrow_mut().insert(url.to_string(), map.clone());
        }
    }

    /// Tells whether V8 gets code that is made of the file: of TypeScript and JSX, and of JavaScript under `allowJs`.
    pub(super) fn is_emitted(&self, url: &Url, media_type: MediaType) -> Result<bool, JsErrorBox> {
        let is_javascript = matches!(media_type, MediaType::JavaScript | MediaType::Mjs | MediaType::Cjs);
        Ok(media_type.is_emittable()
            || is_javascript && url.scheme() == "file" && self.compiler_options(url)?.allow_js.unwrap_or(false))
    }

    /// Returns the kind as which a file is parsed: JavaScript that TypeScript compiles may have JSX.
    pub(super) fn read_as(&self, url: &Url, media_type: MediaType) -> Result<MediaType, JsErrorBox> {
        if !media_type.is_emittable() && self.is_emitted(url, media_type)? {
            return Ok(MediaType::Jsx);
        }
        Ok(media_type)
    }

    fn parse(&self, url: &Url, media_type: MediaType, text: &Arc<str>) -> Result<ParsedText, JsErrorBox> {
        let media_type = self.read_as(url, media_type)?;
        transpile::parse(url, media_type, text.clone()).map_err(|error| self.fail(error))
    }

    /// Returns the options of the tsconfig.json for a file of the project; the defaults for a file of an installed
    /// package.
    pub(super) fn compiler_options(&self, url: &Url) -> Result<Rc<CompilerOptions>, JsErrorBox> {
        let path = match url.to_file_path() {
            Ok(path) if !self.node.is_package(url)? => path,
            _ => return Ok(Rc::default()),
        };
        self.tsconfigs.of(&path, &self.sources).map_err(|error| {
            let message = format!("cannot use {}: {error}", error.file().display());
            let config = Url::from_file_path(error.file()).unwrap_or_else(|()| url.clone());
            let text = source_text(&config, &self.sources);
            self.fail(LoadError {
                help: Some("Correct this file, or the files that it extends.".to_owned()),
                ..Position::start_of(&config, &text).into_error(LoadErrorKind::Resolve, message)
            })
        })
    }
}

/// Gives the analysis the code of other CommonJS files: a file's exports may be the exports of another one.
impl CjsAnalysisSourceProvider for Modules {
    fn load_source<'a>(&'a self, url: &Url) -> Option<Cow<'a, str>> {
        let path = url.to_file_path().ok()?;
        self.sources.read(&path).ok()?;
        let code = self.required(url, &path).ok()?;
        self.look_through(url, &code)?;
        Some(Cow::Owned(code.to_string()))
    }
}

/// The same, but without the exports of other files whose names cannot be known.
struct KnownExportsSource<'a>(&'a Modules);

impl CjsAnalysisSourceProvider for KnownExportsSource<'_> {
    fn load_source<'a>(&'a self, url: &Url) -> Option<Cow<'a, str>> {
        let code: Arc<str> = self.0.load_source(url)?.into();
        let code: Arc<str> = self.0.without_unknown(url, &code).into();
        self.0.look_through(url, &code)?;
        Some(Cow::Owned(code.to_string()))
    }
}
