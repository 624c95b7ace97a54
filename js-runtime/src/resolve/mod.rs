//! From an import specifier to a file: npm packages as Node finds them, the project's own modules
//! as TypeScript users write them.
//!
//! # Files
//!
//! - `relative.rs` (as TypeScript users write)
//! - `node.rs` (node_modules, by Deno's crates)
//! - `package_json.rs`
//! - `reexports.rs` (exports of CommonJS from other files)
//! - `analysis.rs` (the exports of CommonJS)
//! - `other_conditions.rs` (files of a package for another condition)

pub(crate) mod analysis;
pub(crate) mod node;
pub(crate) mod other_conditions;
pub(crate) mod package_json;
pub(crate) mod reexports;
pub(crate) mod relative;
