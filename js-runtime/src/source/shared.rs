//! Values that generations have in common are kept once: bytes of files, code, paths and names that read the same.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Values by the hash of their content, for as long as somebody has them.
#[derive(Debug)]
pub(crate) struct SharedValues<T: ?Sized>(Mutex<LiveValues<T>>);

#[derive(Debug)]
struct LiveValues<T: ?Sized> {
    values: HashMap<blake3::Hash, Weak<T>>,
    /// The number of values at which those that nobody has are forgotten.
    forget_at: usize,
}

/// The number of values below which nothing is worth forgetting.
const FEW: usize = 1024;

impl<T: ?Sized> Default for SharedValues<T> {
    fn default() -> Self {
        Self(Mutex::new(LiveValues {
            values: HashMap::new(),
            forget_at: FEW,
        }))
    }
}

/// The content by which two values are told apart.
pub(crate) trait Content {
    fn content(&self) -> &[u8];
}

impl Content for [u8] {
    fn content(&self) -> &[u8] {
        self
    }
}

impl Content for str {
    fn content(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Content for Path {
    fn content(&self) -> &[u8] {
        self.as_os_str().as_encoded_bytes()
    }
}

impl<T: ?Sized + Content> SharedValues<T> {
    /// Returns the value itself, or one that reads the same.
    pub(crate) fn one(&self, value: Arc<T>) -> (blake3::Hash, Arc<T>) {
        let hash = blake3::hash(value.content());
        (hash, self.known_or(hash, || value))
    }

    /// Returns a value that reads like this one.
    pub(crate) fn like(&self, value: &T) -> Arc<T>
    where
        Arc<T>: for<'a> From<&'a T>,
    {
        self.known_or(blake3::hash(value.content()), || value.into())
    }

    fn known_or(&self, hash: blake3::Hash, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = known.values.get(&hash).and_then(Weak::upgrade) {
            return same;
        }
        let value = make();
        known.values.insert(hash, Arc::downgrade(&value));
        if known.values.len() >= known.forget_at {
            known.values.retain(|_, value| value.strong_count() > 0);
            known.forget_at = FEW.max(known.values.len() * 2);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{FEW, SharedValues};

    #[test]
    fn what_reads_the_same_is_kept_once_and_forgotten_with_its_last_owner() {
        let shared = SharedValues::<str>::default();
        let (hash, first) = shared.one("text".into());
        let (same, second) = shared.one("text".into());
        assert_eq!(hash, same);
        assert!(Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&first, &shared.like("text")));
        assert!(!Arc::ptr_eq(&first, &shared.like("another")));
        let weak = Arc::downgrade(&first);
        drop((first, second));
        assert!(weak.upgrade().is_none());
        for number in 0..FEW * 3 {
            let _ = shared.one(number.to_string().into());
        }
        assert!(shared.0.lock().unwrap().values.len() <= FEW);
    }
}
