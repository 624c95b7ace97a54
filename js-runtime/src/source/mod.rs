//! The texts of a generation's files, and the code that is made of them before V8 sees it.
//!
//! # Files
//!
//! - `snapshot.rs` (each file read once per generation)
//! - `differences.rs` (what differs on the disk)
//! - `looks.rs` (what modules asked of files, and the answers)
//! - `rewritten.rs` (code that the project writes and imports again)
//! - `joined.rs` (a spare's becomes one with a generation's)
//! - `leads.rs` (which import a package was loaded for)
//! - `description.rs` (as data that outlives the process)
//! - `shared.rs`, `common.rs` (what generations have in common, once)
//! - `environment.rs`, `secrets.rs`
//! - `entries.rs`
//! - `imports.rs`
//! - `tsconfig.rs` (how a file is to be read)
//! - `bundled.rs` (what bundlers add to ES modules)
//! - `transpile.rs`, `nesting.rs` (the stack that code wants by its nesting), `fuzz.rs` (random texts for all of
//!   these, longer with `BATON_FUZZ_SECONDS`)
//! - `emitted.rs` (what a file became)
//! - `second_url.rs` (of CommonJS, for another default export)
//! - `caches.rs`, `newest.rs` (by content, shared)
//! - `disk/` (the same for the next process: `cache_store.rs` the file, `mod.rs` the thread that writes to it)
//! - `top_level_await.rs`, `marks.rs` (where a module awaits, and how far it is)
//! - `attributes.rs` (those of imports that V8 does not know)
//! - `included.rs` (what belongs to the code by its name)
//! - `types.rs` (what is exported that is no value)
//! - `commonjs/` (as TypeScript makes it of ES modules; pure)

pub(crate) mod attributes;
pub(crate) mod bundled;
pub(crate) mod caches;
pub(crate) mod circles;
pub(crate) mod common;
pub(crate) mod commonjs;
mod decorated;
pub(crate) mod description;
mod differences;
pub(crate) mod disk;
pub(crate) mod effects;
pub(crate) mod emitted;
pub(crate) mod entries;
pub(crate) mod environment;
mod fields;
mod file;
#[cfg(test)]
mod fuzz;
pub(crate) mod hashes;
pub(crate) mod imports;
mod included;
mod joined;
mod jsx;
mod leads;
pub(crate) mod looks;
pub(crate) mod marks;
pub(crate) mod nesting;
pub(crate) mod newest;
pub(crate) mod packages;
mod rewritten;
pub(crate) mod second_url;
pub(crate) mod secrets;
pub(crate) mod shared;
pub(crate) mod snapshot;
mod stamp;
pub(crate) mod top_level_await;
pub(crate) mod transpile;
pub(crate) mod tsconfig;
pub(crate) mod types;
