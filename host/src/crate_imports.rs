//! For tests of the order of modules: the sources of a crate, and the modules of the crate that each uses.

use std::path::{Path, PathBuf};

/// Returns all sources below a folder, at any depth.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
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

/// Returns the name of the module on the first level that a source below `root` belongs to.
pub(crate) fn module_of<'a>(source: &'a Path, root: &Path) -> &'a str {
    let first = source.strip_prefix(root).unwrap().iter().next().unwrap();
    first.to_str().unwrap().trim_end_matches(".rs")
}

/// Returns the modules of its crate that a source names after `crate::`, except in its comments and tests.
pub(crate) fn used(source: &str) -> Vec<&str> {
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
fn the_modules_that_a_source_uses_are_those_that_its_code_names() {
    let text = "use crate::source::kept;\nuse crate::{own_modules, prelude};\n// crate::engine\n\
                #[cfg(test)]\nmod tests {\ncrate::isolate";
    assert_eq!(used(text), ["source", "own_modules", "prelude"]);
}
