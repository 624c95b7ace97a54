//! The routes.
//!
//! | method, path | who | what |
//! |---|---|---|
//! | `GET/PUT/POST /api/inngest[/app]` | Inngest | to the SDK in the isolate, byte for byte ([`super::calls`]) |
//! | `PUT /api/reload` | admin | loads what is on the disk and swaps; `?dry_run=1`, `?force=1`, `?wait=drained`, `?canary=10`; also as `/-/reload`, where the dashboard's cookie is sent |
//! | `GET /-/` | admin | the dashboard ([`super::dashboard`]: its routes) |
//! | `GET /-/status` | admin | what is live, in flight, draining |
//! | `GET /-/events` | admin | server-sent events |
//! | `GET /-/log` | admin | the newest lines of the log; `?level=warn`, `?function=ID`, `?text=WORDS`, `?lines=N` |
//! | `POST /-/rollback` | admin | makes a kept generation's code current again |
//! | `GET /-/canary` | admin | the canary that is on, or was on last |
//! | `POST /-/canary/{command}` | admin | `promote`, `abort` or `hold` the canary that is on |
//! | `POST /-/register` | admin | registers at Inngest now, and says how it stands |
//! | `POST /-/drain` | admin | finish the calls in flight, then exit |
//! | `POST /-/upgrade` | admin | another host, of a newer binary, takes over |
//! | `GET /-/live` | open | the process answers |
//! | `GET /-/ready` | open | a generation is current, or why not; `?wait=drain`: once the host drains, or after 20 s |
//! | `GET /-/metrics` | open | Prometheus text |
//! | everything else | | the project's fetch export, or 404 |
//!
//! [`super::auth`] decides who is an admin. The control socket serves the same routes.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, post, put};

use super::{Server, admin, auth, calls, dashboard, json_errors, log, request_body, status};

/// Makes axum's router from the route table.
pub fn router(server: Server) -> Router {
    let not_allowed = |allowed: &'static str| move || async move { json_errors::method_not_allowed(allowed) };
    let admin = Router::new()
        .route("/api/reload", put(admin::reload).fallback(not_allowed("PUT")))
        .route("/-/reload", put(admin::reload).fallback(not_allowed("PUT")))
        .route("/-/status", get(status::status).fallback(not_allowed("GET")))
        .route("/-/events", get(admin::events).fallback(not_allowed("GET")))
        .route("/-/log", get(log::lines).fallback(not_allowed("GET")))
        .route("/-/rollback", post(admin::rollback).fallback(not_allowed("POST")))
        .route("/-/canary", get(admin::canary).fallback(not_allowed("GET")))
        .route(
            "/-/canary/{command}",
            post(admin::decide_on_canary).fallback(not_allowed("POST")),
        )
        .route("/-/register", post(admin::register).fallback(not_allowed("POST")))
        .route("/-/drain", post(admin::drain).fallback(not_allowed("POST")))
        .route("/-/upgrade", post(admin::upgrade).fallback(not_allowed("POST")))
        .merge(dashboard::for_admins())
        .layer(from_fn(request_body::read_first))
        .layer(from_fn_with_state(server.clone(), auth::require_admin));
    Router::new()
        .merge(admin)
        .merge(dashboard::for_everybody().layer(from_fn(request_body::read_first)))
        .route("/-/live", get(status::live).fallback(not_allowed("GET")))
        .route("/-/ready", get(status::ready).fallback(not_allowed("GET")))
        .route("/-/metrics", get(status::metrics).fallback(not_allowed("GET")))
        .route("/api/inngest", any(calls::only_app))
        .route("/api/inngest/{app}", any(calls::named_app))
        .fallback(calls::other)
        .with_state(server)
}
