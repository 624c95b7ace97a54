//! The effects of a module, by its syntax tree: the code of others that it runs while it is evaluated, and what of
//! others that changes.
//!
//! A module may be evaluated out of its place where it changes nothing that another one can find, and finds nothing that
//! another one changes. Names tell nothing about that; where a value comes from does. What a call of a package gives
//! is that package's: code of packages is taken for code that gives a value and leaves nothing behind, where the value
//! is used. A call whose value nobody uses is there for what it changes. What functions of the project do is read in
//! them, where the evaluation calls them.
//!
//! Whatever cannot be told counts as a change of something global.

mod names;
mod origin;
mod reader;
mod syntax;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use deno_ast::MediaType;

use super::transpile::Parsed;

/// Something that a module imports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Import {
    /// As it is written.
    pub(crate) specifier: String,
    /// The name of the export; [`WHOLE`] is the module itself.
    pub(crate) name: String,
}

/// A module as one value.
pub(crate) const WHOLE: &str = "*";

/// What some code runs and changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// The global object, something built in, or something unknown is changed.
    pub(crate) globals: bool,
    /// The module waits, or loads another one: it is evaluated in its place.
    pub(crate) in_place: bool,
    /// Variables of the module are changed.
    pub(crate) own_state: bool,
    /// Something of an argument is called or changed.
    pub(crate) uses_arguments: bool,
    /// Imports of which something is changed.
    pub(crate) changes: BTreeSet<Import>,
    /// Imports that are called, or have something of theirs called or given to what is built in.
    pub(crate) calls: BTreeSet<Import>,
    /// Imports whose calls gave a value of which something is called.
    pub(crate) calls_results_of: BTreeSet<Import>,
    /// Imports that are given to what is imported, as an argument.
    pub(crate) gives: BTreeSet<Import>,
    /// Functions and classes of the module that are called.
    pub(crate) runs: BTreeSet<String>,
    /// Functions and classes of the module that are given to what is imported, as an argument.
    pub(crate) gives_code: BTreeSet<String>,
}

/// What an export of a module is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Export {
    /// What calls of these gave.
    Made(BTreeSet<Import>),
    /// A function or class of the module.
    Code(String),
    /// The export of another module.
    Same(Import),
    /// Another value.
    Value,
}

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModuleEffects {
    pub(crate) evaluation: Effects,
    /// Of functions and classes by their names, when they are called; those without a name are [`NAMELESS`].
    pub(crate) functions: BTreeMap<String, Effects>,
    pub(crate) exports: BTreeMap<String, Export>,
    /// Modules whose exports are exported too.
    pub(crate) exports_all_of: Vec<String>,
    /// Modules that are imported without a name.
    pub(crate) imported_for_effect: Vec<String>,
    /// Only an ES module can be evaluated on its own.
    pub(crate) is_script: bool,
}

/// All functions of a module that have no name of their own.
pub(crate) const NAMELESS: &str = "";

impl ModuleEffects {
    /// Of a module that cannot be read.
    pub(crate) fn unknown() -> Self {
        Self {
            evaluation: Effects {
                globals: true,
                ..Effects::default()
            },
            is_script: true,
            ..Self::default()
        }
    }

    pub(crate) fn of(parsed: &Parsed) -> Self {
        parsed.walk(reader::effects)
    }
}

/// Tells whether files of this kind have a text whose effects can be told.
pub(crate) fn has_code(media_type: MediaType) -> bool {
    matches!(
        media_type,
        MediaType::TypeScript
            | MediaType::Mts
            | MediaType::Cts
            | MediaType::Tsx
            | MediaType::JavaScript
            | MediaType::Mjs
            | MediaType::Cjs
            | MediaType::Jsx
    )
}
