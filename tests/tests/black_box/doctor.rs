//! `baton doctor`: each thing that goes wrong has a line of its own, with a remedy.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use harness::{Baton, Cli, FakeInngest, Finished, Kind, Launch, Mood, Project, Sdk};
use serde_json::{Value, json};

use crate::service::free_port;
use crate::supervisor::activated;

const KEY: &str = "00112233445566778899aabbccddeeff";

const ORDER: &str = r#"import { Inngest } from "inngest";
const inngest = new Inngest({ id: "shop" });
export const order = inngest.createFunction(
  { id: "order", retries: 1, triggers: [{ event: "shop/order" }] },
  async ({ step }) => step.run("answer", () => "order"),
);
"#;

fn project() -> Project {
    let project = Project::without_functions(Sdk::V4);
    project.write("functions/order.ts", ORDER);
    project
}

/// The findings of one run.
struct Findings(Finished, Value);

impl Findings {
    fn of(&self, check: &str) -> Value {
        let checks = self.1["checks"].as_array().expect("checks");
        let of: Vec<_> = checks.iter().filter(|known| known["check"] == check).collect();
        let bad = of.iter().find(|check| check["finding"].is_string());
        (*bad
            .or(of.first())
            .unwrap_or_else(|| panic!("no check {check}: {}", self.0)))
        .clone()
    }

    /// Checks that this check failed with this finding, that the exit code says so, and that there
    /// is a remedy; returns the check.
    fn failed(&self, check: &str, finding: &str) -> Value {
        let found = self.of(check);
        assert_eq!(
            (&found["status"], &found["finding"]),
            (&json!("failed"), &json!(finding)),
            "{}",
            self.0
        );
        assert!(found["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{found:#}");
        assert_eq!((self.0.code, &self.1["ok"]), (Some(1), &json!(false)), "{}", self.0);
        found
    }

    fn status(&self, check: &str) -> Value {
        self.of(check)["status"].clone()
    }
}

struct Doctor<'a> {
    project: &'a Project,
    environment: Vec<(&'static str, String)>,
    arguments: Vec<String>,
}

impl<'a> Doctor<'a> {
    fn of(project: &'a Project) -> Self {
        Self {
            project,
            environment: Vec::new(),
            arguments: vec!["--port".to_owned(), "0".to_owned()],
        }
    }

    fn env(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self
    }

    async fn run(self) -> Findings {
        let mut cli = Cli::within(self.project.root()).env("BATON_STATE_DIR", self.project.state_dir());
        for (name, value) in self.environment {
            cli = cli.env(name, value);
        }
        let words = ["doctor", "--json"]
            .into_iter()
            .chain(self.arguments.iter().map(String::as_str));
        let finished = cli.baton(&words.collect::<Vec<_>>()).await;
        let json = finished.json();
        Findings(finished, json)
    }
}

fn launch(project: &Project, inngest: &FakeInngest) -> Launch {
    Baton::dev(project).inngest(inngest).registering()
}

#[tokio::test]
async fn where_all_is_well_every_line_is_green() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    let _baton = launch(&project, &inngest).ready().await;
    let found = Doctor::of(&project).env("INNGEST_DEV", inngest.url()).run().await;
    assert_eq!((found.0.code, &found.1["ok"]), (Some(0), &json!(true)), "{}", found.0);
    for check in [
        "project",
        "host",
        "watching",
        "inngest SDK",
        "code",
        "keys",
        "inngest",
        "registration",
        "serve origin",
        "way back",
    ] {
        assert_eq!(found.status(check), "ok", "{check}: {}", found.0);
    }
    let text = Cli::within(project.root())
        .env("BATON_STATE_DIR", project.state_dir())
        .env("INNGEST_DEV", inngest.url());
    let text = text.baton(&["doctor", "--port", "0"]).await;
    assert!(
        text.stdout
            .contains("✓ way back      Inngest reaches the functions at http://"),
        "{text}"
    );
    // Baton asked Inngest, and Inngest asked the functions.
    let mutation = |got: &harness::Received| {
        got.body["query"]
            .as_str()
            .is_some_and(|query| query.contains("createApp"))
    };
    assert!(inngest.received().iter().any(mutation));
}

#[tokio::test]
async fn without_a_host_the_code_is_looked_at_all_the_same() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    let found = Doctor::of(&project).env("INNGEST_DEV", inngest.url()).run().await;
    assert_eq!(found.0.code, Some(0), "{}", found.0);
    assert_eq!(
        (found.status("host"), found.status("code")),
        (json!("skipped"), json!("ok"))
    );
    assert_eq!(found.status("way back"), "skipped");

    project.write("functions/order.ts", ORDER.replace("retries: 1", "retries: 0"));
    let found = Doctor::of(&project).env("INNGEST_DEV", inngest.url()).run().await;
    let warning = found.of("functions");
    assert_eq!(
        (&warning["status"], &warning["finding"]),
        (&json!("warning"), &json!("retries_zero"))
    );
    assert!(
        warning["message"].as_str().unwrap().contains("functions/order.ts:4"),
        "{warning:#}"
    );

    project.write("functions/twin.ts", ORDER);
    Doctor::of(&project).run().await.failed("code", "duplicate_id");
    project.write("functions/twin.ts", "export const = 1;");
    let broken = Doctor::of(&project).run().await.failed("code", "syntax");
    assert!(
        broken["message"].as_str().unwrap().contains("functions/twin.ts:1"),
        "{broken:#}"
    );
}

#[tokio::test]
async fn code_that_the_host_rejected_is_told() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    let baton = launch(&project, &inngest).ready().await;
    project.write("functions/twin.ts", ORDER);
    assert_eq!(baton.reload().await.http, 422);
    Doctor::of(&project).run().await.failed("code", "duplicate_id");
}

#[tokio::test]
async fn a_folder_without_a_project_is_told() {
    let project = Project::without_package_json();
    Doctor::of(&project).run().await.failed("project", "no_project");
}

#[tokio::test]
async fn a_project_without_the_sdk_is_told() {
    let project = Project::without_packages();
    project.write("functions/a.ts", "export {};");
    Doctor::of(&project).run().await.failed("inngest SDK", "sdk_missing");
}

#[tokio::test]
async fn the_owner_of_the_port_is_told() {
    let project = project();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().unwrap().port().to_string();
    let taken = Doctor::of(&project).arguments(&["--port", &port]).run().await;
    let taken = taken.failed("port", "port_taken");
    let message = taken["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("process {}", std::process::id())),
        "{message}"
    );

    let other = Project::new();
    let second = Baton::dev(&other).ready().await;
    let port = second.port().to_string();
    let found = Doctor::of(&project).arguments(&["--port", &port]).run().await;
    let message = found.failed("port", "second_host")["message"].clone();
    assert!(
        message.as_str().unwrap().contains(&second.pid().to_string()),
        "{message}"
    );
}

#[tokio::test]
async fn the_port_that_a_service_manager_holds_for_the_host_is_the_hosts() {
    let project = project();
    let socket = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a socket"));
    let baton = activated(&project, &socket).ready().await;
    let port = baton.port().to_string();
    let found = Doctor::of(&project).arguments(&["--port", &port]).run().await;
    assert_eq!(found.status("port"), "ok", "{}", found.0);
    // This is the state after another port was written into baton.toml.
    let other = free_port().to_string();
    let found = Doctor::of(&project).arguments(&["--port", &other]).run().await;
    assert_eq!(found.status("port"), "ok", "{}", found.0);
    assert!(found.0.stdout.contains(&format!("127.0.0.1:{port}")), "{}", found.0);
}

#[tokio::test]
async fn a_host_that_holds_the_project_and_says_nothing_is_told() {
    let project = project();
    let baton = Baton::dev(&project).ready().await;
    let socket = project.state_dir().join("control.sock");
    std::fs::rename(&socket, project.scratch().join("away")).expect("no way to it");
    let silent = Doctor::of(&project).run().await;
    let message = silent.failed("host", "host_silent")["message"].clone();
    assert!(
        message.as_str().unwrap().contains(&baton.pid().to_string()),
        "{message}"
    );
}

#[tokio::test]
async fn an_environment_file_that_others_can_read_is_told() {
    let project = project();
    let file = project.root().join(".env");
    let arguments = ["--port", "0", "--env-file", ".env"];
    Doctor::of(&project)
        .arguments(&arguments)
        .run()
        .await
        .failed("env file", "env_file_missing");
    project.write(".env", "A=1\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    Doctor::of(&project)
        .arguments(&arguments)
        .run()
        .await
        .failed("env file", "env_file_open");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let found = Doctor::of(&project).arguments(&arguments).run().await;
    assert_eq!(found.status("env file"), "ok", "{}", found.0);
}

#[tokio::test]
async fn an_environment_file_that_nobody_names_is_told_by_doctor_and_dev() {
    let project = project();
    project.write(".env", "A=1\n");
    let arguments = ["--port", "0"];
    let found = Doctor::of(&project).arguments(&arguments).run().await;
    assert_eq!(found.status("env file"), "warning", "{}", found.0);
    assert!(found.0.stdout.contains("env_file_unnamed"), "{}", found.0);
    let told = "an environment file exists, but no setting names it";
    let baton = Baton::dev(&project).ready().await;
    let line = baton.wait_for(told, json!({ "level": "INFO" })).await;
    assert!(line.text.contains("--env-file .env"), "{}", line.text);

    drop(baton);
    let others = project.scratch().join("others");
    project.write("baton.toml", "[env]\nfile = \".env\"\n");
    let baton = Baton::dev(&project).option("--state-dir", others).ready().await;
    assert_eq!(baton.stderr().count(told, &json!({})), 0, "it is named");
    project.remove("baton.toml");
    project.write(
        "package.json",
        r#"{ "type": "module", "dependencies": { "dotenv": "17" } }"#,
    );
    let found = Doctor::of(&project).arguments(&arguments).run().await;
    assert_eq!(found.status("env file"), "skipped", "a package reads it: {}", found.0);
}

#[tokio::test]
async fn an_inngest_that_is_not_there_is_told() {
    let project = project();
    let found = Doctor::of(&project)
        .env("INNGEST_DEV", "http://127.0.0.1:1")
        .run()
        .await;
    let fix = found.failed("inngest", "inngest_unreachable")["fix"].clone();
    assert!(fix.as_str().unwrap().contains("inngest-cli dev -u"), "{fix}");
}

#[tokio::test]
async fn keys_that_cannot_be_right_are_told() {
    let project = project();
    let inngest = FakeInngest::of_kind(Kind::SelfHosted(KEY.to_owned())).await;
    let with = |key: &str| {
        Doctor::of(&project)
            .env("INNGEST_DEV", "0")
            .env("INNGEST_BASE_URL", inngest.url())
            .env("INNGEST_SIGNING_KEY", key)
    };
    Doctor::of(&project)
        .env("INNGEST_DEV", "0")
        .run()
        .await
        .failed("keys", "no_signing_key");
    with("signkey-prod-xyz")
        .run()
        .await
        .failed("keys", "signing_key_malformed");
    with("signkey-prod-abcd")
        .run()
        .await
        .failed("keys", "signing_key_prefix");
    let found = with(KEY).run().await;
    assert_eq!(found.of("keys")["finding"], "no_event_key", "{}", found.0);
    let found = with(KEY).env("INNGEST_EVENT_KEY", "x").run().await;
    assert_eq!(found.status("keys"), "ok", "{}", found.0);
    let cloud = Doctor::of(&project)
        .env("INNGEST_DEV", "0")
        .env("INNGEST_SIGNING_KEY", KEY);
    cloud.run().await.failed("registration", "no_serve_origin");
}

/// Starts a host in production with this environment.
async fn in_production(project: &Project, environment: &[(&'static str, &str)]) -> (Baton, Findings) {
    let mut launch = Baton::start(project).without("INNGEST_DEV").registering();
    let mut doctor = Doctor::of(project);
    for (name, value) in environment {
        launch = launch.env(name, *value);
        doctor = doctor.env(name, value);
    }
    let baton = launch.ready().await;
    let found = doctor.run().await;
    (baton, found)
}

#[tokio::test]
async fn a_wrong_key_is_told() {
    let inngest = FakeInngest::of_kind(Kind::SelfHosted(KEY.to_owned())).await;
    let environment = [("INNGEST_BASE_URL", inngest.url()), ("INNGEST_SIGNING_KEY", "ffff")];
    in_production(&project(), &environment)
        .await
        .1
        .failed("registration", "wrong_key");
}

#[tokio::test]
async fn with_the_right_key_a_self_hosted_inngest_finds_its_way() {
    let (project, inngest) = (project(), FakeInngest::of_kind(Kind::SelfHosted(KEY.to_owned())).await);
    let environment = [("INNGEST_BASE_URL", inngest.url()), ("INNGEST_SIGNING_KEY", KEY)];
    let (_baton, found) = in_production(&project, &environment).await;
    assert_eq!(found.0.code, Some(0), "{}", found.0);
    assert_eq!(
        (found.status("registration"), found.status("way back")),
        (json!("ok"), json!("ok"))
    );
}

#[tokio::test]
async fn functions_that_want_signatures_from_a_server_that_signs_nothing_are_told() {
    let inngest = FakeInngest::start().await;
    let environment = [("INNGEST_BASE_URL", inngest.url()), ("INNGEST_SIGNING_KEY", KEY)];
    in_production(&project(), &environment)
        .await
        .1
        .failed("inngest", "no_signature");
}

#[tokio::test]
async fn functions_in_dev_mode_at_a_server_that_is_none_are_told() {
    let (project, inngest) = (project(), FakeInngest::of_kind(Kind::SelfHosted(KEY.to_owned())).await);
    let _baton = launch(&project, &inngest).ready().await;
    let found = Doctor::of(&project).env("INNGEST_DEV", inngest.url()).run().await;
    found.failed("inngest", "mode_mismatch");
}

#[tokio::test]
async fn a_serve_origin_that_leads_nowhere_or_elsewhere_is_told() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    let nowhere = launch(&project, &inngest).env("INNGEST_SERVE_ORIGIN", "http://127.0.0.1:1");
    let baton = nowhere.ready().await;
    let found = Doctor::of(&project).env("INNGEST_DEV", inngest.url()).run().await;
    found.failed("serve origin", "serve_origin_wrong");
    found.failed("way back", "serve_origin_wrong");
    drop(baton);
    // A server is at the URL, but it does not have these functions.
    let elsewhere = launch(&project, &inngest).env("INNGEST_SERVE_ORIGIN", inngest.url());
    let _baton = elsewhere.ready().await;
    let found = Doctor::of(&project).env("INNGEST_DEV", inngest.url()).run().await;
    let message = found.failed("serve origin", "serve_origin_wrong")["message"].clone();
    assert!(message.as_str().unwrap().contains("something else"), "{message}");
}

#[tokio::test]
async fn something_between_inngest_and_the_functions_is_told() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    inngest.cut_off(true);
    let _baton = launch(&project, &inngest).ready().await;
    let found = Doctor::of(&project).env("INNGEST_DEV", inngest.url()).run().await;
    found.failed("way back", "firewall");
    assert_eq!(
        (found.status("serve origin"), found.status("registration")),
        (json!("ok"), json!("ok"))
    );
}

#[tokio::test]
async fn an_inngest_that_refuses_or_keeps_something_else_is_told() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    let baton = launch(&project, &inngest).ready().await;
    let doctor = || Doctor::of(&project).env("INNGEST_DEV", inngest.url());
    inngest.set_mood(Mood::Failing(500));
    doctor().run().await.failed("registration", "refused");
    inngest.set_mood(Mood::Well);
    let registered = |status: &harness::Status| status.0["registration"]["state"] == "registered";
    baton.status_when("a registration", registered).await;
    inngest.change("shop-order", |function| function["triggers"] = json!([]));
    let drift = doctor().run().await.failed("registration", "drift");
    assert!(
        drift["message"].as_str().unwrap().contains("shop-order (triggers)"),
        "{drift:#}"
    );
}
