//! The path of the binary under test.

use std::path::PathBuf;

/// `BATON_BIN`, else `baton` in the target folder that this program was built
/// into; panics with what to do when there is none.
#[must_use]
pub fn baton_binary() -> PathBuf {
    let binary = match std::env::var_os("BATON_BIN") {
        Some(named) => PathBuf::from(named),
        None => beside_this_program(),
    };
    assert!(
        binary.is_file(),
        "there is no binary to test at {}: run `cargo build -p baton`, or set BATON_BIN",
        binary.display()
    );
    binary.canonicalize().expect("the binary's path")
}

/// Programs are built to `<target>/<profile>/`, tests to `deps/` in it.
fn beside_this_program() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    let mut folder = program.parent().expect("the folder of this program");
    if folder.ends_with("deps") {
        folder = folder.parent().expect("a target folder");
    }
    folder.join("baton")
}
