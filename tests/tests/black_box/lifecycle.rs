//! From the first call before anything is loaded to the last one after SIGTERM
//! (DESIGN §2, promise 2; §3.2; §7).

use harness::http::{Answer, Call, Lost};
use harness::{Baton, Gate, Project, Run, Sdk, deadline, mismatch};
use serde_json::json;
use tokio::task::JoinHandle;

fn start(baton: &Baton, run: Run) -> JoinHandle<Result<Answer, Lost>> {
    let executor = baton.executor();
    tokio::spawn(async move { executor.discover(&run).await })
}

/// A run whose step waits for `gate`.
fn gated(gate: &Gate) -> Run {
    Run::of("fixture-gated").with_data(json!({ "gate": gate.path() }))
}

#[tokio::test]
async fn a_call_that_comes_while_the_first_generation_loads_is_held() {
    let project = Project::new();
    let gate = project.gate("load");
    let module = format!(
        "import {{ untilThereIs }} from \"../lib/work\";\nawait untilThereIs({:?});\n",
        gate.path()
    );
    project.write("functions/slow-to-load.ts", module);

    let baton = Baton::dev(&project).listening().await;
    assert_eq!(baton.get("/-/live").await.status, 200);
    let ready = baton.get("/-/ready").await;
    assert_eq!(ready.status, 503, "{ready}");
    let reason = json!({ "ready": false, "reason": "loading" });
    assert_eq!(mismatch(&ready.json(), &reason), None, "{ready}");

    let mut held = Vec::new();
    for _ in 0..5 {
        let call = baton.executor().request(&Run::of("fixture-version"), "step");
        held.push(call.write(&baton.door()).await);
    }
    // A whole round trip later they are still not answered.
    assert_eq!(baton.get("/-/ready").await.status, 503);
    gate.open();
    for sent in held {
        let (status, body) = sent.answer().await;
        assert_eq!(status, 200, "{body}");
        assert!(body.contains(r#""version":"1""#), "{body}");
    }
    baton.wait_until_ready().await;
}

#[tokio::test]
async fn a_host_that_starts_with_broken_code_holds_calls_until_it_is_mended() {
    let project = Project::new();
    project.write("functions/broken.ts", "export const broken = ;\n");
    let baton = Baton::dev(&project).listening().await;
    let line = baton
        .wait_for("generation rejected", json!({ "kind": "syntax", "line": 1 }))
        .await;
    let file = line.json["file"].as_str().unwrap_or_default();
    assert!(file.ends_with("functions/broken.ts"), "{}", line.text);

    assert_eq!(baton.get("/-/live").await.status, 200);
    let ready = baton.get("/-/ready").await;
    assert_eq!(ready.status, 503, "{ready}");
    let reason = json!({ "ready": false, "reason": "rejected" });
    assert_eq!(mismatch(&ready.json(), &reason), None, "{ready}");

    let call = baton.executor().request(&Run::of("fixture-version"), "step");
    let held = call.write(&baton.door()).await;
    // Also over a reload that is rejected.
    assert_eq!(baton.reload().await.status(), "rejected");
    project.remove("functions/broken.ts");
    let _ = baton.reload().await.activated();
    let (status, body) = held.answer().await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains(r#""version":"1""#), "{body}");
    baton.wait_until_ready().await;
}

/// Sends SIGTERM while a call runs, and sees that it is served to its end.
async fn finishes_what_runs(project: &Project, mut baton: Baton) {
    let gate = project.gate("term");
    let running = start(&baton, gated(&gate));
    baton.in_flight(1, 1).await;

    baton.signal("TERM").await;
    // It has seen the signal when it says so, or takes no connection any more.
    let door = baton.door();
    deadline::until(
        "the host drains",
        || baton.stderr().tail(),
        async || {
            match Call::new("GET", "/-/ready").send(&door).await {
                Ok(answer) if answer.status == 200 => return None,
                Ok(answer) => assert_eq!(answer.json()["reason"], "draining", "{answer}"),
                Err(_) => {}
            }
            Some(())
        },
    )
    .await;
    assert!(baton.is_running() && !running.is_finished(), "a call still runs");

    gate.open();
    let answer = running
        .await
        .expect("the caller lives")
        .unwrap_or_else(|lost| panic!("the call in flight was lost: {lost}\n{}", baton.stderr().tail()));
    assert_eq!(answer.status, 206, "{answer}");
    assert_eq!(answer.json()[0]["data"]["version"], "1", "{answer}");
    assert_eq!(baton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn sigterm_lets_the_call_in_flight_end_and_then_exits_with_0() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    finishes_what_runs(&project, baton).await;
}

#[tokio::test]
async fn sigterm_lets_the_call_in_flight_end_in_production_too() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    finishes_what_runs(&project, baton).await;
}

#[tokio::test]
async fn sigterm_lets_the_calls_of_a_draining_generation_end_as_well() {
    let project = Project::new();
    let mut baton = Baton::dev(&project).ready().await;
    let gate = project.gate("term");
    let old = start(&baton, gated(&gate));
    baton.in_flight(1, 1).await;
    project.set_version("2");
    let _ = baton.reload().await.activated();
    let new = start(&baton, gated(&gate));
    baton.in_flight(2, 1).await;

    baton.signal("TERM").await;
    gate.open();
    for (call, version) in [(old, "1"), (new, "2")] {
        let answer = call.await.expect("the caller lives").expect("an answer");
        assert_eq!(answer.json()[0]["data"]["version"], version, "{answer}");
    }
    assert_eq!(baton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn sigterm_with_nothing_in_flight_exits_at_once_and_leaves_the_folder_free() {
    let project = Project::new();
    for _ in 0..2 {
        let mut baton = Baton::dev(&project).ready().await;
        baton.signal("TERM").await;
        assert_eq!(baton.ended().await.code(), Some(0));
    }
}

#[tokio::test]
async fn sigterm_ends_a_host_that_never_had_good_code() {
    let project = Project::without_functions(Sdk::V4);
    let mut baton = Baton::dev(&project).listening().await;
    baton.wait_for("generation rejected", json!({})).await;
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_host_that_was_killed_leaves_nothing_in_the_way_of_the_next() {
    let project = Project::new();
    let mut baton = Baton::dev(&project).ready().await;
    baton.signal("KILL").await;
    assert_eq!(baton.ended().await.code(), None);
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(
        Call::new("GET", "/-/status")
            .answer(&baton.control_socket())
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_second_host_of_a_project_is_refused_and_the_first_serves_on() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let first = baton.pid().to_string();
    for launch in [Baton::dev(&project), Baton::start(&project)] {
        launch.to_the_end().await.refuses(1, &[&first]);
    }
    let answer = baton.executor().discover(&Run::of("fixture-version")).await;
    assert_eq!(answer.expect("an answer").status, 200);
    let answer = Call::new("GET", "/-/status").answer(&baton.control_socket()).await;
    assert_eq!(answer.status, 200, "the socket is still the first one's: {answer}");
}

#[tokio::test]
async fn an_entry_file_serves_its_own_paths_and_batons_are_batons() {
    let project = Project::new();
    let entry = r#"import { serve } from "inngest/edge";
import { inngest } from "../lib/client";
import { VERSION } from "../lib/version";

const hello = inngest.createFunction(
  { id: "hello", retries: 1, checkpointing: false, triggers: [{ event: "fixture/hello" }] },
  async () => ({ version: VERSION }),
);
const inngestHandler = serve({ client: inngest, functions: [hello] });

export default {
  port: 3111,
  async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    if (url.pathname === "/api/inngest") return inngestHandler(request);
    if (url.pathname === "/webhooks/echo") {
      const body = await request.text();
      return Response.json(
        {
          method: request.method,
          query: url.searchParams.get("q"),
          header: request.headers.get("x-test"),
          body,
          version: VERSION,
        },
        { status: 202, headers: { "x-answered-by": "the app" } },
      );
    }
    return new Response("nothing here, says the app", { status: 404 });
  },
};
"#;
    project.write("src/serve.ts", entry);
    let baton = Baton::dev_on(&project, "src/serve.ts").ready().await;

    let call = Call::new("PATCH", "/webhooks/echo?q=a%20b")
        .header("x-test", "yes")
        .body("péng");
    let answer = call.answer(&baton.door()).await;
    assert_eq!(
        (answer.status, answer.header("x-answered-by")),
        (202, Some("the app")),
        "{answer}"
    );
    let echoed = json!({
        "method": "PATCH", "query": "a b", "header": "yes", "body": "péng", "version": "1",
    });
    assert_eq!(answer.json(), echoed);
    let answer = baton.get("/somewhere").await;
    assert_eq!((answer.status, &*answer.text()), (404, "nothing here, says the app"));

    let answer = baton.executor().introspect().await;
    assert_eq!(answer.json()["function_count"], 1, "{answer}");
    let answer = baton.executor().discover(&Run::of("fixture-hello")).await;
    assert_eq!(answer.expect("an answer").json(), json!({ "version": "1" }));

    let live = baton.get("/-/live").await;
    assert_eq!(live.status, 200, "{live}");
    assert_eq!(
        live.header("x-answered-by"),
        None,
        "Baton's own paths are not the app's: {live}"
    );
    project.set_version("2");
    let _ = baton.reload().await.activated();
    let answer = baton.get("/webhooks/echo").await;
    assert_eq!(answer.json()["version"], "2", "all routes get the new code: {answer}");
}

#[tokio::test]
async fn an_entry_file_may_export_its_handler_by_name() {
    let project = Project::new();
    let entry = r#"import { serve } from "inngest/edge";
import { inngest } from "../lib/client";
import { version } from "../functions/versioned";

export const handler = serve({ client: inngest, functions: [version] });
"#;
    project.write("src/handler.ts", entry);
    let baton = Baton::dev_on(&project, "src/handler.ts").ready().await;
    let answer = baton.executor().discover(&Run::of("fixture-version")).await;
    assert_eq!(answer.expect("an answer").json(), json!({ "version": "1" }));
}

#[tokio::test]
async fn two_apps_of_a_folder_have_a_path_each() {
    let project = Project::new();
    let other = r#"import { Inngest } from "inngest";

const other = new Inngest({ id: "other" });
export const hello = other.createFunction(
  { id: "hello", retries: 1, checkpointing: false, triggers: [{ event: "other/hello" }] },
  async () => "hello from the other app",
);
// The same id as a function of the first app: they do not meet.
export const version = other.createFunction(
  { id: "version", retries: 1, checkpointing: false, triggers: [{ event: "other/version" }] },
  async () => ({ version: "other" }),
);
"#;
    project.write("functions/other.ts", other);
    let inngest = harness::FakeInngest::start().await;
    let baton = Baton::dev(&project).inngest(&inngest).ready().await;

    for (app, count, version) in [("fixture", 20, "1"), ("other", 2, "other")] {
        let path = format!("/api/inngest/{app}");
        let executor = baton.executor().at(&path);
        let answer = executor.introspect().await;
        assert_eq!(answer.json()["function_count"], count, "{app}: {answer}");
        let answer = executor.discover(&Run::of(&format!("{app}-version"))).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.json(), json!({ "version": version }), "{app}: {answer}");

        assert_eq!(executor.sync().await.status, 200, "{app}");
        let registered = inngest.registration_of(app).await;
        let url = registered.body["url"].as_str().unwrap_or_default();
        assert!(url.ends_with(&path), "{app} registers its own path: {url}");
    }
    let answer = baton.executor().introspect().await;
    assert_eq!(answer.status, 404, "which of the two would it be? {answer}");
    for app in ["fixture", "other"] {
        assert!(answer.text().contains(&format!("/api/inngest/{app}")), "{answer}");
    }
}

#[tokio::test]
async fn one_app_alone_is_also_at_its_own_path() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    for path in ["/api/inngest", "/api/inngest/fixture"] {
        let answer = baton.executor().at(path).discover(&Run::of("fixture-version")).await;
        assert_eq!(answer.expect("an answer").json(), json!({ "version": "1" }), "{path}");
    }
}
