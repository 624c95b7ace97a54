//! Modules that are part of the runtime for whoever starts it: those of another runtime, `bun` for example.
//!
//! They are TypeScript over Node's builtins, and evaluated on first use: an isolate whose code never asks for them
//! has nothing of them but the file that [`BuiltIn::begins_with`] names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use deno_ast::MediaType;
use deno_core::url::Url;
use deno_core::v8;
use js_runtime_api::LoadError;

use crate::own_files::{BUILT_IN, is_built_in};
use crate::source::caches::Caches;
use crate::source::emitted::EmittedCode;
use crate::source::transpile::{self, EmitKind};
use crate::source::tsconfig::CompilerOptions;

/// Modules that are part of the runtime.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn {
    /// The name of their folder: V8 has their files at `file:///.baton/<name>/`.
    pub name: &'static str,
    /// The names of the files in that folder, and their text: TypeScript, or JavaScript (`.mjs`). They import each
    /// other by relative paths, `node:…`, and of the runtime's own modules `baton:host`, whose `nativesOf(name)`
    /// returns the object that [`BuiltIn::natives`] makes, and `baton:serving`, whose `handOver` makes a handler of
    /// requests the app.
    pub files: &'static [(&'static str, &'static str)],
    /// The file that is evaluated in each isolate before user code, to define globals.
    pub begins_with: &'static str,
    /// The meaning of a specifier for these modules, wherever it is written: such names win over `node_modules`.
    pub meaning: fn(specifier: &str) -> Option<BuiltInMeaning>,
    /// Makes the functions in Rust that the files need; nothing where V8 is out of memory.
    pub natives: for<'s> fn(scope: &mut v8::PinScope<'s, '_>) -> Option<v8::Local<'s, v8::Object>>,
    /// Statements on one line that give `import.meta` of the project's modules more than is in it everywhere.
    pub import_meta: &'static str,
    /// The parsers of files that are imported for their content, by file name extension.
    pub data: &'static [(&'static str, ParseData)],
}

/// Parses a file that is imported for its content.
///
/// # Errors
/// With the place of what is no such data.
pub type ParseData = fn(text: &str) -> Result<Data, String>;

/// The meaning of a specifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuiltInMeaning {
    /// A file of [`BuiltIn::files`].
    File(&'static str),
    /// A module that is not there; the text is the advice for the user.
    Missing(String),
}

/// The content of a file that is imported for its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Data {
    /// The content as an expression of JavaScript.
    pub expression: String,
    /// The keys of a map, each of which can be imported by its name.
    pub keys: Vec<String>,
}

impl BuiltIn {
    /// Returns the URL of a file.
    fn url_of(&self, file: &str) -> Option<Url> {
        Url::parse(&format!("{BUILT_IN}{}/{file}", self.name)).ok()
    }

    fn text_of(&self, file: &str) -> Option<&'static str> {
        let (_, text) = self.files.iter().find(|(known, _)| *known == file)?;
        Some(text)
    }

    /// Makes the JavaScript of a file; `None` for a file that is not there.
    ///
    /// # Errors
    /// When the file does not parse.
    pub fn javascript(&self, file: &str) -> Option<Result<Arc<str>, LoadError>> {
        let emitted = emit(&self.url_of(file)?, self.text_of(file)?);
        Some(emitted.map(|emitted| emitted.code))
    }
}

fn emit(url: &Url, text: &str) -> Result<EmittedCode, LoadError> {
    let parsed = transpile::parse(url, MediaType::from_specifier(url), text.into())?;
    transpile::emit(url, parsed, EmitKind::Esm, &CompilerOptions::default())
}

/// All built-in modules of the process.
#[derive(Debug, Default)]
pub(crate) struct BuiltIns {
    all: Vec<BuiltIn>,
    /// The JavaScript of the modules, made once per process.
    emitted: Mutex<BTreeMap<Url, Arc<str>>>,
}

impl BuiltIns {
    pub(crate) fn new(all: Vec<BuiltIn>) -> Self {
        Self {
            all,
            emitted: Mutex::default(),
        }
    }

    /// Returns the files that are evaluated before user code.
    pub(crate) fn first_files(&self) -> impl Iterator<Item = Url> {
        self.all.iter().filter_map(|one| one.url_of(one.begins_with))
    }

    /// Returns the functions in Rust of the built-in modules of this name.
    pub(crate) fn natives<'s>(
        &self,
        scope: &mut v8::PinScope<'s, '_>,
        name: &str,
    ) -> Option<v8::Local<'s, v8::Object>> {
        let named = self.all.iter().find(|one| one.name == name)?;
        (named.natives)(scope)
    }

    /// Returns the meaning of a specifier where it is written; `None` where it means nothing here.
    ///
    /// # Errors
    /// With what to do instead, for a module that is not there.
    pub(crate) fn resolve(&self, specifier: &str, referrer: &Url) -> Option<Result<Url, String>> {
        if is_built_in(referrer) {
            // A builtin of Node's, and a module of the runtime's own, is a URL already.
            return referrer.join(specifier).ok().map(Ok);
        }
        self.all.iter().find_map(|one| match (one.meaning)(specifier)? {
            BuiltInMeaning::File(file) => one.url_of(file).map(Ok),
            BuiltInMeaning::Missing(instead) => Some(Err(instead)),
        })
    }

    /// Returns the JavaScript of a file; `None` for a file that is not built in.
    ///
    /// # Errors
    /// Only when the file itself is at fault.
    pub(crate) fn module(&self, url: &Url, caches: &Caches) -> Option<Result<Arc<str>, LoadError>> {
        let (name, file) = url.as_str().strip_prefix(BUILT_IN)?.split_once('/')?;
        let named = self.all.iter().find(|one| one.name == name)?;
        let mut emitted = self.emitted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = emitted.get(url) {
            return Some(Ok(code.clone()));
        }
        let text = named.text_of(file)?;
        let made = caches.own_emitted(url, text, || emit(url, text));
        Some(made.map(|made| {
            emitted.insert(url.clone(), made.code.clone());
            made.code
        }))
    }

    /// Returns the statements that come before those of the project's modules that ask for more of `import.meta`.
    pub(crate) fn import_meta(&self) -> String {
        self.all.iter().map(|one| one.import_meta).collect()
    }

    /// Returns the parser for files with this extension.
    pub(crate) fn parser_of(&self, extension: &str) -> Option<ParseData> {
        let mut known = self.all.iter().flat_map(|one| one.data);
        known.find(|(of, _)| *of == extension).map(|(_, parse)| *parse)
    }
}

#[cfg(test)]
mod tests {
    use deno_core::url::Url;

    use super::{BuiltIn, BuiltInMeaning, BuiltIns, Caches, Data, is_built_in};

    const EXAMPLE: BuiltIn = BuiltIn {
        name: "example",
        files: &[
            ("first.ts", "export const a: number = 1;"),
            ("broken.ts", "export const = 1;"),
        ],
        begins_with: "first.ts",
        meaning: |specifier| match specifier {
            "example" => Some(BuiltInMeaning::File("first.ts")),
            "example:more" => Some(BuiltInMeaning::Missing("do without".to_owned())),
            _ => None,
        },
        natives: |_| None,
        import_meta: "",
        data: &[("dat", |text| {
            Ok(Data {
                expression: text.len().to_string(),
                keys: Vec::new(),
            })
        })],
    };

    #[test]
    fn a_specifier_means_a_file_says_what_to_do_instead_or_means_nothing() {
        let (built_ins, caches) = (BuiltIns::new(vec![EXAMPLE]), Caches::kept_in(None, false));
        let user = Url::parse("file:///p/a.ts").unwrap();
        let file = built_ins.resolve("example", &user).unwrap().unwrap();
        assert_eq!(file.as_str(), "file:///.baton/example/first.ts");
        assert!(is_built_in(&file) && !is_built_in(&user));
        assert_eq!(
            built_ins.resolve("example:more", &user),
            Some(Err("do without".to_owned()))
        );
        assert_eq!(built_ins.resolve("examples", &user), None);
        let node = built_ins.resolve("node:fs", &file).unwrap().unwrap();
        assert_eq!(node.as_str(), "node:fs");
        let other = built_ins.resolve("./broken.ts", &file).unwrap().unwrap();
        assert!(built_ins.module(&other, &caches).unwrap().is_err());
    }

    #[test]
    fn a_file_is_emitted_and_one_that_is_not_there_is_nobodys() {
        let (built_ins, caches) = (BuiltIns::new(vec![EXAMPLE]), Caches::kept_in(None, false));
        let first = built_ins.first_files().next().unwrap();
        let code = built_ins.module(&first, &caches).unwrap().unwrap();
        assert!(code.contains("const a = 1"), "{code}");
        for elsewhere in [
            "file:///.baton/example/x.ts",
            "file:///.baton/other/first.ts",
            "file:///p/a.ts",
        ] {
            assert!(
                built_ins.module(&Url::parse(elsewhere).unwrap(), &caches).is_none(),
                "{elsewhere}"
            );
        }
        assert_eq!(built_ins.parser_of("dat").unwrap()("abc").unwrap().expression, "3");
        assert!(built_ins.parser_of("ts").is_none());
    }
}
