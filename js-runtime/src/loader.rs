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
use js_runtime_api::{Entry, LoadError, LoadErrorKind};
use node_resolver::analyze::CjsAnalysisSourceProvider;

use crate::compat::bun;
use crate::diagnostics::{Position, display_path, source_text};
use crate::prelude;
use crate::resolve::node::{NodeResolution, folder_of_package, package_name};
use crate::resolve::relative;
use crate::source::bundled;
use crate::source::caches::{Caches, short_hash};
use crate::source::findings::{self, Findings};
use crate::source::imports::offset_of_import;
use crate::source::snapshot::{SourceFile, SourceSnapshot};
use crate::source::transpile::{self, EmitKind, Emitted};
use crate::source::tsconfig::{CompilerOptions, TsConfigs};

/// What one isolate knows about its modules. Lives on the isolate's thread.
pub(crate) struct Modules {
    pub(crate) sources: Arc<SourceSnapshot>,
    pub(crate) node: NodeResolution,
    caches: Arc<Caches>,
    tsconfigs: TsConfigs,
    /// What packages' specifiers mean, by where they are written: files of one folder find the same.
    found: RefCell<HashMap<Place, Url>>,
    source_maps: RefCell<HashMap<String, Arc<[u8]>>>,
    /// Why modules could not be given to V8, in order. JavaScript sees only the message, and may
    /// catch it.
    failures: RefCell<Vec<LoadError>>,
    fresh: RefCell<Vec<Fresh>>,
}

/// A module that no other isolate of the process had before.
pub(crate) struct Fresh {
    pub(crate) url: Url,
    pub(crate) code: Arc<str>,
    /// Of the code.
    hash: u64,
}

/// Where a specifier is written that names a package.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Place {
    specifier: String,
    /// The folder of the file.
    folder: String,
    /// Files of different kinds may be given different ones: `.ts`, `.cts`.
    extension: String,
}

impl Place {
    fn of(specifier: &str, referrer: &Url) -> Self {
        let (folder, file) = referrer.as_str().rsplit_once('/').unwrap_or_default();
        let (_, extension) = file.rsplit_once('.').unwrap_or_default();
        Self {
            specifier: specifier.to_owned(),
            folder: folder.to_owned(),
            extension: extension.to_owned(),
        }
    }
}

impl Modules {
    pub(crate) fn new(sources: Arc<SourceSnapshot>, node: NodeResolution, caches: Arc<Caches>) -> Self {
        Self {
            sources,
            node,
            caches,
            tsconfigs: TsConfigs::default(),
            found: RefCell::default(),
            source_maps: RefCell::default(),
            failures: RefCell::default(),
            fresh: RefCell::default(),
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
            Ok(referrer) if !prelude::is_own(specifier) => referrer,
            _ => return Url::parse(specifier).map_err(JsErrorBox::from_err),
        };
        if let Some(own) = bun::resolve(specifier, &referrer) {
            return Ok(own);
        }
        match bun::specifier(specifier) {
            Some(bun::Specifier::Module(url)) => return Ok(url),
            Some(bun::Specifier::Missing(message)) => {
                return Err(self.fail(self.resolve_error(specifier, &referrer, message, None)));
            }
            None => {}
        }
        if let Some(known) = self.sources.resolved(specifier, referrer.as_str()) {
            let known = Url::parse(&known).map_err(JsErrorBox::from_err)?;
            self.note_import(&referrer, &known);
            return Ok(known);
        }
        if specifier == bundled::COMMONJS_NAMES {
            return bundled::names_for(&referrer).ok_or_else(|| JsErrorBox::generic("not a file"));
        }
        let is_package = self.node.is_package(&referrer)?;
        let found = if relative::is_relative(specifier) && !is_package {
            let url = referrer.join(specifier).map_err(JsErrorBox::from_err)?;
            relative::find(&url, &self.sources).ok_or_else(|| {
                let message = format!("cannot find {specifier:?}: there is no file {}", display_path(&url));
                self.fail(self.resolve_error(specifier, &referrer, message, None))
            })?
        } else if let Some(known) = self.found.borrow().get(&Place::of(specifier, &referrer)) {
            known.clone()
        } else if let Some(found) = self.mapped(specifier, &referrer, is_package)? {
            found
        } else {
            self.note_linked_package(specifier, &referrer);
            let found = self.node.resolve(specifier, &referrer);
            let found = found.or_else(|error| self.as_bundlers_find(specifier, &referrer, is_package).ok_or(error));
            found.map_err(|error| {
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
        if !relative::is_relative(specifier) {
            let place = Place::of(specifier, &referrer);
            self.found.borrow_mut().insert(place, found.clone());
        }
        self.note_import(&referrer, &found);
        self.sources.note_resolved(specifier, referrer.as_str(), found.as_str());
        Ok(found)
    }

    /// Where `paths` and `baseUrl` of the importing file's tsconfig.json lead.
    fn mapped(&self, specifier: &str, referrer: &Url, is_package: bool) -> Result<Option<Url>, JsErrorBox> {
        if is_package || specifier.contains(':') || specifier.starts_with('#') || self.node.is_builtin(specifier) {
            return Ok(None);
        }
        let places = self.compiler_options(referrer)?.places(specifier);
        let mut urls = places.iter().filter_map(|place| Url::from_file_path(place).ok());
        Ok(urls.find_map(|url| relative::find(&url, &self.sources)))
    }

    /// A file in a package that does not say what it exports, without its extension: `lodash/fp`.
    fn as_bundlers_find(&self, specifier: &str, referrer: &Url, is_package: bool) -> Option<Url> {
        let package = package_name(specifier).filter(|_| !is_package)?;
        let inside = specifier.strip_prefix(package)?.strip_prefix('/')?;
        let folder = folder_of_package(package, referrer)?;
        let package_json = self.sources.package_json(&folder.join("package.json"))?;
        let url = Url::from_file_path(folder.join(inside)).ok()?;
        package_json
            .exports
            .is_none()
            .then(|| relative::find(&url, &self.sources))?
    }

    /// What the tsconfig.json of a file of the project says; nothing about installed packages.
    fn compiler_options(&self, url: &Url) -> Result<Rc<CompilerOptions>, JsErrorBox> {
        let path = match url.to_file_path() {
            Ok(path) if !self.node.is_package(url)? => path,
            _ => return Ok(Rc::default()),
        };
        self.tsconfigs.of(&path, &self.sources).map_err(|error| {
            let message = format!("cannot use {}: {error}", error.file().display());
            let config = Url::from_file_path(error.file()).unwrap_or_else(|()| url.clone());
            let text = source_text(&config, &self.sources);
            self.fail(Position::start_of(&config, &text).into_error(LoadErrorKind::Resolve, message))
        })
    }

    fn note_import(&self, referrer: &Url, found: &Url) {
        if let (Ok(from), Ok(to)) = (referrer.to_file_path(), found.to_file_path()) {
            self.sources.note_import(&from, &to);
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
        let own = prelude::module(url, &self.sources.project().root, &self.caches);
        if let Some(code) = own.or_else(|| bun::module(url)) {
            let code = code.map_err(|error| self.fail(error))?;
            let cache = self.code_cache_of_module(url, &code);
            let code = ModuleSourceCode::String(code.into());
            return Ok(ModuleSource::new(ModuleType::JavaScript, code, url, Some(cache)));
        }
        if let Some(names) = bundled::names_module(url) {
            let code = ModuleSourceCode::String(names.into());
            return Ok(ModuleSource::new(ModuleType::JavaScript, code, url, None));
        }
        if url.scheme() == "data" {
            return self.load_data(url, &requested);
        }
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
            _ if bundled::is_text(url) => {
                let module = format!("export default {};", serde_json::Value::from(&*self.text(url, &file)?));
                (ModuleSourceCode::String(module.into()), ModuleType::JavaScript)
            }
            _ => {
                let code = self.javascript(url, media_type, &file).await?;
                let cache = self.code_cache_of_module(url, &code);
                let code = ModuleSourceCode::String(code.into());
                return Ok(ModuleSource::new(ModuleType::JavaScript, code, url, Some(cache)));
            }
        };
        let cache = (module_type == ModuleType::JavaScript).then(|| self.code_cache(url, code.as_bytes()));
        Ok(ModuleSource::new(module_type, code, url, cache))
    }

    /// A module that is its own specifier.
    fn load_data(&self, url: &Url, requested: &RequestedModuleType) -> Result<ModuleSource, JsErrorBox> {
        let unreadable = || JsErrorBox::type_error("a data: URL that cannot be read is imported");
        let data = data_url::DataUrl::process(url.as_str()).map_err(|_| unreadable())?;
        let (bytes, _) = data.decode_to_vec().map_err(|_| unreadable())?;
        let module_type = match requested {
            RequestedModuleType::Json => ModuleType::Json,
            RequestedModuleType::Text => ModuleType::Text,
            _ => ModuleType::JavaScript,
        };
        let code = ModuleSourceCode::Bytes(bytes.into_boxed_slice().into());
        Ok(ModuleSource::new(module_type, code, url, None))
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
                let mut made = self.make_javascript(url, media_type, file).await?;
                if let Some(code) = self.with_import_meta(url, &made.code)? {
                    made.code = code;
                }
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
        let mut parsed = None;
        let is_script = self.caches.is_script(url, &file.hash, || {
            let source = self.parse(url, media_type, &text)?;
            let is_script = source.compute_is_script();
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
        let (code, source_map) = if media_type.is_emittable() {
            let emitted = self.emitted(url, media_type, file, &text, parsed, kind)?;
            (emitted.code.clone(), emitted.source_map.clone())
        } else {
            (text, None)
        };
        let code = match names {
            _ if is_cjs => self.node.cjs_to_esm(url, code, self).await?,
            Some(names) => format!("{code}{names}").into(),
            None => code,
        };
        Ok(Emitted { code, source_map })
    }

    /// What Bun has in `import.meta` and Deno has not, for a module of the project that uses it. In
    /// its first line, which the source map then has too far left; no other line moves.
    fn with_import_meta(&self, url: &Url, code: &str) -> Result<Option<Arc<str>>, JsErrorBox> {
        if !uses_more_of_import_meta(code) || code.starts_with("#!") || self.node.is_package(url)? {
            return Ok(None);
        }
        let is_entry = match &self.sources.project().entry {
            Entry::File(entry) => url
                .to_file_path()
                .is_ok_and(|path| path == *entry || self.sources.canonical(entry).is_ok_and(|entry| entry == path)),
            Entry::Folder(_) => false,
        };
        Ok(Some(
            format!("{IMPORT_META}{}{code}", if is_entry { IS_MAIN } else { "" }).into(),
        ))
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
        let options = self.compiler_options(url)?;
        self.caches.emitted((url, kind), &file.hash, &options, || {
            let parsed = parsed.map_or_else(|| self.parse(url, media_type, text), Ok)?;
            if findings::may_tell(text) {
                self.caches.findings(url, &file.hash, || Some(findings::look(&parsed)));
            }
            transpile::emit(url, parsed, kind, &options).map_err(|error| self.fail(error))
        })
    }

    /// What the texts of the project's own modules tell about functions, with their URLs.
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
        let found = self.caches.findings(&url, &file.hash, || {
            // One that was never loaded may well not parse.
            let parsed = transpile::parse(&url, media_type, text.into()).ok()?;
            Some(findings::look(&parsed))
        })?;
        Some((url, found))
    }

    fn keep_source_map(&self, url: &Url, emitted: &Emitted) {
        if let Some(map) = &emitted.source_map {
            self.source_maps.borrow_mut().insert(url.to_string(), map.clone());
        }
    }

    fn parse(&self, url: &Url, media_type: MediaType, text: &Arc<str>) -> Result<ParsedSource, JsErrorBox> {
        transpile::parse(url, media_type, text.clone()).map_err(|error| self.fail(error))
    }

    fn code_cache_of_module(&self, url: &Url, code: &Arc<str>) -> SourceCodeCacheInfo {
        let cache = self.code_cache(url, code.as_bytes());
        if self.caches.is_first_use(cache.hash) {
            self.fresh.borrow_mut().push(Fresh {
                url: url.clone(),
                code: code.clone(),
                hash: cache.hash,
            });
        }
        cache
    }

    /// What this isolate was the first to have.
    pub(crate) fn take_fresh(&self) -> Vec<Fresh> {
        self.fresh.take()
    }

    /// Keeps a code cache that was made once more, if it has notably more in it; says how large the one before was.
    pub(crate) fn keep_executed(&self, Fresh { url, hash, .. }: Fresh, code: &[u8]) -> Option<usize> {
        let before = self.caches.module_code(&url, hash).map_or(0, |before| before.len());
        (before + before / 20 < code.len()).then(|| {
            self.caches.complete_module_code(url, hash, code);
            before
        })
    }

    fn code_cache(&self, url: &Url, code: &[u8]) -> SourceCodeCacheInfo {
        let hash = short_hash(code);
        let data = self.caches.module_code(url, hash).map(|code| Cow::Owned(code.to_vec()));
        SourceCodeCacheInfo { hash, data }
    }
}

const IMPORT_META: &str = "Object.assign(import.meta,{dir:import.meta.dirname,path:import.meta.filename,\
    file:import.meta.filename.replace(/^.*\\//,\"\"),env:process.env,\
    require:id=>process.getBuiltinModule(\"node:module\").createRequire(import.meta.url)(id)});";

const IS_MAIN: &str = "import.meta.main=true;";

/// Whether a module asks `import.meta` for something that is not in it everywhere.
fn uses_more_of_import_meta(code: &str) -> bool {
    code.match_indices("import.meta").any(|(at, meta)| {
        let rest = &code[at + meta.len()..];
        !["url", "dirname", "filename", "resolve"].iter().any(|name| {
            rest.strip_prefix('.')
                .and_then(|rest| rest.strip_prefix(name))
                .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
        })
    })
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

    /// As in Node: a file need not be there.
    fn import_meta_resolve(&self, specifier: &str, referrer: &str) -> Result<Url, JsErrorBox> {
        match Url::parse(referrer).and_then(|referrer| referrer.join(specifier)) {
            Ok(url) if relative::is_relative(specifier) => Ok(relative::find(&url, &self.0.sources).unwrap_or(url)),
            _ => self.0.resolve(specifier, referrer),
        }
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
            // waits, for threads of the blocking pool, so a plain executor is enough. That of
            // `futures` is not: it panics inside of itself, where a required module requires.
            return ModuleLoadResponse::Sync(pollster::block_on(load));
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

#[cfg(test)]
mod tests {
    use super::uses_more_of_import_meta;

    #[test]
    fn only_what_is_not_in_import_meta_everywhere_asks_for_more() {
        for usual in [
            "",
            "import.meta.url",
            "new URL(\".\", import.meta.url)",
            "import.meta.resolve(\"x\")",
        ] {
            assert!(!uses_more_of_import_meta(usual), "{usual}");
        }
        for more in [
            "import.meta.dir",
            "import.meta.url + import.meta.path",
            "const { file } = import.meta;",
            "import.meta.urls",
            "import.meta.main",
        ] {
            assert!(uses_more_of_import_meta(more), "{more}");
        }
    }
}
