//! The services of the operating system and of the language, by names that are safe: nothing here knows of isolates.

pub(crate) mod contained;
pub(crate) mod cpu_clock;
pub(crate) mod posix;
