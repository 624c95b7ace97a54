//! Changes of the process's environment, while it has one thread.

use std::ffi::OsStr;

pub(super) fn set(name: &str, value: &str) {
    #[allow(unsafe_code, clippy::disallowed_methods, reason = "the process has one thread yet")]
    // SAFETY: no other thread reads the environment, for there is none.
    unsafe {
        std::env::set_var(name, value);
    }
}

pub(super) fn remove(name: &OsStr) {
    #[allow(unsafe_code, clippy::disallowed_methods, reason = "the process has one thread yet")]
    // SAFETY: no other thread reads the environment, for there is none.
    unsafe {
        std::env::remove_var(name);
    }
}
