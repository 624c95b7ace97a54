//! Bad input: each case gets a message that says what to do, and nothing
//! crashes.

use std::net::TcpListener;

use harness::http::Call;
use harness::{ANY, Baton, Cli, Project, Run, Sdk, Status, mismatch};
use serde_json::json;

use crate::calls::version_of;

/// Starts Baton on a project that has no good generation, and checks that the
/// host stays up and says why it does not serve.
async fn check_rejected(project: &Project, kinds: &[&str], file: Option<&str>, names: &[&str]) {
    let baton = Baton::dev(project).listening().await;
    let line = baton.wait_for("generation rejected", json!({})).await;
    let kind = line.json["kind"].as_str().unwrap_or_default();
    assert!(kinds.contains(&kind), "{}", line.text);

    assert_eq!(baton.get("/-/live").await.status, 200);
    let ready = baton.get("/-/ready").await;
    assert_eq!(ready.status, 503, "{ready}");
    let reason = json!({ "ready": false, "reason": "rejected" });
    assert_eq!(mismatch(&ready.json(), &reason), None, "{ready}");

    let Status(status) = baton.status().await;
    let rejected = &status["source"]["last_rejected"];
    assert!(rejected.is_object(), "{status:#}");

    let report = baton.reload().await;
    assert_eq!((report.http, report.status()), (422, "rejected"), "{report}");
    let error = report.error();
    assert!(kinds.contains(&error["kind"].as_str().unwrap_or_default()), "{report}");
    let message = format!("{}\n{}", error["message"], error["help"]);
    for name in names {
        assert!(
            message.contains(name),
            "no {name:?} in the message and its help: {report}"
        );
    }
    if let Some(file) = file {
        assert!(error["file"].as_str().unwrap_or_default().ends_with(file), "{report}");
    }
}

#[tokio::test]
async fn an_empty_folder_has_no_functions() {
    let project = Project::without_functions(Sdk::V4);
    check_rejected(&project, &["no_functions"], None, &["functions"]).await;
}

#[tokio::test]
async fn a_project_without_inngest_is_told_to_install_it() {
    let project = Project::without_packages();
    let text = r#"import { Inngest } from "inngest";
const inngest = new Inngest({ id: "bare" });
export const hello = inngest.createFunction(
  { id: "hello", triggers: [{ event: "bare/hello" }] },
  async () => "hello",
);
"#;
    project.write("functions/hello.ts", text);
    check_rejected(&project, &["resolve"], None, &["inngest", "npm install"]).await;
}

#[tokio::test]
async fn a_file_that_is_no_utf_8_is_named() {
    let project = Project::new();
    project.write("functions/latin.ts", b"export const caf\xe9 = 1;\n");
    check_rejected(&project, &["syntax"], Some("functions/latin.ts"), &["UTF-8"]).await;
}

#[tokio::test]
async fn a_file_that_becomes_no_utf_8_is_rejected_and_the_old_code_serves() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    project.write("lib/version.ts", b"export const VERSION = \"\xff\xfe\";\n");
    let report = baton.reload().await;
    assert_eq!((report.http, report.status()), (422, "rejected"), "{report}");
    let file = report.error()["file"].as_str().unwrap_or_default();
    assert!(file.ends_with("lib/version.ts"), "{report}");
    assert_eq!(version_of(&baton, "version").await, "1");
}

#[tokio::test]
async fn without_a_package_json_it_does_not_start() {
    let project = Project::without_package_json();
    for folder in project.functions().ancestors() {
        let stray = folder.join("package.json");
        assert!(!stray.exists(), "{} makes this test pointless", stray.display());
    }
    project.write("functions/hello.ts", "export const hello = 1;\n");
    for launch in [Baton::dev(&project), Baton::start(&project)] {
        launch.to_the_end().await.refuses(1, &["package.json"]);
    }
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_a_usage_error() {
    let project = Project::new();
    let launch = Baton::dev_on(&project, "no-such-folder");
    launch.to_the_end().await.refuses(2, &["no-such-folder"]);
}

#[tokio::test]
async fn an_unknown_option_is_a_usage_error() {
    let project = Project::new();
    let launch = Baton::dev(&project).argument("--prot");
    launch.to_the_end().await.refuses(2, &["--prot"]);
    let finished = Cli::within(project.root()).baton(&["relaod"]).await;
    finished.refuses(2, &["relaod"]);
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_process_that_has_it() {
    let project = Project::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let us = std::process::id().to_string();
    let launch = Baton::dev(&project).option("--port", port.as_str());
    launch.to_the_end().await.refuses(1, &[&port, &us]);
    // The process was named, not killed, and the port is still ours.
    assert_eq!(taken.local_addr().expect("its address").port().to_string(), port);
}

#[tokio::test]
async fn a_state_folder_that_cannot_be_made_is_named() {
    let project = Project::new();
    project.write("a-file", "not a folder");
    // Root may write anywhere, but nobody can make a folder in a file.
    let folder = project.root().join("a-file").join("state");
    let name = folder.to_str().expect("a path that is text").to_owned();
    let launch = Baton::dev(&project).option("--state-dir", folder);
    launch.to_the_end().await.refuses(1, &[&name]);
}

#[tokio::test]
async fn a_body_over_four_mebibytes_is_too_large() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let run = Run::of("fixture-measure");
    let body = vec![b' '; 4 * 1024 * 1024 + 1];
    let call = baton.executor().request(&run, "step").body(body);
    let (status, body) = call.write(&baton.door()).await.answer().await;
    assert_eq!(status, 413, "{body}");
    assert!(body.contains("\"error\"") && body.contains("4 MiB"), "{body}");

    assert_eq!(version_of(&baton, "version").await, "1", "the next call is served");
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    for (method, path, allowed) in [
        ("GET", "/api/reload", "PUT"),
        ("POST", "/api/reload", "PUT"),
        ("DELETE", "/-/status", "GET"),
        ("POST", "/-/events", "GET"),
        ("GET", "/-/rollback", "POST"),
        ("GET", "/-/drain", "POST"),
        ("POST", "/-/live", "GET"),
        ("PUT", "/-/ready", "GET"),
        ("DELETE", "/-/metrics", "GET"),
    ] {
        let answer = Call::new(method, path).answer(&baton.door()).await;
        assert_eq!(answer.status, 405, "{method} {path}: {answer}");
        let allow = answer.header("allow").unwrap_or_default();
        let allows = allow.split(',').any(|method| method.trim() == allowed);
        assert!(allows, "{method} {path}: {answer}");
        let error = json!({ "error": { "message": ANY, "help": ANY } });
        assert_eq!(mismatch(&answer.json(), &error), None, "{method} {path}: {answer}");
    }
    assert_eq!(baton.status().await.newest(), 1, "nothing was reloaded");
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    for path in [
        "/",
        "/nothing",
        "/api",
        "/api/reload/now",
        "/-/nothing",
        "/api/inngest/nobody",
    ] {
        let answer = baton.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer}");
        let error = json!({ "error": { "message": ANY, "help": ANY } });
        assert_eq!(mismatch(&answer.json(), &error), None, "{path}: {answer}");
        let named = path.trim_start_matches("/api/inngest/");
        assert!(answer.text().contains(named), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_rollback_that_cannot_be_read_is_refused() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    for body in ["{ no JSON", "[]", "{\"generation\":\"two\"}", "{\"generation\":-1}"] {
        let call = baton
            .admin("POST", "/-/rollback")
            .header("content-type", "application/json");
        let answer = call.body(body).answer(&baton.door()).await;
        assert!((400..500).contains(&answer.status), "{body}: {answer}");
        assert!(answer.json()["error"]["message"].is_string(), "{body}: {answer}");
    }
    assert_eq!(baton.status().await.current(), 1);
}

#[tokio::test]
async fn the_metrics_are_text_that_prometheus_reads() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let answer = baton.get("/-/metrics").await;
    assert_eq!(answer.status, 200, "{answer}");
    let text = answer.text();
    assert!(text.contains("# TYPE baton_"), "{text}");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap_or_default();
        assert!(value.parse::<f64>().is_ok(), "no value at the end of {line:?}");
    }
}
