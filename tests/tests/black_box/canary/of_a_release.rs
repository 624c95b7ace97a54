//! A canary whose code is a release.

use harness::{Baton, Cli, Project, Registry, Run};
use serde_json::{Value, json};

use super::{canary, end_run, tell};

fn code(version: &str) -> String {
    format!(
        r#"import {{ Inngest }} from "inngest";
const inngest = new Inngest({{ id: "shop" }});
export const order = inngest.createFunction(
  {{ id: "order", checkpointing: false, triggers: [{{ event: "shop/order" }}] }},
  async ({{ step }}) => step.run("answer", () => "{version}"),
);
"#
    )
}

/// Pushes this version, and returns the digest of the release.
async fn pushed(project: &Project, reference: &str, version: &str) -> Value {
    project.write("functions/order.ts", code(version));
    let cli = Cli::within(project.root())
        .env("INNGEST_DEV", "1")
        .env("BATON_CODE_CACHE", project.code_cache());
    let finished = cli.baton(&["push", reference, "--json"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    finished.json()["digest"].clone()
}

async fn serving_release(baton: &Baton) -> Value {
    let status = baton.status().await;
    let generations = status.0["generations"].as_array().expect("a list").iter();
    let mut current = generations.filter(|generation| generation["state"] == "current");
    current.next().expect("a current one")["release"]["digest"].clone()
}

/// The versions that answer new runs.
async fn versions(baton: &Baton) -> Vec<Value> {
    let mut versions = Vec::new();
    for _ in 0..24 {
        let version = end_run(baton, Run::of("shop-order")).await;
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    versions
}

#[tokio::test]
async fn a_release_is_tried_with_a_part_of_the_runs_taken_back_and_promoted() {
    let project = Project::to_push();
    let Some(registry) = Registry::start(project.scratch()).await else {
        return;
    };
    let reference = registry.reference("acme/jobs:production");
    let first = pushed(&project, &reference, "one").await;
    let host = Project::without_packages();
    let launch = Baton::start_release(&host, &reference).env("BATON_RELEASE_POLL", "1h");
    let baton = launch.env("INNGEST_DEV", "1").ready().await;

    let second = pushed(&project, &reference, "two").await;
    let report = baton.reload_with("?canary=50").await;
    assert_eq!(report.status(), "canary", "{}", report.body);
    assert_eq!(tell(&baton, "hold").await, 200);
    let mut both = versions(&baton).await;
    both.sort_by_key(Value::to_string);
    assert_eq!(both, [json!("one"), json!("two")]);
    assert_eq!(serving_release(&baton).await, first);

    assert_eq!(tell(&baton, "abort").await, 200);
    assert_eq!(versions(&baton).await, [json!("one")]);

    assert_eq!(baton.reload_with("?canary=50").await.status(), "canary");
    assert_eq!(tell(&baton, "promote").await, 200);
    assert_eq!(canary(&baton).await["state"], "promoted");
    assert_eq!(versions(&baton).await, [json!("two")]);
    assert_eq!(serving_release(&baton).await, second);
    assert_eq!(baton.reload().await.status(), "unchanged");
}
