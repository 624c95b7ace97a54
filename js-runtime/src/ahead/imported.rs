//! The modules and packages that a load will evaluate and that may be evaluated before it begins, where that makes no
//! difference: Node's modules, packages, and those of the project's own modules that nobody works on.
//!
//! Node's modules always may. Packages may, in the order of evaluation, up to the first module of the project that
//! may change what they find: a module that is imported for its effect alone (`import "./instrument.ts"`), or whose
//! evaluation acts on more than the project's own modules ([`super::interference`]).
//!
//! Of the project's own modules those may that come before that module, act on no other module, are acted on by none,
//! and import only such modules.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deno_ast::MediaType;
use deno_core::url::Url;

use super::interference::{Interference, ProjectModules};
use crate::own_files::PRELUDE;
use crate::source::caches::Caches;
use crate::source::effects::{ModuleEffects, has_code};
use crate::source::packages::is_of_package;
use crate::source::snapshot::{FileImport, ReadFiles, SourceFile, SourceSnapshot};
use crate::source::transpile;

/// The modules that an isolate evaluates before its load is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AheadModules {
    /// Node's modules, then packages.
    pub(crate) packages: Vec<Url>,
    /// The project's own modules.
    pub(crate) modules: Vec<PathBuf>,
}

impl AheadModules {
    pub(crate) fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.modules.is_empty()
    }
}

/// The modules that a loaded project imports and that may be evaluated ahead of its next load, in the order of
/// evaluation.
pub(crate) struct ImportedModules {
    /// Node's modules, then packages.
    packages: Vec<Url>,
    /// The project's own modules, with the imports of each.
    modules: Vec<(PathBuf, Vec<PathBuf>)>,
    /// The files of packages that a module of the project changes.
    changed: HashSet<PathBuf>,
}

/// One step of the project's evaluation.
enum EvaluationStep {
    Package(PathBuf),
    Module(PathBuf),
}

impl ImportedModules {
    pub(crate) fn of(sources: &SourceSnapshot, caches: &Caches) -> Self {
        Self::with(sources, |path, file| effects(caches, path, file))
    }

    fn with(sources: &SourceSnapshot, effects: impl Fn(&Path, &SourceFile) -> Arc<ModuleEffects>) -> Self {
        let canonical = |path: &PathBuf| sources.canonical(path).unwrap_or_else(|_| path.clone());
        let entries: Vec<_> = sources.entries().iter().map(canonical).collect();
        let own = sources.own_files();
        let mut modules = ProjectModules::default();
        for (path, file) in own.iter().filter(|(path, _)| has_code(MediaType::from_path(path))) {
            modules.effects.insert(path.clone(), effects(path, file));
        }
        let read = sources.lock();
        let mut packages = builtins(&read);
        let mut walk = Walk {
            read: &read,
            modules: &mut modules,
            seen: HashSet::new(),
            for_effect: HashSet::new(),
            evaluated: Vec::new(),
        };
        entries.iter().for_each(|entry| walk.module(entry));
        walk.prelude(&sources.project().root.join(PRELUDE));
        let Walk {
            for_effect,
            mut evaluated,
            ..
        } = walk;
        drop(read);

        let Interference {
            acting,
            changed,
            outside,
        } = Interference::between(&modules);
        let is_last = |step: &EvaluationStep| match step {
            EvaluationStep::Package(_) => false,
            EvaluationStep::Module(file) => for_effect.contains(file) || outside.contains(file),
        };
        let end = evaluated
            .iter()
            .position(is_last)
            .map_or(evaluated.len(), |last| last + 1);
        evaluated.truncate(end);

        let may_leave_its_place = |file: &PathBuf| {
            let effects = modules.effects.get(file);
            effects.is_some_and(|effects| !effects.is_script) && !acting.contains(file) && !changed.contains(file)
        };
        let mut own = Vec::new();
        for step in evaluated {
            match step {
                EvaluationStep::Package(file) => packages.extend(Url::from_file_path(file)),
                EvaluationStep::Module(file) if may_leave_its_place(&file) => {
                    let imports = modules.imports.get(&file).cloned().unwrap_or_default();
                    own.push((file, imports));
                }
                EvaluationStep::Module(_) => {}
            }
        }
        Self {
            packages,
            modules: own,
            changed,
        }
    }

    /// Tells whether all of this may be evaluated ahead.
    pub(crate) fn has(&self, ahead: &AheadModules) -> bool {
        let packages: HashSet<&Url> = self.packages.iter().collect();
        // Evaluating one of Node's modules changes nothing for others.
        let mut of_packages = ahead.packages.iter().filter(|url| url.scheme() != "node");
        let modules = self.modules_without(&HashSet::new(), &files(&ahead.packages), |_| true);
        let modules: HashSet<_> = modules.into_iter().collect();
        of_packages.all(|url| packages.contains(url)) && ahead.modules.iter().all(|file| modules.contains(file))
    }

    pub(crate) fn packages(&self) -> &[Url] {
        &self.packages
    }

    /// Returns the project's modules that may be evaluated ahead: of packages they import only these, of modules none
    /// of those that are left to the load.
    pub(crate) fn modules_without(
        &self,
        left: &HashSet<PathBuf>,
        packages: &HashSet<PathBuf>,
        suits: impl Fn(&Path) -> bool,
    ) -> Vec<PathBuf> {
        let mut ahead = HashSet::new();
        let mut in_order = Vec::new();
        for (file, imports) in &self.modules {
            let is_there = |file: &PathBuf| {
                packages.contains(file) && !self.changed.contains(file)
                    || ahead.contains(file)
                    || is_data(file) && !left.contains(file)
            };
            if !left.contains(file) && imports.iter().all(is_there) && suits(file) {
                ahead.insert(file.clone());
                in_order.push(file.clone());
            }
        }
        in_order
    }
}

/// Returns the files of packages.
pub(crate) fn files(packages: &[Url]) -> HashSet<PathBuf> {
    packages.iter().filter_map(|url| url.to_file_path().ok()).collect()
}

fn effects(caches: &Caches, path: &Path, file: &SourceFile) -> Arc<ModuleEffects> {
    let Ok(url) = Url::from_file_path(path) else {
        return Arc::new(ModuleEffects::unknown());
    };
    caches.effects(&url, &file.hash, || {
        let text = std::str::from_utf8(&file.bytes).ok();
        let parsed = text.and_then(|text| transpile::parse(&url, MediaType::from_path(path), text.into()).ok());
        parsed.as_ref().map_or_else(ModuleEffects::unknown, ModuleEffects::of)
    })
}

/// Tells whether a file is imported for its content.
fn is_data(file: &Path) -> bool {
    let media_type = MediaType::from_path(file);
    !is_of_package(file) && media_type != MediaType::Wasm && !has_code(media_type)
}

/// Returns Node's modules that the project's own modules import.
fn builtins(read: &ReadFiles) -> Vec<Url> {
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
    read: &'a ReadFiles,
    modules: &'a mut ProjectModules,
    seen: HashSet<PathBuf>,
    /// The modules that are imported without a name.
    for_effect: HashSet<PathBuf>,
    evaluated: Vec<EvaluationStep>,
}

impl Walk<'_> {
    fn module(&mut self, entry: &Path) {
        let mut begun: Vec<(PathBuf, std::vec::IntoIter<PathBuf>)> = Vec::new();
        let mut next = Some(entry.to_owned());
        loop {
            if let Some(path) = next.take().filter(|path| self.seen.insert(path.clone())) {
                let imports = self.note(&path);
                begun.push((path, imports.into_iter()));
            }
            let Some((_, imports)) = begun.last_mut() else {
                return;
            };
            match imports.next() {
                Some(file) if is_of_package(&file) => self.package(&file),
                Some(file) => next = Some(file),
                None => self
                    .evaluated
                    .extend(begun.pop().map(|(path, _)| EvaluationStep::Module(path))),
            }
        }
    }

    /// Notes the imports of a module, and returns their files.
    fn note(&mut self, path: &Path) -> Vec<PathBuf> {
        let meanings = self.meanings(path);
        let file_of = |specifier: &String| Url::parse(meanings.get(&**specifier)?).ok()?.to_file_path().ok();
        if let Some(effects) = self.modules.effects.get(path) {
            self.for_effect
                .extend(effects.imported_for_effect.iter().filter_map(file_of));
        }
        let imports = self.read.imports.get(path).into_iter().flatten();
        let imports = imports.filter(|FileImport { is_lazy, .. }| !is_lazy);
        let imports: Vec<PathBuf> = imports.map(|import| import.file.to_path_buf()).collect();
        self.modules.meanings.insert(path.to_owned(), meanings);
        self.modules.imports.insert(path.to_owned(), imports.clone());
        imports
    }

    /// Adds the packages that the prelude imports after the modules; the modules themselves it names by their URLs.
    fn prelude(&mut self, prelude: &Path) {
        for (specifier, found) in self.meanings(prelude) {
            let file = Url::parse(&found).ok().and_then(|url| url.to_file_path().ok());
            if let Some(file) = file.filter(|file| !specifier.starts_with("file:") && is_of_package(file)) {
                self.package(&file);
            }
        }
    }

    fn package(&mut self, file: &Path) {
        if self.seen.insert(file.to_owned()) {
            self.evaluated.push(EvaluationStep::Package(file.to_owned()));
        }
    }

    fn meanings(&self, path: &Path) -> BTreeMap<Arc<str>, Arc<str>> {
        let url = Url::from_file_path(path).ok();
        let meanings = url.and_then(|url| self.read.resolved.get(url.as_str()));
        meanings.cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use deno_ast::MediaType;
    use deno_core::url::Url;
    use js_runtime_api::{Entry, EnvironmentSource, Project};

    use super::{AheadModules, ImportedModules, files};
    use crate::source::effects::ModuleEffects;
    use crate::source::snapshot::SourceSnapshot;
    use crate::source::transpile;

    /// A module's name and text, and what each import in it means.
    type Module<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

    /// Makes a project of these modules.
    fn loaded(folder: &Path, modules: &[Module<'_>]) -> Arc<SourceSnapshot> {
        for (name, text, _) in modules {
            let text = if text.is_empty() { "export {};" } else { text };
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

    fn imported(sources: &SourceSnapshot) -> ImportedModules {
        ImportedModules::with(sources, |path, file| {
            let url = Url::from_file_path(path).unwrap();
            let text = std::str::from_utf8(&file.bytes).unwrap();
            let parsed = transpile::parse(&url, MediaType::from_path(path), text.into());
            Arc::new(ModuleEffects::of(&parsed.unwrap()))
        })
    }

    fn names(sources: &SourceSnapshot) -> Vec<String> {
        let name = |url: Url| url.as_str().rsplit('/').next().unwrap().to_owned();
        imported(sources).packages.into_iter().map(name).collect()
    }

    /// Returns the modules that may be evaluated ahead without these.
    fn modules(sources: &SourceSnapshot, left: &[&str]) -> Vec<String> {
        let root = &sources.project().root;
        let left = left.iter().map(|name| root.join(name)).collect();
        let imported = imported(sources);
        let modules = imported.modules_without(&left, &files(imported.packages()), |_| true);
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
        let imported = imported(&sources);
        let suits = |path: &Path| !path.ends_with("lib.ts");
        let packages = [sources.project().root.join("node_modules/p.js")].into();
        assert!(imported.modules_without(&[].into(), &packages, suits).is_empty());
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
        let of = |packages: &[&str], modules: &[&str]| AheadModules {
            packages: packages.iter().copied().map(url).collect(),
            modules: modules.iter().map(|name| sources.project().root.join(name)).collect(),
        };
        let imported = imported(&sources);
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
    fn a_module_that_may_change_what_packages_find_ends_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let text = "import { Sdk } from 'otel';\nconst sdk = new Sdk();\nsdk.start();\nexport { sdk };";
        let sources = loaded(
            folder.path(),
            &[
                (
                    "a.ts",
                    "",
                    &[
                        ("p", "node_modules/p.js"),
                        ("./tracing.ts", "tracing.ts"),
                        ("q", "node_modules/q.js"),
                    ],
                ),
                ("tracing.ts", text, &[("otel", "node_modules/otel.js")]),
            ],
        );
        assert_eq!(names(&sources), ["p.js", "otel.js"]);
        assert!(modules(&sources, &[]).is_empty());
    }

    #[test]
    fn a_chain_of_imports_may_be_of_any_length() {
        let folder = tempfile::tempdir().unwrap();
        let name = |number: usize| format!("a{number:05}.ts");
        let all: Vec<_> = (0..20_000).map(|number| (name(number), name(number + 1))).collect();
        let sources = loaded(folder.path(), &[("z.ts", "", &[])]);
        let root = sources.project().root.clone();
        for (from, to) in &all {
            sources.note_import(&root.join(from), &root.join(to));
        }
        sources.note_import(&root.join("z.ts"), &root.join(name(0)));
        assert!(modules(&sources, &[]).is_empty(), "none of them can be read");
    }
}
