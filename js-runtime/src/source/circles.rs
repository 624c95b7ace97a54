//! Modules that import each other: the module that is evaluated first finds that the exports of the others are not
//! made yet.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deno_ast::swc::ast::{ImportSpecifier, ModuleDecl, ModuleItem, Program};
use deno_ast::{MediaType, ParsedSource};
use deno_core::url::Url;

use super::snapshot::{ReadFiles, SourceSnapshot};
use super::transpile;

impl SourceSnapshot {
    /// Returns the circle that a module closes by importing this name: the module itself, the module that it imports
    /// the name from, and those that lead from there back to it. `None` where the name is not imported, or nothing
    /// leads back.
    pub(crate) fn circle(&self, module: &Url, name: &str) -> Option<Vec<PathBuf>> {
        let file = module.to_file_path().ok()?;
        let text = self.read(&file).ok()?;
        let text = String::from_utf8_lossy(&text.bytes);
        let specifier = specifier_of(module, &text, name)?;
        let from = Url::parse(&self.resolved(&specifier, module.as_str())?).ok()?;
        let from = from.to_file_path().ok()?;
        let back = self.lock().chain(&from, &file)?;
        Some(std::iter::once(file).chain(back).collect())
    }
}

impl ReadFiles {
    /// Returns the shortest chain of imports from one file to another, with both.
    fn chain(&self, from: &Path, to: &Path) -> Option<Vec<PathBuf>> {
        let mut importers: HashMap<&Path, &Path> = HashMap::new();
        let mut next = VecDeque::from([from]);
        while let Some(file) = next.pop_front() {
            if file == to {
                let before = |file: &&Path| importers.get(file).copied();
                let mut chain: Vec<_> = std::iter::successors(Some(file), before).map(Path::to_owned).collect();
                chain.reverse();
                return Some(chain);
            }
            let (file, imports) = self.imports.get_key_value(file)?;
            let found: Vec<&Arc<Path>> = imports.iter().map(|import| &import.file).collect();
            for found in found {
                if &**found != from && !importers.contains_key(&**found) {
                    importers.insert(found, file);
                    next.push_back(found);
                }
            }
        }
        None
    }
}

/// Returns the specifier that a module imports a name from.
fn specifier_of(url: &Url, text: &str, name: &str) -> Option<String> {
    let parsed = transpile::parse(url, MediaType::from_specifier(url), text.into()).ok()?;
    parsed.walk(|parsed| specifier_in(parsed, name))
}

fn specifier_in(parsed: &ParsedSource, name: &str) -> Option<String> {
    let program = parsed.program();
    let Program::Module(module) = &*program else {
        return None;
    };
    module.body.iter().find_map(|item| {
        let ModuleItem::ModuleDecl(ModuleDecl::Import(import)) = item else {
            return None;
        };
        let has_name = import.specifiers.iter().any(|specifier| match specifier {
            ImportSpecifier::Named(named) => *named.local.sym == *name,
            ImportSpecifier::Default(default) => *default.local.sym == *name,
            ImportSpecifier::Namespace(namespace) => *namespace.local.sym == *name,
        });
        has_name.then(|| import.src.value.to_string_lossy().into_owned())
    })
}
