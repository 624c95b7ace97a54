//! The first lines of a host's log. The terminal of `baton dev` shows the same in its own form (`screen.rs`), and leaves
//! these lines out there.

use std::net::SocketAddr;
use std::path::Path;

use js_runtime_api::Project;
use tracing::info;

use crate::config::WatchMode;
use crate::supervisor::Occasion;

/// Logs the place where a host serves, or is going to.
pub(super) fn listening(address: SocketAddr, project: &Project, state: &Path, occasion: Option<Occasion>) {
    let (url, pid) = (format!("http://{address}"), std::process::id());
    let (folder, entry) = (state.display(), project.entry.path().display());
    match occasion {
        Some(Occasion::Upgrade) => {
            info!(%url, project = %entry, state = %folder, pid, "loading beside the host that serves");
        }
        _ => info!(%url, project = %entry, state = %folder, pid, "listening"),
    }
}

/// Logs that the first code of `baton dev` serves, and the way to change it.
pub(super) fn ready(address: SocketAddr, serve_path: &str, functions: usize, watch: WatchMode) {
    info!("ready: {functions} function(s) at http://{address}{serve_path}");
    info!("dashboard: http://{address}/-/");
    info!("{}", how_to_edit(watch));
}

/// The way to change the code that serves.
pub(super) const fn how_to_edit(watch: WatchMode) -> &'static str {
    match watch {
        WatchMode::Files => "edit a function: it is swapped in as you save",
        WatchMode::GitRef => "check out another commit: it is swapped in",
        WatchMode::Off => "edit a function, then: baton reload",
    }
}
