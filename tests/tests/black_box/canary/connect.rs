//! A canary whose calls come over a connection to Inngest.

use harness::gateway::FakeConnect;
use harness::{Baton, Run};
use serde_json::json;

use super::{GOOD, begin, project, tell, write};

/// Inngest is told of a new function once the canary is promoted; until then the connection stays as it is.
#[tokio::test]
async fn over_a_connection_the_host_splits_the_runs_and_inngest_hears_of_the_promotion() {
    let (project, server) = (project(GOOD), FakeConnect::start().await);
    let launch = Baton::start(&project)
        .argument("--connect")
        .env("INNGEST_DEV", server.url());
    let baton = launch.registering().ready().await;
    let before = server.ready_connections(1).await.remove(0).id;
    write(&project, GOOD, "2");
    project.write(
        "functions/added.ts",
        "import { inngest } from \"../lib/client\";\nexport const added = inngest.createFunction(\n  \
         { id: \"added\", triggers: [{ event: \"fixture/added\" }] }, async () => \"added\",\n);\n",
    );
    begin(&baton, 50).await;
    assert_eq!(tell(&baton, "hold").await, 200);
    let mut versions = std::collections::BTreeSet::new();
    for _ in 0..24 {
        let report = server.begin(Run::of("fixture-tried"), 0).report().await;
        versions.insert(report.value().as_str().expect("a version").to_owned());
    }
    assert_eq!(Vec::from_iter(versions), ["1", "2"]);
    assert_eq!(
        server.functions("fixture"),
        ["fixture-tried"],
        "Inngest is not told yet"
    );
    assert_eq!(tell(&baton, "promote").await, 200);
    server
        .wait_until("another connection that takes requests", |server| {
            server.ready().iter().any(|connection| connection.id != before)
        })
        .await;
    assert_eq!(server.functions("fixture").len(), 2);
    let report = server.begin(Run::of("fixture-added"), 0).report().await;
    assert_eq!(report.value(), &json!("added"));
}
