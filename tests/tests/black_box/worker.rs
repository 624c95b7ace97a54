//! A worker as people have it runs unmodified: a Hono app with webhooks, Inngest mounted in it by the
//! SDK's own adapter, thirty functions, workspace packages in TypeScript, Bun's shell.

use harness::http::Call;
use harness::{Baton, FakeInngest, Project, Run};
use serde_json::json;

const ENTRY: &str = "src/serve.ts";

/// The number of functions: thirty, and the failure handler of one, which Inngest knows as a function
/// of its own.
const FUNCTIONS: usize = 31;

#[tokio::test]
async fn its_functions_are_found_behind_its_own_app() {
    let project = Project::worker();
    let baton = Baton::dev_on(&project, ENTRY).ready().await;

    let functions = baton.status().await.0["functions"].clone();
    let functions = functions.as_array().expect("functions");
    assert_eq!(functions.len(), FUNCTIONS, "{functions:?}");
    let digest = functions.iter().find(|function| function["id"] == "system-bus-digest");
    let triggers = json!([{ "cron": "TZ=America/Los_Angeles 0 7 * * *" }, { "event": "cron/digest" }]);
    assert_eq!(digest.expect("the digest")["triggers"], triggers);

    let home = baton.get("/").await.json();
    assert_eq!(home["functions"], 30);
    assert_eq!(home["deployed"], project.root().join("src").to_str().expect("text"));
    let refused = Call::new("PATCH", "/api/inngest").answer(&baton.door()).await;
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("GET, POST, PUT")),
        "{refused}"
    );
}

#[tokio::test]
async fn its_functions_are_registered_by_its_own_handler() {
    let inngest = FakeInngest::start().await;
    let project = Project::worker();
    let baton = Baton::dev_on(&project, ENTRY)
        .inngest(&inngest)
        .registering()
        .ready()
        .await;
    let registration = inngest.registration_of("system-bus").await;
    assert_eq!(registration.body["functions"].as_array().map(Vec::len), Some(FUNCTIONS));
    let url = format!("http://127.0.0.1:{}/api/inngest", baton.port());
    assert_eq!(registration.body["url"], url, "{}", registration.body);
    assert_eq!(registration.body["framework"], "hono", "{}", registration.body);
}

#[tokio::test]
async fn its_webhooks_check_the_raw_body_and_send_events() {
    const SECRET: &str = "it's secret";
    let inngest = FakeInngest::start().await;
    let project = Project::worker();
    let baton = Baton::dev_on(&project, ENTRY)
        .inngest(&inngest)
        .env("GITHUB_WEBHOOK_SECRET", SECRET)
        .ready()
        .await;
    let body = "{ \"action\": \"opened\",\n  \"by\": \"Zoë\" }";
    let signature = harness::signature::hex(SECRET, body);
    let webhook = |signature: &str| {
        Call::new("POST", "/webhooks/github")
            .header("x-hub-signature-256", &format!("sha256={signature}"))
            .body(body)
    };

    let challenged = baton.get("/webhooks/github?challenge=abc").await;
    assert_eq!(challenged.text(), "abc", "{challenged}");
    let accepted = webhook(&signature).answer(&baton.door()).await;
    assert_eq!(
        (accepted.status, accepted.json()),
        (200, json!({ "accepted": 1 })),
        "{accepted}"
    );
    let forged = webhook(&signature.replace(['0', '1', '2', '3'], "f"))
        .answer(&baton.door())
        .await;
    assert_eq!(forged.status, 401, "{forged}");
    let unknown = Call::new("POST", "/webhooks/nobody").answer(&baton.door()).await;
    assert_eq!(unknown.status, 404, "{unknown}");
    let events = inngest.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["data"], json!({ "action": "opened", "by": "Zoë" }));
}

#[tokio::test]
async fn its_steps_use_bun_s_shell_and_files_and_what_its_middleware_gives() {
    let project = Project::worker();
    let baton = Baton::dev_on(&project, ENTRY).ready().await;
    let report = project.scratch().join("report.json");
    let run = Run::of("system-bus-pipeline")
        .on("pipeline/requested")
        .with_data(json!({ "names": ["Ada", "it's $HOME; `x`"], "report": report }));

    let finish = baton.executor().drive(run, &|_| json!({ "data": "invoked" })).await;
    let version = json!("v-1");
    assert_eq!(
        finish.value(),
        json!({ "version": version, "kept": { "version": version }, "names": ["invoked", "invoked"] })
    );
    let step = Run::of("system-bus-pipeline-step").with_data(json!({ "name": "it's $HOME; `x`" }));
    let answer = baton.executor().discover(&step).await.expect("an answer");
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!("it's $HOME; `x`")),
        "{answer}"
    );
}

#[tokio::test]
async fn an_edit_of_a_workspace_package_is_served_while_a_call_finishes_on_the_old_one() {
    let project = Project::worker();
    let baton = Baton::dev_on(&project, ENTRY).watching("files").ready().await;
    let gate = project.gate("old");
    let agent = |data| Run::of("system-bus-agent-write").on("agent/requested").with_data(data);

    let held = agent(json!({ "gate": gate.path() }));
    let executor = baton.executor();
    let old = tokio::spawn(async move { executor.discover(&held).await.expect("an answer") });
    baton.in_flight(1, 1).await;
    project.edit("packages/queue/src/lane.ts", "${this.name}:", "${this.name} at ");
    baton.wait_for("generation activated", json!({ "generation": 2 })).await;

    let new = baton.executor().discover(&agent(json!({}))).await.expect("an answer");
    assert_eq!(new.json()[0]["data"], "write at high", "{new}");
    gate.open();
    let old = old.await.expect("the caller lives");
    assert_eq!(old.json()[0]["data"], "write:high", "{old}");
}
