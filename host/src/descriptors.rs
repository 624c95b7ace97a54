//! The limit of open files and connections (`RLIMIT_NOFILE`): raised to what the system allows, as Node, Bun, Deno and Go
//! do. A service manager's soft limit of 256 or 1,024 is less than calls, isolates and watched folders may want.

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// macOS refuses more, whatever the hard limit says (`OPEN_MAX`).
const MOST: rlim_t = if cfg!(target_os = "macos") { 10_240 } else { rlim_t::MAX };

/// Raises the soft limit to the hard one. Where the system refuses, the limit stays.
pub fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = hard.min(MOST);
        if soft < wanted {
            setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
        }
        Ok(())
    });
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open files stays");
    }
}
