//! Entry files as people have them: files that export an app in one of the usual shapes, and files
//! that listen. Each serves its routes and its functions, unchanged, and new code for both after a
//! reload.

use harness::http::Call;
use harness::{Baton, Project, Report, Run};
use serde_json::json;

/// Serves one entry file, and edits the version that all entry files answer with.
async fn serves_and_reloads(entry: &str) -> (Project, Baton, Report) {
    let project = Project::of_entries();
    let baton = Baton::dev_on(&project, &format!("src/{entry}")).ready().await;
    answers(&baton, entry, "1").await;
    project.write("src/version.ts", "export const VERSION = \"2\";\n");
    project.write("src/version.cjs", "exports.VERSION = \"2\";\n");
    let report = baton.reload().await;
    assert_eq!(report.activated(), 2, "{entry}");
    answers(&baton, entry, "2").await;
    (project, baton, report)
}

async fn answers(baton: &Baton, entry: &str, version: &str) {
    let executor = baton.executor();
    let answer = executor.introspect().await;
    assert_eq!(answer.json()["function_count"], 1, "{entry}: {answer}");
    let answer = executor.discover(&Run::of("entries-hello")).await.expect("an answer");
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({ "version": version })),
        "{entry}"
    );
    assert!(answer.header("x-inngest-sdk").is_some(), "{entry}: {answer}");
    let functions = &baton.status().await.0["functions"];
    assert_eq!(
        functions[0]["id"], "entries-hello",
        "{entry}: the app was asked for them"
    );
}

async fn echoes(baton: &Baton, entry: &str, version: &str) {
    let echo = Call::new("POST", "/echo")
        .header("x-test", "yes")
        .header("content-type", "text/plain");
    let answer = echo.body("péng").answer(&baton.door()).await;
    let told = json!({ "VERSION": version, "path": "/echo", "body": "péng", "header": "yes" });
    assert_eq!((answer.status, answer.json()), (200, told), "{entry}: {answer}");
}

fn codes(report: &Report) -> Vec<(&str, &str)> {
    let warnings = report.body["warnings"].as_array().expect("warnings");
    let text = |value: &'_ serde_json::Value| value.as_str().unwrap_or_default().to_owned().leak() as &str;
    warnings
        .iter()
        .map(|one| (text(&one["code"]), text(&one["message"])))
        .collect()
}

#[tokio::test]
async fn routers_that_are_exported_serve() {
    for entry in [
        "export-hono.ts",
        "export-itty.ts",
        "export-h3.ts",
        "export-h3-v1.ts",
        "export-elysia.ts",
        "export-express.ts",
    ] {
        let (_project, baton, report) = serves_and_reloads(entry).await;
        echoes(&baton, entry, "2").await;
        assert_eq!(codes(&report), [], "{entry}: {report}");
    }
}

#[tokio::test]
async fn handlers_that_are_exported_in_other_shapes_serve() {
    for entry in [
        "export-function.ts",
        "export-named.ts",
        "export-methods.ts",
        "export-commonjs.cjs",
    ] {
        let (_project, baton, report) = serves_and_reloads(entry).await;
        echoes(&baton, entry, "2").await;
        assert_eq!(codes(&report), [], "{entry}: {report}");
    }
    let (_project, baton, _) = serves_and_reloads("export-methods.ts").await;
    let answer = Call::new("DELETE", "/echo").answer(&baton.door()).await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (405, Some("GET, POST, PUT")),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_at_inngests_path_is_what_was_sent_also_where_it_is_no_plain_text() {
    let project = Project::of_entries();
    project.write(
        "src/bodies.ts",
        "export default { async fetch(request: Request) {\n\
         \x20 const [type, copy] = [request.headers.get(\"content-type\"), request.clone()];\n\
         \x20 const real = request instanceof Request && request.signal instanceof AbortSignal;\n\
         \x20 const streamed = new Uint8Array(await new Response(copy.clone().body).arrayBuffer());\n\
         \x20 const bytes = new Uint8Array(await copy.arrayBuffer());\n\
         \x20 return Response.json({ type, real, bytes: [...bytes], streamed: [...streamed], text: await request.text(), used: request.bodyUsed });\n\
         } };\n",
    );
    let baton = Baton::dev_on(&project, "src/bodies.ts").ready().await;
    let plain = "{\"name\":\"péng\"}".as_bytes();
    let json = Some("application/json");
    for (sent, content_type, text) in [
        (plain, json, "{\"name\":\"péng\"}"),
        (plain, None, "{\"name\":\"péng\"}"),
        (b"\xef\xbb\xbfmarked", json, "marked"),
        (b"\xffnot UTF-8", json, "\u{fffd}not UTF-8"),
        (b"", json, ""),
    ] {
        let call = Call::new("POST", "/api/inngest").body(sent);
        let call = match content_type {
            Some(value) => call.header("content-type", value),
            None => call,
        };
        let answer = call.answer(&baton.door()).await;
        let told = json!({
            "type": content_type, "real": true, "bytes": sent, "streamed": sent, "text": text, "used": true,
        });
        assert_eq!((answer.status, answer.json()), (200, told), "{answer}");
    }
}

#[tokio::test]
async fn an_entry_may_export_the_handler_of_the_sdk_and_nothing_else() {
    let (_project, _baton, report) = serves_and_reloads("export-inngest.ts").await;
    assert_eq!(codes(&report), []);
}

#[tokio::test]
async fn what_bun_would_listen_by_is_ignored_with_a_note() {
    let (_project, baton, report) = serves_and_reloads("export-bun.ts").await;
    echoes(&baton, "export-bun.ts", "2").await;
    let codes = codes(&report);
    let [("ignored_option", message)] = codes.as_slice() else {
        panic!("{report}");
    };
    assert!(
        message.starts_with("`port`, `idleTimeout` of the default export"),
        "{message}"
    );
}

#[tokio::test]
async fn servers_that_listen_are_handed_over_and_open_no_port() {
    for entry in [
        "listen-express.ts",
        "listen-later.ts",
        "listen-fastify.ts",
        "listen-koa.ts",
        "listen-http.ts",
        "listen-hono-node.ts",
        "listen-deno.ts",
    ] {
        // The port is taken: an entry file that really opened it would fail.
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("its address").port();
        let (project, baton, report) = {
            let project = Project::of_entries();
            let path = format!("src/{entry}");
            let text = project.read(&path);
            project.write(&path, text.replace("4000", &port.to_string()));
            let baton = Baton::dev_on(&project, &path).ready().await;
            answers(&baton, entry, "1").await;
            echoes(&baton, entry, "1").await;
            project.write("src/version.ts", "export const VERSION = \"2\";\n");
            let report = baton.reload().await;
            (project, baton, report)
        };
        assert_eq!(report.activated(), 2, "{entry}");
        answers(&baton, entry, "2").await;
        echoes(&baton, entry, "2").await;
        assert_eq!(codes(&report), [], "{entry}: {report}");
        let said = format!("was asked to listen on port {port}: Baton serves it on its own port instead");
        let said = |line: &harness::Line| line.message().ends_with(&said);
        baton.stderr().wait_for_line("a line that says so", said).await;
        baton.wait_for("generation retired", json!({ "generation": 1 })).await;
        drop(project);
    }
}

#[tokio::test]
async fn servers_that_are_exported_serve_as_if_they_listened() {
    for (name, text) in [
        (
            "fastify",
            "import Fastify from \"fastify\";\nconst app = Fastify();\napp.get(\"/\", async () => \"fastify\");\n\
             export default app;\n",
        ),
        (
            "koa",
            "import Koa from \"koa\";\nconst app = new Koa();\napp.use((context) => (context.body = \"koa\"));\n\
             export default app;\n",
        ),
        (
            "http",
            "import { createServer } from \"node:http\";\n\
             export default createServer((_request, response) => response.end(\"http\"));\n",
        ),
    ] {
        let project = Project::of_entries();
        project.write("src/exported.ts", text);
        let baton = Baton::dev_on(&project, "src/exported.ts").ready().await;
        assert_eq!(baton.get("/").await.text(), name);
    }
}

#[tokio::test]
async fn a_server_that_listens_hears_that_it_does_and_where_it_meant_to() {
    let project = Project::of_entries();
    let baton = Baton::dev_on(&project, "src/listen-express.ts").ready().await;
    let line = "express listens at { address: '::', family: 'IPv6', port: 4000 }";
    baton.wait_for(line, json!({})).await;
    let baton = Baton::dev_on(&project, "src/listen-deno.ts")
        .option("--state-dir", project.scratch().join("other"))
        .ready()
        .await;
    baton.wait_for("Deno.serve listens at 4000", json!({})).await;
}

#[tokio::test]
async fn a_second_server_is_not_served_and_the_report_says_which_one_is() {
    let project = Project::of_entries();
    project.write(
        "src/two.ts",
        r#"import { createServer } from "node:http";
import "./listen-express";
createServer((_request, response) => response.end("metrics")).listen(9464);
"#,
    );
    let baton = Baton::dev_on(&project, "src/two.ts").ready().await;
    echoes(&baton, "two.ts", "1").await;
    let report = baton.reload_with("?force=1").await;
    let codes = codes(&report);
    let [("not_served", message)] = codes.as_slice() else {
        panic!("{report}");
    };
    let expected = "an HTTP server on port 9464 is not served: the app is an HTTP server on port 4000";
    assert_eq!(*message, expected);
    assert_eq!(
        report.body["warnings"][0]["help"], "Mount its routes there.",
        "{report}"
    );
}

#[tokio::test]
async fn an_app_that_serves_inngest_elsewhere_says_where() {
    let project = Project::of_entries();
    project.edit("src/export-hono.ts", "\"/api/inngest\"", "\"/jobs/inngest\"");
    let baton = Baton::dev_on(&project, "src/export-hono.ts").ready().await;
    let report = baton.reload_with("?force=1").await;
    let codes = codes(&report);
    let [("functions_unknown", _)] = codes.as_slice() else {
        panic!("{report}");
    };
    let help = report.body["warnings"][0]["help"].as_str().unwrap_or_default();
    assert!(help.contains("serve_path"), "{report}");
    drop(baton);

    project.write("baton.toml", "[inngest]\nserve_path = \"/jobs/inngest\"\n");
    let baton = Baton::dev_on(&project, "src/export-hono.ts").ready().await;
    let report = baton.reload_with("?force=1").await;
    assert_eq!(report.body["functions"]["count"], 1, "{report}");
    let executor = baton.executor().at("/jobs/inngest");
    let answer = executor.discover(&Run::of("entries-hello")).await.expect("an answer");
    assert_eq!(answer.json(), json!({ "version": "1" }), "{answer}");
    // Baton reads this request whole, as it reads all calls of Inngest.
    let large = Call::new("POST", "/jobs/inngest")
        .body(vec![b'x'; 5 << 20])
        .answer(&baton.door())
        .await;
    assert_eq!(large.status, 413, "{large}");
}

#[tokio::test]
async fn an_entry_file_with_nothing_to_serve_is_rejected() {
    let project = Project::of_entries();
    let baton = Baton::dev_on(&project, "src/export-hono.ts").ready().await;
    project.write("src/export-hono.ts", "export const nothing = 1;\n");
    let report = baton.reload().await;
    assert_eq!(
        (report.http, &report.error()["kind"]),
        (422, &json!("no_functions")),
        "{report}"
    );
    let message = report.error()["message"].as_str().unwrap_or_default();
    assert!(
        message.ends_with("exports neither Inngest functions nor an app, and starts no server"),
        "{report}"
    );
}

#[tokio::test]
async fn a_handler_that_never_answers_is_found_out() {
    let project = Project::of_entries();
    project.write(
        "src/never.ts",
        "export default { fetch: () => new Promise(() => {}) };\n",
    );
    let baton = Baton::dev_on(&project, "src/never.ts").ready().await;
    let answer = baton.get("/webhook").await;
    assert_eq!(answer.status, 500, "{answer}");
    assert!(answer.text().contains("the handler never answers"), "{answer}");
}

#[tokio::test]
async fn a_handler_that_throws_or_returns_no_response_says_so() {
    let project = Project::of_entries();
    project.write(
        "src/wrong.ts",
        r#"export default {
  fetch(request: Request) {
    if (request.url.endsWith("/throws")) throw new Error("on purpose");
    return request.url.endsWith("/number") ? 17 : undefined;
  },
};
"#,
    );
    let baton = Baton::dev_on(&project, "src/wrong.ts").ready().await;
    for (path, told) in [
        ("/throws", "on purpose"),
        ("/number", "the fetch handler returned [object Number], not a Response"),
        ("/nothing", "the fetch handler returned nothing, not a Response"),
    ] {
        let answer = baton.get(path).await;
        assert_eq!(answer.status, 500, "{answer}");
        let message = answer.json()["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(message.contains(told), "{answer}");
        baton.wait_for("call failed", json!({})).await;
    }
}
