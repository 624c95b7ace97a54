//! The modules `bun` and `bun:*`, for projects that come from Bun.
//!
//! [`BUN`] makes them part of a runtime, with the global `Bun`, `import.meta.dir` and its like, and imports of YAML
//! and TOML. They are TypeScript beside this file, over Node's builtins, and evaluated on first use. What Node has
//! not (globs, passwords, hashes, …) is in Rust.
//!
//! Alone it tells what a specifier means, and has the JavaScript of its files:
//!
//! ```no_run
//! use js_runtime::BuiltInMeaning;
//! use js_runtime_bun::BUN;
//!
//! let Some(BuiltInMeaning::File(file)) = (BUN.meaning)("bun:sqlite") else {
//!     panic!("Bun has such a module");
//! };
//! let code = BUN.javascript(file).expect("it is one of its files")?;
//! assert!(code.contains("export"));
//! # Ok::<(), js_runtime_api::LoadError>(())
//! ```
#![warn(missing_docs)]

use js_runtime::{BuiltIn, BuiltInMeaning};

mod document;
mod natives;
mod passwords;

/// The modules `bun` and `bun:sqlite`; other names of Bun's say what to use instead.
pub const BUN: BuiltIn = BuiltIn {
    name: "bun",
    files: FILES,
    begins_with: "begin.ts",
    meaning,
    natives: natives::object,
    import_meta: IMPORT_META,
    data: &[
        ("yaml", document::yaml_file),
        ("yml", document::yaml_file),
        ("toml", document::toml_file),
    ],
};

const FILES: &[(&str, &str)] = &[
    ("begin.ts", include_str!("begin.ts")),
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

/// The properties that Bun has in `import.meta` and Deno has not.
const IMPORT_META: &str = "Object.assign(import.meta,{dir:import.meta.dirname,path:import.meta.filename,\
    file:import.meta.filename.replace(/^.*\\//,\"\"),env:process.env,\
    require:id=>process.getBuiltinModule(\"node:module\").createRequire(import.meta.url)(id)});";

/// Returns the meaning of a specifier. The npm package `bun` is Bun's binary and no module.
fn meaning(specifier: &str) -> Option<BuiltInMeaning> {
    let missing = |instead: &str| {
        Some(BuiltInMeaning::Missing(format!(
            "Baton has no {specifier:?}: {instead}"
        )))
    };
    match specifier {
        "bun" => Some(BuiltInMeaning::File("exports.mjs")),
        "bun:sqlite" => Some(BuiltInMeaning::File("sqlite.ts")),
        "bun:test" => missing("run tests with Bun, Node or Vitest"),
        "bun:ffi" => missing("load native code as a Node addon, or start it as a child process"),
        "bun:jsc" => missing("V8 runs this code, not JavaScriptCore; use node:v8 for serialize and heap statistics"),
        "bun:main" => missing("import the entry file by its path"),
        _ => specifier
            .strip_prefix("bun:")
            .map(|_| BuiltInMeaning::Missing(format!("Baton has no {specifier:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{BUN, FILES, meaning};
    use js_runtime::BuiltInMeaning;

    /// Returns a path without `.` and `..` that leads from one of these files to another one.
    fn joined(from: &str, to: &str) -> String {
        let mut parts: Vec<&str> = from.split('/').collect();
        parts.pop();
        for part in to.split('/') {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        parts.join("/")
    }

    #[test]
    fn every_file_is_emitted_and_imports_what_is_there() {
        for (name, _) in FILES {
            let code = BUN.javascript(name).unwrap().unwrap();
            for import in code.split("from \"").skip(1) {
                let specifier = import.split('"').next().unwrap();
                let known = specifier.starts_with("node:")
                    || specifier.starts_with("baton:")
                    || FILES.iter().any(|(file, _)| *file == joined(name, specifier));
                assert!(known, "{name} imports {specifier}");
            }
        }
    }

    #[test]
    fn names_of_bun_are_modules_or_say_what_to_use_instead() {
        for name in ["bun", "bun:sqlite"] {
            let Some(BuiltInMeaning::File(file)) = meaning(name) else {
                panic!("{name} is no module");
            };
            assert!(BUN.javascript(file).is_some(), "{name}");
        }
        for name in ["bun:test", "bun:ffi", "bun:jsc", "bun:unheard-of"] {
            assert!(
                matches!(meaning(name), Some(BuiltInMeaning::Missing(text)) if text.contains(name)),
                "{name}"
            );
        }
        assert!(meaning("bunny").is_none());
    }
}
