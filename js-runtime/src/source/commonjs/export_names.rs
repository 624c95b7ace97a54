//! The exports of compiled CommonJS, for ES modules that import it.

use deno_core::url::Url;

use super::MARK;
use crate::source::emitted::EmittedCode;
use crate::source::transpile;
use deno_ast::{MediaType, ParsedSource};

/// The exports of a compiled module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Tells whether it was an ES module: its default export is a property. Else the default is all of
    /// `module.exports`.
    pub(crate) is_module: bool,
    pub(crate) own: Vec<String>,
    /// The specifiers of the modules whose exports the module exports as a whole.
    pub(crate) others: Vec<String>,
}

/// Reads the exports of code that [`super::convert`] made.
pub(crate) fn names(url: &Url, emitted: &EmittedCode) -> Names {
    let is_module = emitted.code.starts_with(MARK) || emitted.code.contains(&format!("\n{MARK}"));
    // Emitted code parses.
    let Ok(parsed) = transpile::parse(url, MediaType::Cjs, emitted.code.clone()) else {
        return Names::default();
    };
    let analysis = parsed.walk(ParsedSource::analyze_cjs);
    let is_own = |name: &String| name != "__esModule";
    Names {
        is_module,
        own: analysis.exports.into_iter().filter(is_own).collect(),
        others: analysis.reexports,
    }
}
