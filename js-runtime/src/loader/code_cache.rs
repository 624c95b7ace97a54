//! V8's caches of compiled code, by the content of the source: given to V8 with each module.

use std::borrow::Cow;

use deno_core::SourceCodeCacheInfo;
use deno_core::url::Url;

use super::Modules;
use crate::source::newest::short_hash;

impl Modules {
    pub(super) fn code_cache(&self, url: &Url, code: &[u8]) -> SourceCodeCacheInfo {
        let hash = short_hash(code);
        let data = self.caches.module_code(url, hash).map(|code| Cow::Owned(code.to_vec()));
        SourceCodeCacheInfo { hash, data }
    }
}
