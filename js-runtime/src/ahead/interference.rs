//! Decides which modules of a project act on others when they are evaluated, and on which: acting modules keep their
//! places in the order of evaluation, and the others may leave it. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deno_core::url::Url;

use crate::source::effects::{Effects, ExportOrigin, ImportedName, ModuleEffects, NAMELESS, WHOLE};
use crate::source::packages::is_of_package;

/// The number of modules through which an export may be passed on.
const PASSED_ON: usize = 64;

/// The project's own modules.
#[derive(Default)]
pub(crate) struct ProjectModules {
    /// The effects of the modules that have code.
    pub(crate) effects: HashMap<PathBuf, Arc<ModuleEffects>>,
    /// The URL that each specifier means, by module.
    pub(crate) meanings: HashMap<PathBuf, BTreeMap<Arc<str>, Arc<str>>>,
    /// The files that each module imports.
    pub(crate) imports: HashMap<PathBuf, Vec<PathBuf>>,
}

/// The interference that the module's documentation describes.
#[derive(Debug, Default)]
pub(crate) struct Interference {
    /// The modules whose evaluation changes something that another one may find, or has to wait.
    pub(crate) acting: HashSet<PathBuf>,
    /// The modules and files of packages of which an acting module changes something.
    pub(crate) changed: HashSet<PathBuf>,
    /// The acting modules that change something that packages may find.
    pub(crate) outside: HashSet<PathBuf>,
}

/// The meaning of an import.
enum ImportMeaning<'a> {
    /// Something of a package, with the file; something of one of Node's modules, without.
    Package(Option<PathBuf>),
    /// A function or class of a module.
    Code(PathBuf, &'a str),
    /// The results of calls of these imports of a module.
    Made(PathBuf, &'a BTreeSet<ImportedName>),
    /// Another value of a module.
    Value(PathBuf),
    Unknown,
}

/// Code that an evaluation runs: a module, or one of its functions.
type Run<'a> = (PathBuf, Option<&'a str>);

impl Interference {
    pub(crate) fn between(modules: &ProjectModules) -> Self {
        let mut all = Self::default();
        for module in modules.imports.keys() {
            let mut one = Evaluation {
                modules,
                module,
                found: Self::default(),
                queue: vec![(module.clone(), None)],
                seen: HashSet::new(),
                uses_arguments: false,
                given: Vec::new(),
            };
            one.follow();
            all.acting.extend(one.found.acting);
            all.changed.extend(one.found.changed);
            all.outside.extend(one.found.outside);
        }
        all
    }
}

/// The evaluation of one module, followed into the code that it runs.
struct Evaluation<'a> {
    modules: &'a ProjectModules,
    module: &'a Path,
    found: Interference,
    queue: Vec<Run<'a>>,
    seen: HashSet<Run<'a>>,
    uses_arguments: bool,
    /// Code that gives something to the code that it calls.
    given: Vec<(PathBuf, &'a Effects)>,
}

impl<'a> Evaluation<'a> {
    fn follow(&mut self) {
        loop {
            let Some(run) = self.queue.pop() else {
                if !self.uses_arguments {
                    return;
                }
                for (module, effects) in std::mem::take(&mut self.given) {
                    effects.gives.iter().for_each(|import| self.call(&module, import));
                    self.run(&module, &effects.gives_code);
                }
                if self.queue.is_empty() {
                    return;
                }
                continue;
            };
            if self.seen.insert(run.clone()) {
                self.step(&run);
            }
        }
    }

    fn step(&mut self, (module, function): &Run<'a>) {
        let Some(of) = self.modules.effects.get(module) else {
            return;
        };
        let effects = match function {
            None => &of.evaluation,
            Some(name) => match of.functions.get(*name) {
                Some(effects) => effects,
                None => return self.act_outside(),
            },
        };
        if effects.globals {
            self.act_outside();
        }
        if effects.in_place && function.is_none() {
            self.act();
        }
        if effects.own_state && module != self.module {
            self.change_module(module.clone());
        }
        self.uses_arguments |= function.is_some() && effects.uses_arguments;
        self.given.push((module.clone(), effects));
        self.run(module, &effects.runs);
        effects.changes.iter().for_each(|import| self.change(module, import));
        effects.calls.iter().for_each(|import| self.call(module, import));
        effects
            .calls_results_of
            .iter()
            .for_each(|import| self.call_result(module, import));
    }

    fn run(&mut self, module: &Path, functions: &'a BTreeSet<String>) {
        let runs = functions.iter().map(|name| (module.to_owned(), Some(&**name)));
        self.queue.extend(runs);
    }

    fn act(&mut self) {
        self.found.acting.insert(self.module.to_owned());
    }

    fn act_outside(&mut self) {
        self.act();
        self.found.outside.insert(self.module.to_owned());
    }

    fn change_module(&mut self, module: PathBuf) {
        self.act();
        self.found.changed.insert(module);
    }

    /// Notes a change of a value that a function of the module gave: the value may be of anything that the module
    /// imports.
    fn change_what_it_reaches(&mut self, module: PathBuf) {
        self.act();
        let mut reached = vec![module];
        while let Some(module) = reached.pop() {
            if !is_of_package(&module) && self.found.changed.insert(module.clone()) {
                reached.extend(self.modules.imports.get(&module).into_iter().flatten().cloned());
            }
        }
    }

    fn change(&mut self, module: &Path, import: &ImportedName) {
        match self.modules.meaning(module, import) {
            ImportMeaning::Package(file) => {
                self.act_outside();
                self.found.changed.extend(file);
            }
            ImportMeaning::Code(module, _) | ImportMeaning::Made(module, _) | ImportMeaning::Value(module) => {
                self.change_module(module)
            }
            ImportMeaning::Unknown => self.act_outside(),
        }
    }

    fn call(&mut self, module: &Path, import: &ImportedName) {
        match self.modules.meaning(module, import) {
            ImportMeaning::Package(_) => {}
            ImportMeaning::Code(module, function) => self.queue.push((module, Some(function))),
            ImportMeaning::Made(module, by) if self.modules.is_made_by_packages(&module, by) => {}
            ImportMeaning::Made(module, _) => self.change_what_it_reaches(module),
            ImportMeaning::Value(module) => {
                // A method that is written in an object, perhaps.
                self.queue.extend(self.modules.nameless_functions(&module));
                self.change_module(module);
            }
            ImportMeaning::Unknown => self.act_outside(),
        }
    }

    fn call_result(&mut self, module: &Path, import: &ImportedName) {
        match self.modules.meaning(module, import) {
            ImportMeaning::Package(_) => {}
            ImportMeaning::Made(module, by) if self.modules.is_made_by_packages(&module, by) => {}
            ImportMeaning::Code(module, _) | ImportMeaning::Made(module, _) | ImportMeaning::Value(module) => {
                self.change_what_it_reaches(module);
            }
            ImportMeaning::Unknown => self.act_outside(),
        }
    }
}

impl ProjectModules {
    fn meaning(&self, module: &Path, import: &ImportedName) -> ImportMeaning<'_> {
        let mut looked = HashSet::new();
        let mut next = vec![(module.to_owned(), import.specifier.clone(), import.name.clone())];
        let mut last = None;
        while let Some((from, specifier, name)) = next.pop() {
            if looked.len() > PASSED_ON {
                return ImportMeaning::Unknown;
            }
            let Some(url) = self.meanings.get(&from).and_then(|meanings| meanings.get(&*specifier)) else {
                return ImportMeaning::Unknown;
            };
            let Ok(file) = Url::parse(url).map_err(drop).and_then(|url| url.to_file_path()) else {
                return if url.starts_with("node:") {
                    ImportMeaning::Package(None)
                } else {
                    ImportMeaning::Unknown
                };
            };
            if is_of_package(&file) {
                return ImportMeaning::Package(Some(file));
            }
            let Some(of) = self.effects.get(&file) else {
                return ImportMeaning::Value(file);
            };
            if of.is_script || name == WHOLE {
                return ImportMeaning::Unknown;
            }
            if !looked.insert((file.clone(), name.clone())) {
                continue;
            }
            match of.exports.get(&name) {
                Some(ExportOrigin::Same(same)) => next.push((file, same.specifier.clone(), same.name.clone())),
                Some(ExportOrigin::Made(by)) => return ImportMeaning::Made(file, by),
                Some(ExportOrigin::Code(function)) => return ImportMeaning::Code(file, function),
                Some(ExportOrigin::Value) => return ImportMeaning::Value(file),
                None => {
                    let others = of.exports_all_of.iter().rev();
                    next.extend(others.map(|specifier| (file.clone(), specifier.clone(), name.clone())));
                    last = Some(file);
                }
            }
        }
        last.map_or(ImportMeaning::Unknown, ImportMeaning::Value)
    }

    /// Tells whether packages gave the value, whatever modules it came through.
    fn is_made_by_packages(&self, module: &Path, by: &BTreeSet<ImportedName>) -> bool {
        let mut looked = HashSet::new();
        let mut next: Vec<_> = by.iter().map(|import| (module.to_owned(), import)).collect();
        while let Some((module, import)) = next.pop() {
            if !looked.insert((module.clone(), import)) {
                continue;
            }
            match self.meaning(&module, import) {
                ImportMeaning::Package(_) => {}
                ImportMeaning::Made(module, by) => next.extend(by.iter().map(|import| (module.clone(), import))),
                ImportMeaning::Code(..) | ImportMeaning::Value(_) | ImportMeaning::Unknown => return false,
            }
        }
        true
    }

    fn nameless_functions(&self, module: &Path) -> Option<Run<'_>> {
        let has_some = self.effects.get(module)?.functions.contains_key(NAMELESS);
        has_some.then(|| (module.to_owned(), Some(NAMELESS)))
    }
}

#[cfg(test)]
mod tests;
