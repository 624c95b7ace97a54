//! `docs/coverage-sdk.md`: the table of the scenarios that are compared, and the list of
//! differences.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use harness::Sdk;

use super::differences::{Difference, Kind};
use super::scenario::Scenario;
use super::scenarios::acts;

/// The variable that, when set, has the file written instead of compared.
const RENEW: &str = "BATON_RENEW_COVERAGE";

const HEAD: &str = "\
# Compared with the SDK under Node

`tests/tests/black_box/differential/` makes this page; do not edit it. Each row is one test. Baton and Node serve the same
functions with the same npm package, and the test compares their answers, and their requests to Inngest, byte for byte. Ids,
times and places may differ.

| cell | meaning |
|---|---|
| same | no difference |
| differs | a difference by design, with its reason; `tests/differences.toml` has its text |
| **to be fixed** | a difference that is a fault of Baton |
| – | this version of the SDK lacks the feature |
";

#[test]
fn the_table_of_coverage_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/coverage-sdk.md");
    let table = table();
    if std::env::var_os(RENEW).is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("the folder docs");
        std::fs::write(&file, table).expect("a written table");
        return;
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == table,
        "docs/coverage-sdk.md is out of date; renew it with\n  {RENEW}=1 cargo nextest run -p baton-tests -E 'test(coverage)'"
    );
}

#[test]
fn every_listed_difference_is_of_a_scenario() {
    let mut known = BTreeSet::new();
    for act in acts() {
        for scenario in act.scenarios {
            assert!(
                known.insert(scenario.name),
                "two scenarios are called {}",
                scenario.name
            );
        }
    }
    for difference in Difference::all() {
        for name in &difference.scenarios {
            assert!(
                known.contains(name.as_str()),
                "tests/differences.toml names {name}, which nobody plays"
            );
        }
        for sdk in &difference.sdks {
            assert!(["v4", "v3"].contains(&sdk.as_str()), "there is no SDK {sdk}");
        }
    }
}

fn table() -> String {
    let differences = Difference::all();
    let mut text = HEAD.to_owned();
    for act in acts() {
        write!(text, "\n## {}\n\n", act.title).expect("text grows");
        let [v4, v3] = [Sdk::V4, Sdk::V3].map(Sdk::version);
        writeln!(text, "| test | inngest {v4} | inngest {v3} |\n|---|---|---|").expect("text grows");
        for scenario in &act.scenarios {
            let [v4, v3] = [Sdk::V4, Sdk::V3].map(|sdk| cell(scenario, sdk, &differences));
            writeln!(text, "| {} | {v4} | {v3} |", scenario.covers).expect("text grows");
        }
    }
    text
}

fn cell(scenario: &Scenario, sdk: Sdk, differences: &[Difference]) -> String {
    if !scenario.sdks.contains(&sdk) {
        return "–".to_owned();
    }
    let mut reasons = Vec::new();
    for difference in differences {
        if difference.concerns(scenario.name, sdk) {
            let kind = match difference.kind {
                Kind::ByDesign => "differs",
                Kind::ToBeFixed => "**to be fixed**",
            };
            let reason = format!("{kind}: {}", difference.reason);
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    if reasons.is_empty() {
        "same".to_owned()
    } else {
        reasons.join("; ")
    }
}
