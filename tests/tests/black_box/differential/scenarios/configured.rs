//! Registrations, and calls of functions of all configurations.

use harness::Run;
use harness::http::Call;
use serde_json::json;

use crate::differential::scenario::{BOTH, Scenario, V4, calls, run, run_of, run_with};
use crate::differential::side::Side;

pub(super) fn sync(side: &Side, path: &str) -> Call {
    let url = side.url().replace("/api/inngest", path);
    Call::new("PUT", path)
        .header("x-inngest-server-kind", "dev")
        .json(&json!({ "url": url }))
}

pub(super) fn configured() -> Vec<Scenario> {
    vec![
        calls(
            "register",
            "`PUT`, out of band: concurrency, throttle, rateLimit, debounce, priority, singleton, idempotency, \
             timeouts, cancelOn, batchEvents, retries, triggers, cron, onFailure",
            BOTH,
            |side| vec![("PUT", sync(side, "/api/inngest"))],
        ),
        calls("register-in-band", "`PUT`, in band", BOTH, |side| {
            let call = sync(side, "/api/inngest").header("x-inngest-sync-kind", "in_band");
            vec![("PUT", call)]
        }),
        calls("register-deploy-id", "`PUT` with a `deployId`", BOTH, |side| {
            vec![("PUT ?deployId=d1", sync(side, "/api/inngest?deployId=d1"))]
        }),
        run_with("several-triggers", "several triggers", BOTH, || {
            run_of("several-triggers").on("parity/two")
        }),
        run_with("wildcard", "a wildcard trigger", BOTH, || {
            run_of("wildcard").on("parity/wild.cat")
        }),
        run_with("cron", "a cron trigger", BOTH, || {
            run_of("cron").on("inngest/scheduled.timer")
        }),
        run("typed-trigger", "`eventType` and `cron()` triggers", V4),
    ]
}

pub(super) fn apps() -> Vec<Scenario> {
    vec![
        calls("apps-introspect", "`GET` of each", BOTH, |_| {
            vec![
                ("GET left", Call::new("GET", "/api/inngest/left")),
                ("GET right", Call::new("GET", "/api/inngest/right")),
            ]
        }),
        calls("apps-register", "`PUT` of each", BOTH, |side| {
            vec![
                ("PUT left", sync(side, "/api/inngest/left")),
                ("PUT right", sync(side, "/api/inngest/right")),
            ]
        }),
        calls("apps-call", "`POST` to each", BOTH, |side| {
            let left = side.executor().at("/api/inngest/left");
            let right = side.executor().at("/api/inngest/right");
            vec![
                ("POST left", left.request(&Run::of("left-one"), "step")),
                ("POST right", right.request(&Run::of("right-one"), "step")),
                (
                    "POST right, a function of left",
                    right.request(&Run::of("left-one"), "step"),
                ),
            ]
        }),
    ]
}
