//! Workspaces: several packages below one root, which installs for all of them.

use std::path::Path;

use globset::GlobBuilder;

/// The globs of a workspace's packages, relative to its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorkspaceMembers(pub(super) Vec<String>);

impl WorkspaceMembers {
    /// Tells whether a folder is a package of the workspace. `folder` is relative to the root.
    pub(super) fn contain(&self, folder: &Path) -> bool {
        let (excluded, included): (Vec<&String>, Vec<&String>) = self.0.iter().partition(|glob| glob.starts_with('!'));
        let any = |globs: &[&String]| globs.iter().any(|glob| matches(glob.trim_start_matches('!'), folder));
        any(&included) && !any(&excluded)
    }

    /// Returns a folder that would be a package, such as `packages/functions` for `packages/*`.
    pub(super) fn example(&self) -> Option<String> {
        let folder = self.0.iter().find_map(|glob| glob.strip_suffix("/*"))?;
        let is_plain = !folder.contains(['*', '!', '{', '?']);
        is_plain.then(|| format!("{}/functions", folder.trim_start_matches("./")))
    }
}

fn matches(glob: &str, folder: &Path) -> bool {
    let glob = glob.trim_start_matches("./").trim_end_matches('/');
    let glob = GlobBuilder::new(glob).literal_separator(true).build();
    glob.is_ok_and(|glob| glob.compile_matcher().is_match(folder))
}

/// Reads the list of packages in `pnpm-workspace.yaml`: a block or a flow list of strings, as pnpm writes it. None
/// where there is no such list.
pub(super) fn of_pnpm(text: &str) -> Option<WorkspaceMembers> {
    let mut lines = text.lines().map(without_comment);
    let flow = lines.find_map(|line| line.strip_prefix("packages:"))?.trim();
    if let Some(list) = flow.strip_prefix('[') {
        let list = list.strip_suffix(']')?;
        let globs = list.split(',').map(unquoted).filter(|glob| !glob.is_empty());
        return Some(WorkspaceMembers(globs.collect()));
    }
    let lines = lines.filter(|line| !line.is_empty());
    let globs = lines.map_while(|line| line.trim_start().strip_prefix("- ").map(unquoted));
    Some(WorkspaceMembers(globs.collect()))
}

/// Cuts a comment off: it begins the line, or follows a space.
fn without_comment(line: &str) -> &str {
    let comment = line.find(" #").or_else(|| line.starts_with('#').then_some(0));
    line[..comment.unwrap_or(line.len())].trim_end()
}

fn unquoted(text: &str) -> String {
    text.trim().trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{WorkspaceMembers, of_pnpm};

    fn members(globs: &[&str]) -> WorkspaceMembers {
        WorkspaceMembers(globs.iter().map(|glob| (*glob).to_owned()).collect())
    }

    #[test]
    fn the_list_of_pnpm_is_read_as_pnpm_writes_it() {
        let block = "# ours\npackages:\n  - \"packages/*\" # all\n\n  - '!**/test/**'\n  - apps/web\ncatalog:\n  - x\n";
        assert_eq!(
            of_pnpm(block),
            Some(members(&["packages/*", "!**/test/**", "apps/web"]))
        );
        assert_eq!(of_pnpm("packages: ['a/*', \"b\"]"), Some(members(&["a/*", "b"])));
        assert_eq!(of_pnpm("packages:\n- a/*\n"), Some(members(&["a/*"])));
        assert_eq!(of_pnpm("onlyBuiltDependencies:\n  - esbuild\n"), None);
        assert_eq!(of_pnpm(""), None);
    }

    #[test]
    fn members_are_those_of_the_globs_and_not_of_the_excluding_ones() {
        let globs = members(&["packages/*", "apps/**", "!**/test/**"]);
        let contains = |folder: &str| globs.contain(Path::new(folder));
        assert!(contains("packages/jobs") && contains("apps/a/b"));
        assert!(!contains("packages/a/b") && !contains("jobs") && !contains("apps/test/x"));
        assert!(members(&["./jobs/"]).contain(Path::new("jobs")));
        assert!(!members(&["[", ""]).contain(Path::new("jobs")));
    }

    #[test]
    fn an_example_is_a_folder_that_the_globs_contain() {
        assert_eq!(
            members(&["apps/**", "packages/*"]).example().as_deref(),
            Some("packages/functions")
        );
        assert_eq!(members(&["*"]).example(), None);
        assert_eq!(members(&[]).example(), None);
    }
}
