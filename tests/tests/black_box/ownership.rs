//! The owner of a file decides whether Baton trusts it: the admin token, the state folder, sockets, caches, and
//! files in folders that others can write to.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use harness::http::Call;
use harness::{Baton, Cli, Launch, Project, baton_binary, deadline};

use crate::calls::version_of;

fn mode(path: &Path) -> u32 {
    let metadata = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    metadata.permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("another mode");
}

/// Starts Baton by a script that runs `before` first.
fn by(launch: Launch, project: &Project, before: &str) -> Launch {
    let script: PathBuf = project.scratch().join("launch.sh");
    fs::write(
        &script,
        format!("#!/bin/sh\n{before}\nexec {:?} \"$@\"\n", baton_binary()),
    )
    .expect("a script");
    chmod(&script, 0o755);
    launch.program(script)
}

#[tokio::test]
async fn a_token_that_others_may_know_starts_no_host() {
    let project = Project::new();
    let state = project.state_dir();
    fs::create_dir_all(&state).expect("a state folder");
    let token = state.join("admin-token");
    for (text, mode, why) in [
        ("a".repeat(64), 0o666, "other users may write to"),
        ("a".repeat(64), 0o640, "other users may read"),
        ("a".to_owned(), 0o600, "could be guessed"),
    ] {
        fs::write(&token, text).expect("a token");
        chmod(&token, mode);
        Baton::start(&project).to_the_end().await.refuses(78, &[why, "help:"]);
    }
    fs::remove_file(&token).expect("no token");
    std::os::unix::fs::symlink(project.scratch().join("elsewhere"), &token).expect("a link");
    Baton::start(&project)
        .to_the_end()
        .await
        .refuses(78, &["is not a regular file"]);
    fs::remove_file(&token).expect("no token");
    fs::write(&token, "").expect("an empty token");
    let baton = Baton::start(&project).ready().await;
    assert_eq!((baton.token().len(), self::mode(&token)), (64, 0o600));
}

#[tokio::test]
async fn a_state_folder_and_what_is_in_it_are_closed_whatever_the_mask_says() {
    let project = Project::new();
    let state = project.state_dir();
    fs::create_dir_all(&state).expect("a state folder");
    chmod(&state, 0o777);
    let baton = by(Baton::start(&project), &project, "umask 0").ready().await;
    assert_eq!(version_of(&baton, "version").await, "1");
    // Baton keeps the sources while it serves calls.
    let is_kept = async || state.join("kept").exists().then_some(());
    deadline::until("a generation that is kept", String::new, is_kept).await;
    assert_eq!(mode(&state) & 0o022, 0, "nobody else may put a socket there");
    for (name, expected) in [
        ("lock", 0o600),
        ("admin-token", 0o600),
        ("control.sock", 0o600),
        ("calls", 0o700),
        ("kept", 0o700),
    ] {
        assert_eq!(mode(&state.join(name)), expected, "{name}");
    }
}

#[tokio::test]
async fn a_long_path_of_the_state_folder_has_its_sockets_where_nobody_else_can_be() {
    let project = Project::new();
    let state = project.scratch().join("deep/".repeat(25));
    let baton = Baton::dev(&project)
        .option("--state-dir", &state)
        .env("TMPDIR", project.scratch())
        .env("XDG_RUNTIME_DIR", "")
        .ready()
        .await;
    let folder = fs::read_to_string(state.join("socket-folder")).expect("where its sockets are");
    let folder = PathBuf::from(folder);
    assert_eq!(mode(&folder), 0o700);
    assert!(folder.starts_with(project.scratch()), "{}", folder.display());
    let cli = Cli::within(project.root()).env("BATON_STATE_DIR", &state);
    let status = cli.baton(&["status"]).await;
    assert_eq!(status.code, Some(0), "{status}");
    assert!(status.stdout.contains("generation 1 serves"), "{status}");
    assert_eq!(baton.get("/-/live").await.status, 200);
}

#[tokio::test]
async fn a_command_in_a_shared_folder_waits_for_no_pipe() {
    let project = Project::new();
    let shared = project.scratch().join("shared");
    fs::create_dir_all(shared.join("below")).expect("a shared folder");
    let made = std::process::Command::new("mkfifo")
        .arg(shared.join("baton.toml"))
        .status();
    assert!(made.is_ok_and(|made| made.success()), "a pipe");
    let cli = Cli::within(shared.join("below")).env("XDG_STATE_HOME", project.scratch());
    cli.baton(&["status"]).await.refuses(1, &["no host is running"]);
}

#[tokio::test]
async fn without_a_home_caches_are_in_a_folder_of_ones_own_or_nowhere() {
    let project = Project::new();
    let (taken, own) = (project.scratch().join("taken"), project.scratch().join("own"));
    for folder in [&taken, &own] {
        fs::create_dir_all(folder).expect("a folder for temporary files");
    }
    let user = fs::metadata(&own).map(|own| std::os::unix::fs::MetadataExt::uid(&own));
    let name = format!("baton-{}", user.expect("its owner"));
    fs::create_dir(taken.join(&name)).expect("a folder");
    chmod(&taken.join(&name), 0o777);
    let launch = |folder: &Path| {
        Baton::dev(&project)
            .env("HOME", "")
            .env("XDG_CACHE_HOME", "")
            .env("TMPDIR", folder)
            .without("BATON_CODE_CACHE")
    };
    launch(&taken)
        .to_the_end()
        .await
        .refuses(1, &["other users may write to"]);
    let baton = launch(&own).ready().await;
    assert_eq!(version_of(&baton, "version").await, "1");
    assert_eq!(mode(&own.join(&name)), 0o700);
}

#[tokio::test]
async fn a_variable_that_is_empty_is_none() {
    let project = Project::new();
    let launch = Baton::dev(&project).env("BATON_HOLD", "").env("BATON_STREAM_DRAIN", "");
    let baton = launch.env("BATON_LOG", "a=b=c").ready().await;
    let told = "BATON_LOG is malformed: the usual lines are logged";
    baton.wait_for(told, serde_json::json!({})).await;
}

#[tokio::test]
async fn the_dashboards_cookie_is_the_dashboards_alone() {
    let project = Project::of_entries();
    project.write(
        "src/cookies.ts",
        "export default {\n  fetch: (request: Request) => new Response(`cookies: ${request.headers.get(\"cookie\")}`),\n};\n",
    );
    let baton = Baton::start_on(&project, "src/cookies.ts").ready().await;
    let ticket = Call::new("POST", "/-/session").answer(&baton.control_socket()).await;
    let url = ticket.json()["url"].as_str().expect("a URL").to_owned();
    let (_, path) = url.split_once("/-/").expect("a path");
    let login = Call::new("GET", format!("/-/{path}")).header("x-forwarded-proto", "https");
    let login = login.answer(&baton.door()).await;
    let cookie = login.header("set-cookie").expect("a cookie").to_owned();
    for part in ["Path=/-/", "HttpOnly", "SameSite=Strict", "Secure"] {
        assert!(
            cookie.split("; ").any(|known| known == part),
            "{part} is not in {cookie}"
        );
    }
    let pair = cookie.split(';').next().expect("a pair").to_owned();
    let with = |method: &str, path: &str| Call::new(method, path).header("cookie", &format!("a=1; {pair}"));
    let seen = with("GET", "/").answer(&baton.door()).await;
    assert_eq!(seen.text(), "cookies: a=1");
    let status = async || with("GET", "/-/status").answer(&baton.door()).await.status;
    assert_eq!(status().await, 200);
    let host = format!("127.0.0.1:{}", baton.port());
    let of_page = |call: Call| call.header("host", &host).header("origin", &format!("http://{host}"));
    let reloaded = of_page(with("PUT", "/-/reload")).answer(&baton.door()).await;
    assert_eq!(reloaded.status, 200, "{reloaded}");
    assert_eq!(
        with("POST", "/-/logout").answer(&baton.door()).await.status,
        401,
        "from elsewhere"
    );
    let out = of_page(with("POST", "/-/logout")).answer(&baton.door()).await;
    assert_eq!(out.status, 303, "{out}");
    assert!(
        out.header("set-cookie")
            .is_some_and(|cookie| cookie.contains("Max-Age=0")),
        "{out}"
    );
    assert_eq!(status().await, 401);
}

#[tokio::test]
async fn in_production_a_host_whose_functions_anybody_can_run_says_so() {
    let project = Project::new();
    let baton = Baton::start(&project).env("INNGEST_DEV", "1").ready().await;
    let told = "the functions are in dev mode: whoever reaches the port can run them, because signatures are not \
                checked";
    let line = baton.wait_for(told, serde_json::json!({})).await;
    assert_eq!(line.json["level"], "WARN", "{}", line.text);
    let dev = Baton::dev(&Project::new()).ready().await;
    assert_eq!(dev.stderr().count(told, &serde_json::json!({})), 0);
}
