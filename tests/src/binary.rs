//! Where the binary under test is.

use std::path::PathBuf;

/// `BATON_BIN`, else `baton` in the target folder that this test was built
/// into; panics with what to do when there is none.
#[must_use]
pub fn baton_binary() -> PathBuf {
    let binary = match std::env::var_os("BATON_BIN") {
        Some(named) => PathBuf::from(named),
        None => beside_this_test(),
    };
    assert!(
        binary.is_file(),
        "there is no binary to test at {}: run `cargo build -p baton`, or set BATON_BIN",
        binary.display()
    );
    binary.canonicalize().expect("the binary's path")
}

/// Tests are built to `<target>/<profile>/deps/`, binaries one folder up.
fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("a target folder");
    profile.join("baton")
}
