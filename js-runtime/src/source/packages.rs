//! Which packages a project's modules import, and modules of Node's, where those may be evaluated before the
//! project's are.
//!
//! Node's always may. Packages may where it makes no difference: no module of the project is evaluated before them to change
//! what they find. What one does for that purpose is seen: a module imported for its effect alone
//! (`import "./instrument.ts"`) ends the list, and code that hooks into imports empties it. What a
//! module writes to the environment is compared by whoever evaluates them.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use deno_core::url::Url;

use super::snapshot::{Import, Read, SourceSnapshot};
use crate::prelude;

/// Packages that have imports pass through them, so that what is imported before them escapes.
const HOOKS: [&str; 2] = [
    "/node_modules/require-in-the-middle/",
    "/node_modules/import-in-the-middle/",
];

/// What a loaded project's modules import: Node's modules, then packages in the order of their evaluation.
pub(crate) fn ahead_of(sources: &SourceSnapshot) -> Vec<Url> {
    let canonical = |path: &PathBuf| sources.canonical(path).unwrap_or_else(|_| path.clone());
    let entries: Vec<_> = sources.entries().iter().map(canonical).collect();
    let prelude = Url::from_file_path(sources.project().root.join(prelude::FILE_NAME));
    let read = sources.lock();
    let mut ahead = builtins(&read);
    let hooks = |path: &PathBuf| HOOKS.iter().any(|hook| path.to_string_lossy().contains(hook));
    if read.files.keys().any(hooks) {
        return ahead;
    }
    let mut walk = Walk {
        read: &read,
        seen: HashSet::new(),
        packages: Vec::new(),
        is_over: false,
    };
    for entry in &entries {
        walk.module(entry);
    }
    // What the prelude imports once the modules are evaluated; those themselves it names by their URLs.
    let by_prelude = prelude.ok().and_then(|prelude| read.resolved.get(prelude.as_str()));
    for (specifier, found) in by_prelude.into_iter().flatten() {
        let file = Url::parse(found).ok().and_then(|url| url.to_file_path().ok());
        if let Some(file) = file.filter(|file| !specifier.starts_with("file:") && is_of_package(file)) {
            walk.package(&file);
        }
    }
    ahead.extend(walk.packages.iter().filter_map(|file| Url::from_file_path(file).ok()));
    ahead
}

/// Whether evaluating a module changes nothing for others.
pub(crate) fn is_builtin(url: &Url) -> bool {
    url.scheme() == "node"
}

/// Node's modules that the project's own import.
fn builtins(read: &Read) -> Vec<Url> {
    let own = read
        .resolved
        .iter()
        .filter(|(referrer, _)| !referrer.contains("/node_modules/"));
    let found = own
        .flat_map(|(_, found)| found.values())
        .filter_map(|url| Url::parse(url).ok());
    let found: BTreeSet<Url> = found.filter(is_builtin).collect();
    found.into_iter().collect()
}

struct Walk<'a> {
    read: &'a Read,
    seen: HashSet<PathBuf>,
    packages: Vec<PathBuf>,
    /// A module has been evaluated for its effect.
    is_over: bool,
}

impl Walk<'_> {
    fn module(&mut self, path: &Path) {
        if !self.seen.insert(path.to_owned()) {
            return;
        }
        let for_effect = self.imported_for_effect(path);
        for Import { file, is_lazy } in self.read.imports.get(path).into_iter().flatten() {
            match is_of_package(file) {
                _ if *is_lazy => {}
                true => self.package(file),
                false => {
                    self.module(file);
                    self.is_over |= for_effect.contains(file);
                }
            }
        }
    }

    fn package(&mut self, file: &Path) {
        if !self.is_over && self.seen.insert(file.to_owned()) {
            self.packages.push(file.to_owned());
        }
    }

    /// What a module imports without a name.
    fn imported_for_effect(&self, path: &Path) -> HashSet<PathBuf> {
        let text = self
            .read
            .files
            .get(path)
            .map(|file| String::from_utf8_lossy(&file.bytes));
        let resolved = Url::from_file_path(path)
            .ok()
            .and_then(|url| self.read.resolved.get(url.as_str()));
        let (Some(text), Some(resolved)) = (text, resolved) else {
            return HashSet::new();
        };
        let found = |specifier| Url::parse(resolved.get(specifier)?).ok()?.to_file_path().ok();
        nameless_imports(&text).filter_map(found).collect()
    }
}

pub(super) fn is_of_package(path: &Path) -> bool {
    memchr::memmem::find(path.as_os_str().as_encoded_bytes(), b"/node_modules/").is_some()
}

/// The specifiers of `import "…"`, and of what reads like one.
fn nameless_imports(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("import").filter_map(|(at, word)| {
        let rest = text[at + word.len()..].trim_start();
        let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''))?;
        let specifier = &rest[1..];
        specifier.get(..specifier.find(quote)?)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use deno_core::url::Url;
    use js_runtime_api::{Entry, EnvironmentSource, Project};

    use super::{ahead_of, nameless_imports};
    use crate::source::snapshot::SourceSnapshot;

    #[test]
    fn only_imports_without_a_name_are_for_their_effect() {
        let text = "import './a';\nimport\t\"./b.ts\"\nimport x from './c'; import('./d'); import * as y from \"./e\"";
        assert_eq!(nameless_imports(text).collect::<Vec<_>>(), ["./a", "./b.ts"]);
    }

    /// A module's name and text, and what each import in it means.
    type Module<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

    /// A project of these modules.
    fn loaded(folder: &Path, modules: &[Module<'_>]) -> Arc<SourceSnapshot> {
        for (name, text, _) in modules {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let project = Project {
            root: folder.to_owned(),
            entry: Entry::Folder(folder.to_owned()),
            environment: EnvironmentSource::default(),
            serve_path: js_runtime_api::DEFAULT_SERVE_PATH.to_owned(),
            default_retries: None,
        };
        let sources = SourceSnapshot::begin(project, Arc::default()).unwrap();
        let root = sources.project().root.clone();
        for (name, _, imports) in modules {
            let from = root.join(name);
            sources.read(&from).unwrap();
            for (specifier, to) in *imports {
                let file = root.join(to);
                let url = |path: &Path| Url::from_file_path(path).unwrap().to_string();
                sources.note_resolved(specifier, &url(&from), &url(&file));
                sources.note_import(from.clone(), file);
            }
        }
        sources
    }

    fn names(sources: &SourceSnapshot) -> Vec<String> {
        let name = |url: Url| url.as_str().rsplit('/').next().unwrap().to_owned();
        ahead_of(sources).into_iter().map(name).collect()
    }

    #[test]
    fn packages_come_in_the_order_of_their_evaluation_after_nodes_modules_and_lazy_ones_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let sources = loaded(
            folder.path(),
            &[
                (
                    "a.ts",
                    "import b from './b.ts'",
                    &[("./b.ts", "b.ts"), ("z", "node_modules/z.js")],
                ),
                ("b.ts", "", &[("y", "node_modules/y.js"), ("./a.ts", "a.ts")]),
                ("c.ts", "", &[("z", "node_modules/z.js"), ("x", "node_modules/x.js")]),
            ],
        );
        assert_eq!(names(&sources), ["y.js", "z.js", "x.js"]);
        sources.note_resolved("fs", "file:///project/c.ts", "node:fs");
        sources.note_resolved("os", "file:///project/node_modules/x.js", "node:os");
        sources.note_loaded();
        let root = &sources.project().root;
        sources.note_import(root.join("a.ts"), root.join("node_modules/lazy.js"));
        assert_eq!(names(&sources), ["node:fs", "y.js", "z.js", "x.js"]);
        sources.begin_anew();
        assert!(names(&sources).is_empty(), "nothing was loaded");
    }

    #[test]
    fn a_module_imported_for_its_effect_ends_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let sources = loaded(
            folder.path(),
            &[
                (
                    "a.ts",
                    "import p from 'p';\nimport './setup.ts';\nimport q from 'q';",
                    &[
                        ("p", "node_modules/p.js"),
                        ("./setup.ts", "setup.ts"),
                        ("q", "node_modules/q.js"),
                    ],
                ),
                ("b.ts", "", &[("r", "node_modules/r.js")]),
                ("setup.ts", "", &[("otel", "node_modules/otel.js")]),
            ],
        );
        assert_eq!(names(&sources), ["p.js", "otel.js"]);
    }

    #[test]
    fn code_that_hooks_into_imports_is_evaluated_before_all_packages() {
        let folder = tempfile::tempdir().unwrap();
        let sources = loaded(folder.path(), &[("a.ts", "", &[("otel", "node_modules/otel.js")])]);
        let hook = sources.project().root.join("node_modules/require-in-the-middle");
        std::fs::create_dir_all(&hook).unwrap();
        std::fs::write(hook.join("index.js"), "").unwrap();
        assert_eq!(names(&sources), ["otel.js"]);
        sources.read(&hook.join("index.js")).unwrap();
        assert!(names(&sources).is_empty());
    }
}
