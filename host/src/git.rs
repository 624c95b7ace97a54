//! The commit that is checked out, by which people recognise their code, and the files that tell of another commit.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// The limit for an answer of git. A repository so large that git needs longer is asked another time.
const PATIENCE: Duration = Duration::from_secs(2);

/// The number of digits of a hash that people are shown.
const SHORT: usize = 7;

/// The commit that is checked out, and the state of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedOutCommit {
    /// The commit's whole hash.
    pub commit: String,
    /// Tells whether tracked files differ from the commit.
    pub dirty: bool,
}

impl fmt::Display for CheckedOutCommit {
    /// Writes `46c2113` or `46c2113-dirty`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.commit.get(..SHORT).unwrap_or(&self.commit);
        let dirty = if self.dirty { "-dirty" } else { "" };
        write!(formatter, "{short}{dirty}")
    }
}

/// Returns the commit that is checked out in a folder. Returns `None` without git, outside a repository, before its
/// first commit, and when git does not answer within two seconds.
pub async fn head(folder: &Path) -> Option<CheckedOutCommit> {
    // No hash is longer than 64 digits, so git gives the whole hash.
    let text = git(
        folder,
        &["describe", "--always", "--exclude=*", "--dirty", "--abbrev=64"],
    )
    .await?;
    let (commit, dirty) = match text.strip_suffix("-dirty") {
        Some(commit) => (commit, true),
        None => (text.as_str(), false),
    };
    Some(CheckedOutCommit {
        commit: commit.to_owned(),
        dirty,
    })
}

/// Returns the files one of which changes when another commit is checked out in a folder, or a new commit is made.
/// The set is empty outside a repository, and with a git older than 2.31. The files need not exist: `git pack-refs`
/// moves a branch from its own file into a common one, without a new commit. The files depend on the branch; those of
/// one branch are enough to notice that another branch is checked out.
pub async fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let branch = git(folder, &["symbolic-ref", "--quiet", "HEAD"]).await;
    // The log of HEAD, where git keeps one, has a new line for each move of HEAD.
    let names = ["HEAD", "logs/HEAD", "packed-refs", "reftable/tables.list"]
        .into_iter()
        .chain(branch.as_deref());
    // In a worktree some of these files are its own, and some are the repository's.
    let arguments: Vec<&str> = ["rev-parse", "--path-format=absolute"]
        .into_iter()
        .chain(names.flat_map(|name| ["--git-path", name]))
        .collect();
    let paths = git(folder, &arguments).await.unwrap_or_default();
    paths.lines().map(PathBuf::from).collect()
}

/// Returns the output of git; `None` when git fails. Outside a repository git is not run: a process takes longer than
/// a small reload.
async fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    if !folder.ancestors().any(|folder| folder.join(".git").exists()) {
        return None;
    }
    let command = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        // git must not lock a file that the user's own git is about to write.
        .env("GIT_OPTIONAL_LOCKS", "0")
        // A hook that started this process has set these variables: they would name another repository.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, command).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim_end_matches('\n');
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use tempfile::TempDir;

    use super::{CheckedOutCommit, files, head};

    /// A repository that has one commit.
    fn repository() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        run(&root, &["init", "--quiet", "--initial-branch=main"]);
        fs::write(root.join("a.ts"), "1").unwrap();
        run(&root, &["add", "."]);
        commit(&root);
        (folder, root)
    }

    fn commit(root: &Path) {
        run(root, &["commit", "--quiet", "--allow-empty", "--all", "--message=test"]);
    }

    fn run(root: &Path, arguments: &[&str]) {
        let status = std::process::Command::new("git")
            .args([
                "-c",
                "user.name=Test",
                "-c",
                "user.email=test@example.org",
                "-c",
                "gc.auto=0",
            ])
            .args(arguments)
            .current_dir(root)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .status();
        assert!(status.unwrap().success(), "git {arguments:?}");
    }

    #[tokio::test]
    async fn a_changed_file_makes_the_commit_dirty_and_a_new_file_does_not() {
        let (_folder, root) = repository();
        let first = head(&root).await.unwrap();
        assert!(first.commit.len() == 40 && !first.dirty, "{first:?}");
        fs::write(root.join("new.ts"), "").unwrap();
        assert_eq!(head(&root).await.as_ref(), Some(&first));
        fs::write(root.join("a.ts"), "22").unwrap();
        let dirty = CheckedOutCommit {
            dirty: true,
            ..first.clone()
        };
        assert_eq!(head(&root).await, Some(dirty));
        commit(&root);
        let second = head(&root).await.unwrap();
        assert!(second.commit != first.commit && !second.dirty);
    }

    #[tokio::test]
    async fn outside_a_repository_and_before_the_first_commit_there_is_no_head() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(head(folder.path()).await, None);
        assert!(files(folder.path()).await.is_empty());
        run(folder.path(), &["init", "--quiet"]);
        assert_eq!(head(folder.path()).await, None);
        assert!(
            !files(folder.path()).await.is_empty(),
            "the first commit is to be heard of"
        );
    }

    #[tokio::test]
    async fn the_files_of_a_worktree_are_partly_its_own() {
        let (_folder, root) = repository();
        let worktree = root.join("other");
        run(&root, &["worktree", "add", "--quiet", "-b", "feature/x", "other"]);
        let found = files(&worktree).await;
        for file in [
            "worktrees/other/HEAD",
            "worktrees/other/logs/HEAD",
            "refs/heads/feature/x",
            "packed-refs",
        ] {
            assert!(found.contains(&root.join(".git").join(file)), "{file} in {found:?}");
        }
        assert!(!found.contains(&root.join(".git/HEAD")));
    }

    mod watched {
        use std::path::Path;

        use super::super::{files, head};
        use super::{commit, repository, run};
        use crate::watch::WatchSet;
        use crate::watch::tests::Watched;

        async fn watched(root: &Path) -> Watched {
            let set = WatchSet {
                paths: files(root).await,
                ..WatchSet::default()
            };
            Watched::following(set).await
        }

        #[tokio::test]
        async fn a_commit_and_a_checkout_are_heard_of() {
            let (_folder, root) = repository();
            let mut watched = watched(&root).await;
            commit(&root);
            watched.hear_anything().await;
            run(&root, &["checkout", "--quiet", "-b", "feature/x"]);
            watched
                .until(|change| change.paths.contains(&root.join(".git/HEAD")))
                .await;
            commit(&root);
            let log = root.join(".git/logs/HEAD");
            watched.until(|change| change.paths.contains(&log)).await;
        }

        #[tokio::test]
        async fn a_commit_is_heard_of_after_refs_were_packed() {
            let (_folder, root) = repository();
            let mut watched = watched(&root).await;
            let before = head(&root).await;
            run(&root, &["pack-refs", "--all"]);
            let branch = root.join(".git/refs/heads/main");
            watched.until(|change| change.paths.contains(&branch)).await;
            assert!(!branch.exists());
            assert_eq!(head(&root).await, before);
            commit(&root);
            watched.until(|change| change.paths.contains(&branch)).await;
            assert_ne!(head(&root).await, before);
        }

        #[tokio::test]
        async fn a_commit_in_a_worktree_is_heard_of() {
            let (_folder, root) = repository();
            run(&root, &["worktree", "add", "--quiet", "-b", "x", "other"]);
            let worktree = root.join("other");
            let mut watched = watched(&worktree).await;
            commit(&worktree);
            watched
                .until(|change| change.paths.contains(&root.join(".git/refs/heads/x")))
                .await;
        }
    }
}
