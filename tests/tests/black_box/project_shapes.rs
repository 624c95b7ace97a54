//! The shapes that a project may have: a folder of functions, an entry file, several apps (docs/projects.md).

use std::path::Path;

use harness::http::Call;
use harness::{Baton, FakeInngest, Project, Run};
use serde_json::json;

use crate::calls::version_of;

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
    assert_eq!(version_of(&baton, "version").await, "1");
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
    let inngest = FakeInngest::start().await;
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

#[tokio::test]
async fn the_same_function_exported_twice_is_one_function() {
    let project = Project::new();
    project.write("functions/again.ts", "export { oneStep as again } from \"./steps\";\n");
    project.write(
        "functions/index.ts",
        "export * from \"./steps\";\nexport default [1, null];\n",
    );
    let baton = Baton::dev(&project).ready().await;
    let answer = baton.executor().introspect().await;
    assert_eq!(answer.json()["function_count"], 20, "{answer}");
}

/// Makes a project with a package that brings a copy of the SDK of its own, of another major version. `id` is the
/// client's id.
fn project_with_two_copies(id: &str) -> Project {
    let project = Project::new();
    project.write(
        "vendor/tools/index.ts",
        format!(
            "import {{ Inngest }} from \"inngest\";\nexport const tools = new Inngest({{ id: {id:?} }});\n\
             export const resize = tools.createFunction({{ id: \"resize\", retries: 1 }}, {{ event: \"tools/resize\" }}, \
             async ({{ step }}) => step.run(\"resize\", () => ({{ width: 5 }})));\n"
        ),
    );
    project.write(
        "functions/tools.ts",
        "export { resize } from \"../vendor/tools/index\";\n",
    );
    let packages = project.root().join("vendor/tools/node_modules");
    std::fs::create_dir_all(&packages).expect("a folder of packages");
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v3/node_modules/inngest");
    std::os::unix::fs::symlink(other, packages.join("inngest")).expect("a link to the other copy");
    project
}

#[tokio::test]
async fn each_app_is_served_by_the_copy_of_the_sdk_that_made_its_client() {
    let project = project_with_two_copies("tools");
    let baton = Baton::dev(&project).ready().await;
    for (app, function) in [("tools", "tools-resize"), ("fixture", "fixture-version")] {
        let run = Run::of(function);
        let path = format!("/api/inngest/{app}");
        let answer = baton.executor().at(&path).discover(&run).await.expect("an answer");
        assert!([200, 206].contains(&answer.status), "{function}: {answer}");
    }
}

#[tokio::test]
async fn one_app_of_two_copies_of_the_sdk_is_rejected_with_their_names() {
    let project = project_with_two_copies("fixture");
    let baton = Baton::dev(&project).listening().await;
    let line = baton
        .wait_for("generation rejected", json!({ "kind": "evaluate" }))
        .await;
    for told in [
        "the app \"fixture\"",
        "inngest 4.24.0",
        "inngest 3.54.2",
        "an id of its own",
    ] {
        assert!(
            line.json["error"].as_str().is_some_and(|error| error.contains(told)),
            "{told}: {}",
            line.text
        );
    }
}
