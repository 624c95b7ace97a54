//! What the operating system and the language give, by names that are safe: nothing here knows of isolates.

pub(crate) mod contained;
pub(crate) mod cpu_clock;
pub(crate) mod posix;
