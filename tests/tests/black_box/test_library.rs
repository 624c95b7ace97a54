//! The JavaScript library for tests, of the npm package (docs/testing.md): the suites of an example project in each
//! test runner. A function that is wrong fails them, with the step in the message.

use std::path::{Path, PathBuf};

use harness::baton_binary;
use tokio::process::Command;

use crate::behaviours::runtime::Runtime;
use crate::node_suites::{Suite, node};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("library")
}

/// Returns the suite of a test runner.
fn suite(program: Command, arguments: &[&str]) -> Suite {
    Suite::new(program, &folder())
        .args(arguments.iter().copied())
        .env("BATON_BIN", baton_binary())
}

fn vitest() -> Suite {
    suite(Command::new(folder().join("node_modules/.bin/vitest")), &["run"])
}

fn node_test() -> Suite {
    suite(node(), &["--test", "node/shop.test.mjs", "node/both-sdks.test.mjs"])
}

fn bun_test() -> Suite {
    suite(Runtime::Bun.program(), &["test", "bun"])
}

#[tokio::test]
async fn functions_are_tested_in_vitest() {
    vitest().passes().await;
}

#[tokio::test]
async fn functions_are_tested_in_node_test() {
    node_test().passes().await;
}

#[tokio::test]
async fn functions_are_tested_in_bun_test() {
    bun_test().passes().await;
}

#[tokio::test]
async fn a_wrong_function_fails_a_test_with_its_step_and_its_place() {
    for suite in [vitest(), node_test(), bun_test()] {
        let wrong = suite.env("SHOP_IS_WRONG", "yes");
        let step = "step \"charge-card\" of shop-checkout failed after 3 attempts: Error: no card for 7";
        wrong.fails(&[step, "functions/shop.ts:7"]).await;
    }
}
