//! The name of an isolate: that of its thread, and of its lines in the log. A spare is called so until it is given a
//! generation's name.

use std::sync::{Arc, Mutex, PoisonError};

use crate::system::posix;

/// The name of a spare isolate.
pub(crate) const SPARE: &str = "spare";

/// The name, shared by all who use it.
#[derive(Debug, Clone)]
pub(crate) struct Name(Arc<Mutex<Arc<str>>>);

impl Name {
    pub(crate) fn new(name: &str) -> Self {
        Self(Arc::new(Mutex::new(name.into())))
    }

    pub(crate) fn get(&self) -> Arc<str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the isolate another name; to be called on its own thread.
    pub(crate) fn become_known_as(&self, name: &str) {
        if *self.get() != *name {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = name.into();
            posix::name_this_thread(name);
        }
    }
}
