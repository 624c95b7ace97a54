//! Small behaviours under Node, Deno, Bun and Baton: the same scripts have the same results.
//!
//! `tests/behaviours/everywhere/` runs under all four. The list of Baton's differences from Node, with
//! their reasons, is `tests/behaviours/differences.toml`. `tests/behaviours/bun/` is about the module
//! `bun`, and is compared with Bun. `docs/behaviours.md` is the table of all results.

mod differences;
pub(crate) mod runtime;
mod table;

use std::collections::BTreeMap;

use differences::Difference;
use runtime::{Results, Runtime, Stage, topics};

/// The results of each runtime, topic by topic.
type Outcomes = BTreeMap<String, Vec<(Runtime, Results)>>;

/// Runs every topic of a folder under each of the runtimes, one after the other.
async fn outcomes(stage: &Stage, folder: &str, runtimes: &[Runtime]) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for topic in topics(folder) {
        let mut results = Vec::new();
        for runtime in runtimes {
            results.push((*runtime, stage.run(*runtime, folder, &topic).await));
        }
        outcomes.insert(topic, results);
    }
    outcomes
}

/// Returns the faults in Baton's results, which have to be those of the model.
fn complaints(outcomes: &Outcomes, model: Runtime) -> Vec<String> {
    let listed = Difference::all_from(model);
    let mut complaints = Vec::new();
    for (topic, results) in outcomes {
        let of = |wanted: Runtime| {
            &results
                .iter()
                .find(|(runtime, _)| *runtime == wanted)
                .expect("results")
                .1
        };
        let (theirs, ours) = (of(model), of(Runtime::Baton));
        for (case, expected) in theirs {
            let actual = ours.get(case);
            let reason = Difference::of(&listed, topic, case);
            match (actual == Some(expected), reason) {
                (true, Some(reason)) => {
                    complaints.push(format!(
                        "{topic}: {case}: listed as a difference and none: {}",
                        reason.reason
                    ));
                }
                (false, None) => complaints.push(format!(
                    "{topic}: {case}\n  {}: {expected}\n  Baton: {}",
                    model.name(),
                    actual.map(ToString::to_string).unwrap_or_default()
                )),
                _ => {}
            }
        }
    }
    for difference in &listed {
        for case in &difference.cases {
            let known = outcomes
                .get(&difference.topic)
                .is_some_and(|results| results[0].1.contains_key(case));
            if !known {
                complaints.push(format!(
                    "differences.toml names a case that is not there: {}: {case}",
                    difference.topic
                ));
            }
        }
    }
    complaints
}

#[tokio::test]
async fn long_small_behaviours_are_nodes_and_those_of_the_module_bun_are_buns() {
    let stage = Stage::new().await;
    let everywhere = outcomes(&stage, "everywhere", &Runtime::ALL).await;
    let bun = outcomes(&stage, "bun", &[Runtime::Bun, Runtime::Baton]).await;
    let mut complaints = complaints(&everywhere, Runtime::Node);
    complaints.extend(self::complaints(&bun, Runtime::Bun));
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n\n"));
    let count: usize = everywhere.values().map(|results| results[0].1.len()).sum();
    assert!(
        count >= 100,
        "there are {count} behaviours, of the hundred that are promised"
    );
    table::check(&everywhere, &bun);
}
