//! The way of a call: read it, take a lease, ask the isolate, answer.
//!
//! The call runs in a task of its own that holds the lease: a caller who hangs up neither stops
//! the step that runs nor lets its generation retire under it. The lease is given back when the
//! isolate is done with the call: an answer that streams, and what goes on beside an answer, hold it
//! too.
//!
//! Of Inngest's calls the body is read first, and so is the answer, unless the SDK streams it. All
//! others stream both ways, and their callers may hang up: the app hears of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::channel::oneshot;
use hyper::upgrade::OnUpgrade;
use js_runtime_api::{
    Body as Bytewise, CallError, CallSubject, Caller, LoadError, Manifest, RunRecord, Target, header_bytes, header_text,
};

use super::listen::Peer;
use super::readiness::not_ready;
use super::room::{Place, Tier};
use super::way_back::{Lasting, into_http, learn};
use super::{Server, answer, auth, request_body, session};
use crate::generation::{Answered, CallInfo, GenerationId, Gone, Lease};
use crate::status::NotReady;
use crate::supervisor::Noted;
use crate::telemetry::CallSpan;
use crate::wire;

/// Names the generation that answered, to commands on this machine: not to Inngest, which gets the
/// SDK's answer and nothing else.
pub const GENERATION_HEADER: HeaderName = HeaderName::from_static("baton-generation");

/// Bytes of a name that a caller sends. Inngest's own are shorter by far: a run's id has 26, a step's 40.
/// The longest wait of a request to Inngest's paths that executes nothing, while no generation serves. Most
/// projects load in less, so that a sync right after a start is answered; Inngest gives one up after 10 s
/// (inngest/inngest: `pkg/deploy/deploy.go`), and would then report a host that is there as unreachable.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// `/api/inngest`.
pub(super) async fn only_app(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    call(server, peer, request, Route::Inngest { app: None }).await
}

/// `/api/inngest/{app}`.
pub(super) async fn named_app(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(app): Path<String>,
    request: Request,
) -> Response {
    call(server, peer, request, Route::Inngest { app: Some(app) }).await
}

/// Every path that is not the host's.
pub(super) async fn other(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    call(server, peer, request, Route::Other { path }).await
}

enum Route {
    Inngest { app: Option<String> },
    Other { path: String },
}

async fn call(server: Server, peer: Peer, mut request: Request, route: Route) -> Response {
    let began = Instant::now();
    let route = match route {
        Route::Other { path } if path == *server.serve_path => Route::Inngest { app: None },
        route => route,
    };
    let is_trusted = auth::may_see_details(&server, peer, &request);
    if matches!(route, Route::Inngest { .. })
        && let Err(response) = auth::refuse_web_pages(&server, peer, &request)
    {
        return response;
    }
    let place = request.extensions_mut().remove::<Place>();
    if let Err(response) = refuse_crowd(place.as_ref(), &route) {
        return response;
    }
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let mut request = match read(request, &route, place.as_ref()).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    let mut info = call_info(&request);
    if let Route::Other { path } = &route {
        info.request = Some(wire::cut(&format!("{} {path}", request.method)));
    }
    if let Peer::Tcp(address) = peer {
        request.caller.peer = Some(address.to_string());
    }
    // Dropped with this future, when the caller has gone.
    let (_waits, hung_up) = oneshot::channel();
    let is_inngests = matches!(route, Route::Inngest { .. });
    if !is_inngests {
        request.caller.hung_up = Some(hung_up);
    }
    let noted = server.ledger.note(&info);
    request.caller.record = noted.clone().map(|noted| noted as Arc<dyn RunRecord>);
    let span = server
        .traces
        .as_ref()
        .map(|traces| traces.call(&info, &mut request.headers));
    let is_held = is_held(&route, &request.method);
    let bytes = match &request.body {
        Bytewise::Full(body) => body.len(),
        Bytewise::Stream(_) | Bytewise::Upgraded(_) => 0,
    };
    let lease = match server.held.hold(bytes) {
        Some(_held) if is_held => server.table.lease(info.clone(), server.hold).await,
        Some(_held) => server.table.lease_soon(info.clone(), LOOK_LIMIT, server.hold).await,
        // It is answered if it need not wait.
        None => match server.table.lease(info.clone(), Duration::ZERO).await {
            Err(Gone::HeldTooLong(_)) => Err(Gone::TooManyHeld),
            lease => lease,
        },
    };
    let lease = match lease {
        Ok(lease) => lease,
        Err(Gone::HandedOver) => return passed_on(&server, request).await,
        Err(gone) => {
            if is_held {
                tracing::warn!(reason = %gone, "call refused");
            } else {
                // A dev server asks every few seconds, and the rejected code is in the log.
                tracing::debug!(method = request.method, reason = %gone, "request refused");
            }
            return unavailable(&server, &gone);
        }
    };
    let generation = lease.generation().clone();
    let request = match target(&route, &generation.manifest) {
        Ok(target) => js_runtime_api::Request { target, ..request },
        Err(response) => return response,
    };
    let id = generation.id;
    drop(generation);
    if let Some(noted) = &noted {
        noted.taken_by(id);
    }
    let course = Course {
        began,
        is_inngests,
        span,
        noted,
    };
    // Spawned, so that it goes on when the caller has gone.
    let answered = server
        .calls
        .spawn(run(server.clone(), lease, info.clone(), request, course))
        .await;
    let result = answered.unwrap_or(Err(CallError::IsolateDied));
    let took = began.elapsed();
    let CallInfo {
        function, run, step, ..
    } = info;
    let response = match result {
        Ok(response) => {
            if took >= server.slow_call {
                let ms = took.as_millis();
                tracing::warn!(
                    generation = id.0,
                    function,
                    run,
                    step,
                    status = response.status,
                    ms,
                    "call was slow"
                );
            }
            tracing::debug!(
                generation = id.0,
                function,
                run,
                step,
                status = response.status,
                ms = took.as_millis(),
                "call answered"
            );
            let lasting = match &route {
                Route::Inngest { .. } => Lasting::Call,
                Route::Other { .. } => Lasting::Stream(place),
            };
            into_http(&server, response, on_upgrade, lasting)
        }
        Err(error @ CallError::HungUp) => failed(&error, &route, &Details::Shown),
        Err(error) => {
            let details = if is_trusted {
                Details::Shown
            } else {
                Details::InLog(FailureId::new())
            };
            let failure = details.id();
            tracing::error!(generation = id.0, function, run, step, %error, failure, ms = took.as_millis(), "call failed");
            failed(&error, &route, &details)
        }
    };
    match peer {
        Peer::Control => naming(id, response),
        Peer::Tcp(_) => response,
    }
}

/// Tells whether a request is held for as long as the configuration says while nothing can serve it.
///
/// A `POST` to Inngest's paths executes a function: a refusal costs the run an attempt. So it is held. All
/// other methods there are looks: a `PUT` asks for a sync, a `GET` (and `HEAD`, `OPTIONS`) for what is
/// there. Refusing one costs nothing, as the host registers by itself once it serves, and a script that
/// waits for ten minutes looks hung. A request to another path is the app's own, and may be a webhook or
/// a callback whose sender sends it once, with any method: it is held.
fn is_held(route: &Route, method: &str) -> bool {
    match route {
        Route::Inngest { .. } => method == "POST",
        Route::Other { .. } => true,
    }
}

fn naming(GenerationId(id): GenerationId, mut response: Response) -> Response {
    response.headers_mut().insert(GENERATION_HEADER, id.into());
    response
}

/// What goes with a call from its arrival to its end.
struct Course {
    began: Instant,
    /// And not another of the app's requests.
    is_inngests: bool,
    span: Option<CallSpan>,
    /// In the host's ledger.
    noted: Option<Arc<Noted>>,
}

async fn run(
    server: Server,
    mut lease: Lease,
    info: CallInfo,
    request: js_runtime_api::Request,
    course: Course,
) -> Result<js_runtime_api::Response, CallError> {
    let result = lease.call(request).await;
    lease.note(&result);
    let answered = Answered::from(&result);
    let (manifest, function) = (&lease.generation().manifest, info.function.as_deref());
    server
        .metrics
        .call_answered(manifest, function, answered, course.began.elapsed());
    if let Some(span) = course.span {
        span.end(lease.generation().id, lease.isolate(), answered);
    }
    let mut response = result?;
    if course.is_inngests && info.run.is_some() {
        response.body = learn(
            &server,
            &lease,
            &info,
            (response.status, &response.headers),
            response.body,
        )
        .await?;
    }
    match response.over.take() {
        None => {
            drop(lease);
            drop(course.noted);
        }
        Some(over) => {
            lease.answered();
            server.calls.spawn(async move {
                over.await;
                drop(lease);
                drop(course.noted);
            });
        }
    }
    Ok(response)
}

/// The answer of the host that has taken over.
async fn passed_on(server: &Server, request: js_runtime_api::Request) -> Response {
    let js_runtime_api::Request {
        method,
        url,
        headers,
        body,
        ..
    } = request;
    let (Ok(method), Ok(uri)) = (method.parse(), url.parse()) else {
        return answer::error(StatusCode::BAD_REQUEST, "this is no request", "Send it again.");
    };
    let headers = headers.iter().filter_map(|(name, value)| {
        Some((
            HeaderName::try_from(name).ok()?,
            HeaderValue::from_bytes(&header_bytes(value)).ok()?,
        ))
    });
    let body = match body {
        Bytewise::Full(body) => Body::from(body),
        Bytewise::Stream(parts) => Body::from_stream(parts),
        // No request has such a body.
        Bytewise::Upgraded(_) => Body::empty(),
    };
    server.successor.ask(method, &uri, headers.collect(), body).await
}

/// Refuses what a connection in reserve may not ask for.
fn refuse_crowd(place: Option<&Place>, route: &Route) -> Result<(), Response> {
    let is_served = match place.map_or(Tier::Ordinary, |place| place.tier) {
        Tier::Ordinary => true,
        Tier::Reserve => matches!(route, Route::Inngest { .. }),
        Tier::Last => false,
    };
    if is_served {
        return Ok(());
    }
    let message = "the host has as many connections as it can serve";
    let response = answer::error(StatusCode::SERVICE_UNAVAILABLE, message, "Retry in a few seconds.");
    Err(answer::retry_after(response, 1))
}

/// The request with the URL as the client meant it; of Inngest's calls with its whole body.
async fn read(request: Request, route: &Route, place: Option<&Place>) -> Result<js_runtime_api::Request, Response> {
    let (parts, body) = request.into_parts();
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .filter(|host| !host.is_empty())
        .unwrap_or("localhost");
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("http://{host}{path}");
    let mut headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .filter_map(|(name, value)| {
            let value = header_text(value.as_bytes());
            let value = match *name == header::COOKIE {
                true => session::without_cookie(&value)?,
                false => value,
            };
            Some((name.as_str().to_owned(), value))
        })
        .collect();
    if parts.headers.get(header::HOST).is_none_or(HeaderValue::is_empty) {
        // The SDK builds URLs from it and throws without.
        headers.retain(|(name, _)| name != "host");
        headers.push(("host".to_owned(), host.to_owned()));
    }
    let body = match route {
        Route::Inngest { .. } => Bytewise::Full(request_body::whole(body, place).await?),
        Route::Other { .. } => Bytewise::Stream(request_body::patient(body)),
    };
    Ok(js_runtime_api::Request {
        subject: wire::subject(&url, &headers),
        method: parts.method.as_str().to_owned(),
        url,
        headers,
        body,
        target: Target::Fetch,
        caller: Caller::default(),
    })
}

fn call_info(request: &js_runtime_api::Request) -> CallInfo {
    let CallSubject { function, run, step } = request.subject.clone();
    CallInfo {
        function,
        run,
        step,
        body: match &request.body {
            Bytewise::Full(body) => body.clone(),
            Bytewise::Stream(_) | Bytewise::Upgraded(_) => Bytes::new(),
        },
        request: None,
    }
}

/// Which handler answers, given what the generation has.
fn target(route: &Route, manifest: &Manifest) -> Result<Target, Response> {
    if manifest.fetch {
        return Ok(Target::Fetch);
    }
    let apps = || {
        manifest
            .apps
            .iter()
            .map(|app| format!("/api/inngest/{}", app.id))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (route, manifest.apps.as_slice()) {
        (Route::Inngest { app: None }, [only]) => Ok(Target::App(only.id.clone())),
        (Route::Inngest { app: None }, _) => {
            let message = "the project has more than one Inngest app";
            Err(answer::error(
                StatusCode::NOT_FOUND,
                message,
                format!("Each has its own URL: {}", apps()),
            ))
        }
        (Route::Inngest { app: Some(app) }, all) if all.iter().any(|known| known.id == *app) => {
            Ok(Target::App(app.clone()))
        }
        (Route::Inngest { app: Some(app) }, _) => {
            let message = format!("the project has no Inngest app {app:?}");
            Err(answer::error(
                StatusCode::NOT_FOUND,
                message,
                format!("It has: {}", apps()),
            ))
        }
        (Route::Other { path }, _) => {
            let help =
                "Inngest calls /api/inngest. Other paths are answered by an entry file that exports a fetch handler.";
            Err(answer::error(
                StatusCode::NOT_FOUND,
                format!("there is nothing at {path}"),
                help,
            ))
        }
    }
}

/// Answers a request that nothing could serve in time. The answer is the host's own: it has none of the
/// SDK's headers, so nobody takes it for the function's or the sync's.
fn unavailable(server: &Server, gone: &Gone) -> Response {
    let reason = not_ready(&server.table);
    let message = match reason {
        Some(NotReady::Loading) => format!("{gone}: the code is being loaded"),
        _ => gone.to_string(),
    };
    let rejected = server.table.view().last_rejected.clone();
    let help = match rejected.filter(|_| reason == Some(NotReady::Rejected)) {
        Some((_, error)) => format!("Mend the code, which cannot be loaded: {}", in_a_line(&error)),
        None => "Retry in a few seconds.".to_owned(),
    };
    let response = answer::error_with_reason(StatusCode::SERVICE_UNAVAILABLE, reason, message, help);
    answer::retry_after(response, 5)
}

fn in_a_line(error: &LoadError) -> String {
    match (&error.file, error.line) {
        (Some(file), Some(line)) => format!("{file}:{line}: {}", error.message),
        (Some(file), None) => format!("{file}: {}", error.message),
        (None, _) => error.message.clone(),
    }
}

/// The reach of the details of a failed call: an error's message and stack may hold passwords and paths.
enum Details {
    /// To an admin, and to programs on this machine in `baton dev`.
    Shown,
    /// To all others: the log has them under this id.
    InLog(FailureId),
}

/// Joins an answer to its line in the log.
struct FailureId(String);

impl FailureId {
    fn new() -> Self {
        let mut bytes = [0_u8; 6];
        // Without chance all have the same, and the time tells them apart.
        let _ = getrandom::fill(&mut bytes);
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Details {
    fn id(&self) -> Option<&str> {
        match self {
            Self::Shown => None,
            Self::InLog(FailureId(id)) => Some(id),
        }
    }
}

/// The isolate has no answer. Inngest is told to try again soon: without the SDK's headers it
/// would wait 15 s and more, and with `no-retry` it would fail the run.
fn failed(error: &CallError, route: &Route, details: &Details) -> Response {
    let help = match error {
        CallError::IsolateDied => "Inngest will try again.",
        CallError::Threw(_) => "Look at the stack: this was thrown outside of a step.",
        CallError::NeverSettles => "Look for a promise in the handler that nothing resolves.",
        CallError::HungUp => "The caller hung up before the answer.",
        CallError::NoAnswer(_) => "Look for what closed the server, or wrote to its socket past Node.",
    };
    let response = match (error, details) {
        (CallError::Threw(_) | CallError::NoAnswer(_), Details::InLog(FailureId(id))) => {
            let help = format!("The log has the details, with the failure {id}.");
            answer::error(StatusCode::INTERNAL_SERVER_ERROR, "the handler failed", help)
        }
        _ => answer::error(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), help),
    };
    if matches!(route, Route::Other { .. }) {
        return response;
    }
    let mut response = answer::retry_after(response, 1);
    let headers = response.headers_mut();
    headers.insert(
        wire::SDK,
        HeaderValue::from_static(concat!("baton:v", env!("CARGO_PKG_VERSION"))),
    );
    headers.insert(wire::NO_RETRY, HeaderValue::from_static("false"));
    response.into_response()
}

/// Reads requests as those are read that go to a project, and answers what they hold: for tests.
#[cfg(test)]
pub(super) fn reader() -> axum::Router {
    use futures::StreamExt as _;
    use js_runtime_api::BodyError;

    async fn told(request: Request, route: Route) -> Response {
        let place = request.extensions().get::<Place>().cloned();
        let is_of_page = session::is_own_origin(request.headers());
        let request = match read(request, &route, place.as_ref()).await {
            Ok(request) => request,
            Err(response) => return response,
        };
        let info = call_info(&request);
        if let Err(error) = url::Url::parse(&request.url) {
            let message = format!("{} is no URL: {error}", request.url);
            return answer::error(StatusCode::INTERNAL_SERVER_ERROR, message, "");
        }
        let length: Result<usize, BodyError> = match request.body {
            Bytewise::Full(body) => Ok(body.len()),
            Bytewise::Stream(parts) => {
                let sizes = parts.map(|part| part.map(|part| part.len()));
                let sizes: Vec<_> = sizes.take(1000).collect().await;
                sizes.into_iter().sum()
            }
            Bytewise::Upgraded(_) => Ok(0),
        };
        format!("{} {is_of_page} {:?} {length:?}", request.url, info.function).into_response()
    }
    let inngest = |request: Request| told(request, Route::Inngest { app: None });
    let other = |request: Request| {
        let path = request.uri().path().to_owned();
        told(request, Route::Other { path })
    };
    axum::Router::new()
        .route("/api/inngest", axum::routing::any(inngest))
        .fallback(other)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use js_runtime_api::{App, Body, CallError, Caller, Manifest, Request, Target};

    use super::{Details, FailureId, Route, call_info, failed, is_held, target};
    use crate::wire::subject;

    #[test]
    fn a_call_tells_its_function_run_step_and_attempt() {
        let url = "http://127.0.0.1:3111/api/inngest?fnId=app-hello&stepId=step";
        let headers = vec![("x-run-id".to_owned(), "01RUN".to_owned())];
        let info = call_info(&Request {
            method: "POST".to_owned(),
            url: url.to_owned(),
            subject: subject(url, &headers),
            headers,
            body: Body::Full(Bytes::from_static(
                b"{\"ctx\":{\"attempt\":2,\"run_id\":\"01RUN\"},\"steps\":{}}",
            )),
            target: Target::Fetch,
            caller: Caller::default(),
        });
        assert_eq!(info.function.as_deref(), Some("app-hello"));
        assert_eq!(info.run.as_deref(), Some("01RUN"));
        assert_eq!(info.step.as_deref(), Some("step"));
        assert_eq!(info.attempt(), Some(2));
    }

    #[test]
    fn only_what_executes_or_is_the_apps_own_is_held() {
        let (inngest, other) = (
            Route::Inngest { app: None },
            Route::Other {
                path: "/webhook".to_owned(),
            },
        );
        assert!(is_held(&inngest, "POST"));
        for method in ["PUT", "GET", "HEAD", "OPTIONS", "DELETE"] {
            assert!(!is_held(&inngest, method), "{method}");
            assert!(is_held(&other, method), "{method}");
        }
    }

    #[tokio::test]
    async fn only_the_log_tells_strangers_why_a_handler_threw() {
        let threw = CallError::Threw("Error: cannot connect to postgres://admin:hunter2@db".to_owned());
        for (details, told) in [
            (Details::Shown, true),
            (Details::InLog(FailureId("f00d".to_owned())), false),
        ] {
            for route in [Route::Inngest { app: None }, Route::Other { path: "/".to_owned() }] {
                let response = failed(&threw, &route, &details);
                let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
                let text = String::from_utf8_lossy(&body).into_owned();
                assert_eq!(text.contains("hunter2"), told, "{text}");
                assert_eq!(text.contains("f00d"), !told, "{text}");
            }
        }
    }

    fn project(apps: &[&str], fetch: bool) -> Manifest {
        let apps = apps.iter().map(|id| App {
            id: (*id).to_owned(),
            ..App::default()
        });
        Manifest {
            apps: apps.collect(),
            fetch,
            ..Manifest::default()
        }
    }

    #[test]
    fn one_app_is_served_at_the_short_path_and_several_at_their_own() {
        let app = |id: &str| Route::Inngest {
            app: Some(id.to_owned()),
        };
        let short = Route::Inngest { app: None };
        let one = project(&["a"], false);
        assert_eq!(target(&short, &one).ok(), Some(Target::App("a".to_owned())));
        assert_eq!(target(&app("a"), &one).ok(), Some(Target::App("a".to_owned())));
        assert_eq!(
            target(&app("b"), &one).err().map(|response| response.status().as_u16()),
            Some(404)
        );
        let two = project(&["a", "b"], false);
        assert_eq!(
            target(&short, &two).err().map(|response| response.status().as_u16()),
            Some(404)
        );
        assert_eq!(target(&app("b"), &two).ok(), Some(Target::App("b".to_owned())));
        let other = Route::Other { path: "/x".to_owned() };
        assert_eq!(
            target(&other, &two).err().map(|response| response.status().as_u16()),
            Some(404)
        );
    }

    #[test]
    fn a_fetch_export_gets_everything() {
        let fetch = project(&["a"], true);
        let other = Route::Other { path: "/x".to_owned() };
        assert_eq!(target(&other, &fetch).ok(), Some(Target::Fetch));
        assert_eq!(target(&Route::Inngest { app: None }, &fetch).ok(), Some(Target::Fetch));
    }

    #[test]
    fn a_lost_isolate_is_answered_so_that_inngest_tries_again_soon() {
        let response = failed(&CallError::IsolateDied, &Route::Inngest { app: None }, &Details::Shown);
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(response.status(), 500);
        assert!(header("x-inngest-sdk").is_some());
        assert_eq!(header("x-inngest-no-retry"), Some("false"));
        assert_eq!(header("retry-after"), Some("1"));
    }
}
