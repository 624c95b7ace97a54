//! The rights to reload, to roll back and to look (docs/http.md).

use std::os::unix::fs::PermissionsExt;

use harness::http::{Answer, Call};
use harness::{ANY, Baton, Project, Run, mismatch};
use serde_json::json;

/// The routes that only an admin may use.
const ADMIN: &[(&str, &str)] = &[
    ("PUT", "/api/reload"),
    ("GET", "/-/status"),
    ("GET", "/-/events"),
    ("POST", "/-/rollback"),
    ("POST", "/-/drain"),
    ("GET", "/-/panels"),
    ("POST", "/-/invoke"),
    ("POST", "/-/session"),
];

/// The routes that everybody may use.
const OPEN: &[&str] = &["/-/live", "/-/ready", "/-/metrics"];

/// Checks that a refusal names the mistake and the remedy.
#[track_caller]
fn check_refused(answer: &Answer, status: u16, sentence: &str) {
    assert_eq!(answer.status, status, "{sentence}: {answer}");
    let error = json!({ "error": { "message": ANY, "help": ANY } });
    assert_eq!(mismatch(&answer.json(), &error), None, "{sentence}: {answer}");
}

#[tokio::test]
async fn in_dev_this_machine_may_reload() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    let line = json!({ "action": "reload", "outcome": "activated", "generation": 2 });
    baton.wait_for("admin action", line).await;

    let port = baton.port();
    for (sentence, header, value) in [
        ("by the name localhost", "host", format!("localhost:{port}")),
        ("from the dashboard", "origin", format!("http://127.0.0.1:{port}")),
    ] {
        let call = Call::new("GET", "/-/status").header(header, &value);
        let answer = call.answer(&baton.door()).await;
        assert_eq!(answer.status, 200, "{sentence}: {answer}");
    }
}

#[tokio::test]
async fn in_dev_what_comes_from_elsewhere_may_not() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    project.set_version("2");

    for (sentence, header, value) in [
        ("a page of another site", "origin", "https://evil.example"),
        ("a page without an origin", "origin", "null"),
        ("a page on another port of this machine", "origin", "http://127.0.0.1:1"),
        ("a name that somebody made point here", "host", "evil.example"),
        (
            "a name with our port that somebody made point here",
            "host",
            "evil.example:3111",
        ),
        ("a name that begins like ours", "host", "localhost.evil.example"),
        ("a request that a proxy passed on", "x-forwarded-for", "203.0.113.7"),
        ("a proxy that says we asked", "x-forwarded-for", "127.0.0.1"),
        ("a proxy that names the host", "x-forwarded-host", "localhost"),
        ("a proxy that follows the standard", "forwarded", "for=127.0.0.1"),
    ] {
        for (method, path) in ADMIN {
            let sentence = format!("{sentence}: {method} {path}");
            let call = Call::new(method, *path).header(header, value);
            check_refused(&call.answer(&baton.door()).await, 403, &sentence);
        }
        for path in OPEN {
            let call = Call::new("GET", *path).header(header, value);
            let answer = call.answer(&baton.door()).await;
            assert_eq!(answer.status, 200, "{sentence}: {path} is open: {answer}");
        }
    }
    let status = baton.status().await;
    assert_eq!(
        (status.current(), status.newest()),
        (1, 1),
        "nothing was done: {:#}",
        status.0
    );
}

#[tokio::test]
async fn in_dev_calls_of_functions_may_come_through_a_proxy() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let call = Call::new("GET", "/api/inngest")
        .header("host", "host.docker.internal:3111")
        .header("x-forwarded-for", "172.17.0.2");
    let answer = call.answer(&baton.door()).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.json()["function_count"], 20, "{answer}");
}

#[tokio::test]
async fn in_production_only_the_token_opens() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let token = baton.token();
    assert!(
        token.len() >= 32,
        "a token that cannot be guessed: {} characters",
        token.len()
    );

    let wrong_end = format!("Bearer {}x", &token[..token.len() - 1]);
    let shorter = format!("Bearer {}", &token[..token.len() - 1]);
    let basic = format!("Basic {token}");
    for (sentence, value) in [
        ("no token", None),
        ("a wrong token", Some("Bearer 0123456789abcdef0123456789abcdef")),
        ("a token with a wrong end", Some(wrong_end.as_str())),
        ("the beginning of the token", Some(shorter.as_str())),
        ("an empty token", Some("Bearer ")),
        ("another scheme", Some(basic.as_str())),
        ("no scheme", Some(token.as_str())),
    ] {
        for (method, path) in ADMIN {
            let call = Call::new(method, *path);
            let call = match value {
                Some(value) => call.header("authorization", value),
                None => call,
            };
            let sentence = format!("{sentence}: {method} {path}");
            check_refused(&call.answer(&baton.door()).await, 401, &sentence);
        }
    }
    for path in OPEN {
        assert_eq!(baton.get(path).await.status, 200, "{path} is open");
    }
    assert_eq!(baton.executor().introspect().await.status, 200, "so are the functions");

    let status = baton.status().await;
    assert_eq!(
        (status.current(), status.newest()),
        (1, 1),
        "nothing was done: {:#}",
        status.0
    );
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2, "the token opens");
}

#[tokio::test]
async fn the_token_is_private_stays_the_same_and_is_never_logged() {
    let project = Project::new();
    let mut baton = Baton::start(&project).ready().await;
    let file = project.state_dir().join("admin-token");
    let mode = std::fs::metadata(&file).expect("the token's file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{} can be read by others", file.display());
    let token = baton.token();
    project.set_version("2");
    let _ = baton.reload().await.activated();
    let wrong = baton
        .admin("GET", "/-/status")
        .header("authorization", &format!("Bearer {token}!"));
    assert_eq!(wrong.answer(&baton.door()).await.status, 401);

    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
    baton.stderr().end().await;
    assert!(!baton.stderr().text().contains(&token), "the token is in the log");

    let again = Baton::start(&project).ready().await;
    assert_eq!(again.token(), token, "a start keeps the token");
}

#[tokio::test]
async fn the_control_socket_needs_no_token() {
    let project = Project::new();
    for launch in [Baton::start(&project), Baton::dev(&project)] {
        let mut baton = launch.ready().await;
        let socket = baton.control_socket();
        let answer = Call::new("GET", "/-/status").answer(&socket).await;
        assert_eq!(answer.status, 200, "{answer}");
        let current = answer.json()["current"].as_u64().expect("a current generation");

        let answer = Call::new("PUT", "/api/reload?force=1").answer(&socket).await;
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.json()["generation"], current + 1, "{answer}");

        let harness::Door::Unix(path) = &socket else {
            unreachable!("a socket is a socket")
        };
        let mode = std::fs::metadata(path).expect("the socket").permissions().mode();
        let folder = project.state_dir();
        let around = std::fs::metadata(&folder)
            .expect("the state folder")
            .permissions()
            .mode();
        assert!(
            mode & 0o077 == 0 || around & 0o077 == 0,
            "others can reach the socket: socket {mode:o}, folder {around:o}"
        );
        baton.signal("TERM").await;
        assert_eq!(baton.ended().await.code(), Some(0));
    }
}

#[tokio::test]
async fn in_dev_a_web_page_runs_no_function_and_programs_do() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let run = Run::of("fixture-version");
    let call = || baton.executor().request(&run, "step");
    for (sentence, header, value) in [
        ("a page of another site", "origin", "https://evil.example"),
        ("a page of a sandbox", "origin", "null"),
        ("a page of another port", "origin", "http://127.0.0.1:5173"),
        ("a form of another site", "sec-fetch-site", "cross-site"),
    ] {
        let refused = call().header(header, value).answer(&baton.door()).await;
        check_refused(&refused, 403, sentence);
    }
    let rebound = call()
        .header("host", "evil.example")
        .header("origin", "http://evil.example");
    check_refused(&rebound.answer(&baton.door()).await, 403, "a name that was rebound");
    assert_eq!(call().answer(&baton.door()).await.status, 200);
    let of_a_container = call().header("host", "host.docker.internal:3111");
    assert_eq!(of_a_container.answer(&baton.door()).await.status, 200);
}
