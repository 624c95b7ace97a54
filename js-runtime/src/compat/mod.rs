//! What user code may do to its process, kept inside its isolate.

pub(crate) mod console;
pub(crate) mod process;
