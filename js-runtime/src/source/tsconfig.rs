//! The settings of `tsconfig.json` for reading a file: those of the nearest one above the file, with all that it
//! extends. Each is read through the source snapshot, so that a change of one is a change of the code.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use js_runtime_api::Entry;
use serde::Deserialize;

use super::snapshot::SourceSnapshot;

const FILE_NAME: &str = "tsconfig.json";

/// The depth to which configurations may extend each other.
const DEEPEST: usize = 16;

/// Patterns, with the places to which each of them may lead.
type Paths = Vec<(String, Vec<String>)>;

/// The settings that decide what becomes of a file or of a specifier; the others are the type checker's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CompilerOptions {
    pub(crate) jsx: Option<String>,
    pub(crate) jsx_factory: Option<String>,
    pub(crate) jsx_fragment_factory: Option<String>,
    pub(crate) jsx_import_source: Option<String>,
    pub(crate) react_namespace: Option<String>,
    pub(crate) experimental_decorators: Option<bool>,
    pub(crate) emit_decorator_metadata: Option<bool>,
    pub(crate) verbatim_module_syntax: Option<bool>,
    pub(crate) allow_js: Option<bool>,
    module: Option<String>,
    es_module_interop: Option<bool>,
    target: Option<String>,
    use_define_for_class_fields: Option<bool>,
    pub(crate) custom_conditions: Option<Vec<String>>,
    base_url: Option<PathBuf>,
    #[serde(deserialize_with = "in_order")]
    paths: Option<Paths>,
    /// The folder that the targets of `paths` are relative to.
    #[serde(skip)]
    paths_from: PathBuf,
}

/// A file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TsConfigFile {
    extends: Option<OneOrMany>,
    compiler_options: CompilerOptions,
    files: Option<Vec<String>>,
    references: Vec<Reference>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct Reference {
    path: String,
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum TsConfigError {
    #[error("it is not valid JSON: {1}")]
    Syntax(PathBuf, String),
    #[error("it extends {1:?}, which does not exist")]
    Missing(PathBuf, String),
    #[error("it extends itself, or too many others")]
    TooDeep(PathBuf),
}

impl TsConfigError {
    /// Returns the file that is wrong.
    pub(crate) fn file(&self) -> &Path {
        match self {
            Self::Syntax(file, _) | Self::Missing(file, _) | Self::TooDeep(file) => file,
        }
    }
}

type OptionsResult = Result<Rc<CompilerOptions>, TsConfigError>;

/// The options that were found for each folder.
#[derive(Default)]
pub(crate) struct TsConfigs(RefCell<HashMap<PathBuf, OptionsResult>>);

impl TsConfigs {
    /// Returns the options for a file of the project, or of a package that is linked into it. The options of
    /// installed packages are nobody's business.
    pub(crate) fn of(&self, file: &Path, sources: &SourceSnapshot) -> OptionsResult {
        match file.parent() {
            Some(folder) => self.of_folder(folder, sources),
            None => Ok(Rc::default()),
        }
    }

    /// Returns the options for the files that the project serves.
    pub(crate) fn of_project(&self, sources: &SourceSnapshot) -> OptionsResult {
        match &sources.project().entry {
            Entry::Folder(folder) => self.of_folder(folder, sources),
            Entry::File(file) => self.of(file, sources),
        }
    }

    fn of_folder(&self, folder: &Path, sources: &SourceSnapshot) -> OptionsResult {
        if let Some(known) = self.0.borrow().get(folder) {
            return known.clone();
        }
        let config = folder.join(FILE_NAME);
        let found = if sources.is_file(&config) {
            read_solution(&config, sources).map(Rc::new)
        } else {
            match folder.parent() {
                Some(above) if !is_outermost(folder, sources) => self.of_folder(above, sources),
                _ => Ok(Rc::default()),
            }
        };
        self.0.borrow_mut().insert(folder.to_owned(), found.clone());
        found
    }
}

/// Tells whether a repository begins in the folder, or a project that is in no repository.
fn is_outermost(folder: &Path, sources: &SourceSnapshot) -> bool {
    let is_repository = |folder: &Path| folder.join(".git").exists();
    if is_repository(folder) {
        return true;
    }
    let is_project = folder == sources.project().root || sources.package_json(&folder.join("package.json")).is_some();
    is_project && !folder.ancestors().any(is_repository)
}

/// Reads a configuration without files of its own, which only lists projects: the first project that says how to read
/// a file counts.
fn read_solution(file: &Path, sources: &SourceSnapshot) -> Result<CompilerOptions, TsConfigError> {
    let written = parse(file, sources)?.unwrap_or_default();
    let lists_projects = written.files.as_ref().is_some_and(Vec::is_empty);
    let own = merged(file, sources, 0)?.unwrap_or_default();
    if !lists_projects || own.says_how_to_read() {
        return Ok(own);
    }
    let folder = file.parent().unwrap_or(file);
    for Reference { path } in &written.references {
        let path = folder.join(path);
        let path = if path.is_dir() { path.join(FILE_NAME) } else { path };
        match merged(&path, sources, 0)? {
            Some(options) if options.says_how_to_read() => return Ok(options),
            _ => {}
        }
    }
    Ok(own)
}

/// Returns a file's options over those that it extends; `None` where there is no file.
fn merged(file: &Path, sources: &SourceSnapshot, depth: usize) -> Result<Option<CompilerOptions>, TsConfigError> {
    if depth > DEEPEST {
        return Err(TsConfigError::TooDeep(file.to_owned()));
    }
    let Some(written) = parse(file, sources)? else {
        return Ok(None);
    };
    let mut options = CompilerOptions::default();
    let extended = match written.extends {
        None => Vec::new(),
        Some(OneOrMany::One(one)) => vec![one],
        Some(OneOrMany::Many(many)) => many,
    };
    for name in extended {
        let below = candidates(file, &name)
            .into_iter()
            .find(|candidate| sources.is_file(candidate));
        let below = below.ok_or_else(|| TsConfigError::Missing(file.to_owned(), name))?;
        options = merged(&below, sources, depth + 1)?.unwrap_or_default().over(options);
    }
    let folder = file.parent().unwrap_or(file);
    let mut own = written.compiler_options;
    own.base_url = own.base_url.map(|base| folder.join(base));
    own.paths_from = folder.to_owned();
    Ok(Some(own.over(options)))
}

fn parse(file: &Path, sources: &SourceSnapshot) -> Result<Option<TsConfigFile>, TsConfigError> {
    let Ok(read) = sources.read(file) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&read.bytes);
    let parsed: Result<Option<TsConfigFile>, _> = jsonc_parser::parse_to_serde_value(&text, &Default::default());
    match parsed {
        Ok(written) => Ok(Some(written.unwrap_or_default())),
        Err(error) => Err(TsConfigError::Syntax(file.to_owned(), error.to_string())),
    }
}

/// Returns the places where an extended file may be: beside the file, or in a package.
fn candidates(file: &Path, name: &str) -> Vec<PathBuf> {
    let folder = file.parent().unwrap_or(file);
    let named = |path: PathBuf| {
        let with_extension = PathBuf::from(format!("{}.json", path.display()));
        let inside = path.join(FILE_NAME);
        [path, with_extension, inside]
    };
    if name.starts_with('.') || Path::new(name).is_absolute() {
        return named(folder.join(name)).into();
    }
    let packages = folder.ancestors().map(|folder| folder.join("node_modules").join(name));
    packages.flat_map(named).collect()
}

impl CompilerOptions {
    /// Returns the options that decide what a file becomes, as text.
    pub(crate) fn of_emitting(&self) -> String {
        let jsx = (
            &self.jsx,
            &self.jsx_factory,
            &self.jsx_fragment_factory,
            &self.jsx_import_source,
            &self.react_namespace,
        );
        let decorators = (self.experimental_decorators, self.emit_decorator_metadata);
        let classes = self.defines_class_fields();
        let interop = self.has_interop();
        format!(
            "{jsx:?} {decorators:?} {:?} {classes} {interop}",
            self.verbatim_module_syntax
        )
    }

    /// Returns the same options, with imports left as they are.
    pub(crate) fn keeping_imports(self) -> Self {
        Self {
            verbatim_module_syntax: Some(true),
            ..self
        }
    }

    /// Tells whether there is more than a version of the language, which each project of a solution names.
    fn says_how_to_read(&self) -> bool {
        let target = self.target.clone();
        *self
            != Self {
                target,
                ..Self::default()
            }
    }

    /// Tells whether a class field is the language's own: defined, also without a value. Where no option says so,
    /// `target` decides; without a target the answer is yes, as for a target of today.
    pub(crate) fn defines_class_fields(&self) -> bool {
        let by_target = || self.target.as_deref().is_none_or(has_class_fields);
        self.use_define_for_class_fields.unwrap_or_else(by_target)
    }

    /// Tells whether files become CommonJS that neither their extension nor their package makes ES modules.
    pub(crate) fn makes_commonjs(&self) -> bool {
        match self.module.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some(module) => module == "commonjs" || module.starts_with("node"),
            None => self.target.as_deref().is_some_and(is_before_modules),
        }
    }

    /// Returns `esModuleInterop`, which is on where Node's own interplay is meant.
    pub(crate) fn has_interop(&self) -> bool {
        let by_module = || {
            let module = self.module.as_deref().map(str::to_ascii_lowercase);
            module.is_some_and(|module| module.starts_with("node"))
        };
        self.es_module_interop.unwrap_or_else(by_module)
    }

    /// Returns these options, completed by those below.
    fn over(self, below: Self) -> Self {
        let own_paths = self.paths.is_some();
        Self {
            jsx: self.jsx.or(below.jsx),
            jsx_factory: self.jsx_factory.or(below.jsx_factory),
            jsx_fragment_factory: self.jsx_fragment_factory.or(below.jsx_fragment_factory),
            jsx_import_source: self.jsx_import_source.or(below.jsx_import_source),
            react_namespace: self.react_namespace.or(below.react_namespace),
            experimental_decorators: self.experimental_decorators.or(below.experimental_decorators),
            emit_decorator_metadata: self.emit_decorator_metadata.or(below.emit_decorator_metadata),
            verbatim_module_syntax: self.verbatim_module_syntax.or(below.verbatim_module_syntax),
            allow_js: self.allow_js.or(below.allow_js),
            module: self.module.or(below.module),
            es_module_interop: self.es_module_interop.or(below.es_module_interop),
            target: self.target.or(below.target),
            use_define_for_class_fields: self.use_define_for_class_fields.or(below.use_define_for_class_fields),
            custom_conditions: self.custom_conditions.or(below.custom_conditions),
            base_url: self.base_url.or(below.base_url),
            paths: self.paths.or(below.paths),
            paths_from: match own_paths {
                true => self.paths_from,
                false => below.paths_from,
            },
        }
    }

    /// Returns the places to which a specifier that is no place may lead, by `paths` and then by `baseUrl`, the best
    /// one first.
    pub(crate) fn places(&self, specifier: &str) -> Vec<PathBuf> {
        let from = self.base_url.as_ref().unwrap_or(&self.paths_from);
        let mapped = self.paths.iter().flatten().filter_map(|(pattern, targets)| {
            let (length, star) = matched(pattern, specifier)?;
            Some((length, targets, star))
        });
        let best = mapped.max_by_key(|(length, ..)| *length);
        let mapped = best.into_iter().flat_map(|(_, targets, star)| {
            targets
                .iter()
                .map(move |target| from.join(target.replacen('*', star, 1)))
        });
        let based = self.base_url.iter().map(|base| base.join(specifier));
        mapped.chain(based).collect()
    }
}

/// Tells whether the version of the language has class fields: ES2022 and later versions do.
fn has_class_fields(target: &str) -> bool {
    let version = target.to_ascii_lowercase();
    match version.strip_prefix("es").map(str::parse::<u32>) {
        // `es5`, `es6`; `esnext` is no number.
        Some(Ok(version)) => version >= 2022,
        _ => true,
    }
}

/// Tells whether the version of the language has no modules of its own.
fn is_before_modules(target: &str) -> bool {
    ["es3", "es5"].contains(&target.to_ascii_lowercase().as_str())
}

/// Returns how well a pattern fits, and the text for its star. A pattern without a star fits best.
fn matched<'a>(pattern: &str, specifier: &'a str) -> Option<(usize, &'a str)> {
    match pattern.split_once('*') {
        None => (pattern == specifier).then_some((usize::MAX, "")),
        Some((before, after)) => {
            let star = specifier.strip_prefix(before)?.strip_suffix(after)?;
            Some((before.len(), star))
        }
    }
}

/// Reads `paths` as a list: a map of the standard library would not be hashable.
fn in_order<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Paths>, D::Error> {
    let map: Option<std::collections::BTreeMap<String, Vec<String>>> = Option::deserialize(deserializer)?;
    Ok(map.map(|map| map.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::CompilerOptions;

    fn options(json: &str) -> CompilerOptions {
        let options: Option<CompilerOptions> = jsonc_parser::parse_to_serde_value(json, &Default::default()).unwrap();
        options.unwrap()
    }

    #[test]
    fn the_longest_pattern_wins_and_its_targets_come_in_order_before_the_base() {
        let options = options(
            r#"{
                // as people write it
                "baseUrl": "/p",
                "paths": { "*": ["any/*"], "@/*": ["src/*", "lib/*"], "@/exact": ["one.ts"], },
            }"#,
        );
        let places = |specifier: &str| options.places(specifier);
        let paths = |paths: &[&str]| -> Vec<PathBuf> { paths.iter().map(PathBuf::from).collect() };
        assert_eq!(places("@/a/b"), paths(&["/p/src/a/b", "/p/lib/a/b", "/p/@/a/b"]));
        assert_eq!(places("@/exact"), paths(&["/p/one.ts", "/p/@/exact"]));
        assert_eq!(places("other"), paths(&["/p/any/other", "/p/other"]));
    }

    #[test]
    fn class_fields_are_defined_from_es2022_on_unless_it_is_said() {
        let defines = |json: &str| options(json).defines_class_fields();
        for target in ["ES5", "es6", "ES2015", "ES2021", "es2017"] {
            assert!(!defines(&format!(r#"{{ "target": "{target}" }}"#)), "{target}");
        }
        for target in ["ES2022", "es2023", "ESNext", "esnext", "ES2025"] {
            assert!(defines(&format!(r#"{{ "target": "{target}" }}"#)), "{target}");
        }
        assert!(defines("{}"));
        assert!(defines(r#"{ "target": "ES2020", "useDefineForClassFields": true }"#));
        assert!(!defines(r#"{ "target": "ES2022", "useDefineForClassFields": false }"#));
        let below = options(r#"{ "target": "ES2017", "useDefineForClassFields": true }"#);
        assert!(options(r#"{ "target": "ES2021" }"#).over(below).defines_class_fields());
    }

    #[test]
    fn commonjs_is_made_where_the_module_or_an_old_target_says_so() {
        for settings in [
            r#"{ "module": "CommonJS" }"#,
            r#"{ "module": "NodeNext" }"#,
            r#"{ "module": "node16" }"#,
            r#"{ "target": "es5" }"#,
        ] {
            assert!(options(settings).makes_commonjs(), "{settings}");
        }
        for settings in [
            "{}",
            r#"{ "module": "ESNext", "target": "es5" }"#,
            r#"{ "target": "es2017" }"#,
        ] {
            assert!(!options(settings).makes_commonjs(), "{settings}");
        }
        assert!(!options(r#"{ "module": "commonjs" }"#).has_interop());
        assert!(options(r#"{ "module": "nodenext" }"#).has_interop());
    }

    #[test]
    fn what_is_said_nearer_counts_and_paths_stay_relative_to_where_they_are_said() {
        let mut below = options(r#"{ "jsx": "react", "experimentalDecorators": true, "paths": { "x": ["./y"] } }"#);
        below.paths_from = "/base".into();
        let mut own = options(r#"{ "jsx": "react-jsx" }"#);
        own.paths_from = "/own".into();
        let merged = own.over(below);
        assert_eq!(merged.jsx.as_deref(), Some("react-jsx"));
        assert_eq!(merged.experimental_decorators, Some(true));
        assert_eq!(merged.places("x"), [Path::new("/base/./y")]);
    }
}
