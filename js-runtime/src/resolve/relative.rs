//! Relative imports: `./x`, `./x.js` that means `x.ts`, and folders with an index.

use std::path::{Path, PathBuf};

use deno_core::url::Url;

use crate::source::snapshot::SourceSnapshot;

/// Pairs of extensions: TypeScript lets an author write the first for a file that is compiled from the second.
const WRITTEN_FOR: [(&str, &str); 5] = [
    (".js", ".ts"),
    (".js", ".tsx"),
    (".mjs", ".mts"),
    (".cjs", ".cts"),
    (".jsx", ".tsx"),
];

const EXTENSIONS: [&str; 9] = ["ts", "tsx", "mts", "cts", "js", "mjs", "cjs", "jsx", "json"];

/// Tells whether a specifier names a file by its place and not a package.
pub(crate) fn is_relative(specifier: &str) -> bool {
    specifier == "."
        || specifier == ".."
        || specifier.starts_with("./")
        || specifier.starts_with("../")
        || specifier.starts_with('/')
        || specifier.starts_with("file:")
}

/// Finds the file that the URL stands for: the file itself, then its source before compilation, then a file with an
/// extension added, then a folder with an index.
pub(crate) fn find(url: &Url, sources: &SourceSnapshot) -> Option<Url> {
    let path = url.to_file_path().ok()?;
    let found = candidates(&path).find(|candidate| sources.is_file(candidate))?;
    let mut found = Url::from_file_path(sources.canonical(&found).ok()?).ok()?;
    found.set_query(url.query());
    found.set_fragment(url.fragment());
    Some(found)
}

fn candidates(path: &Path) -> impl Iterator<Item = PathBuf> {
    let text = path.to_string_lossy().into_owned();
    let renamed = WRITTEN_FOR.iter().filter_map({
        let text = text.clone();
        move |(written, meant)| Some(PathBuf::from(format!("{}{meant}", text.strip_suffix(written)?)))
    });
    let extended = EXTENSIONS
        .iter()
        .map(move |extension| PathBuf::from(format!("{text}.{extension}")));
    let folder = path.to_owned();
    let index = EXTENSIONS
        .iter()
        .map(move |extension| folder.join(format!("index.{extension}")));
    std::iter::once(path.to_owned())
        .chain(renamed)
        .chain(extended)
        .chain(index)
}

#[cfg(test)]
mod tests {
    use super::{candidates, is_relative};
    use std::path::Path;

    #[test]
    fn the_file_itself_comes_first_then_its_source_then_extensions_then_index_files() {
        let candidates: Vec<_> = candidates(Path::new("/p/x.js"))
            .map(|path| path.display().to_string())
            .collect();
        assert_eq!(&candidates[..4], ["/p/x.js", "/p/x.ts", "/p/x.tsx", "/p/x.js.ts"]);
        assert!(candidates.contains(&"/p/x.js/index.ts".to_owned()));
    }

    #[test]
    fn packages_and_builtins_are_not_relative() {
        assert!(is_relative("./x") && is_relative("..") && is_relative("/abs") && is_relative("file:///x"));
        assert!(!is_relative("inngest") && !is_relative("node:fs") && !is_relative("#internal") && !is_relative(".x"));
    }
}
