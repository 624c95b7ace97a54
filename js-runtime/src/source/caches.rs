//! Results that are costly to make from a file and valid for exactly its content: shared by all generations, so that
//! a reload pays only for changes, and kept on the disk, so that the next process pays for nothing that this one
//! made.
//!
//! In memory each cache keeps the newest content of a URL only: it is bounded by the number of files,
//! not by the number of edits.

use std::any::Any;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deno_config::workspace::WorkspaceDirectoryRc;
use deno_core::url::Url;
use deno_core::v8;
use deno_resolver::cjs::analyzer::{DenoCjsAnalysis, NodeAnalysisCache, NodeAnalysisCacheSourceHash};
use deno_runtime::code_cache::{CodeCache, CodeCacheType};

use super::commonjs::Facts;
use super::disk::{self, Disk, ValueKind};
use super::effects::ModuleEffects;
use super::emitted::EmittedCode;
use super::newest::{NewestValues, first_eight_bytes, short_hash};
use super::shared::SharedValues;
use super::snapshot::SourceSnapshot;
use super::transpile::EmitKind;
use super::tsconfig::CompilerOptions;

/// The form in which a value outlives the process.
pub(crate) struct StoredForm<T> {
    /// Reads a value; `None` for bytes that are of no such value.
    pub(crate) from_bytes: fn(&[u8]) -> Option<T>,
    /// Writes a value; `None` where it cannot be written.
    pub(crate) to_bytes: fn(&T) -> Option<Vec<u8>>,
}

/// The caches. There is one set per process.
pub(crate) struct Caches {
    /// Code as V8 gets it.
    pub(crate) code: SharedValues<str>,
    /// Deno's knowledge of a project's root, by the content of its `package.json`. A value refers to itself and is
    /// never freed, so there must not be one for each isolate.
    pub(crate) workspaces: NewestValues<PathBuf, WorkspaceDirectoryRc>,
    /// Tells whether emitted code has its source maps within it too.
    source_maps_in_code: bool,
    emitted: NewestValues<(Url, EmitKind), Arc<EmittedCode>>,
    is_script: NewestValues<Url, bool>,
    told: NewestValues<Url, Arc<dyn Any + Send + Sync>>,
    effects: NewestValues<Url, Arc<ModuleEffects>>,
    facts: NewestValues<Url, Option<Arc<Facts>>>,
    cjs: NewestValues<Url, DenoCjsAnalysis>,
    module_code: NewestValues<Url, Arc<[u8]>>,
    script_code: NewestValues<Url, Arc<[u8]>>,
    disk: Arc<Disk>,
    /// V8's code that came from the disk, by kind and content.
    given: Mutex<HashSet<(ValueKind, u64)>>,
    /// The number of times that V8 rejected such code.
    rejected: AtomicU64,
}

impl Caches {
    /// Makes the caches, kept in the folder, if there is one; emitted code may have its source maps within it too. V8
    /// has to be up.
    pub(crate) fn kept_in(folder: Option<PathBuf>, source_maps_in_code: bool) -> Self {
        let v8 = format!(
            "{} {:08x}",
            v8::VERSION_STRING,
            // The tag covers V8's flags, too.
            v8::script_compiler::cached_data_version_tag()
        );
        let ours = env!("BATON_SOURCES").to_owned();
        let disk = folder.map_or_else(Disk::off, |folder| Disk::start(folder, disk::LIMIT, ours, v8));
        Self {
            code: SharedValues::default(),
            workspaces: NewestValues::default(),
            source_maps_in_code,
            emitted: NewestValues::default(),
            is_script: NewestValues::default(),
            told: NewestValues::default(),
            effects: NewestValues::default(),
            facts: NewestValues::default(),
            cjs: NewestValues::default(),
            module_code: NewestValues::default(),
            script_code: NewestValues::default(),
            disk: Arc::new(disk),
            given: Mutex::default(),
            rejected: AtomicU64::default(),
        }
    }

    /// Writes the values that are not on the disk yet. Nothing is kept afterwards.
    pub(crate) fn close(&self) {
        self.disk.close();
    }

    /// Logs the counts of looks on the disk since the process began.
    pub(crate) fn report(&self) {
        let counts = self.disk.counts();
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        tracing::debug!(
            hits = read(&counts.hits),
            misses = read(&counts.misses),
            damaged = read(&counts.damaged),
            rejected = read(&self.rejected),
            "caches on the disk"
        );
    }
}

impl Caches {
    /// Tells whether a file has neither import nor export; `make` finds out.
    pub(crate) fn is_script<E>(
        &self,
        url: &Url,
        file: &blake3::Hash,
        make: impl FnOnce() -> Result<bool, E>,
    ) -> Result<bool, E> {
        let content = first_eight_bytes(file);
        if let Some(known) = self.is_script.get(url, content) {
            return Ok(known);
        }
        let key = self
            .disk
            .key(ValueKind::IsScript, &[url.as_str().as_bytes(), file.as_bytes()]);
        let is_script = match self.disk.get(&key).as_deref() {
            Some([known]) => *known != 0,
            _ => {
                let made = make()?;
                self.disk.put(key, vec![u8::from(made)]);
                made
            }
        };
        self.is_script.put(url.clone(), content, is_script);
        Ok(is_script)
    }

    /// Returns the code that a file becomes for a module system; `make` emits it.
    pub(crate) fn emitted<E>(
        &self,
        (url, kind): (&Url, EmitKind),
        file: &blake3::Hash,
        options: &CompilerOptions,
        make: impl FnOnce() -> Result<EmittedCode, E>,
    ) -> Result<Arc<EmittedCode>, E> {
        let key = self.key_of_emitted((url, kind), file, options);
        let content = first_eight_bytes(&key.into());
        let in_memory = (url.clone(), kind);
        if let Some(known) = self.emitted.get(&in_memory, content) {
            return Ok(known);
        }
        let emitted = self.kept_or_made(key, make)?;
        let emitted = Arc::new(if self.source_maps_in_code {
            emitted.with_source_map_in_code()
        } else {
            emitted
        });
        self.emitted.put(in_memory, content, emitted.clone());
        Ok(emitted)
    }

    /// Returns the same for a module of Baton's own, which is part of the binary.
    pub(crate) fn own_emitted<E>(
        &self,
        url: &Url,
        text: &str,
        make: impl FnOnce() -> Result<EmittedCode, E>,
    ) -> Result<EmittedCode, E> {
        let text = blake3::hash(text.as_bytes());
        let key = self.key_of_emitted((url, EmitKind::Esm), &text, &CompilerOptions::default());
        self.kept_or_made(key, make)
    }

    fn key_of_emitted(
        &self,
        (url, kind): (&Url, EmitKind),
        file: &blake3::Hash,
        options: &CompilerOptions,
    ) -> disk::Key {
        let options = options.of_emitting();
        let kind = match kind {
            EmitKind::Esm => [0],
            EmitKind::Cjs => [1],
            EmitKind::Compiled => [2],
        };
        let parts = [url.as_str().as_bytes(), file.as_bytes(), &kind, options.as_bytes()];
        self.disk.key(ValueKind::Emitted, &parts)
    }

    fn kept_or_made<E>(&self, key: disk::Key, make: impl FnOnce() -> Result<EmittedCode, E>) -> Result<EmittedCode, E> {
        if let Some(kept) = self.disk.get(&key).as_deref().and_then(EmittedCode::from_bytes) {
            return Ok(kept);
        }
        let made = make()?;
        self.disk.put(key, made.to_bytes());
        Ok(made)
    }

    /// Returns the facts in a file's text for a reader that does more than run it; `make` looks, and has nothing for
    /// a text that does not parse. One reader reads all files.
    pub(crate) fn told<T: Any + Send + Sync>(
        &self,
        url: &Url,
        file: &blake3::Hash,
        form: StoredForm<T>,
        make: impl FnOnce() -> Option<T>,
    ) -> Option<Arc<T>> {
        let content = first_eight_bytes(file);
        if let Some(known) = self.told.get(url, content).and_then(|known| known.downcast().ok()) {
            return Some(known);
        }
        let key = self
            .disk
            .key(ValueKind::Findings, &[url.as_str().as_bytes(), file.as_bytes()]);
        let told = match self.disk.get(&key).as_deref().and_then(form.from_bytes) {
            Some(known) => known,
            None => {
                let made = make()?;
                if let Some(bytes) = (form.to_bytes)(&made) {
                    self.disk.put(key, bytes);
                }
                made
            }
        };
        let told = Arc::new(told);
        self.told.put(url.clone(), content, told.clone());
        Some(told)
    }

    /// Returns the effects that evaluating a module has on others; `make` reads its text.
    pub(crate) fn effects(
        &self,
        url: &Url,
        file: &blake3::Hash,
        make: impl FnOnce() -> ModuleEffects,
    ) -> Arc<ModuleEffects> {
        let content = first_eight_bytes(file);
        self.effects.get(url, content).unwrap_or_else(|| {
            let made = Arc::new(make());
            self.effects.put(url.clone(), content, made.clone());
            made
        })
    }

    /// Returns the facts that decide whether a module can be CommonJS; `make` looks, and has nothing for a text that
    /// does not parse.
    pub(crate) fn facts(
        &self,
        url: &Url,
        file: &blake3::Hash,
        make: impl FnOnce() -> Option<Facts>,
    ) -> Option<Arc<Facts>> {
        let content = first_eight_bytes(file);
        self.facts.get(url, content).unwrap_or_else(|| {
            let made = make().map(Arc::new);
            self.facts.put(url.clone(), content, made.clone());
            made
        })
    }

    /// Returns V8's code cache for an ES module.
    pub(crate) fn module_code(&self, url: &Url, content: u64) -> Option<Arc<[u8]>> {
        self.v8_code(ValueKind::ModuleCode, url, content)
    }

    pub(crate) fn keep_module_code(&self, url: Url, content: u64, code: &[u8]) {
        self.keep_v8_code(ValueKind::ModuleCode, url, content, code);
    }

    fn v8_code(&self, kind: ValueKind, url: &Url, content: u64) -> Option<Arc<[u8]>> {
        let memory = self.v8_code_in_memory(kind);
        if let Some(known) = memory.get(url, content) {
            return Some(known);
        }
        // The URL does not matter to V8: a copy of a project has the same code.
        let key = self.disk.key(kind, &[&content.to_le_bytes()]);
        let code: Arc<[u8]> = self.disk.get(&key)?.into();
        lock(&self.given).insert((kind, content));
        memory.put(url.clone(), content, code.clone());
        Some(code)
    }

    fn keep_v8_code(&self, kind: ValueKind, url: Url, content: u64, code: &[u8]) {
        if lock(&self.given).remove(&(kind, content)) {
            // V8 makes the code again only when it did not want the given one.
            self.rejected.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(url = url.as_str(), "V8 rejected a code cache from the disk");
        }
        self.put_v8_code(kind, url, content, code);
    }

    fn put_v8_code(&self, kind: ValueKind, url: Url, content: u64, code: &[u8]) {
        self.disk
            .put(self.disk.key(kind, &[&content.to_le_bytes()]), code.to_vec());
        self.v8_code_in_memory(kind).put(url, content, code.into());
    }

    fn v8_code_in_memory(&self, kind: ValueKind) -> &NewestValues<Url, Arc<[u8]>> {
        if kind == ValueKind::ScriptCode {
            &self.script_code
        } else {
            &self.module_code
        }
    }
}

/// The exports of CommonJS modules, as Deno's analysis asks for them.
pub(crate) struct Analyses {
    pub(crate) caches: Arc<Caches>,
    pub(crate) sources: Arc<SourceSnapshot>,
}

impl Analyses {
    /// Returns the key, which has the package's type in it: CommonJS depends on the package, too.
    fn key(&self, url: &Url, content: u64) -> disk::Key {
        let path = url.to_file_path().ok();
        let mut folders = path.iter().flat_map(|path| path.ancestors().skip(1));
        let package = folders.find_map(|folder| self.sources.package_json(&folder.join("package.json")));
        let of_package = package.map(|package| package.typ.clone());
        self.caches.disk.key(
            ValueKind::CommonJs,
            &[
                url.as_str().as_bytes(),
                &content.to_le_bytes(),
                of_package.unwrap_or_default().as_bytes(),
            ],
        )
    }
}

impl NodeAnalysisCache for Analyses {
    fn compute_source_hash(&self, source: &str) -> NodeAnalysisCacheSourceHash {
        NodeAnalysisCacheSourceHash(short_hash(source.as_bytes()))
    }

    fn get_cjs_analysis(&self, url: &Url, content: NodeAnalysisCacheSourceHash) -> Option<DenoCjsAnalysis> {
        let known = &self.caches.cjs;
        let key = self.key(url, content.0);
        let content = first_eight_bytes(&key.into());
        known.get(url, content).or_else(|| {
            let kept = self.caches.disk.get(&key)?;
            let analysis: DenoCjsAnalysis = serde_json::from_slice(&kept).ok()?;
            known.put(url.clone(), content, analysis.clone());
            Some(analysis)
        })
    }

    fn set_cjs_analysis(&self, url: &Url, content: NodeAnalysisCacheSourceHash, analysis: &DenoCjsAnalysis) {
        let key = self.key(url, content.0);
        let content = first_eight_bytes(&key.into());
        self.caches.cjs.put(url.clone(), content, analysis.clone());
        // The exports of an ES module are asked for in two ways, which the key does not tell apart.
        if matches!(analysis, DenoCjsAnalysis::Cjs(_))
            && let Ok(bytes) = serde_json::to_vec(analysis)
        {
            self.caches.disk.put(key, bytes);
        }
    }
}

/// The cache of V8's code for CommonJS and other scripts, as Deno's trait wants it.
pub(crate) struct ScriptCodeCache(pub(crate) Arc<Caches>);

impl CodeCache for ScriptCodeCache {
    fn get_sync(&self, url: &Url, _kind: CodeCacheType, content: u64) -> Option<Vec<u8>> {
        self.0
            .v8_code(ValueKind::ScriptCode, url, content)
            .map(|code| code.to_vec())
    }

    fn set_sync(&self, url: Url, _kind: CodeCacheType, content: u64, code: &[u8]) {
        self.0.keep_v8_code(ValueKind::ScriptCode, url, content, code);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
