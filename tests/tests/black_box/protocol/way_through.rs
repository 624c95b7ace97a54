//! Baton's own part on the way of an answer: encoding and size.

use harness::Sdk;
use serde_json::json;

use super::{Scene, expected, run_of};

#[tokio::test]
async fn the_answer_is_plain_when_the_caller_would_take_gzip() {
    // The executor offers gzip. The host decides whether it uses gzip, but then
    // the header has to say so.
    let scene = Scene::with(Sdk::V4).await;
    let answer = scene.executor.discover(&run_of("version")).await.expect("an answer");
    match answer.header("content-encoding") {
        Some("gzip") => assert!(answer.body.starts_with(&[0x1f, 0x8b]), "{answer}"),
        None => assert_eq!(answer.json(), json!({ "version": "1" })),
        Some(other) => panic!("nobody asked for {other}"),
    }
}

#[tokio::test]
async fn bodies_of_almost_four_mebibytes_come_through_whole() {
    let scene = Scene::with(Sdk::V4).await;
    let length = 4 * 1024 * 1024 - 8 * 1024;
    // The event is in the body twice: as `event` and in `events`.
    let text = "x".repeat(length / 2);
    let run = run_of("measure").with_data(json!({ "text": text }));
    scene
        .check(
            "a large event arrives",
            run,
            expected(200, json!({ "length": length / 2 })),
        )
        .await;
}
