//! The module `bun` inside of Baton: the functions that belong to the host there, and those that
//! are refused. `behaviours.rs` checks that the other functions do the same as Bun's.

use harness::{Baton, Project, Run};
use serde_json::json;

use crate::calls::start;

/// Makes a project whose function `fixture-extra` has this body.
fn project_with(body: &str) -> Project {
    let project = Project::new();
    project.write(
        "functions/extra.ts",
        format!(
            "import {{ $, spawn }} from \"bun\";\nimport {{ Inngest }} from \"inngest\";\n\
             const inngest = new Inngest({{ id: \"fixture\" }});\n\
             export const extra = inngest.createFunction(\n  \
             {{ id: \"extra\", retries: 1, triggers: [{{ event: \"fixture/extra\" }}], checkpointing: false }},\n  \
             async ({{ event, step }}) => {{\n{body}\n  }},\n);\n"
        ),
    );
    project
}

const SERVER: &str = r#"let count = 0;
const server = Bun.serve({
  port: 4321,
  routes: {
    "/fixed": new Response("fixed"),
    "/users/:id": (request) => Response.json({ user: request.params.id, method: request.method }),
    "/posts": { POST: async (request) => new Response(`posted ${await request.text()}`) },
  },
  fetch(request, server) {
    count += 1;
    if (new URL(request.url).pathname === "/fails") throw new Error("on purpose");
    return new Response(`${new URL(request.url).pathname} ${server.port} ${import.meta.main}`);
  },
  error: (error) => new Response(error.message, { status: 503 }),
});
export const url = server.url;
"#;

#[tokio::test]
async fn what_bun_serve_is_given_is_served_on_batons_port() {
    let project = Project::without_packages();
    project.write("serve.ts", SERVER);
    let baton = Baton::dev_on(&project, "serve.ts").ready().await;
    for (path, status, text) in [
        ("/fixed", 200, "fixed"),
        ("/users/a%20b", 200, r#"{"user":"a b","method":"GET"}"#),
        ("/posts", 200, "/posts 4321 true"),
        ("/other", 200, "/other 4321 true"),
        ("/fails", 503, "on purpose"),
    ] {
        let answer = baton.get(path).await;
        assert_eq!((answer.status, answer.text().as_str()), (status, text), "{path}");
    }
    let told = |line: &harness::Line| line.message().contains("port 4321");
    baton.stderr().wait_for_line("Bun.serve is told of", told).await;
    assert_ne!(baton.port(), 4321);
}

#[tokio::test]
async fn bun_serve_is_refused_where_nobody_would_serve_it() {
    let project = project_with("    return Bun.serve({ fetch: () => new Response() });");
    let baton = Baton::dev(&project).ready().await;
    let answer = start(&baton, &Run::of("fixture-extra")).answer(&baton).await;
    assert!(
        answer.text().contains("only possible while an entry file is loaded"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_is_not_there_is_told_when_it_is_used() {
    let body = "    const { redis } = await import(\"bun\");\n    \
                const said = (act) => { try { return act(); } catch (error) { return error.message; } };\n    \
                return [said(() => redis.get(\"x\")), said(() => Bun.sql`x`), \"redis\" in Bun, Bun.unheardOf ?? null, \
                typeof Bun, process.versions.bun ?? null];";
    let project = project_with(body);
    let baton = Baton::dev(&project).ready().await;
    let expected = json!([
        "Baton has no Bun.redis: use the npm package ioredis",
        "Baton has no Bun.sql: use the npm package postgres or mysql2",
        false,
        null,
        "object",
        null
    ]);
    let answer = start(&baton, &Run::of("fixture-extra")).answer(&baton).await;
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn a_module_of_bun_that_is_not_there_is_refused_with_the_line_that_imports_it() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    project.write(
        "functions/tests.ts",
        "const a = 1;\nimport { test } from \"bun:test\";\ntest(\"a\", () => a);\n",
    );
    let report = baton.reload().await;
    assert_eq!(report.http, 422, "{report}");
    let error = report.error();
    assert_eq!(
        (&error["file"], &error["line"]),
        (&json!("functions/tests.ts"), &json!(2)),
        "{report}"
    );
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("Baton has no \"bun:test\"")),
        "{report}"
    );
}

#[tokio::test]
async fn what_the_module_refuses_is_blamed_on_the_line_that_asked_for_it() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    for (line, message) in [
        (
            "Bun.serve({ fetch: () => new Response() });",
            "only possible while an entry file is loaded",
        ),
        ("Bun.redis.get(\"x\");", "Baton has no Bun.redis"),
        (
            "import { S3Client } from \"bun\"; new S3Client();",
            "Baton has no Bun.S3Client",
        ),
        ("Bun.$`echo one; | two`;", "expected a command"),
        ("Bun.spawnSync([\"no-such-command-at-all\"]);", "Executable not found"),
    ] {
        project.write("functions/refused.ts", format!("const before = 1;\n\n{line}\n"));
        let report = baton.reload().await;
        assert_eq!(report.http, 422, "{report}");
        let error = report.error();
        let place = (&error["file"], &error["line"]);
        assert_eq!(place, (&json!("functions/refused.ts"), &json!(3)), "{line}: {report}");
        assert!(
            error["message"].as_str().is_some_and(|text| text.contains(message)),
            "{line}: {report}"
        );
    }
}

#[tokio::test]
async fn a_package_named_bun_does_not_hide_the_module() {
    let project = project_with("    return await $`echo one`.text();");
    project.write(
        "functions/node_modules/bun/package.json",
        r#"{ "name": "bun", "main": "index.js" }"#,
    );
    project.write("functions/node_modules/bun/index.js", "module.exports = { own: 1 };\n");
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(
        start(&baton, &Run::of("fixture-extra")).answer(&baton).await.json(),
        "one\n"
    );
}

#[tokio::test]
async fn what_scripts_print_is_a_line_of_the_log_with_its_run() {
    let body = "    return await step.run(\"prints\", async () => {\n      await $`echo from a script`;\n      \
                await $`echo kept quiet`.quiet();\n      \
                await spawn([\"echo\", \"from a child\"]).stdout.text();\n      return \"printed\";\n    });";
    let project = project_with(body);
    let baton = Baton::dev(&project).ready().await;
    let _ = start(&baton, &Run::of("fixture-extra")).answer(&baton).await;
    let printed = |line: &harness::Line| line.message() == "from a script";
    let line = baton.stderr().wait_for_line("what a script prints", printed).await;
    assert_eq!(line.json["function"], "fixture-extra", "{}", line.json);
}
