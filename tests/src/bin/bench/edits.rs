//! From a save to the first answer of the new code.

use std::time::Instant;

use harness::{Baton, Project, Run, Sdk};
use serde_json::json;

use crate::arguments::Effort;
use crate::row::{Goal, Row};

const CLIENT: &str = "import { Inngest } from \"inngest\";\nexport const inngest = new Inngest({ id: \"fixture\" });\n";

/// Before anything is measured: what stays the same is read and compiled once.
const WARM_UP: usize = 5;

/// An edit of one module of 1, 14 and 100 that each export a function, saved by rename as editors do. A
/// caller asks again and again, each time over a connection of its own, until the new code answers.
pub(crate) async fn saves(effort: Effort) -> Vec<Row> {
    let mut rows = Vec::new();
    for (modules, most) in [(1, 40.0), (14, 40.0), (100, 65.0)] {
        let samples = save_to_answer(modules, effort.choose(20, 200)).await;
        let name = format!("save → new code answers, {modules} module(s)");
        rows.push(Row::new(name, "ms", samples).goal(Goal::P99AtMost(most)));
    }
    rows
}

async fn save_to_answer(modules: usize, saves: usize) -> Vec<f64> {
    let project = Project::without_functions(Sdk::V4);
    project.write("lib/client.ts", CLIENT);
    for module in 0..modules {
        project.write(&format!("functions/f{module}.ts"), function(module, "first"));
    }
    let baton = Baton::dev(&project).watching("files").ready().await;
    let mut samples = Vec::new();
    for save in 0..WARM_UP + saves {
        let version = format!("save {save}");
        let text = function(0, &version);
        let began = Instant::now();
        project.write("functions/f0.ts", text);
        while answer(&baton).await != version {}
        if save >= WARM_UP {
            samples.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    samples
}

fn function(number: usize, version: &str) -> String {
    format!(
        "import {{ inngest }} from \"../lib/client\";\n\
         export const f{number} = inngest.createFunction(\n  \
         {{ id: \"f{number}\", retries: 2, checkpointing: false, triggers: [{{ event: \"fixture/f{number}\" }}] }},\n  \
         async () => ({{ version: {version:?} }}),\n);\n"
    )
}

async fn answer(baton: &Baton) -> String {
    let run = Run::of("fixture-f0").with_data(json!({}));
    let answer = baton.executor().request(&run, "step").answer(&baton.door()).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()["version"].as_str().unwrap_or_default().to_owned()
}
