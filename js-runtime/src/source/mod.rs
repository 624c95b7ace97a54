//! What a generation's files said, and what is made of them before V8 sees them.

pub(crate) mod attributes;
pub(crate) mod bundled;
pub(crate) mod caches;
mod changes;
pub(crate) mod circles;
pub(crate) mod common;
pub(crate) mod commonjs;
mod decorated;
pub(crate) mod disk;
pub(crate) mod effects;
pub(crate) mod entries;
pub(crate) mod environment;
mod fields;
pub(crate) mod findings;
#[cfg(test)]
mod fuzz;
pub(crate) mod hashes;
pub(crate) mod imports;
mod included;
mod joined;
mod jsx;
pub(crate) mod kept;
mod leads;
pub(crate) mod looks;
pub(crate) mod marks;
pub(crate) mod nesting;
pub(crate) mod packages;
mod rewritten;
pub(crate) mod secrets;
pub(crate) mod shared;
pub(crate) mod snapshot;
mod stamp;
pub(crate) mod transpile;
pub(crate) mod tsconfig;
pub(crate) mod types;
pub(crate) mod waits;
