//! Requests that are not a plain call of a function.

use harness::http::Call;
use harness::step_id;

use crate::differential::scenario::{BOTH, Scenario, calls as requests, run_of};

const PATH: &str = "/api/inngest";

pub(super) fn calls() -> Vec<Scenario> {
    vec![
        requests("introspect", "`GET`", BOTH, |_| vec![("GET", Call::new("GET", PATH))]),
        requests("head", "`HEAD`", BOTH, |_| vec![("HEAD", Call::new("HEAD", PATH))]),
        requests(
            "methods",
            "`DELETE`, `PATCH`, `OPTIONS`, an invented method",
            BOTH,
            |_| {
                vec![
                    ("DELETE", Call::new("DELETE", PATH)),
                    ("DELETE with a body", Call::new("DELETE", PATH).body("{}")),
                    ("PATCH", Call::new("PATCH", PATH).body("{}")),
                    ("OPTIONS", Call::new("OPTIONS", PATH)),
                    ("PURGE", Call::new("PURGE", PATH)),
                ]
            },
        ),
        requests("trace-method", "`TRACE`", BOTH, |_| {
            vec![("TRACE", Call::new("TRACE", PATH))]
        }),
        requests("unknown-function", "an unknown function", BOTH, |side| {
            vec![("POST", side.executor().request(&run_of("nothing"), "step"))]
        }),
        requests("without-function", "a query without `fnId`", BOTH, |_| {
            vec![
                ("POST without a query", Call::new("POST", PATH).body("{}")),
                (
                    "POST ?stepId=step",
                    Call::new("POST", format!("{PATH}?stepId=step")).body("{}"),
                ),
                (
                    "POST ?fnId=",
                    Call::new("POST", format!("{PATH}?fnId=&stepId=step")).body("{}"),
                ),
            ]
        }),
        requests("without-step", "a query without `stepId`", BOTH, |side| {
            let call = side.executor().request(&run_of("step-run"), "step");
            vec![("POST", call.at(format!("{PATH}?fnId=parity-step-run")))]
        }),
        requests(
            "encoded-query",
            "a query that is percent-encoded, or has a name twice",
            BOTH,
            |side| {
                let call = || side.executor().request(&run_of("step-run"), "step");
                vec![
                    (
                        "POST %2D",
                        call().at(format!("{PATH}?fnId=parity%2Dstep%2Drun&stepId=step")),
                    ),
                    (
                        "POST twice",
                        call().at(format!("{PATH}?fnId=parity-step-run&fnId=x&stepId=step")),
                    ),
                    (
                        "POST more",
                        call().at(format!("{PATH}?x=%zz&fnId=parity-step-run&stepId=step&y")),
                    ),
                ]
            },
        ),
        requests("body-no-json", "a body that is not JSON", BOTH, |side| {
            vec![(
                "POST",
                side.executor().request(&run_of("step-run"), "step").body("{ no JSON"),
            )]
        }),
        requests("body-empty", "an empty body", BOTH, |side| {
            vec![("POST", side.executor().request(&run_of("step-run"), "step").body(""))]
        }),
        requests("body-other", "a body that is JSON of another shape", BOTH, |side| {
            let call = |body: &'static str| side.executor().request(&run_of("step-run"), "step").body(body);
            vec![
                ("POST null", call("null")),
                ("POST {}", call("{}")),
                ("POST []", call("[]")),
                ("POST text", call("\"text\"")),
                (
                    "POST version 0",
                    call(r#"{"version":0,"event":{},"events":[],"steps":{},"ctx":{}}"#),
                ),
            ]
        }),
        requests("body-no-utf8", "a body that is not UTF-8", BOTH, |side| {
            let call = side.executor().request(&run_of("echo"), "step");
            vec![("POST", call.body(b"{\"a\": \"\xff\xfe\"}".to_vec()))]
        }),
        requests("probe", "`probe=trust`", BOTH, |_| {
            vec![
                (
                    "POST ?probe=trust",
                    Call::new("POST", format!("{PATH}?fnId=parity-step-run&stepId=step&probe=trust")).body("{}"),
                ),
                (
                    "POST ?probe=other",
                    Call::new("POST", format!("{PATH}?fnId=parity-step-run&stepId=step&probe=other")).body("{}"),
                ),
            ]
        }),
        requests(
            "headers",
            "headers that the SDK may copy into its answer",
            BOTH,
            |side| {
                let call = side
                    .executor()
                    .request(&run_of("step-run"), "step")
                    .header("tracestate", "vendor=1")
                    .header("x-inngest-platform", "vercel")
                    .header("x-inngest-env", "branch")
                    .header("x-inngest-run-id", "other")
                    .header("x-forwarded-proto", "https")
                    .header("x-forwarded-host", "example.com")
                    .header("x-unknown", "1");
                vec![("POST", call)]
            },
        ),
        requests(
            "server-kind",
            "`x-inngest-server-kind: cloud` in dev mode",
            BOTH,
            |side| {
                let call = super::configured::sync(side, PATH);
                vec![
                    ("PUT", call.header("x-inngest-server-kind", "cloud")),
                    ("GET", Call::new("GET", PATH).header("x-inngest-server-kind", "cloud")),
                ]
            },
        ),
        requests("host", "another `Host`", BOTH, |side| {
            vec![
                (
                    "PUT",
                    super::configured::sync(side, PATH).header("host", "example.com:8080"),
                ),
                ("GET", Call::new("GET", PATH).header("host", "example.com")),
            ]
        }),
        requests("sync-body", "`PUT` in band with unusual bodies", BOTH, |_| {
            let call = |body: &'static str| {
                Call::new("PUT", PATH)
                    .header("x-inngest-sync-kind", "in_band")
                    .body(body)
            };
            vec![
                ("PUT nothing", call("")),
                ("PUT {}", call("{}")),
                ("PUT more", call(r#"{"url":"http://example.com/x","more":1}"#)),
                ("PUT a URL", call(r#"{"url":"http://example.com/x"}"#)),
            ]
        }),
        requests("app-path", "the path with the app's name", BOTH, |_| {
            vec![("GET", Call::new("GET", format!("{PATH}/parity")))]
        }),
    ]
}

/// Returns a scenario in which the SDK looks for an unknown step for ten seconds.
pub(super) fn unknown_step() -> Vec<Scenario> {
    vec![requests("unknown-step", "the SDK looks for the step", BOTH, |side| {
        vec![(
            "POST",
            side.executor()
                .request(&run_of("step-run").planned(), &step_id("nothing")),
        )]
    })]
}

/// Returns a scenario with streaming. No adapter of the Web's `Request` streams, and the SDK says so.
/// There is no `PUT`: the SDK answers that before it has registered, and it is chance whether Inngest
/// has got the registration by then.
pub(super) fn streaming() -> Vec<Scenario> {
    vec![requests("streaming", "`INNGEST_STREAMING=force`", BOTH, |side| {
        vec![
            ("POST", side.executor().request(&run_of("step-run"), "step")),
            ("GET", Call::new("GET", PATH)),
        ]
    })]
}
