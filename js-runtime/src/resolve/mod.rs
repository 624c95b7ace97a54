//! From an import specifier to a file: npm packages as Node finds them, the project's own modules
//! as TypeScript users write them.

pub(crate) mod analysis;
pub(crate) mod node;
pub(crate) mod other_conditions;
pub(crate) mod package_json;
pub(crate) mod reexports;
pub(crate) mod relative;
