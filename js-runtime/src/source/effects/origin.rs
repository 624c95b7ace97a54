//! The origins of the values of a module.

use std::collections::BTreeSet;

use super::{ImportedName, WHOLE};

/// The origin of a value; the module itself if nothing is said.
#[derive(Debug, Clone, Default)]
pub(super) struct ValueOrigin {
    /// The imports that were called for the value, or that the value is of.
    pub(super) imports: BTreeSet<ImportedName>,
    /// Tells whether the value is global, or built in.
    pub(super) is_global: bool,
    /// Tells whether the value is a variable of the module, seen from one of its functions.
    pub(super) is_state: bool,
    /// Tells whether the value is an argument of a function.
    pub(super) is_argument: bool,
    /// The functions or classes of the module that the value may be.
    pub(super) code: BTreeSet<String>,
    /// Tells whether a call gave the value.
    pub(super) is_made: bool,
}

impl ValueOrigin {
    pub(super) fn join(&mut self, other: Self) {
        self.imports.extend(other.imports);
        self.code.extend(other.code);
        self.is_global |= other.is_global;
        self.is_state |= other.is_state;
        self.is_argument |= other.is_argument;
        self.is_made |= other.is_made;
    }

    /// Returns the specifier of a module, if this is all that it exports.
    pub(super) fn whole_module(&self) -> Option<&str> {
        let only = self
            .imports
            .first()
            .filter(|_| self.imports.len() == 1 && !self.is_made)?;
        (only.name == WHOLE).then_some(&*only.specifier)
    }

    pub(super) fn code(name: &str) -> Self {
        Self {
            code: [name.to_owned()].into(),
            ..Self::default()
        }
    }

    pub(super) fn global() -> Self {
        Self {
            is_global: true,
            ..Self::default()
        }
    }
}

pub(super) fn from(specifier: &str, name: &str) -> ValueOrigin {
    let import = ImportedName {
        specifier: specifier.to_owned(),
        name: name.to_owned(),
    };
    ValueOrigin {
        imports: [import].into(),
        ..ValueOrigin::default()
    }
}

/// Tells whether a name means an import itself.
pub(super) fn is_import(origin: &ValueOrigin) -> bool {
    !origin.imports.is_empty() && !origin.is_made
}
