//! The floors of the library, as its documentation draws them: no module uses a module of its own floor or of a
//! higher one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The floor of each module, by name.
fn floors() -> BTreeMap<&'static str, u32> {
    let lines = include_str!("lib.rs").lines();
    let floor = |line: &'static str| {
        let (number, rest) = line.strip_prefix("//! ")?.split_once("  ")?;
        let modules = rest.split("  ").next()?.split(' ');
        let number = number.parse().ok()?;
        Some(modules.map(move |module| (module, number)))
    };
    lines.filter_map(floor).flatten().collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(path);
            }
        }
    }
    sources
}

/// The modules of the library that a source names after `crate::`, except in its comments and tests.
fn used(source: &str) -> Vec<&str> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let is_end = |letter: char| !letter.is_alphanumeric() && letter != '_';
    let paths = lines.flat_map(|line| line.split("crate::").skip(1));
    // A path ends in one name, or in several names in braces.
    let names = paths.filter_map(|path| match path.strip_prefix('{') {
        Some(list) => list.split('}').next(),
        None => path.split(is_end).next(),
    });
    names.flat_map(|names| names.split(", ")).collect()
}

#[test]
fn no_module_uses_one_of_its_own_floor_or_of_a_higher_one() {
    let (floors, root) = (floors(), Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut wrong = Vec::new();
    for path in sources(&root) {
        let place = path.strip_prefix(&root).unwrap();
        let module = place.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        // The binary, the library's root, and help for tests have no floor.
        if matches!(module, "main" | "lib" | "floors" | "fuzz") {
            continue;
        }
        let Some(floor) = floors.get(module) else {
            wrong.push(format!("{} has no floor in lib.rs", place.display()));
            continue;
        };
        for used in used(&std::fs::read_to_string(&path).unwrap()) {
            if used != module && used != "fuzz" && floors.get(used).is_none_or(|other| other >= floor) {
                wrong.push(format!("{} uses {used}", place.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
