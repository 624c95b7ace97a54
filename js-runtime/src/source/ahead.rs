//! What a project's load will evaluate that may be evaluated before it begins, where that makes no difference: modules of
//! Node's, packages, and of the project's own modules those that nobody works on.
//!
//! Node's always may. Packages may where no module of the project is evaluated before them to change
//! what they find. What one does for that purpose is seen: a module imported for its effect alone
//! (`import "./instrument.ts"`) ends the list, and code that hooks into imports empties it. What a
//! module writes to the environment is compared by whoever evaluates them.
//!
//! Of the project's own modules those may that come before that end, do nothing but declare (see `declares`), and
//! import only such modules.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deno_ast::MediaType;
use deno_core::url::Url;

use super::declares;
use super::packages::is_of_package;
use super::snapshot::{Import, Read, SourceSnapshot};
use crate::own_files::PRELUDE;

/// Packages that have imports pass through them, so that what is imported before them escapes.
const HOOKS: [&str; 2] = [
    "/node_modules/require-in-the-middle/",
    "/node_modules/import-in-the-middle/",
];

/// What an isolate evaluates before it is known what the load will be of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ahead {
    /// Modules of Node's, then packages.
    pub(crate) packages: Vec<Url>,
    /// The project's own.
    pub(crate) modules: Vec<PathBuf>,
}

impl Ahead {
    pub(crate) fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.modules.is_empty()
    }
}

/// What a loaded project imports, in the order of evaluation, up to the first module that is imported for its effect.
pub(crate) struct Imported {
    /// Modules of Node's, then packages.
    packages: Vec<Url>,
    /// The project's own, with what each imports.
    modules: Vec<(PathBuf, Vec<PathBuf>)>,
}

impl Imported {
    pub(crate) fn of(sources: &SourceSnapshot) -> Self {
        let canonical = |path: &PathBuf| sources.canonical(path).unwrap_or_else(|_| path.clone());
        let entries: Vec<_> = sources.entries().iter().map(canonical).collect();
        let prelude = Url::from_file_path(sources.project().root.join(PRELUDE));
        let read = sources.lock();
        let mut packages = builtins(&read);
        let hooks = |path: &Arc<Path>| HOOKS.iter().any(|hook| path.to_string_lossy().contains(hook));
        if read.files.keys().any(hooks) {
            return Self {
                packages,
                modules: Vec::new(),
            };
        }
        let mut walk = Walk {
            read: &read,
            seen: HashSet::new(),
            packages: Vec::new(),
            modules: Vec::new(),
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
        packages.extend(walk.packages.iter().filter_map(|file| Url::from_file_path(file).ok()));
        Self {
            packages,
            modules: walk.modules,
        }
    }

    /// Whether all of this is imported.
    pub(crate) fn has(&self, ahead: &Ahead) -> bool {
        let packages: HashSet<&Url> = self.packages.iter().collect();
        let modules: HashSet<&PathBuf> = self.modules().collect();
        // Evaluating one of Node's changes nothing for others.
        let mut of_packages = ahead.packages.iter().filter(|url| url.scheme() != "node");
        of_packages.all(|url| packages.contains(url)) && ahead.modules.iter().all(|file| modules.contains(file))
    }

    pub(crate) fn packages(&self) -> &[Url] {
        &self.packages
    }

    pub(crate) fn modules(&self) -> impl Iterator<Item = &PathBuf> {
        self.modules.iter().map(|(file, _)| file)
    }

    /// The project's modules that may be evaluated ahead: of packages they import only these, of modules none of those
    /// that are left to the load.
    pub(crate) fn modules_without(
        &self,
        left: &HashSet<PathBuf>,
        packages: &HashSet<PathBuf>,
        only_declares: impl Fn(&Path) -> bool,
    ) -> Vec<PathBuf> {
        let mut ahead = HashSet::new();
        let mut in_order = Vec::new();
        for (file, imports) in &self.modules {
            let suits = |file: &PathBuf| {
                packages.contains(file) || ahead.contains(file) || (is_data(file) && !left.contains(file))
            };
            if !is_data(file) && !left.contains(file) && imports.iter().all(suits) && only_declares(file) {
                ahead.insert(file.clone());
                in_order.push(file.clone());
            }
        }
        in_order
    }
}

/// Whether a file is imported for its content.
fn is_data(file: &Path) -> bool {
    let media_type = MediaType::from_path(file);
    media_type != MediaType::Wasm && !media_type.is_emittable() && !declares::may_be(media_type)
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
    let found: BTreeSet<Url> = found.filter(|url| url.scheme() == "node").collect();
    found.into_iter().collect()
}

struct Walk<'a> {
    read: &'a Read,
    seen: HashSet<PathBuf>,
    packages: Vec<PathBuf>,
    modules: Vec<(PathBuf, Vec<PathBuf>)>,
    /// A module has been evaluated for its effect.
    is_over: bool,
}

impl Walk<'_> {
    fn module(&mut self, path: &Path) {
        if !self.seen.insert(path.to_owned()) {
            return;
        }
        let for_effect = self.imported_for_effect(path);
        let imports = self.read.imports.get(path).into_iter().flatten();
        let imports: Vec<_> = imports.filter(|Import { is_lazy, .. }| !is_lazy).collect();
        for Import { file, .. } in &imports {
            if is_of_package(file) {
                self.package(file);
            } else {
                self.module(file);
                self.is_over |= for_effect.contains(&**file);
            }
        }
        if !self.is_over {
            let imports = imports.into_iter().map(|import| import.file.to_path_buf());
            self.modules.push((path.to_owned(), imports.collect()));
        }
    }

    fn package(&mut self, file: &Path) {
        if !self.is_over && self.seen.insert(file.to_owned()) {
            self.packages.push(file.to_owned());
        }
    }

    /// What a module imports without a name.
    fn imported_for_effect(&self, path: &Path) -> HashSet<PathBuf> {
        let file = self.read.files.get(path);
        let text = file.and_then(|file| std::str::from_utf8(&file.bytes).ok());
        let mut specifiers = nameless_imports(text.unwrap_or_default()).peekable();
        if specifiers.peek().is_none() {
            return HashSet::new();
        }
        let url = Url::from_file_path(path).ok();
        let resolved = url.and_then(|url| self.read.resolved.get(url.as_str()));
        let found = |specifier| Url::parse(resolved?.get(specifier)?).ok()?.to_file_path().ok();
        specifiers.filter_map(found).collect()
    }
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
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use deno_core::url::Url;
    use js_runtime_api::{Entry, EnvironmentSource, Project};

    use super::{Ahead, Imported, nameless_imports};
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
            conditions: Vec::new(),
            includes: Vec::new(),
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
                sources.note_import(&from, &file);
            }
        }
        sources
    }

    fn names(sources: &SourceSnapshot) -> Vec<String> {
        let name = |url: Url| url.as_str().rsplit('/').next().unwrap().to_owned();
        Imported::of(sources).packages.into_iter().map(name).collect()
    }

    /// The modules that may be evaluated ahead without these; all of them do nothing but declare.
    fn modules(sources: &SourceSnapshot, left: &[&str]) -> Vec<String> {
        let root = &sources.project().root;
        let left = left.iter().map(|name| root.join(name)).collect();
        let imported = Imported::of(sources);
        let packages = imported.packages().iter().filter_map(|url| url.to_file_path().ok());
        let modules = imported.modules_without(&left, &packages.collect(), |_| true);
        let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        modules.into_iter().map(name).collect()
    }

    #[test]
    fn modules_are_evaluated_ahead_that_import_nothing_that_is_left_to_the_load() {
        let folder = tempfile::tempdir().unwrap();
        let sources = loaded(
            folder.path(),
            &[
                ("a.ts", "", &[("./lib.ts", "lib.ts"), ("p", "node_modules/p.js")]),
                ("b.ts", "", &[("./lib.ts", "lib.ts"), ("./data.json", "data.json")]),
                ("c.ts", "", &[("./a.ts", "a.ts")]),
                ("data.json", "", &[]),
                ("lib.ts", "", &[]),
            ],
        );
        assert_eq!(modules(&sources, &[]), ["lib.ts", "a.ts", "b.ts", "c.ts"]);
        assert_eq!(modules(&sources, &["a.ts"]), ["lib.ts", "b.ts"]);
        assert_eq!(modules(&sources, &["data.json"]), ["lib.ts", "a.ts", "c.ts"]);
        assert!(modules(&sources, &["lib.ts"]).is_empty());
        let imported = Imported::of(&sources);
        let declares = |path: &Path| !path.ends_with("lib.ts");
        let packages = [sources.project().root.join("node_modules/p.js")].into();
        assert!(imported.modules_without(&[].into(), &packages, declares).is_empty());
        let without_package = imported.modules_without(&[].into(), &[].into(), |_| true);
        assert_eq!(
            without_package,
            ["lib.ts", "b.ts"].map(|name| sources.project().root.join(name))
        );
    }

    #[test]
    fn what_is_imported_no_more_makes_a_difference() {
        let folder = tempfile::tempdir().unwrap();
        let modules: &[Module<'_>] = &[
            ("a.ts", "", &[("./lib.ts", "lib.ts"), ("p", "node_modules/p.js")]),
            ("lib.ts", "", &[]),
        ];
        let sources = loaded(folder.path(), modules);
        let url = |name: &str| Url::from_file_path(sources.project().root.join(name)).unwrap();
        let of = |packages: &[&str], modules: &[&str]| Ahead {
            packages: packages.iter().copied().map(url).collect(),
            modules: modules.iter().map(|name| sources.project().root.join(name)).collect(),
        };
        let imported = Imported::of(&sources);
        assert!(imported.has(&of(&["node_modules/p.js"], &["lib.ts", "a.ts"])));
        assert!(!imported.has(&of(&["node_modules/q.js"], &["lib.ts"])));
        assert!(!imported.has(&of(&["node_modules/p.js"], &["gone.ts"])));
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
        sources.note_import(&root.join("a.ts"), &root.join("node_modules/lazy.js"));
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
        assert_eq!(
            modules(&sources, &[]),
            ["setup.ts"],
            "all others are evaluated after it"
        );
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
