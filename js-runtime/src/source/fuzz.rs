//! Texts made of the parts of languages, at random, for everything that reads users' texts: no reader may panic.
//! `BATON_FUZZ_SECONDS` says how long; without it each takes a moment.

use std::time::{Duration, Instant};

use deno_ast::MediaType;
use deno_core::url::Url;
use deno_package_json::PackageJson;

use super::effects::ModuleEffects;
use super::transpile::{self, EmitKind};
use super::tsconfig::CompilerOptions;
use super::{bundled, environment, imports, top_level_await};
use crate::prelude::findings;

const CODE: [&str; 72] = [
    "a",
    "b",
    "step",
    ".run",
    "createFunction",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    "/",
    "\\",
    "`",
    "${",
    "'",
    "\"",
    "=>",
    "=",
    "+",
    "++",
    "-",
    "*",
    "**",
    "!",
    "?",
    "?.",
    "??",
    ":",
    ";",
    ",",
    "...",
    "#x",
    "@on ",
    "@",
    " as ",
    " satisfies ",
    "\n",
    "// c\n",
    "/* c */",
    "/** @jsx h */",
    "#!x\n",
    "import ",
    "export ",
    "default ",
    " from ",
    "'./a'",
    "require",
    "await ",
    "async ",
    "function ",
    "class ",
    "static ",
    "accessor ",
    "constructor",
    "super(",
    "extends ",
    "namespace ",
    "enum ",
    "type ",
    "interface ",
    "declare ",
    "using ",
    "for (",
    "if (",
    "else ",
    "1",
    "0x",
    "\u{feff}",
    "\u{1f600}",
];
const JSON: [&str; 20] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\"compilerOptions\"",
    "\"paths\"",
    "\"*\"",
    "\"a/*\"",
    "\"target\"",
    "\"es5\"",
    "true",
    "null",
    "1e999",
    "// c\n",
    "/*",
    "\\u00",
    "\u{1f600}",
];

const PACKAGE: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"name\"",
    "\"version\"",
    "\"type\"",
    "\"module\"",
    "\"main\"",
    "\"exports\"",
    "\"imports\"",
    "\"#a\"",
    "\".\"",
    "\"./a*\"",
    "\"import\"",
    "\"default\"",
    "\"dependencies\"",
    "\"npm:a@^1\"",
    "\"workspace:*\"",
    "null",
    "1e999",
    "\"\\ud800\"",
];

const VARIABLES: [&str; 16] = [
    "A",
    "b",
    "=",
    "\n",
    "\"",
    "'",
    "`",
    "$",
    "${",
    "}",
    "\\",
    "\\n",
    "#",
    " ",
    "export ",
    "\u{1f600}",
];

/// Numbers by xorshift, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % most
    }

    fn text(&mut self, parts: &[&str]) -> String {
        let length = self.below(40);
        (0..length).map(|_| parts[self.below(parts.len())]).collect()
    }
}

/// Gives texts to a reader, and shows a text on which it panicked.
#[allow(clippy::print_stderr, reason = "the figure of a run")]
fn fuzz(parts: &[&str], read: impl Fn(&str)) {
    let seconds = std::env::var("BATON_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let (until, least) = match seconds {
        Some(seconds) => (Instant::now() + Duration::from_secs(seconds), 0),
        None => (Instant::now(), 300),
    };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut count = 0_u64;
    while count < least || Instant::now() < until {
        let text = random.text(parts);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(&text)));
        assert!(outcome.is_ok(), "{text:?}");
        count += 1;
    }
    eprintln!("{count} texts");
}

#[test]
fn any_text_of_a_module_is_read() {
    let legacy =
        r#"{ "experimentalDecorators": true, "emitDecoratorMetadata": true, "useDefineForClassFields": false }"#;
    let legacy: Option<CompilerOptions> = jsonc_parser::parse_to_serde_value(legacy, &Default::default()).unwrap();
    let options = [CompilerOptions::default(), legacy.unwrap_or_default()];
    let kinds = [
        ("ts", MediaType::TypeScript),
        ("tsx", MediaType::Tsx),
        ("js", MediaType::JavaScript),
    ];
    fuzz(&CODE, |text| {
        let text = text.trim_start_matches('\u{feff}');
        for (extension, media_type) in kinds {
            let url = Url::parse(&format!("file:///p/a.{extension}")).unwrap();
            top_level_await::waits(&url, text);
            imports::offset_of_import(&url, text, "./a");
            for options in &options {
                let Ok(parsed) = transpile::parse(&url, media_type, text.into()) else {
                    break;
                };
                findings::look(&parsed);
                ModuleEffects::of(&parsed);
                bundled::import_of_names(&parsed);
                let _ = transpile::emit(&url, parsed, EmitKind::Esm, options);
            }
        }
    });
}

#[test]
fn any_text_of_a_tsconfig_is_read() {
    fuzz(&JSON, |text| {
        let options: Result<Option<CompilerOptions>, _> = jsonc_parser::parse_to_serde_value(text, &Default::default());
        if let Ok(Some(options)) = options {
            options.places("a/b");
            options.of_emitting();
        }
    });
}

#[test]
fn any_text_of_a_file_of_variables_is_read() {
    fuzz(&VARIABLES, |text| drop(environment::parse(text)));
}

#[test]
fn any_text_of_a_package_json_is_read() {
    fuzz(&PACKAGE, |text| {
        for text in [text.to_owned(), format!("{{ \"name\": \"a\", {text} }}")] {
            if let Ok(package) = PackageJson::load_from_string("/p/package.json".into(), &text) {
                let _ = package.resolve_local_package_json_deps();
            }
        }
    });
}

#[test]
fn a_package_json_that_is_nested_without_end_is_refused() {
    for nested in [
        format!("{{ \"exports\": {}", "{ \"a\": ".repeat(100_000)),
        "[".repeat(1_000_000),
        format!("{{ \"exports\": {}1{} }}", "[".repeat(100_000), "]".repeat(100_000)),
    ] {
        assert!(PackageJson::load_from_string("/p/package.json".into(), &nested).is_err());
    }
}
