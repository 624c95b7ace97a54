//! The runtime as user code sees it, in isolates and workers.

use deno_runtime::{BootstrapOptions, UNSTABLE_FEATURES, WorkerExecutionMode};

pub(super) fn bootstrap_options(mode: WorkerExecutionMode) -> BootstrapOptions {
    BootstrapOptions {
        has_node_modules_dir: true,
        argv0: Some("node".to_owned()),
        user_agent: format!("baton/{}", env!("CARGO_PKG_VERSION")),
        mode,
        disable_offscreen_canvas: true,
        // Keeps `child_process.fork` from rewriting arguments into a Deno command line.
        is_standalone: true,
        // A request's signal tells that its caller hung up, and nothing else.
        no_legacy_abort: true,
        unstable_features: as_node_has(),
        ..Default::default()
    }
}

/// Returns the feature that packages for Node expect, and that Deno leaves out unless it is asked: `__proto__`, as a
/// property to read and assign.
fn as_node_has() -> Vec<i32> {
    let proto = UNSTABLE_FEATURES
        .iter()
        .filter(|feature| feature.name == "unsafe-proto");
    proto.map(|feature| feature.id).collect()
}
