//! The effects of a module, by its syntax tree: the code of other modules that it runs while it is evaluated, and the
//! changes that it makes to them.
//!
//! A module may be evaluated out of its place where it changes nothing that another one can find, and finds nothing
//! that another one changes. Names tell nothing about that; the origin of a value does. The result of a package's
//! call is the package's: code of packages is taken for code that gives a value and leaves nothing behind, where the
//! value is used. A call whose value nobody uses is there for its changes. The effects of the project's own functions
//! are read in their code, where the evaluation calls them.
//!
//! Any effect that cannot be told counts as a change of something global.

mod expression_effects;
mod origin;
mod reader;
mod scopes;
mod syntax;

use std::collections::{BTreeMap, BTreeSet};

use deno_ast::MediaType;

use super::transpile::ParsedText;

/// Something that a module imports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ImportedName {
    /// The specifier as it is written.
    pub(crate) specifier: String,
    /// The name of the export; [`WHOLE`] is the module itself.
    pub(crate) name: String,
}

/// A module as one value.
pub(crate) const WHOLE: &str = "*";

/// The effects of some code: what it runs and what it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Tells whether the global object, something built in, or something unknown is changed.
    pub(crate) globals: bool,
    /// Tells whether the module waits, or loads another one: it is evaluated in its place.
    pub(crate) in_place: bool,
    /// Tells whether variables of the module are changed.
    pub(crate) own_state: bool,
    /// Tells whether something of an argument is called or changed.
    pub(crate) uses_arguments: bool,
    /// The imports of which something is changed.
    pub(crate) changes: BTreeSet<ImportedName>,
    /// The imports that are called, or have something of theirs called or given to built-in code.
    pub(crate) calls: BTreeSet<ImportedName>,
    /// The imports whose calls gave a value of which something is called.
    pub(crate) calls_results_of: BTreeSet<ImportedName>,
    /// The imports that are given to imported code, as an argument.
    pub(crate) gives: BTreeSet<ImportedName>,
    /// The functions and classes of the module that are called.
    pub(crate) runs: BTreeSet<String>,
    /// The functions and classes of the module that are given to imported code, as an argument.
    pub(crate) gives_code: BTreeSet<String>,
}

/// The kind of an export of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExportOrigin {
    /// The results of calls of these imports.
    Made(BTreeSet<ImportedName>),
    /// A function or class of the module.
    Code(String),
    /// The export of another module.
    Same(ImportedName),
    /// Another value.
    Value,
}

/// The effects that the module's documentation describes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModuleEffects {
    pub(crate) evaluation: Effects,
    /// The effects of calls of functions and classes, by their names; those without a name are [`NAMELESS`].
    pub(crate) functions: BTreeMap<String, Effects>,
    pub(crate) exports: BTreeMap<String, ExportOrigin>,
    /// The modules whose exports are exported too.
    pub(crate) exports_all_of: Vec<String>,
    /// The modules that are imported without a name.
    pub(crate) imported_for_effect: Vec<String>,
    /// Tells whether it is a script: only an ES module can be evaluated on its own.
    pub(crate) is_script: bool,
}

/// The name for all functions of a module that have no name of their own.
pub(crate) const NAMELESS: &str = "";

impl ModuleEffects {
    /// Returns the effects of a module that cannot be read.
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

    pub(crate) fn of(parsed: &ParsedText) -> Self {
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
