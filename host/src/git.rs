//! Which commit the project is at, for people to recognise their code by.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

/// A repository so large that git needs longer is described another time.
const PATIENCE: Duration = Duration::from_secs(2);

/// The short commit hash, with `-dirty` when tracked files differ from it; `None` without git or
/// outside a repository.
pub async fn describe(folder: &Path) -> Option<String> {
    let describe = Command::new("git")
        .args(["describe", "--always", "--exclude=*", "--dirty", "--abbrev=7"])
        .current_dir(folder)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, describe).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
