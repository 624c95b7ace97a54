//! Files that belong to a generation because its project says so (`[watch] include`), though no module reads them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use js_runtime_api::Project;

/// The limit for the number of entries that are looked at below the root.
const MOST: usize = 200_000;

/// Lists the files below the root that the globs of a project name, but for those of packages and in dot-folders.
pub(super) fn list(project: &Project) -> BTreeSet<PathBuf> {
    if project.includes.is_empty() {
        return BTreeSet::new();
    }
    let globs = globs(&project.includes);
    let mut found = BTreeSet::new();
    let mut folders = vec![project.root.clone()];
    let mut looked_at = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            looked_at += 1;
            if looked_at > MOST {
                return found;
            }
            let path = entry.path();
            // The target of a link is found by its own name only.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !is_skipped(&path) {
                    folders.push(path);
                }
            } else if path.strip_prefix(&project.root).is_ok_and(|path| globs.is_match(path)) && path.is_file() {
                found.insert(path);
            }
        }
    }
    found
}

fn is_skipped(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name == "node_modules" || name.starts_with('.')
}

/// Returns the matcher; texts that are no globs were refused where they were read.
fn globs(texts: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for text in texts {
        if let Ok(glob) = GlobBuilder::new(text).literal_separator(true).build() {
            set.add(glob);
        }
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}

#[cfg(test)]
mod tests {
    use js_runtime_api::{Entry, EnvironmentSource, Project};

    use super::list;

    #[test]
    fn files_below_the_root_are_listed_but_not_those_of_packages() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "a.md",
            "prompts/b.md",
            "prompts/deep/c.md",
            "prompts/d.txt",
            "node_modules/x/e.md",
            ".git/f.md",
        ] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let listed = |includes: &[&str]| {
            let project = Project {
                root: folder.path().to_owned(),
                entry: Entry::Folder(folder.path().to_owned()),
                environment: EnvironmentSource::default(),
                serve_path: String::new(),
                default_retries: None,
                conditions: Vec::new(),
                includes: includes.iter().map(|glob| (*glob).to_owned()).collect(),
            };
            let names = list(&project).into_iter();
            let names = names.map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string());
            names.collect::<Vec<_>>()
        };
        assert_eq!(listed(&["**/*.md"]), ["a.md", "prompts/b.md", "prompts/deep/c.md"]);
        assert_eq!(listed(&["prompts/*"]), ["prompts/b.md", "prompts/d.txt"]);
        assert!(listed(&[]).is_empty());
    }
}
