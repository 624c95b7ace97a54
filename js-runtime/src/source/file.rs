//! A file of a source snapshot.

use std::sync::Arc;

/// One file as it was read.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) hash: blake3::Hash,
}
