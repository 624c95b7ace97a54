//! The way of a call that came over HTTP: read it, take a lease, ask the isolate (`crate::calls`), answer.
//!
//! The body of Inngest's calls is read first, and so is the answer, unless the SDK streams it. All other requests
//! stream both ways, and their callers may hang up: the app hears of it.

use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::channel::oneshot;
use hyper::upgrade::OnUpgrade;
use js_runtime_api::{Body as Bytewise, CallError, CallSubject, Caller, Manifest, Target, header_text};

use super::bounce::{self, Bounceable};
use super::listen::Peer;
use super::refusal::{self, Details};
use super::room::{Place, Tier};
use super::way_back::{AnswerLifetime, into_http};
use super::{Server, auth, browser_sessions, json_errors, request_body};
use crate::calls::{CallKind, LeaseWait};
use crate::generation::{CallInfo, GenerationChoice, GenerationId, LeaseRefusal};
use crate::wire;

/// The header that names the generation that answered, to commands on this machine. Inngest gets the SDK's answer and
/// nothing else, and so not this header.
pub const GENERATION_HEADER: HeaderName = HeaderName::from_static("baton-generation");

/// The longest wait of a request to Inngest's paths that executes nothing, while no generation serves. Most projects
/// load in less time, so that a sync right after a start is answered. Inngest gives a sync up after 10 s
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

pub(super) enum Route {
    Inngest { app: Option<String> },
    Other { path: String },
}

/// The parts of a request that are wanted once its answer is there.
struct AnswerContext {
    route: Route,
    /// Tells whether errors are shown with their details.
    is_trusted: bool,
    place: Option<Place>,
    on_upgrade: Option<OnUpgrade>,
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
    let info = call_info(&request, &route);
    if let Peer::Tcp(address) = peer {
        request.caller.peer = Some(address.to_string());
    }
    if let Some(refusal) = refuse_generation(&server, peer, &request, &info) {
        return refusal;
    }
    // The sender is dropped with this future, when the caller has gone.
    let (_waits, hung_up) = oneshot::channel();
    let kind = match route {
        Route::Other { .. } => CallKind::App,
        Route::Inngest { .. } if info.run.is_some() => CallKind::Run,
        Route::Inngest { .. } => CallKind::Look,
    };
    if kind == CallKind::App {
        request.caller.hung_up = Some(hung_up);
    }
    let patience = match is_held(&route, &request.method) {
        true => LeaseWait::Call,
        false => LeaseWait::Look(LOOK_LIMIT),
    };
    let bytes = match &request.body {
        Bytewise::Full(body) => body.len(),
        Bytewise::Stream(_) | Bytewise::Upgraded(_) => 0,
    };
    let begun = server.executor.begin(kind, &info, &mut request);
    let lease = match server.executor.lease(patience, bytes, &info).await {
        Ok(lease) => lease,
        Err(LeaseRefusal::HandedOver) => return server.successor.pass_on(request).await,
        Err(gone) => return refusal::unavailable(&server, &gone),
    };
    let (id, target) = {
        let generation = lease.generation();
        (generation.id, target(&route, &generation.manifest))
    };
    let request = match target {
        Ok(target) => js_runtime_api::Request { target, ..request },
        Err(response) => return response,
    };
    // Another host may be behind the same address, with other code.
    let shares_address = lease.generation().shares_address;
    let bounceable = (kind == CallKind::Run && shares_address)
        .then(|| Bounceable::of(&request))
        .flatten();
    if let Some(call) = &bounceable
        && !lease.generation().may_know(&info)
        && let Some(redirect) = server.bounces.redirect(call)
    {
        return redirect;
    }
    let result = server.executor.execute(begun, lease, info.clone(), request).await;
    if let (Some(call), Ok(response)) = (&bounceable, &result)
        && bounce::lacks_step(response, info.step.as_deref())
        && let Some(redirect) = server.bounces.redirect(call)
    {
        return redirect;
    }
    let asker = AnswerContext {
        route,
        is_trusted,
        place,
        on_upgrade,
    };
    let response = respond(&server, asker, id, &info, result, began.elapsed());
    match peer {
        Peer::Control => naming(id, response),
        Peer::Tcp(_) => response,
    }
}

/// Has a run executed by the generation that a command on this machine names, or refuses that. Nobody else names one.
fn refuse_generation(
    server: &Server,
    peer: Peer,
    request: &js_runtime_api::Request,
    info: &CallInfo,
) -> Option<Response> {
    let (Peer::Control, Some(run)) = (peer, &info.run) else {
        return None;
    };
    let is_name = |(name, _): &&(String, String)| name.eq_ignore_ascii_case(GENERATION_HEADER.as_str());
    let (_, named) = request.headers.iter().find(is_name)?;
    let is_live = |choice: GenerationChoice| server.executor.table.pin_to(run, choice);
    if named.parse().is_ok_and(is_live) {
        return None;
    }
    let message = format!("no generation {named:?} is live");
    let help = "`baton status` lists the generations that are.";
    let mut response = json_errors::error(StatusCode::CONFLICT, message, help);
    let never = HeaderValue::from_static("true");
    response
        .headers_mut()
        .insert(HeaderName::from_static(wire::NO_RETRY), never);
    Some(response)
}

/// Answers with the result of the isolate, and logs the answer.
fn respond(
    server: &Server,
    asker: AnswerContext,
    GenerationId(generation): GenerationId,
    info: &CallInfo,
    result: Result<js_runtime_api::Response, CallError>,
    took: Duration,
) -> Response {
    let CallInfo {
        function, run, step, ..
    } = info;
    let ms = took.as_millis();
    let AnswerContext {
        route,
        is_trusted,
        place,
        on_upgrade,
    } = asker;
    match result {
        Ok(response) => {
            server
                .executor
                .log_answer(GenerationId(generation), info, response.status, took);
            let lasting = match route {
                Route::Inngest { .. } => AnswerLifetime::Call,
                Route::Other { .. } => AnswerLifetime::Stream(place),
            };
            into_http(server, response, on_upgrade, lasting)
        }
        Err(error @ CallError::HungUp) => refusal::failed(&error, &route, &Details::Shown),
        Err(error) => {
            let details = Details::of_failure(is_trusted);
            let failure = details.id();
            tracing::error!(generation, function, run, step, %error, failure, ms, "call failed");
            refusal::failed(&error, &route, &details)
        }
    }
}

/// Tells whether a request is held for as long as the configuration says while nothing can serve it.
///
/// A `POST` to Inngest's paths executes a function: a refusal costs the run an attempt. So the request is held. All
/// other methods there are looks: a `PUT` asks for a sync, a `GET` (and `HEAD`, `OPTIONS`) for the functions that are
/// there. The refusal of a look costs nothing, as the host registers by itself once it serves, and a script that
/// waits for ten minutes looks hung. A request to another path is the app's own, and may be a webhook or a callback
/// whose sender sends it once, with any method: it is held.
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

/// Refuses a request that a connection in reserve may not make.
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
    let response = json_errors::error(StatusCode::SERVICE_UNAVAILABLE, message, "Retry in a few seconds.");
    Err(json_errors::retry_after(response, 1))
}

/// Reads a request, with the URL as the client meant it. Of Inngest's calls the whole body is read.
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
                true => browser_sessions::without_cookie(&value)?,
                false => value,
            };
            Some((name.as_str().to_owned(), value))
        })
        .collect();
    if parts.headers.get(header::HOST).is_none_or(HeaderValue::is_empty) {
        // The SDK builds URLs from this header and throws without it.
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

fn call_info(request: &js_runtime_api::Request, route: &Route) -> CallInfo {
    let CallSubject { function, run, step } = request.subject.clone();
    CallInfo {
        function,
        run,
        step,
        body: match &request.body {
            Bytewise::Full(body) => body.clone(),
            Bytewise::Stream(_) | Bytewise::Upgraded(_) => Bytes::new(),
        },
        request: match route {
            Route::Inngest { .. } => None,
            Route::Other { path } => Some(wire::cut(&format!("{} {path}", request.method))),
        },
    }
}

/// The handler that answers a request, by the manifest of the generation.
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
            Err(json_errors::error(
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
            Err(json_errors::error(
                StatusCode::NOT_FOUND,
                message,
                format!("It has: {}", apps()),
            ))
        }
        (Route::Other { path }, _) => {
            let help = "Call /api/inngest, or export a fetch handler from an entry file to answer other paths.";
            Err(json_errors::error(
                StatusCode::NOT_FOUND,
                format!("there is nothing at {path}"),
                help,
            ))
        }
    }
}

/// Makes a router for tests. It reads requests as the requests to a project are read, and answers with their content.
#[cfg(test)]
pub(super) fn reader() -> axum::Router {
    use axum::response::IntoResponse as _;
    use futures::StreamExt as _;
    use js_runtime_api::BodyError;

    async fn told(request: Request, route: Route) -> Response {
        let place = request.extensions().get::<Place>().cloned();
        let is_of_page = browser_sessions::is_own_origin(request.headers());
        let request = match read(request, &route, place.as_ref()).await {
            Ok(request) => request,
            Err(response) => return response,
        };
        let info = call_info(&request, &route);
        if let Err(error) = url::Url::parse(&request.url) {
            let message = format!("{} is not a URL: {error}", request.url);
            return json_errors::error(StatusCode::INTERNAL_SERVER_ERROR, message, "");
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
    use js_runtime_api::{App, Body, Caller, Manifest, Request, Target};

    use super::{Route, call_info, is_held, target};
    use crate::wire::subject;

    #[test]
    fn a_call_tells_its_function_run_step_and_attempt() {
        let url = "http://127.0.0.1:3111/api/inngest?fnId=app-hello&stepId=step";
        let headers = vec![("x-run-id".to_owned(), "01RUN".to_owned())];
        let request = Request {
            method: "POST".to_owned(),
            url: url.to_owned(),
            subject: subject(url, &headers),
            headers,
            body: Body::Full(Bytes::from_static(
                b"{\"ctx\":{\"attempt\":2,\"run_id\":\"01RUN\"},\"steps\":{}}",
            )),
            target: Target::Fetch,
            caller: Caller::default(),
        };
        let info = call_info(&request, &Route::Inngest { app: None });
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
}
