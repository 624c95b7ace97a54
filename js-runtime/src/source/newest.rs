//! Values by a key, each made from the newest content that is known.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The values made from the newest content, by key.
#[derive(Debug)]
pub(crate) struct NewestValues<K, V>(Mutex<HashMap<K, (u64, V)>>);

impl<K, V> Default for NewestValues<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: std::hash::Hash + Eq, V: Clone> NewestValues<K, V> {
    /// Returns the value for this content, if it is the newest known.
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

/// Returns the 64-bit form of a content hash that the Deno crates want.
pub(crate) fn short_hash(content: &[u8]) -> u64 {
    first_eight_bytes(&blake3::hash(content))
}

/// Returns the same form of a hash; see [`short_hash`].
pub(crate) fn first_eight_bytes(hash: &blake3::Hash) -> u64 {
    hash.as_bytes()
        .iter()
        .take(8)
        .fold(0, |value, byte| (value << 8) | u64::from(*byte))
}
