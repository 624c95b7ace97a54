//! An Inngest server without an executor: it takes registrations, checkpoints and events, keeps
//! every request for the test to look at, and tells which functions it holds. `INNGEST_DEV=<its
//! url>` points an SDK at it. Its answers are those of the real server (inngest/inngest:
//! `pkg/devserver/api.go`, `pkg/api/apiv1/checkpoint.go`, `pkg/coreapi`), and it has that server's
//! checksum shortcut. A test may have it be down, forget, refuse, say nothing or talk nonsense.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Json, Response};
use axum::serve::ListenerExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::deadline;
use crate::http::{Call, Door};
use crate::signature;

/// A running fake, stopped on drop.
#[derive(Debug)]
pub struct FakeInngest {
    url: String,
    address: SocketAddr,
    book: Arc<Book>,
    /// The routes that another part of the server answers.
    others: Router,
    server: Option<JoinHandle<()>>,
}

/// One request that it got.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    /// The body as it came.
    pub text: String,
    /// `null` when there was none, or none that is JSON.
    pub body: Value,
}

/// The way in which the server answers registrations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It answers as the real server does.
    #[default]
    Well,
    /// It is in trouble: it answers with this status and a message.
    Failing(u16),
    /// It answers with HTML.
    Garbage,
    /// It takes the request and never answers.
    Silent,
    /// It says yes and keeps nothing.
    Forgetful,
}

/// The kind of server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// `inngest dev`.
    #[default]
    Dev,
    /// `inngest start` with this signing key.
    SelfHosted(String),
}

#[derive(Debug)]
struct Book {
    received: Mutex<Vec<Received>>,
    checkpoints: StatusCode,
    kind: Kind,
    held: Mutex<Held>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    mood: Mood,
    /// Tells whether a firewall lets nothing from the server to the functions.
    cut_off: bool,
    /// Tells whether the server shows its functions as Inngest's cloud does.
    no_graphql: bool,
    apps: BTreeMap<String, App>,
}

#[derive(Debug)]
struct App {
    checksum: String,
    url: String,
    functions: Vec<Value>,
}

impl FakeInngest {
    /// Listens on a free port of the loopback and accepts everything.
    pub async fn start() -> Self {
        Self::with(200, Kind::Dev, Router::new()).await
    }

    /// Starts as [`FakeInngest::start`] does, with another answer to checkpoints: 409 says that the
    /// dispatch is stale, 500 that Inngest is in trouble.
    pub async fn answering_checkpoints_with(status: u16) -> Self {
        Self::with(status, Kind::Dev, Router::new()).await
    }

    /// Starts another kind of server.
    pub async fn of_kind(kind: Kind) -> Self {
        Self::with(200, kind, Router::new()).await
    }

    /// Starts a server that has other routes, too; they must not have a fallback.
    pub(crate) async fn beside(others: Router, kind: Kind) -> Self {
        Self::with(200, kind, others).await
    }

    async fn with(status: u16, kind: Kind, others: Router) -> Self {
        let checkpoints = StatusCode::from_u16(status).expect("an HTTP status");
        let book = Arc::new(Book {
            received: Mutex::default(),
            checkpoints,
            kind,
            held: Mutex::default(),
            changed: Notify::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let mut fake = Self {
            url: format!("http://{address}"),
            address,
            book,
            others,
            server: None,
        };
        fake.serve(listener);
        fake
    }

    fn serve(&mut self, listener: TcpListener) {
        let app = Router::new().fallback(take).with_state(Arc::clone(&self.book));
        let app = self.others.clone().merge(app);
        // As Go's servers do. Without it the system would hold small frames back for 40 ms.
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("a socket that can be set"));
        self.server = Some(tokio::spawn(async move {
            axum::serve(listener, app).await.expect("the fake Inngest serves");
        }));
    }

    /// Goes down: nobody listens on its port any more. It keeps the functions that it holds.
    pub async fn go_down(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
    }

    /// Comes up again on the same port.
    pub fn come_up(&mut self) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an address that was used");
        socket.bind(self.address).expect("its port");
        let listener = socket.listen(64).expect("a listener");
        self.serve(listener);
    }

    /// Restarts with an empty database.
    pub fn lose_everything(&self) {
        self.held().apps.clear();
    }

    /// Sets the way in which the server answers registrations from now on.
    pub fn set_mood(&self, mood: Mood) {
        self.held().mood = mood;
    }

    /// Sets whether a firewall is between the server and the functions.
    pub fn cut_off(&self, cut_off: bool) {
        self.held().cut_off = cut_off;
    }

    /// Shows its functions through `/v1/apps/{app}/functions` only, as Inngest's cloud does.
    pub fn without_graphql(&self) {
        self.held().no_graphql = true;
    }

    /// Changes a function that the server holds; the code knows nothing of that.
    pub fn change(&self, function: &str, change: impl FnOnce(&mut Value)) {
        let mut held = self.held();
        let mut all = held.apps.values_mut().flat_map(|app| &mut app.functions);
        let function = all
            .find(|held| held["id"] == function)
            .expect("a function that it holds");
        change(function);
    }

    /// The ids of the functions that it holds, sorted.
    #[must_use]
    pub fn holds(&self) -> Vec<String> {
        let held = self.held();
        let functions = held.apps.values().flat_map(|app| &app.functions);
        let mut ids: Vec<_> = functions
            .filter_map(|function| function["id"].as_str().map(str::to_owned))
            .collect();
        ids.sort();
        ids
    }

    /// Returns a function as the server holds it; `null` if it does not.
    #[must_use]
    pub fn function(&self, id: &str) -> Value {
        let held = self.held();
        let mut functions = held.apps.values().flat_map(|app| &app.functions);
        functions
            .find(|function| function["id"] == id)
            .cloned()
            .unwrap_or_default()
    }

    /// Returns the URL at which the server would call an app.
    #[must_use]
    pub fn url_of(&self, app: &str) -> Option<String> {
        self.held().apps.get(app).map(|app| app.url.clone())
    }

    /// Waits until the server holds what is wanted.
    pub async fn wait_until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let context = || {
            let paths: Vec<_> = self
                .received()
                .iter()
                .map(|got| format!("{} {}", got.method, got.path))
                .collect();
            format!("it holds {:?} and got {paths:?}", self.holds())
        };
        deadline::within(what, context, async {
            loop {
                let change = self.book.changed.notified();
                if wanted(self) {
                    return;
                }
                change.await;
            }
        })
        .await;
    }

    /// Waits until the server has got `count` registrations, whatever it made of them.
    pub async fn registrations_are(&self, count: usize) {
        let what = format!("{count} registrations");
        self.wait_until(&what, |fake| fake.registrations().len() >= count).await;
    }

    /// Returns the value for `INNGEST_DEV`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns all requests that the server got, in order.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.book.received.lock().expect("no poison").clone()
    }

    /// Forgets every request: in a test that never asks they would only fill memory.
    pub fn forget(&self) {
        self.book.received.lock().expect("no poison").clear();
    }

    /// The registrations it got.
    #[must_use]
    pub fn registrations(&self) -> Vec<Received> {
        self.at(|path| path == "/fn/register")
    }

    /// The checkpoints of a run that it got.
    #[must_use]
    pub fn checkpoints(&self, run: &str) -> Vec<Received> {
        let wanted = format!("/v1/checkpoint/{run}/async");
        self.at(|path| path == wanted)
    }

    /// The events it got, one by one.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.at(|path| path.starts_with("/e/"))
            .into_iter()
            .flat_map(|received| match received.body {
                Value::Array(events) => events,
                event => vec![event],
            })
            .collect()
    }

    /// Waits for the first registration of `app`.
    pub async fn registration_of(&self, app: &str) -> Received {
        let what = format!("a registration of the app {app}");
        let context = || format!("the fake Inngest got {:#?}", self.received());
        deadline::until(&what, context, async || {
            self.registrations()
                .into_iter()
                .find(|received| received.body["appName"] == app)
        })
        .await
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.book.held.lock().expect("no poison")
    }

    fn at(&self, wanted: impl Fn(&str) -> bool) -> Vec<Received> {
        let received = self.received().into_iter();
        received.filter(|received| wanted(&received.path)).collect()
    }
}

impl Drop for FakeInngest {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

impl Kind {
    /// Tells whether a request's `Authorization` is that of this server.
    pub(crate) fn accepts_bearer(&self, bearer: Option<&str>) -> bool {
        match self {
            Self::Dev => true,
            Self::SelfHosted(key) => bearer == Some(format!("Bearer {}", hashed(key)).as_str()),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::SelfHosted(_) => "cloud",
        }
    }

    fn accepts(&self, headers: &HeaderMap) -> bool {
        self.accepts_bearer(headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()))
    }
}

/// Returns a signing key as requests to the API carry it (inngest/inngest: `pkg/authn`).
fn hashed(key: &str) -> String {
    connect_wire::signing_key::hash(key).expect("a hexadecimal key")
}

async fn take(State(book): State<Arc<Book>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let received = Received {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers,
        text: String::from_utf8_lossy(&body).into_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    book.received.lock().expect("no poison").push(received.clone());
    let mut answer = answer(&book, &received).await;
    book.changed.notify_waiters();
    let headers = answer.headers_mut();
    headers.insert("x-inngest-server-kind", HeaderValue::from_static(book.kind.word()));
    if matches!(received.path.as_str(), "/fn/register" | "/v0/gql") {
        // Without this header a client would go on talking to a server that is down.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

async fn answer(book: &Arc<Book>, received: &Received) -> Response {
    match (received.method.as_str(), received.path.as_str()) {
        ("POST", "/fn/register") => register(book, received).await,
        ("POST", "/v0/gql") if !book.held.lock().expect("no poison").no_graphql => graphql(book, received).await,
        ("GET", path) if path.starts_with("/v1/apps/") && book.kind.accepts(&received.headers) => {
            let app = path.trim_start_matches("/v1/apps/").trim_end_matches("/functions");
            let held = book.held.lock().expect("no poison");
            let functions = held.apps.get(app).into_iter().flat_map(|app| &app.functions);
            let functions = functions.map(|function| {
                json!({ "id": function["id"], "name": function["name"], "archived_at": "0001-01-01T00:00:00Z",
                        "config": { "triggers": function["triggers"] } })
            });
            Json(functions.collect::<Vec<_>>()).into_response()
        }
        ("GET", "/dev") if book.kind == Kind::Dev => {
            Json(json!({ "version": "1.43.0", "functions": [], "startOpts": {} })).into_response()
        }
        ("GET", "/health") => Json(json!({ "status": 200, "message": "OK" })).into_response(),
        ("POST", path) if path.starts_with("/e/") => {
            let events = received.body.as_array().map_or(1, Vec::len);
            let ids: Vec<_> = (0..events).map(|n| format!("01JSENT00000000000000000{n:02}")).collect();
            Json(json!({ "ids": ids, "status": 200 })).into_response()
        }
        ("POST", path) if path.starts_with("/v1/checkpoint/") => {
            (book.checkpoints, Json(json!({ "data": {} }))).into_response()
        }
        ("POST", "/v1/signals") => Json(json!({ "data": { "run_id": "01JRUN00000000000000009999" } })).into_response(),
        ("POST", "/v1/realtime/publish") => Json(json!({})).into_response(),
        _ => (StatusCode::NOT_FOUND, Json(json!({ "error": "not found" }))).into_response(),
    }
}

async fn register(book: &Book, received: &Received) -> Response {
    let mood = book.held.lock().expect("no poison").mood;
    match mood {
        Mood::Well => {}
        Mood::Forgetful => return Json(json!({ "ok": true })).into_response(),
        Mood::Failing(status) => {
            let status = StatusCode::from_u16(status).expect("an HTTP status");
            return (
                status,
                Json(json!({ "error": "the database is on fire", "status": status.as_u16() })),
            )
                .into_response();
        }
        Mood::Garbage => return "<html>It works!</html>".into_response(),
        Mood::Silent => {
            book.changed.notify_waiters();
            return std::future::pending().await;
        }
    }
    if !book.kind.accepts(&received.headers) {
        return (StatusCode::UNAUTHORIZED, "Authentication failed\n").into_response();
    }
    let expected = received.headers.get("x-inngest-expected-server-kind");
    if expected.is_some_and(|expected| expected != book.kind.word()) {
        let error = format!("Expected server kind {}, got {expected:?}", book.kind.word());
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    }
    let name = received.body["appName"].as_str().unwrap_or_default().to_owned();
    let url = normal(received.body["url"].as_str().unwrap_or_default());
    // The checksum covers the part of the body that the server understands: the id of a deployment
    // is not in it.
    let mut known = received.body.clone();
    known["url"] = json!(url);
    if let Some(known) = known.as_object_mut() {
        known.remove("deployId");
        known.remove("featureObservations");
    }
    let checksum: String = Sha256::digest(known.to_string())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut held = book.held.lock().expect("no poison");
    if held.apps.get(&name).is_some_and(|app| app.checksum == checksum) {
        return Json(json!({ "ok": true })).into_response();
    }
    let functions = received.body["functions"].as_array().cloned().unwrap_or_default();
    let app = App {
        checksum,
        url,
        functions,
    };
    held.apps.insert(name, app);
    Json(json!({ "ok": true, "modified": true })).into_response()
}

/// Returns a URL as the server keeps it (inngest/inngest: `pkg/util/normalize.go`).
fn normal(url: &str) -> String {
    let url = url.split('?').next().unwrap_or_default();
    url.replacen("://127.0.0.1", "://localhost", 1)
}

async fn graphql(book: &Arc<Book>, received: &Received) -> Response {
    let query = received.body["query"].as_str().unwrap_or_default();
    if let Some(url) = argument(query, "createApp", "url") {
        return match ping(book, &url).await {
            Ok(()) => Json(json!({ "data": { "createApp": { "url": url } } })).into_response(),
            Err(code) => {
                let message = "There was an error registering your app";
                let extensions = json!({ "error_code": code });
                let errors = json!([{ "message": format!("{message}: {code}"), "extensions": extensions }]);
                Json(json!({ "errors": errors, "data": null })).into_response()
            }
        };
    }
    let held = book.held.lock().expect("no poison");
    let apps = held.apps.iter().map(|(name, app)| {
        json!({ "id": name, "externalID": name, "name": name, "url": app.url, "error": null,
                "functions": app.functions.iter().map(told).collect::<Vec<_>>() })
    });
    Json(json!({ "data": { "apps": apps.collect::<Vec<_>>() } })).into_response()
}

/// The text that a mutation's input has under a name.
fn argument(query: &str, mutation: &str, name: &str) -> Option<String> {
    let rest = query.split_once(mutation)?.1.split_once(name)?.1;
    Some(rest.split('"').nth(1)?.to_owned())
}

/// Asks the functions to register, as the server does. An error is the server's name for the
/// failure (inngest/inngest: `pkg/deploy/deploy.go`).
async fn ping(book: &Arc<Book>, url: &str) -> Result<(), &'static str> {
    if book.held.lock().expect("no poison").cut_off {
        return Err("unreachable");
    }
    let rest = url.strip_prefix("http://").ok_or("unsupported_protocol")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = authority.replacen("localhost", "127.0.0.1", 1);
    let door = Door::Tcp(address.parse().map_err(|_| "unreachable")?);
    let body = json!({ "url": url });
    let mut call = Call::new("PUT", format!("/{path}"))
        .header("x-inngest-server-kind", book.kind.word())
        .json(&body);
    if let Kind::SelfHosted(key) = &book.kind {
        let signed = signature::sign(&body.to_string(), key, 0);
        call = call.header("x-inngest-signature", &signed);
    }
    let answer = call.send(&door).await.map_err(|_| "unreachable")?;
    match answer.status {
        400 => Err("bad_request"),
        401 => Err("unauthorized"),
        403 => Err("forbidden"),
        404 => Err("not_found"),
        500 => Err("internal_server_error"),
        _ => Ok(()),
    }
}

/// Returns a function as GraphQL shows it.
fn told(function: &Value) -> Value {
    let triggers = function["triggers"].as_array().into_iter().flatten();
    let triggers = triggers.map(|trigger| match trigger["cron"].as_str() {
        Some(cron) => json!({ "type": "CRON", "value": cron, "condition": null }),
        None => json!({ "type": "EVENT", "value": trigger["event"], "condition": trigger["expression"] }),
    });
    let retries = function["steps"]["step"]["retries"]["attempts"].as_u64();
    let limits = match &function["concurrency"] {
        Value::Null => Vec::new(),
        Value::Array(limits) => limits.clone(),
        limit => vec![limit.clone()],
    };
    let limits = limits.iter().map(|limit| {
        let value = limit.as_u64().or_else(|| limit["limit"].as_u64());
        json!({ "limit": { "value": value, "isPlanLimit": false }, "key": limit["key"] })
    });
    json!({
        "slug": function["id"],
        "name": function["name"],
        "triggers": triggers.collect::<Vec<_>>(),
        "configuration": {
            "retries": { "value": retries.unwrap_or(4), "isDefault": retries.is_none() },
            "concurrency": limits.collect::<Vec<_>>(),
        },
    })
}
