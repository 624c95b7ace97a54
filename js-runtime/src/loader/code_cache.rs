//! V8's caches of compiled code, by what was compiled: given with each module, and made once more of what ran.

use std::borrow::Cow;
use std::sync::Arc;

use deno_core::SourceCodeCacheInfo;
use deno_core::url::Url;

use super::Modules;
use crate::source::caches::short_hash;

/// A module that no other isolate of the process had before.
pub(crate) struct Fresh {
    pub(crate) url: Url,
    pub(crate) code: Arc<str>,
    /// Of the code.
    hash: u64,
}

impl Modules {
    pub(super) fn code_cache_of_module(&self, url: &Url, code: &Arc<str>) -> SourceCodeCacheInfo {
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

    pub(super) fn code_cache(&self, url: &Url, code: &[u8]) -> SourceCodeCacheInfo {
        let hash = short_hash(code);
        let data = self.caches.module_code(url, hash).map(|code| Cow::Owned(code.to_vec()));
        SourceCodeCacheInfo { hash, data }
    }
}
