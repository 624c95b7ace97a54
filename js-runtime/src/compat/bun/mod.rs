//! The modules `bun` and `bun:*`, for projects that come from Bun.
//!
//! They are TypeScript beside this file, over Node's builtins, and evaluated on first use: an isolate
//! whose code never asks for them has nothing of them. What Node has not (YAML, globs, passwords, …)
//! is in `natives`, by Rust crates.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use deno_ast::MediaType;
use deno_core::url::Url;
use js_runtime_api::LoadError;

use crate::source::transpile::{self, EmitKind};
use crate::source::tsconfig::CompilerOptions;

pub(crate) mod data;
mod natives;
mod passwords;

pub(super) use natives::object as natives;

/// Where the files are for V8. On no disk; a file's URL, since only those can be required.
const FOLDER: &str = "file:///.baton/bun/";

/// The files, by their names in that folder.
const FILES: &[(&str, &str)] = &[
    ("exports.mjs", include_str!("exports.mjs")),
    ("bun.ts", include_str!("bun.ts")),
    ("bytes.ts", include_str!("bytes.ts")),
    ("crypto.ts", include_str!("crypto.ts")),
    ("file.ts", include_str!("file.ts")),
    ("glob.ts", include_str!("glob.ts")),
    ("mime.ts", include_str!("mime.ts")),
    ("missing.ts", include_str!("missing.ts")),
    ("serve.ts", include_str!("serve.ts")),
    ("shell/builtins.ts", include_str!("shell/builtins.ts")),
    ("shell/execute.ts", include_str!("shell/execute.ts")),
    ("shell/expand.ts", include_str!("shell/expand.ts")),
    ("shell/lexer.ts", include_str!("shell/lexer.ts")),
    ("shell/parser.ts", include_str!("shell/parser.ts")),
    ("shell/shell.ts", include_str!("shell/shell.ts")),
    ("shell/streams.ts", include_str!("shell/streams.ts")),
    ("spawn.ts", include_str!("spawn.ts")),
    ("sqlite.ts", include_str!("sqlite.ts")),
    ("text.ts", include_str!("text.ts")),
    ("websocket.ts", include_str!("websocket.ts")),
    ("yaml.ts", include_str!("yaml.ts")),
];

/// What a specifier of Bun's stands for.
pub(crate) enum Specifier {
    /// A module of this folder.
    Module(Url),
    /// Bun has it and Baton has not: what to do instead.
    Missing(String),
}

/// A specifier of Bun's; nothing when it is none. The npm package `bun` is Bun's binary and no
/// module, so these names win over `node_modules`.
pub(crate) fn specifier(specifier: &str) -> Option<Specifier> {
    let missing = |instead: &str| {
        Some(Specifier::Missing(format!(
            "{specifier:?} is not there in Baton: {instead}"
        )))
    };
    match specifier {
        "bun" => url_of("exports.mjs").map(Specifier::Module),
        "bun:sqlite" => url_of("sqlite.ts").map(Specifier::Module),
        "bun:test" => missing("tests run outside of it, with Bun, Node or Vitest"),
        "bun:ffi" => missing("load native code as a Node addon, or start it as a child process"),
        "bun:jsc" => missing("V8 runs this code, not JavaScriptCore; node:v8 has serialize and heap statistics"),
        "bun:main" => missing("it is the entry file, which can be imported by its path"),
        _ => specifier
            .strip_prefix("bun:")
            .map(|_| Specifier::Missing(format!("{specifier:?} is not there in Baton"))),
    }
}

fn url_of(name: &str) -> Option<Url> {
    Url::parse(FOLDER).ok()?.join(name).ok()
}

/// Whether a file is one of these modules' and none of the user's.
pub(crate) fn is_part(url: &Url) -> bool {
    url.as_str().starts_with(FOLDER)
}

/// What a file of these modules imports: another one, a builtin, or the host.
pub(crate) fn resolve(specifier: &str, referrer: &Url) -> Option<Url> {
    if !is_part(referrer) {
        return None;
    }
    // A builtin is a URL already.
    referrer.join(specifier).ok()
}

/// The JavaScript of a file of these modules, made once per process; nothing for any other file.
///
/// # Errors
/// Only when Baton itself is at fault.
pub(crate) fn module(url: &Url) -> Option<Result<Arc<str>, LoadError>> {
    static EMITTED: Mutex<BTreeMap<&str, Arc<str>>> = Mutex::new(BTreeMap::new());
    let name = url.as_str().strip_prefix(FOLDER)?;
    let (name, text) = FILES.iter().find(|(known, _)| *known == name)?;
    let mut emitted = EMITTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(code) = emitted.get(name) {
        return Some(Ok(code.clone()));
    }
    let code = transpile::parse(url, MediaType::from_specifier(url), (*text).into())
        .and_then(|parsed| transpile::emit(url, parsed, EmitKind::Esm, &CompilerOptions::default()));
    Some(code.map(|made| {
        emitted.insert(name, made.code.clone());
        made.code
    }))
}

#[cfg(test)]
mod tests {
    use super::{FILES, Specifier, module, resolve, specifier, url_of};

    #[test]
    fn every_file_is_emitted_and_imports_what_is_there() {
        for (name, _) in FILES {
            let url = url_of(name).unwrap();
            let code = module(&url).unwrap().unwrap();
            for import in code.split("from \"").skip(1) {
                let specifier = import.split('"').next().unwrap();
                let found = resolve(specifier, &url).unwrap();
                let known =
                    found.scheme() == "node" || found.as_str().starts_with("baton:") || module(&found).is_some();
                assert!(known, "{name} imports {specifier}");
            }
        }
    }

    #[test]
    fn names_of_bun_are_modules_or_say_what_to_use_instead() {
        for name in ["bun", "bun:sqlite"] {
            let Some(Specifier::Module(url)) = specifier(name) else {
                panic!("{name} is no module");
            };
            assert!(module(&url).is_some(), "{name}");
        }
        for name in ["bun:test", "bun:ffi", "bun:jsc", "bun:unheard-of"] {
            assert!(
                matches!(specifier(name), Some(Specifier::Missing(text)) if text.contains(name)),
                "{name}"
            );
        }
        assert!(specifier("bunny").is_none());
    }
}
