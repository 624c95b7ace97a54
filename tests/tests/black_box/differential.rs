//! Baton behaves as the reference SDK does. Node with the same npm package and Baton serve the same
//! functions, and both get the same requests. Their answers and their messages to Inngest are compared
//! byte for byte, but for ids, times and places.
//!
//! `tests/differences.toml` lists the allowed differences with their reasons. `docs/coverage-sdk.md` is
//! made of the scenarios that are compared here.
//!
//! ```text
//! scenarios ─▶ side: Node  ─▶ transcript ─┐
//!          └─▶ side: Baton ─▶ transcript ─┴▶ diff ─▶ differences: explained?
//! ```
//!
//! `BATON_SCENARIO=name cargo nextest run -p baton-tests --no-capture -E 'test(differential)'` plays one
//! scenario and shows both transcripts.

mod coverage;
mod diff;
mod differences;
mod scenario;
mod scenarios;
mod side;
mod transcript;

use std::time::Instant;

use harness::Sdk;
use scenarios::act_called;
use side::Side;

/// Plays acts on both sides, beside each other, because some of them mostly wait.
async fn compare(sdk: Sdk, titles: &'static [&'static str]) {
    let acts: Vec<_> = titles.iter().map(|title| tokio::spawn(play(sdk, title))).collect();
    let mut complaints = Vec::new();
    for act in acts {
        complaints.extend(act.await.expect("an act that is played to its end"));
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n\n"));
}

/// Plays one act, and returns the faults.
async fn play(sdk: Sdk, title: &str) -> Vec<String> {
    let only = std::env::var("BATON_SCENARIO").ok();
    let mut act = act_called(title, sdk);
    act.scenarios
        .retain(|scenario| only.as_deref().is_none_or(|only| scenario.name == only));
    if act.scenarios.is_empty() {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    let (node, baton) = tokio::join!(Side::node(sdk, act.stage), Side::baton(sdk, act.stage));
    for scenario in &act.scenarios {
        let began = Instant::now();
        let (node, baton) = tokio::join!(node.play(scenario), baton.play(scenario));
        // The line is shown when the test fails.
        println!("{} {}: {:?}", sdk.folder(), scenario.name, began.elapsed());
        if only.is_some() {
            println!("--- Node\n{}\n--- Baton\n{}", node.join("\n"), baton.join("\n"));
        }
        complaints.extend(differences::judge(scenario.name, sdk, &node, &baton));
    }
    complaints
}

/// Makes a test for each SDK.
macro_rules! acts {
    ($($name:ident: $titles:expr;)*) => {
        $(mod $name {
            use super::*;

            #[tokio::test]
            async fn with_inngest_4() {
                compare(Sdk::V4, &$titles).await;
            }

            #[tokio::test]
            async fn with_inngest_3() {
                compare(Sdk::V3, &$titles).await;
            }
        })*
    };
}

acts! {
    steps_are_as_under_node: ["Steps", "Waiting, events, requests", "Middleware"];
    checkpoints_are_as_under_node: [
        "Checkpoints",
        "Checkpoints that Inngest cannot take",
        "Checkpoints of a stale dispatch",
    ];
    errors_are_as_under_node: ["Errors"];
    data_is_as_under_node: ["Data", "Functions of the runtime"];
    the_test_engine_is_as_under_node: ["The SDK's test engine, inside a function"];
    registrations_are_as_under_node: ["Configuration and registration", "Several apps"];
    requests_are_answered_as_under_node: ["Requests", "A planned step that is missing", "A caller that asks for streaming"];
    signatures_are_as_under_node: ["Cloud mode, signed", "Cloud mode without a key"];
}
