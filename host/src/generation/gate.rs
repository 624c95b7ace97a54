//! The gate before a swap: somebody outside is asked whether a loaded generation may become current.

use std::fmt::Debug;

use futures::future::BoxFuture;
use js_runtime_api::{LoadError, Manifest, Sources};

/// Somebody who may refuse a generation that was loaded, before it becomes current.
pub trait Gate: Debug + Send + Sync {
    /// Resolves with the refusal, or once the generation may become current. The answer is soon there: whoever cannot
    /// tell lets the generation pass.
    fn admit(&self, manifest: &Manifest, sources: &dyn Sources) -> BoxFuture<'static, Result<(), LoadError>>;
}
