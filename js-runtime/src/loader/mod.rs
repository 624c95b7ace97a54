//! Gives V8 the modules of one isolate: resolves specifiers ([`resolving`]), reads each file from the generation's
//! source snapshot, makes JavaScript of it ([`javascript`]), and remembers the reasons of failures.
//!
//! # Files
//!
//! - the modules of one isolate: `mod.rs` what V8 asks for
//! - `resolving.rs` what a specifier means
//! - `javascript.rs` what is made of a file, `commonjs.rs` which ones are CommonJS, `data.rs` what is none,
//!   `interop.rs` default exports, `import_meta.rs` what is added to it
//! - `require.rs` (what `require` takes)
//! - `code_cache.rs` what V8 made of that

mod code_cache;
mod commonjs;
mod data;
mod import_meta;
mod interop;
mod javascript;
pub(crate) mod require;
mod resolving;

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use deno_ast::MediaType;
use deno_core::url::Url;
use deno_core::{
    ModuleLoadOptions, ModuleLoadReferrer, ModuleLoadResponse, ModuleLoader, ModuleSource, ModuleSourceCode,
    ModuleType, RequestedModuleType, ResolutionKind, SourceCodeCacheInfo,
};
use deno_error::JsErrorBox;
use js_runtime_api::{LoadError, LoadErrorKind};

use self::resolving::SpecifierPlace;
use crate::built_in::BuiltIns;
use crate::control::Control;
use crate::own_modules::{self, before_thread};
use crate::position::{Position, display_path};
use crate::prelude;
use crate::resolve::node::NodeResolution;
use crate::resolve::relative;
use crate::source::bundled;
use crate::source::caches::Caches;
use crate::source::emitted::EmittedCode;
use crate::source::second_url::without_mark;
use crate::source::snapshot::{SourceFile, SourceSnapshot};
use crate::source::tsconfig::TsConfigs;

/// The knowledge that one isolate has of its modules. Lives on the isolate's thread.
pub(crate) struct Modules {
    pub(crate) sources: Arc<SourceSnapshot>,
    pub(crate) node: NodeResolution,
    pub(crate) built_ins: Arc<BuiltIns>,
    caches: Arc<Caches>,
    tsconfigs: TsConfigs,
    /// The meanings of packages' specifiers, by the places where they are written: files of one folder find the same.
    found: RefCell<HashMap<SpecifierPlace, Url>>,
    source_maps: RefCell<HashMap<String, Arc<[u8]>>>,
    /// The reasons why modules could not be given to V8, in order. JavaScript sees only the message, and may catch
    /// it.
    failures: RefCell<Vec<LoadError>>,
    /// Tells, by URL, whether a module becomes CommonJS that is made of an ES module.
    compiled: RefCell<HashMap<Url, bool>>,
    /// The numbers of the awaits that waiting modules have come to, by the modules' URLs.
    waiting: RefCell<HashMap<String, usize>>,
    /// The module with which a worker thread begins.
    begins_thread: OnceCell<Url>,
}

impl Modules {
    pub(crate) fn new(
        sources: Arc<SourceSnapshot>,
        node: NodeResolution,
        caches: Arc<Caches>,
        built_ins: Arc<BuiltIns>,
    ) -> Self {
        Self {
            sources,
            node,
            built_ins,
            caches,
            tsconfigs: TsConfigs::default(),
            found: RefCell::default(),
            source_maps: RefCell::default(),
            failures: RefCell::default(),
            compiled: RefCell::default(),
            waiting: RefCell::default(),
            begins_thread: OnceCell::new(),
        }
    }

    /// Returns the full story behind an error message that reached JavaScript.
    pub(crate) fn failure_behind(&self, message: &str) -> Option<LoadError> {
        let failures = self.failures.borrow();
        failures
            .iter()
            .find(|failure| message.contains(&failure.message))
            .cloned()
    }

    /// Notes that these are the modules of a worker thread, which begins with this module.
    pub(crate) fn begin_thread(&self, main: Url) {
        // Set once, by the thread that makes the modules.
        let _ = self.begins_thread.set(main);
    }

    fn begins_thread(&self, url: &Url) -> bool {
        self.begins_thread.get() == Some(url)
    }

    /// Notes the top-level await that a module has come to; another number means the module's end.
    pub(crate) fn note_await(&self, url: String, number: i32) {
        match usize::try_from(number) {
            Ok(number) => self.waiting.borrow_mut().insert(url, number),
            Err(_) => self.waiting.borrow_mut().remove(&url),
        };
    }

    /// Returns the number of the top-level await at which a module waits, among those in its text.
    pub(crate) fn awaits_at(&self, url: &Url) -> Option<usize> {
        self.waiting.borrow().get(url.as_str()).copied()
    }

    /// Maps a 1-based position in the code that V8 has to the original source.
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

    async fn load(&self, url: &Url, requested: RequestedModuleType) -> Result<ModuleSource, JsErrorBox> {
        let own = own_modules::module(url, &self.caches);
        let own = own.or_else(|| prelude::module(url, &self.sources.project().root, &self.caches));
        if let Some(code) = own.or_else(|| self.built_ins.module(url, &self.caches)) {
            let code = code.map_err(|error| self.fail(error))?;
            let cache = self.code_cache(url, code.as_bytes());
            let code = ModuleSourceCode::String(code.into());
            return Ok(ModuleSource::new(ModuleType::JavaScript, code, url, Some(cache)));
        }
        if let Some(names) = bundled::names_module(url) {
            let code = ModuleSourceCode::String(names.into());
            return Ok(ModuleSource::new(ModuleType::JavaScript, code, url, None));
        }
        if let Some(exports) = self.exports_module(url) {
            let code = ModuleSourceCode::String(exports.into());
            return Ok(ModuleSource::new(ModuleType::JavaScript, code, url, None));
        }
        if url.scheme() == "data" {
            return self.load_data(url, &requested);
        }
        let path = url.to_file_path().map_err(|()| {
            JsErrorBox::generic(format!("cannot import {url}: only files and packages can be imported"))
        })?;
        self.sources.read_anew_for(url, &path);
        let file = self.read(url, &path)?;
        let media_type = MediaType::from_specifier(url);
        let bytes = |file: SourceFile| ModuleSourceCode::Bytes(file.bytes.to_vec().into_boxed_slice().into());
        let (code, module_type) = match requested {
            RequestedModuleType::Text => (bytes(file), ModuleType::Text),
            RequestedModuleType::Bytes => (bytes(file), ModuleType::Bytes),
            RequestedModuleType::Json => {
                self.check_json(url, &file)?;
                (bytes(file), ModuleType::Json)
            }
            _ if media_type == MediaType::Wasm => (bytes(file), ModuleType::Wasm),
            _ => {
                if let Some(content) = self.content(url, &file)? {
                    let code = ModuleSourceCode::String(content.as_module().into());
                    let cache = Some(self.code_cache(url, code.as_bytes()));
                    return Ok(ModuleSource::new(ModuleType::JavaScript, code, url, cache));
                }
                let code = self.javascript(url, media_type, &file).await?;
                let cache = self.code_cache(url, code.as_bytes());
                let code = ModuleSourceCode::String(code.into());
                return Ok(ModuleSource::new(ModuleType::JavaScript, code, url, Some(cache)));
            }
        };
        Ok(ModuleSource::new(module_type, code, url, None))
    }

    /// Loads a module that is its own specifier.
    fn load_data(&self, url: &Url, requested: &RequestedModuleType) -> Result<ModuleSource, JsErrorBox> {
        let unreadable = || JsErrorBox::type_error("cannot read an imported data: URL");
        let data = data_url::DataUrl::process(url.as_str()).map_err(|_| unreadable())?;
        let (bytes, _) = data.decode_to_vec().map_err(|_| unreadable())?;
        let module_type = match requested {
            RequestedModuleType::Json => ModuleType::Json,
            RequestedModuleType::Text => ModuleType::Text,
            _ => ModuleType::JavaScript,
        };
        let code = match self.begins_thread(url) && module_type == ModuleType::JavaScript {
            true => {
                let (code, source_map) = (String::from_utf8_lossy(&bytes).into(), None);
                let begun = before_thread(url, &EmittedCode { code, source_map });
                self.keep_source_map(url, &begun);
                ModuleSourceCode::String(begun.code.into())
            }
            false => ModuleSourceCode::Bytes(bytes.into_boxed_slice().into()),
        };
        Ok(ModuleSource::new(module_type, code, url, None))
    }

    fn read(&self, url: &Url, path: &Path) -> Result<SourceFile, JsErrorBox> {
        self.sources.read(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            self.fail(LoadError {
                help: Some("Make the file readable, or correct the import.".to_owned()),
                ..Position::start_of(url, "").into_error(LoadErrorKind::Resolve, message)
            })
        })
    }

    /// Returns the file's text. A package's file may contain anything; the project's own must be UTF-8.
    fn text(&self, url: &Url, file: &SourceFile) -> Result<Arc<str>, JsErrorBox> {
        match std::str::from_utf8(&file.bytes) {
            Ok(text) => Ok(text.trim_start_matches('\u{feff}').into()),
            Err(_) if self.node.is_package(url)? => Ok(String::from_utf8_lossy(&file.bytes).into()),
            Err(error) => {
                let text = String::from_utf8_lossy(&file.bytes);
                let at = error.valid_up_to();
                let message = format!("cannot read {}: not valid UTF-8 at byte {at}", display_path(url));
                let help = "Save the file as UTF-8.".to_owned();
                Err(self.fail(LoadError {
                    help: Some(help),
                    ..Position::of_offset(url, &text, at).into_error(LoadErrorKind::Syntax, message)
                }))
            }
        }
    }
}

/// The loader that V8 asks. A handle, because Deno wants to own its loader.
pub(crate) struct Loader {
    pub(crate) modules: Rc<Modules>,
    pub(crate) control: Arc<Control>,
}

impl ModuleLoader for Loader {
    /// # Errors
    /// Also where an isolate that ends imports at run time: Deno evaluates a module of its own within that call, and
    /// panics when V8 stops it there.
    fn resolve(&self, specifier: &str, referrer: &str, kind: ResolutionKind) -> Result<Url, JsErrorBox> {
        if kind == ResolutionKind::DynamicImport && self.control.stopped().is_some() {
            return Err(JsErrorBox::generic(format!(
                "cannot import {specifier}: the isolate is ending"
            )));
        }
        self.modules.resolve(specifier, referrer)
    }

    /// Resolves as Node does: a file need not be there.
    fn import_meta_resolve(&self, specifier: &str, referrer: &str) -> Result<Url, JsErrorBox> {
        match Url::parse(referrer).and_then(|referrer| referrer.join(specifier)) {
            Ok(url) if relative::is_relative(specifier) => {
                Ok(relative::find(&url, &self.modules.sources).unwrap_or(url))
            }
            _ => self.modules.resolve(specifier, referrer).map(without_mark),
        }
    }

    fn load(
        &self,
        url: &Url,
        _referrer: Option<&ModuleLoadReferrer>,
        options: ModuleLoadOptions,
    ) -> ModuleLoadResponse {
        let modules = self.modules.clone();
        let url = url.clone();
        let load = async move { modules.load(&url, options.requested_module_type).await };
        if options.is_synchronous {
            // `require` of an ES module wants its answer now. Only the CommonJS analysis ever waits, for threads of
            // the blocking pool, so a plain executor is enough. The executor of `futures` is not: it panics inside of
            // itself, where a required module requires.
            return ModuleLoadResponse::Sync(pollster::block_on(load));
        }
        ModuleLoadResponse::Async(Box::pin(load))
    }

    fn code_cache_ready(&self, url: Url, hash: u64, code: &[u8]) -> Pin<Box<dyn Future<Output = ()>>> {
        self.modules.caches.keep_module_code(url, hash, code);
        Box::pin(std::future::ready(()))
    }

    fn get_code_cache(&self, url: &Url, source: &str) -> Option<SourceCodeCacheInfo> {
        Some(self.modules.code_cache(url, source.as_bytes()))
    }

    fn get_source_map(&self, file_name: &str) -> Option<Cow<'_, [u8]>> {
        let maps = self.modules.source_maps.borrow();
        maps.get(file_name).map(|map| Cow::Owned(map.to_vec()))
    }
}
