//! `secret_command`: variables that a command prints, for each generation anew, and that nothing shows.

use harness::{Baton, Cli, FakeInngest, Kind, Project, Run};
use serde_json::{Value, json};

const SECRET: &str = "hush-hush";

const KEY: &str = "00112233445566778899aabbccddeeff";

/// Makes a project with a function that answers with variables; the command runs `secrets.sh` of the
/// project.
fn project(script: &str) -> Project {
    let project = Project::new();
    project.write("secrets.sh", script);
    project.write(
        "baton.toml",
        "[env]\nfile = \".env\"\nsecret_command = [\"sh\", \"secrets.sh\"]\n",
    );
    project.write(".env", "FROM_FILE=file\nFROM_BOTH=file\nFROM_ALL=file\n");
    project.write(
        "functions/variables.ts",
        r#"import { inngest } from "../lib/client";
export const variables = inngest.createFunction(
  { id: "variables", retries: 1, checkpointing: false, triggers: [{ event: "fixture/variables" }] },
  async () => [process.env.FROM_FILE, process.env.FROM_BOTH, process.env.FROM_ALL, process.env.SECRET],
);
"#,
    );
    project
}

async fn variables(baton: &Baton) -> Value {
    let answer = baton.executor().discover(&Run::of("fixture-variables")).await;
    answer.expect("an answer").json()
}

#[tokio::test]
async fn the_command_comes_before_the_file_and_the_hosts_environment_before_both() {
    let project = project(&format!(
        "echo FROM_BOTH=command; echo FROM_ALL=command; echo SECRET={SECRET}\n"
    ));
    let baton = Baton::dev(&project).env("FROM_ALL", "host").ready().await;
    assert_eq!(variables(&baton).await, json!(["file", "command", "host", SECRET]));

    project.write(
        "secrets.sh",
        "echo '{\"FROM_BOTH\": \"rotated\", \"SECRET\": \"rotated\"}'\n",
    );
    assert_eq!(baton.reload().await.activated(), 2, "it says something else");
    assert_eq!(variables(&baton).await, json!(["file", "rotated", "host", "rotated"]));
    assert_eq!(baton.reload().await.status(), "unchanged");
}

#[tokio::test]
async fn a_command_that_fails_changes_nothing_and_what_it_said_is_not_shown() {
    let project = project(&format!("echo SECRET={SECRET}\n"));
    let baton = Baton::dev(&project).env("BATON_LOG", "trace").ready().await;
    project.write(
        "secrets.sh",
        format!("echo SECRET={SECRET}; echo {SECRET} is wrong >&2; exit 4\n"),
    );
    let report = baton.reload().await;
    assert_eq!(
        (report.http, &report.error()["kind"]),
        (422, &json!("environment")),
        "{report}"
    );
    let expected = "secret_command: \"sh\" failed with exit code 4";
    assert_eq!(report.error()["message"], expected, "{report}");
    assert_eq!(variables(&baton).await[3], SECRET, "the old one serves");

    let cli = Cli::within(project.scratch()).env("BATON_STATE_DIR", project.state_dir());
    let told = cli.baton(&["reload"]).await;
    assert!(
        told.stderr.contains(expected) && told.stderr.contains("Run it in the project's folder"),
        "{told}"
    );
    let status = baton.status().await;
    assert_eq!(
        status.generation(1)["environment"]["names"],
        json!(["FROM_ALL", "FROM_BOTH", "FROM_FILE", "SECRET"])
    );
    for shown in [
        baton.stderr().text(),
        status.0.to_string(),
        report.to_string(),
        told.to_string(),
    ] {
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[tokio::test]
async fn a_host_that_starts_without_its_secrets_holds_its_calls_until_it_has_them() {
    let project = project("exit 1\n");
    let baton = Baton::dev(&project).listening().await;
    baton
        .wait_for("generation rejected", json!({ "kind": "environment" }))
        .await;
    assert_eq!(baton.get("/-/ready").await.status, 503);
    project.write("secrets.sh", format!("echo SECRET={SECRET}\n"));
    // Baton tries again by itself, some seconds later.
    baton.wait_until_ready().await;
    assert_eq!(variables(&baton).await[3], SECRET);
}

#[tokio::test]
async fn keys_and_urls_that_the_command_prints_are_those_of_the_registration_and_of_doctor() {
    let project = Project::new();
    let inngest = FakeInngest::of_kind(Kind::SelfHosted(KEY.to_owned())).await;
    let origin = "https://functions.example";
    project.write("baton.toml", "[env]\nsecret_command = [\"sh\", \"secrets.sh\"]\n");
    project.write(
        "secrets.sh",
        format!(
            "echo INNGEST_DEV=0; echo INNGEST_SIGNING_KEY={KEY}; echo INNGEST_SERVE_ORIGIN={origin}; echo INNGEST_BASE_URL={}\n",
            inngest.url()
        ),
    );
    let launch = Baton::start(&project).without("INNGEST_DEV").without("BATON_REGISTER");
    let baton = launch.ready().await;
    let registered = baton
        .status_when("the registration", |status| {
            status.0["registration"]["state"] == "registered" && status.0["registration"]["verified"] == true
        })
        .await;
    let app = &registered.0["registration"]["apps"][0];
    assert_eq!(app["url"], format!("{origin}/api/inngest"), "{:#}", registered.0);
    assert_eq!(app["inngest"], inngest.url(), "{:#}", registered.0);

    let cli = Cli::within(project.root()).env("BATON_STATE_DIR", project.state_dir());
    let told = cli.baton(&["doctor", "functions", "--json"]).await;
    let checks = told.json();
    let check = |name: &str| {
        let mut all = checks["checks"].as_array().into_iter().flatten();
        all.find(|check| check["check"] == name).cloned().unwrap_or_default()
    };
    // There is a signing key, and no key for events.
    assert_eq!(check("keys")["finding"], "no_event_key", "{told}");
    assert_eq!(check("registration")["status"], "ok", "{told}");
    assert!(!told.to_string().contains(KEY), "{told}");

    project.write("secrets.sh", "exit 9\n");
    let told = cli.baton(&["doctor", "functions"]).await;
    let failed = "✗ environment   secret_command: \"sh\" failed with exit code 9";
    assert!(told.code == Some(1) && told.stdout.contains(failed), "{told}");
}
