//! Releases: pushed to a real registry, and served from it.

mod faults;
mod hostile;

use std::fs;
use std::os::unix::fs::symlink;

use harness::http::Call;
use harness::{Baton, Cli, Finished, LOGIN, Project, Registry, RegistryLaunch, deadline};
use serde_json::{Value, json};

/// An app that says its version.
fn code(version: &str) -> String {
    format!("export default {{ fetch: () => new Response(\"{version}\") }};\n")
}

/// A project with a package, which its app does not import.
fn project() -> Project {
    let project = Project::without_packages();
    project.write("app.ts", code("one"));
    project.write(
        "node_modules/unused/package.json",
        r#"{ "name": "unused", "version": "1.0.0" }"#,
    );
    project.write("node_modules/unused/bytes", [7_u8; 200_000]);
    project
}

/// Pushes with a docker configuration of the test's own.
async fn push(project: &Project, reference: &str, more: &[&str]) -> Finished {
    let arguments: Vec<&str> = ["push", reference, "app.ts"].iter().chain(more).copied().collect();
    cli(project).baton(&arguments).await
}

fn cli(project: &Project) -> Cli {
    Cli::within(project.root())
        .env("DOCKER_CONFIG", project.scratch().join("docker"))
        .env("BATON_CODE_CACHE", project.code_cache())
}

async fn pushed(project: &Project, reference: &str) -> Value {
    let finished = push(project, reference, &["--json"]).await;
    assert_eq!(finished.code, Some(0), "{finished}");
    finished.json()
}

fn manifest(registry: &Registry, digest: &str) -> Value {
    serde_json::from_slice(&fs::read(registry.blob(digest)).expect("the manifest")).expect("JSON")
}

#[tokio::test]
async fn a_push_uploads_what_the_registry_lacks_and_an_unchanged_project_uploads_nothing() {
    let project = project();
    let Some(registry) = Registry::start(project.scratch()).await else {
        return;
    };
    let reference = registry.reference("acme/jobs:production");
    let first = pushed(&project, &reference).await;
    assert_eq!(first["status"], "pushed");
    let again = pushed(&project, &reference).await;
    assert_eq!(again["status"], "unchanged");
    assert_eq!(
        (&again["digest"], again["uploaded"].as_u64()),
        (&first["digest"], Some(0))
    );

    project.write("app.ts", code("two"));
    let second = pushed(&project, &reference).await;
    assert_ne!(second["digest"], first["digest"]);
    let uploaded = second["uploaded"].as_u64().expect("a number");
    assert!(uploaded < 100_000, "{uploaded} bytes were uploaded for one line");
    let layers = |report: &Value| -> Vec<Value> {
        let manifest = manifest(&registry, report["digest"].as_str().expect("a digest"));
        assert_eq!(manifest["artifactType"], "application/vnd.baton.release.v1");
        manifest["layers"].as_array().expect("layers").clone()
    };
    let (before, after) = (layers(&first), layers(&second));
    assert_eq!(before[0], after[0], "the packages are the same");
    assert_ne!(before[1], after[1]);
}

#[tokio::test]
async fn code_that_does_not_load_from_what_was_packed_is_not_pushed() {
    let project = project();
    let Some(registry) = Registry::start(project.scratch()).await else {
        return;
    };
    let reference = registry.reference("acme/jobs:production");
    project.write("app.ts", "export const = 1;\n");
    let refused = push(&project, &reference, &[]).await;
    refused.refuses(1, &["rejected: ", "app.ts:1", "nothing was uploaded"]);

    // The file is here, and would not be in the release.
    project.write("app.ts", format!("import \"./made\";\n{}", code("one")));
    project.write("made.ts", "export const made = 1;\n");
    project.write(".batonignore", "made.ts\n");
    push(&project, &reference, &[])
        .await
        .refuses(1, &["made", "nothing was uploaded"]);
    let repositories = registry.storage().join("docker/registry/v2/repositories");
    assert!(!repositories.exists(), "something was uploaded");
}

#[tokio::test]
async fn secrets_are_named_before_anything_is_uploaded_and_environment_files_stay_here() {
    let project = project();
    let Some(registry) = Registry::start(project.scratch()).await else {
        return;
    };
    let reference = registry.reference("acme/jobs:production");
    project.write(".env", "TOKEN=hidden\n");
    project.write("certs/server.key", "the key of a test");
    push(&project, &reference, &[])
        .await
        .refuses(1, &["look like secrets", "certs/server.key", "--allow-file"]);
    let allowed = push(&project, &reference, &["--allow-file", "certs/server.key"]).await;
    assert_eq!(allowed.code, Some(0), "{allowed}");
    assert!(allowed.stderr.contains("left out: .env"), "{allowed}");
}

#[tokio::test]
async fn a_link_out_of_the_project_and_a_wrong_reference_are_errors_that_say_what_to_do() {
    let project = project();
    push(&project, "jobs", &[])
        .await
        .refuses(2, &["names no registry", "ghcr.io/acme/jobs:production"]);
    let nobody = push(&project, "127.0.0.1:1/jobs:1", &[]);
    symlink(project.scratch(), project.root().join("out")).expect("a link");
    nobody.await.refuses(1, &["leads out of the project"]);
}

#[tokio::test]
async fn a_login_of_docker_and_a_certificate_of_ones_own_are_used() {
    let project = project();
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=Acme \
                  -addext basicConstraints=critical,CA:TRUE && echo subjectAltName=IP:127.0.0.1 > extensions && \
                  openssl req -newkey rsa:2048 -nodes -keyout tls.key -out tls.csr -subj /CN=registry && \
                  openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -out tls.pem";
    let made = std::process::Command::new("sh")
        .args(["-c", script])
        .current_dir(project.scratch())
        .output();
    assert!(made.expect("a shell").status.success());
    let [authority, certificate, key] = ["ca.pem", "tls.pem", "tls.key"].map(|name| project.scratch().join(name));
    let launch = RegistryLaunch::default().with_login().with_tls(certificate, key);
    let Some(registry) = launch.start(project.scratch()).await else {
        return;
    };
    let reference = registry.reference("acme/jobs:production");
    push(&project, &reference, &[])
        .await
        .refuses(1, &["cannot reach", "certificate"]);
    let trusting = cli(&project).env("NODE_EXTRA_CA_CERTS", &authority);
    let arguments = ["push", reference.as_str(), "app.ts", "--json"];
    trusting
        .baton(&arguments)
        .await
        .refuses(1, &["refused the login", "docker login"]);
    let encoded = base64_of(&format!("{}:{}", LOGIN.0, LOGIN.1));
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"{encoded}"}}}}}}"#, registry.address());
    fs::create_dir(project.scratch().join("docker")).expect("a folder");
    fs::write(project.scratch().join("docker/config.json"), config).expect("a configuration");
    let finished = trusting.baton(&arguments).await;
    assert_eq!(finished.code, Some(0), "{finished}");
}

fn base64_of(text: &str) -> String {
    let made = std::process::Command::new("openssl")
        .args(["base64", "-A"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            use std::io::Write as _;
            child.stdin.take().expect("its input").write_all(text.as_bytes())?;
            child.wait_with_output()
        });
    String::from_utf8(made.expect("openssl").stdout).expect("text")
}

/// Asks the app for its version.
async fn told(baton: &Baton) -> String {
    let answer = baton.get("/").await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.text()
}

async fn until_it_tells(baton: &Baton, version: &str) {
    deadline::until(
        version,
        || baton.stderr().tail(),
        || async { (told(baton).await == version).then_some(()) },
    )
    .await;
}

/// The digest of the release that is current.
async fn current_release(baton: &Baton) -> Value {
    let status = baton.status().await;
    status.generation(status.current())["release"]["digest"].clone()
}

#[tokio::test]
async fn slow_three_hosts_follow_the_tag_without_losing_a_call() {
    let project = project();
    let Some(registry) = Registry::start(project.scratch()).await else {
        return;
    };
    let reference = registry.reference("acme/jobs:production");
    let first = pushed(&project, &reference).await;
    let folders = [(); 3].map(|()| Project::without_packages());
    let mut hosts = Vec::new();
    for folder in &folders {
        let launch = Baton::start_release(folder, &reference).env("BATON_RELEASE_POLL", "0.2");
        hosts.push(launch.ready().await);
    }
    for host in &hosts {
        assert_eq!(told(host).await, "one");
        assert_eq!(current_release(host).await, first["digest"]);
    }
    project.write("app.ts", code("two"));
    let second = pushed(&project, &reference).await;
    for host in &hosts {
        until_it_tells(host, "two").await;
        assert_eq!(current_release(host).await, second["digest"]);
        let line = host
            .wait_for("release pulled", json!({ "release": second["digest"] }))
            .await;
        assert!(line.json["pushed"].is_string(), "{}", line.text);
    }
}

#[tokio::test]
async fn a_reload_pulls_at_once_and_says_what_serves() {
    let project = project();
    let Some(registry) = Registry::start(project.scratch()).await else {
        return;
    };
    let reference = registry.reference("acme/jobs:production");
    pushed(&project, &reference).await;
    let host = Project::without_packages();
    let launch = Baton::start_release(&host, &reference).env("BATON_RELEASE_POLL", "1h");
    let baton = launch.ready().await;
    project.write("app.ts", code("two"));
    let second = pushed(&project, &reference).await;
    let checked = baton.reload_with("?dry_run=1").await;
    assert_eq!(checked.body["status"], "checked");
    assert_eq!(told(&baton).await, "one");
    let report = baton.reload().await;
    assert_eq!(
        (&report.body["status"], &report.body["release"]["digest"]),
        (&json!("activated"), &second["digest"])
    );
    assert_eq!(told(&baton).await, "two");
    assert_eq!(baton.reload().await.body["status"], "unchanged");

    let back = baton.rollback(None).await.json();
    assert_eq!(back["status"], "activated", "{back}");
    assert_eq!(told(&baton).await, "one");
    let again = baton.reload().await;
    assert_eq!(
        (&again.body["status"], told(&baton).await),
        (&json!("activated"), "two".to_owned())
    );
}

/// An app that waits for a gate, and then asks for everything that a release has beside its modules.
const REACHES: &str = r#"import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
export default {
  async fetch(request: Request) {
    const gate = new URL(request.url).searchParams.get("gate");
    while (gate && !existsSync(gate)) await new Promise((later) => setTimeout(later, 20));
    return Response.json({
      lazy: (await import("./lib/lazy")).version,
      required: createRequire(import.meta.url)("./lib/required.cjs"),
      asset: readFileSync(new URL("assets/version.txt", import.meta.url), "utf8"),
      relative: await readFile("assets/version.txt", "utf8"),
      child: execFileSync("cat", ["assets/version.txt"], { encoding: "utf8" }),
      folder: execFileSync("pwd", { encoding: "utf8" }).trim() === process.cwd(),
    });
  },
};
"#;

fn write_version(project: &Project, version: &str) {
    project.write("app.ts", format!("{REACHES}// {version}\n"));
    project.write("lib/lazy.ts", format!("export const version = {version:?};\n"));
    project.write("lib/required.cjs", format!("module.exports = {version:?};\n"));
    project.write("assets/version.txt", version);
}

#[tokio::test]
async fn slow_an_old_generation_reaches_the_files_of_its_own_release() {
    let project = project();
    let Some(registry) = Registry::start(project.scratch()).await else {
        return;
    };
    let reference = registry.reference("acme/jobs:production");
    write_version(&project, "one");
    pushed(&project, &reference).await;
    let host = Project::without_packages();
    let launch = Baton::start_release(&host, &reference).env("BATON_RELEASE_POLL", "1h");
    let baton = launch.ready().await;
    let gate = project.gate("old");
    let path = format!("/?gate={}", gate.path());
    let door = baton.door();
    let old = tokio::spawn(async move { Call::new("GET", path).answer(&door).await });
    baton.in_flight(1, 1).await;
    // One release more than are kept beside those in use.
    for version in ["two", "three", "four", "five", "six", "seven"] {
        write_version(&project, version);
        pushed(&project, &reference).await;
        assert_eq!(baton.reload().await.body["status"], "activated");
    }
    baton.wait_for("old release removed", json!({})).await;
    gate.open();
    let of = |version: &str| {
        json!({ "lazy": version, "required": version, "asset": version, "relative": version,
        "child": version, "folder": true })
    };
    assert_eq!(old.await.expect("an answer").json(), of("one"));
    assert_eq!(baton.get("/").await.json(), of("seven"));
}

#[tokio::test]
async fn slow_a_registry_that_is_away_costs_nothing() {
    let project = project();
    let Some(registry) = Registry::start(project.scratch()).await else {
        return;
    };
    let (reference, address) = (
        registry.reference("acme/jobs:production"),
        registry.address().to_owned(),
    );
    pushed(&project, &reference).await;
    let host = Project::without_packages();
    let launch = || Baton::start_release(&host, &reference).env("BATON_RELEASE_POLL", "0.2");
    let mut baton = launch().ready().await;
    drop(registry);
    let status = baton.status_when("the tag cannot be seen", |status| {
        status.0["release"]["error"].is_string()
    });
    assert!(
        status.await.0["release"]["error"]
            .as_str()
            .expect("text")
            .contains("cannot reach")
    );
    assert_eq!(told(&baton).await, "one");
    let refused = baton.reload().await;
    assert_eq!(
        (&refused.body["status"], &refused.body["error"]["kind"]),
        (&json!("rejected"), &json!("release"))
    );

    baton.signal("TERM").await;
    baton.ended().await;
    let baton = launch().ready().await;
    assert_eq!(told(&baton).await, "one");

    let again = RegistryLaunch::default().at(&address).start(project.scratch()).await;
    let _registry = again.expect("the registry comes back");
    project.write("app.ts", code("two"));
    pushed(&project, &reference).await;
    until_it_tells(&baton, "two").await;
}

#[tokio::test]
async fn slow_a_release_that_cannot_be_served_or_is_damaged_leaves_what_serves_alone() {
    let project = project();
    let Some(registry) = Registry::start(project.scratch()).await else {
        return;
    };
    let reference = registry.reference("acme/jobs:production");
    pushed(&project, &reference).await;
    let host = Project::without_packages();
    let launch = || Baton::start_release(&host, &reference).env("BATON_RELEASE_POLL", "1h");
    let mut baton = launch().ready().await;

    // It loads where the variable is.
    let demanding = "if (!process.env.NEEDED) throw new Error(\"NEEDED is missing\");\n";
    project.write("app.ts", format!("{demanding}{}", code("two")));
    let there = cli(&project)
        .env("NEEDED", "1")
        .baton(&["push", &reference, "app.ts"])
        .await;
    assert_eq!(there.code, Some(0), "{there}");
    let rejected = baton.reload().await;
    assert_eq!(rejected.body["status"], "rejected");
    assert!(
        rejected.body["error"]["message"]
            .as_str()
            .expect("text")
            .contains("NEEDED")
    );
    assert_eq!(told(&baton).await, "one");

    // The last good code of the release before it is there after a restart.
    baton.signal("TERM").await;
    baton.ended().await;
    let baton = launch().ready().await;
    let line = "cannot serve the code on the disk: serving the last good code until it loads";
    baton.wait_for(line, json!({})).await;
    assert_eq!(told(&baton).await, "one");

    project.write("app.ts", code("three"));
    let third = pushed(&project, &reference).await;
    let manifest = manifest(&registry, third["digest"].as_str().expect("a digest"));
    let layer = registry.blob(manifest["layers"][1]["digest"].as_str().expect("a digest"));
    let whole = fs::read(&layer).expect("a layer");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&layer, damaged).expect("a damaged layer");
    let refused = baton.reload().await;
    let message = refused.body["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("has another digest"), "{}", refused.body);
    assert_eq!(told(&baton).await, "one");
    fs::write(&layer, whole).expect("the whole layer");
    assert_eq!(baton.reload().await.body["status"], "activated");
    assert_eq!(told(&baton).await, "three");
}

#[tokio::test]
async fn paths_of_the_host_are_relative_to_the_folder_in_which_it_was_started() {
    let project = project();
    let Some(registry) = Registry::start(project.scratch()).await else {
        return;
    };
    let reference = registry.reference("acme/jobs:production");
    let says = "export default { fetch: () => new Response(process.env.VERSION) };\n";
    project.write("app.ts", says);
    pushed(&project, &reference).await;
    let host = Project::without_packages();
    fs::write(host.scratch().join("of-the-host"), "VERSION=one\n").expect("an environment file");
    let launch = Baton::start_release(&host, &reference)
        .option("--state-dir", "relative")
        .argument("--env-file")
        .argument("of-the-host")
        .env("BATON_RELEASE_POLL", "1h");
    let mut baton = launch.listening().await;
    baton.wait_for("generation activated", json!({})).await;
    assert!(host.scratch().join("relative/releases").is_dir());
    let answer = baton.get("/").await;
    assert_eq!(answer.text(), "one");

    // The next release reads the same file.
    fs::write(host.scratch().join("of-the-host"), "VERSION=two\n").expect("an environment file");
    project.write("app.ts", format!("{says}// another\n"));
    let second = pushed(&project, &reference).await;
    let arguments = ["reload", "--state-dir", "relative"];
    let reloaded = cli(&host).at(host.scratch()).baton(&arguments).await;
    assert_eq!(reloaded.code, Some(0), "{reloaded}");
    assert_eq!(baton.get("/").await.text(), "two");
    assert!(second["digest"].is_string());
    baton.signal("TERM").await;
    baton.ended().await;
}

#[tokio::test]
async fn what_is_no_release_is_refused_at_the_start() {
    let project = project();
    let Some(registry) = Registry::start(project.scratch()).await else {
        return;
    };
    let host = Project::without_packages();
    let start = |reference: String| Baton::start_release(&host, &reference).to_the_end();
    start("jobs".to_owned()).await.refuses(2, &["names no registry"]);
    let missing = start(registry.reference("acme/nothing:1")).await;
    missing.refuses(1, &["not found", "acme/nothing:1", "baton push"]);
    let reference = registry.reference("acme/jobs:1");
    let dev = cli(&project).baton(&["dev", &format!("oci://{reference}")]).await;
    dev.refuses(2, &["only `baton start` serves"]);
}
