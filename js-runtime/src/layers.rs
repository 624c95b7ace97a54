//! The order of this crate's modules: none imports a later one.

use std::path::Path;

/// The modules, from the lowest to the highest.
const LAYERS: [&str; 20] = [
    "system",
    "position",
    "own_files",
    "source",
    "built_in",
    "own_modules",
    "ahead",
    "diagnostics",
    "resolve",
    "control",
    "prelude",
    "startup_snapshot",
    "v8_release",
    "loader",
    "compat",
    "isolate",
    "maker",
    "spare",
    "engine",
    "builder",
];

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == name)
}

/// Returns the modules of this crate that a file's code names, but for its tests.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let paths = lines.flat_map(|line| line.split("crate::").skip(1));
    paths.flat_map(|path| {
        let path = path
            .strip_prefix('{')
            .map_or(path, |several| several.split('}').next().unwrap_or_default());
        path.split(',').map(|one| {
            let one = one.trim();
            one.split(|next: char| !next.is_alphanumeric() && next != '_')
                .next()
                .unwrap_or_default()
        })
    })
}

fn check(path: &Path, own: &str) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            check(&entry.unwrap().path(), own);
        }
        return;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if !name.ends_with(".rs") || ["tests.rs", "fuzz.rs"].contains(&&*name) {
        return;
    }
    let Some(at) = layer(own) else {
        panic!("{} is in no layer", path.display());
    };
    let text = std::fs::read_to_string(path).unwrap();
    for other in named(&text).filter_map(layer) {
        assert!(other <= at, "{} imports {}", path.display(), LAYERS[other]);
    }
}

#[test]
fn no_module_imports_a_later_one() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let own = path.file_stem().unwrap().to_string_lossy().into_owned();
        if ["lib", "layers"].contains(&&*own) {
            continue;
        }
        seen += 1;
        check(&path, &own);
    }
    assert_eq!(seen, LAYERS.len());
}

#[test]
fn what_a_file_names_is_what_its_code_imports() {
    let text =
        "use crate::source::kept;\nuse crate::{own_modules, prelude};\n// crate::engine\n#[cfg(test)]\ncrate::isolate";
    let named: Vec<_> = named(text).filter(|name| layer(name).is_some()).collect();
    assert_eq!(named, ["source", "own_modules", "prelude"]);
}
