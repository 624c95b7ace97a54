//! The limit of open files and connections (`RLIMIT_NOFILE`): raised to what the system allows, as Node, Bun, Deno and Go
//! do. A service manager's soft limit of 256 or 1,024 is less than calls, isolates and watched folders may want.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the soft limit to the hard one. Where the system refuses, the limit stays.
pub fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        // macOS refuses more, whatever the hard limit says (`OPEN_MAX`).
        let wanted = if cfg!(target_os = "macos") {
            hard.min(10_240)
        } else {
            hard
        };
        if soft < wanted {
            setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
        }
        Ok(())
    });
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open files stays");
    }
}

/// The number of descriptors that this process may have.
#[must_use]
pub fn limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}
