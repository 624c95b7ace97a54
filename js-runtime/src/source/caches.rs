//! What is costly to make from a file and valid for exactly its content: shared by all
//! generations, so that a reload pays only for what changed.
//!
//! Each cache keeps the newest content of a URL only: memory is bounded by the number of files,
//! not by the number of edits.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use deno_config::workspace::WorkspaceDirectoryRc;
use deno_core::url::Url;
use deno_resolver::cjs::analyzer::{DenoCjsAnalysis, NodeAnalysisCache, NodeAnalysisCacheSourceHash};
use deno_runtime::code_cache::{CodeCache, CodeCacheType};

use super::findings::Findings;
use super::shared::Shared;
use super::transpile::{EmitKind, Emitted};

/// One set per process.
#[derive(Default)]
pub(crate) struct Caches {
    pub(crate) emitted: Newest<(Url, EmitKind), Arc<Emitted>>,
    /// Whether a file has neither import nor export.
    pub(crate) is_script: Newest<Url, bool>,
    /// What the text tells about functions.
    pub(crate) findings: Newest<Url, Arc<Findings>>,
    /// Code as V8 is given it.
    pub(crate) code: Shared<str>,
    /// What Deno knows of a project's root, by the content of its `package.json`. It refers to itself and
    /// is never freed, so there must not be one for each isolate.
    pub(crate) workspaces: Newest<PathBuf, WorkspaceDirectoryRc>,
    /// Whether `emitted` has its source maps within the code too.
    pub(crate) source_maps_in_code: bool,
    cjs: Newest<Url, DenoCjsAnalysis>,
    module_code: Newest<Url, Arc<[u8]>>,
    script_code: Newest<Url, Arc<[u8]>>,
}

impl Caches {
    pub(crate) fn with_source_maps() -> Self {
        Self {
            source_maps_in_code: true,
            ..Self::default()
        }
    }
}

/// By key the value made from its newest content.
pub(crate) struct Newest<K, V>(Mutex<HashMap<K, (u64, V)>>);

impl<K, V> Default for Newest<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: std::hash::Hash + Eq, V: Clone> Newest<K, V> {
    /// The value for this content, if it is the newest known.
    pub(crate) fn get(&self, key: &K, content: u64) -> Option<V> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(key)
            .filter(|(known, _)| *known == content)
            .map(|(_, value)| value.clone())
    }

    pub(crate) fn put(&self, key: K, content: u64, value: V) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.insert(key, (content, value));
    }
}

/// The 64-bit form of a content hash that the Deno crates want.
pub(crate) fn short_hash(content: &[u8]) -> u64 {
    first_eight_bytes(&blake3::hash(content))
}

/// See [`short_hash`].
pub(crate) fn first_eight_bytes(hash: &blake3::Hash) -> u64 {
    hash.as_bytes()
        .iter()
        .take(8)
        .fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

impl Caches {
    /// V8's code cache for an ES module.
    pub(crate) fn module_code(&self, url: &Url, content: u64) -> Option<Arc<[u8]>> {
        self.module_code.get(url, content)
    }

    pub(crate) fn keep_module_code(&self, url: Url, content: u64, code: &[u8]) {
        self.module_code.put(url, content, code.into());
    }
}

impl NodeAnalysisCache for Caches {
    fn compute_source_hash(&self, source: &str) -> NodeAnalysisCacheSourceHash {
        NodeAnalysisCacheSourceHash(short_hash(source.as_bytes()))
    }

    fn get_cjs_analysis(&self, url: &Url, content: NodeAnalysisCacheSourceHash) -> Option<DenoCjsAnalysis> {
        self.cjs.get(url, content.0)
    }

    fn set_cjs_analysis(&self, url: &Url, content: NodeAnalysisCacheSourceHash, analysis: &DenoCjsAnalysis) {
        self.cjs.put(url.clone(), content.0, analysis.clone());
    }
}

/// V8's code cache for CommonJS and other scripts goes through this trait of Deno's.
pub(crate) struct ScriptCodeCache(pub(crate) Arc<Caches>);

impl CodeCache for ScriptCodeCache {
    fn get_sync(&self, url: &Url, _kind: CodeCacheType, content: u64) -> Option<Vec<u8>> {
        self.0.script_code.get(url, content).map(|code| code.to_vec())
    }

    fn set_sync(&self, url: Url, _kind: CodeCacheType, content: u64, code: &[u8]) {
        self.0.script_code.put(url, content, code.into());
    }
}
