//! Gives V8 the modules of one isolate: resolves specifiers, reads each file from the generation's
//! source snapshot, makes JavaScript of it, and remembers why one could not be given.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use deno_ast::{MediaType, ParsedSource};
use deno_core::url::Url;
use deno_core::{
    ModuleLoadOptions, ModuleLoadReferrer, ModuleLoadResponse, ModuleLoader, ModuleSource, ModuleSourceCode,
    ModuleType, RequestedModuleType, ResolutionKind, SourceCodeCacheInfo,
};
use deno_error::JsErrorBox;
use js_runtime_api::{LoadError, LoadErrorKind};
use node_resolver::analyze::CjsAnalysisSourceProvider;

use crate::diagnostics::{Position, display_path, source_text};
use crate::prelude;
use crate::resolve::node::{NodeResolution, folder_of_package, package_name};
use crate::resolve::relative;
use crate::source::caches::{Caches, first_eight_bytes, short_hash};
use crate::source::imports::offset_of_import;
use crate::source::snapshot::{SourceFile, SourceSnapshot};
use crate::source::transpile::{self, EmitKind, Emitted};

/// What one isolate knows about its modules. Lives on the isolate's thread.
pub(crate) struct Modules {
    pub(crate) sources: Arc<SourceSnapshot>,
    pub(crate) node: NodeResolution,
    caches: Arc<Caches>,
    source_maps: RefCell<HashMap<String, Arc<[u8]>>>,
    /// Why modules could not be given to V8, in order. JavaScript sees only the message, and may
    /// catch it.
    failures: RefCell<Vec<LoadError>>,
}

impl Modules {
    pub(crate) fn new(sources: Arc<SourceSnapshot>, node: NodeResolution, caches: Arc<Caches>) -> Self {
        Self {
            sources,
            node,
            caches,
            source_maps: RefCell::default(),
            failures: RefCell::default(),
        }
    }

    /// The full story behind an error message that reached JavaScript.
    pub(crate) fn failure_behind(&self, message: &str) -> Option<LoadError> {
        let failures = self.failures.borrow();
        failures
            .iter()
            .find(|failure| message.contains(&failure.message))
            .cloned()
    }

    /// Where a 1-based position in the code that V8 has lies in the original source.
    pub(crate) fn original_position(&self, url: &Url, line: u32, column: u32) -> (u32, u32) {
        let maps = self.source_maps.borrow();
        let original = maps
            .get(url.as_str())
            .and_then(|map| sourcemap::SourceMap::from_slice(map).ok())
            .and_then(|map| {
                let token = map.lookup_token(line.checked_sub(1)?, column.checked_sub(1)?)?;
                Some((token.get_src_line() + 1, token.get_src_col() + 1))
            });
        original.unwrap_or((line, column))
    }

    fn fail(&self, error: LoadError) -> JsErrorBox {
        let message = match (&error.file, error.line) {
            (Some(file), Some(line)) => format!("{} ({file}:{line})", error.message),
            _ => error.message.clone(),
        };
        let class = if error.kind == LoadErrorKind::Syntax {
            "SyntaxError"
        } else {
            "Error"
        };
        self.failures.borrow_mut().push(error);
        JsErrorBox::new(class, message)
    }

    fn resolve(&self, specifier: &str, referrer: &str) -> Result<Url, JsErrorBox> {
        // The prelude itself is named by a full URL and referred to by nothing.
        let referrer = match Url::parse(referrer) {
            Ok(referrer) if specifier != prelude::HOST => referrer,
            _ => return Url::parse(specifier).map_err(JsErrorBox::from_err),
        };
        if let Some(known) = self.sources.resolved(specifier, referrer.as_str()) {
            let known = Url::parse(&known).map_err(JsErrorBox::from_err)?;
            self.note_import(&referrer, &known);
            return Ok(known);
        }
        let found = if relative::is_relative(specifier) && !self.node.is_package(&referrer)? {
            let url = referrer.join(specifier).map_err(JsErrorBox::from_err)?;
            relative::find(&url, &self.sources).ok_or_else(|| {
                let message = format!("cannot find {specifier:?}: there is no file {}", display_path(&url));
                self.fail(self.resolve_error(specifier, &referrer, message, None))
            })?
        } else {
            self.note_linked_package(specifier, &referrer);
            self.node.resolve(specifier, &referrer).map_err(|error| {
                let root = &self.sources.project().root;
                let (message, help) = match package_name(specifier) {
                    Some(package) if folder_of_package(package, &referrer).is_none() => (
                        format!("cannot find the package {package:?}"),
                        Some(format!("Install it: run `npm install {package}` in {}", root.display())),
                    ),
                    _ => (error.to_string(), None),
                };
                self.fail(self.resolve_error(specifier, &referrer, message, help))
            })?
        };
        self.note_import(&referrer, &found);
        self.sources.note_resolved(specifier, referrer.as_str(), found.as_str());
        Ok(found)
    }

    fn note_import(&self, referrer: &Url, found: &Url) {
        if let (Ok(from), Ok(to)) = (referrer.to_file_path(), found.to_file_path()) {
            self.sources.note_import(from, to);
        }
    }

    /// A package of the workspace is a link in `node_modules`, which may be made to lead elsewhere.
    fn note_linked_package(&self, specifier: &str, referrer: &Url) {
        let folder = package_name(specifier).and_then(|package| folder_of_package(package, referrer));
        if let Some(folder) = folder.filter(|folder| folder.is_symlink()) {
            // A link that leads nowhere fails below.
            let _ = self.sources.canonical(&folder);
        }
    }

    fn resolve_error(&self, specifier: &str, referrer: &Url, message: String, help: Option<String>) -> LoadError {
        let text = source_text(referrer, &self.sources);
        let offset = offset_of_import(referrer, &text, specifier);
        LoadError {
            help,
            ..Position::of_offset(referrer, &text, offset).into_error(LoadErrorKind::Resolve, message)
        }
    }

    async fn load(&self, url: &Url, requested: RequestedModuleType) -> Result<ModuleSource, JsErrorBox> {
        let path = url.to_file_path().map_err(|()| {
            JsErrorBox::generic(format!("cannot import {url}: only files and packages can be imported"))
        })?;
        let file = self.read(url, &path)?;
        let media_type = MediaType::from_specifier(url);
        let bytes = |file: SourceFile| ModuleSourceCode::Bytes(file.bytes.to_vec().into_boxed_slice().into());
        let (code, module_type) = match requested {
            RequestedModuleType::Text => (bytes(file), ModuleType::Text),
            RequestedModuleType::Bytes => (bytes(file), ModuleType::Bytes),
            RequestedModuleType::Json => (bytes(file), ModuleType::Json),
            _ if media_type == MediaType::Wasm => (bytes(file), ModuleType::Wasm),
            // Bundlers import JSON without an attribute; JSON is a JavaScript expression.
            _ if media_type == MediaType::Json => {
                let module = format!("export default {};", self.text(url, &file)?);
                (ModuleSourceCode::String(module.into()), ModuleType::JavaScript)
            }
            _ => {
                let code = self.javascript(url, media_type, &file).await?;
                (ModuleSourceCode::String(code.into()), ModuleType::JavaScript)
            }
        };
        let cache = (module_type == ModuleType::JavaScript).then(|| self.code_cache(url, code.as_bytes()));
        Ok(ModuleSource::new(module_type, code, url, cache))
    }

    fn read(&self, url: &Url, path: &Path) -> Result<SourceFile, JsErrorBox> {
        self.sources.read(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            self.fail(Position::start_of(url, "").into_error(LoadErrorKind::Resolve, message))
        })
    }

    /// The file's text. A package's may contain anything; the project's own must be UTF-8.
    fn text(&self, url: &Url, file: &SourceFile) -> Result<Arc<str>, JsErrorBox> {
        match std::str::from_utf8(&file.bytes) {
            Ok(text) => Ok(text.trim_start_matches('\u{feff}').into()),
            Err(_) if self.node.is_package(url)? => Ok(String::from_utf8_lossy(&file.bytes).into()),
            Err(error) => {
                let text = String::from_utf8_lossy(&file.bytes);
                let at = error.valid_up_to();
                let message = format!("{} is not UTF-8 text: byte {at} cannot be read", display_path(url));
                let help = "Save the file as UTF-8.".to_owned();
                Err(self.fail(LoadError {
                    help: Some(help),
                    ..Position::of_offset(url, &text, at).into_error(LoadErrorKind::Syntax, message)
                }))
            }
        }
    }

    /// An ES module, whatever the file is written in: the same one in every isolate.
    async fn javascript(&self, url: &Url, media_type: MediaType, file: &SourceFile) -> Result<Arc<str>, JsErrorBox> {
        let given = match self.sources.given(url) {
            Some(given) => given,
            None => {
                let made = self.make_javascript(url, media_type, file).await?;
                let (_, code) = self.caches.code.one(made.code);
                self.sources.give(url, Arc::new(Emitted { code, ..made }))
            }
        };
        self.keep_source_map(url, &given);
        Ok(given.code.clone())
    }

    async fn make_javascript(
        &self,
        url: &Url,
        media_type: MediaType,
        file: &SourceFile,
    ) -> Result<Emitted, JsErrorBox> {
        let text = self.text(url, file)?;
        if self.node.is_package(url)? && !media_type.is_emittable() {
            let is_cjs = self.node.is_maybe_cjs(url, media_type)?;
            let code = if is_cjs {
                self.node.cjs_to_esm(url, text, self).await?
            } else {
                text
            };
            return Ok(Emitted { code, source_map: None });
        }
        let content = first_eight_bytes(&file.hash);
        let mut parsed = None;
        let is_script = match self.caches.is_script.get(url, content) {
            Some(known) => known,
            None => {
                let source = self.parse(url, media_type, &text)?;
                let is_script = source.compute_is_script();
                parsed = Some(source);
                self.caches.is_script.put(url.clone(), content, is_script);
                is_script
            }
        };
        let is_cjs = self.node.is_cjs(url, media_type, is_script)?;
        let kind = if is_cjs { EmitKind::Cjs } else { EmitKind::Esm };
        let (code, source_map) = if media_type.is_emittable() {
            let emitted = self.emitted(url, media_type, file, &text, parsed, kind)?;
            (emitted.code.clone(), emitted.source_map.clone())
        } else {
            (text, None)
        };
        let code = if is_cjs {
            self.node.cjs_to_esm(url, code, self).await?
        } else {
            code
        };
        Ok(Emitted { code, source_map })
    }

    /// The text that `require` evaluates.
    pub(crate) fn required(&self, url: &Url, path: &Path) -> Result<Arc<str>, JsErrorBox> {
        let file = self.read(url, path)?;
        let media_type = MediaType::from_specifier(url);
        let text = self.text(url, &file)?;
        if media_type.is_emittable() {
            let emitted = self.emitted(url, media_type, &file, &text, None, EmitKind::Cjs)?;
            self.keep_source_map(url, &emitted);
            return Ok(emitted.code.clone());
        }
        Ok(text)
    }

    fn emitted(
        &self,
        url: &Url,
        media_type: MediaType,
        file: &SourceFile,
        text: &Arc<str>,
        parsed: Option<ParsedSource>,
        kind: EmitKind,
    ) -> Result<Arc<Emitted>, JsErrorBox> {
        let key = (url.clone(), kind);
        let content = first_eight_bytes(&file.hash);
        let emitted = match self.caches.emitted.get(&key, content) {
            Some(emitted) => emitted,
            None => {
                let parsed = parsed.map_or_else(|| self.parse(url, media_type, text), Ok)?;
                let emitted = transpile::emit(url, parsed, kind).map_err(|error| self.fail(error))?;
                let emitted = Arc::new(if self.caches.source_maps_in_code {
                    emitted.with_source_map_in_code()
                } else {
                    emitted
                });
                self.caches.emitted.put(key, content, emitted.clone());
                emitted
            }
        };
        Ok(emitted)
    }

    fn keep_source_map(&self, url: &Url, emitted: &Emitted) {
        if let Some(map) = &emitted.source_map {
            self.source_maps.borrow_mut().insert(url.to_string(), map.clone());
        }
    }

    fn parse(&self, url: &Url, media_type: MediaType, text: &Arc<str>) -> Result<ParsedSource, JsErrorBox> {
        transpile::parse(url, media_type, text.clone()).map_err(|error| self.fail(error))
    }

    fn code_cache(&self, url: &Url, code: &[u8]) -> SourceCodeCacheInfo {
        let hash = short_hash(code);
        let data = self.caches.module_code(url, hash).map(|code| Cow::Owned(code.to_vec()));
        SourceCodeCacheInfo { hash, data }
    }
}

/// What a CommonJS file exports may be what another one does, which the analysis then reads.
impl CjsAnalysisSourceProvider for Modules {
    fn load_source<'a>(&'a self, url: &Url) -> Option<Cow<'a, str>> {
        let path = url.to_file_path().ok()?;
        self.sources.read(&path).ok()?;
        let code = self.required(url, &path).ok()?;
        Some(Cow::Owned(code.to_string()))
    }
}

/// What V8 asks. A handle, because Deno wants to own its loader.
pub(crate) struct Loader(pub(crate) Rc<Modules>);

impl ModuleLoader for Loader {
    fn resolve(&self, specifier: &str, referrer: &str, _kind: ResolutionKind) -> Result<Url, JsErrorBox> {
        self.0.resolve(specifier, referrer)
    }

    fn load(
        &self,
        url: &Url,
        _referrer: Option<&ModuleLoadReferrer>,
        options: ModuleLoadOptions,
    ) -> ModuleLoadResponse {
        let modules = self.0.clone();
        let url = url.clone();
        let load = async move { modules.load(&url, options.requested_module_type).await };
        if options.is_synchronous {
            // `require` of an ES module wants its answer now. Only the CommonJS analysis ever
            // waits, for threads of the blocking pool, so a plain executor is enough.
            return ModuleLoadResponse::Sync(futures::executor::block_on(load));
        }
        ModuleLoadResponse::Async(Box::pin(load))
    }

    fn code_cache_ready(&self, url: Url, hash: u64, code: &[u8]) -> Pin<Box<dyn Future<Output = ()>>> {
        self.0.caches.keep_module_code(url, hash, code);
        Box::pin(std::future::ready(()))
    }

    fn get_code_cache(&self, url: &Url, source: &str) -> Option<SourceCodeCacheInfo> {
        Some(self.0.code_cache(url, source.as_bytes()))
    }

    fn get_source_map(&self, file_name: &str) -> Option<Cow<'_, [u8]>> {
        let maps = self.0.source_maps.borrow();
        maps.get(file_name).map(|map| Cow::Owned(map.to_vec()))
    }
}
