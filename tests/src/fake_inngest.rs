//! An Inngest server that only listens: it takes registrations, checkpoints
//! and events, says yes, and keeps what it got for the test to look at.
//! `INNGEST_DEV=<its url>` points an SDK at it. What it answers is what the dev
//! server answers (inngest/inngest: `pkg/devserver/api.go`, `pkg/api/apiv1/checkpoint.go`).

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Json, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::deadline;

/// A running fake, stopped on drop.
#[derive(Debug)]
pub struct FakeInngest {
    url: String,
    book: Arc<Book>,
    server: JoinHandle<()>,
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

#[derive(Debug)]
struct Book {
    received: Mutex<Vec<Received>>,
    checkpoints: StatusCode,
}

impl FakeInngest {
    /// Listens on a free port of the loopback and takes everything.
    pub async fn start() -> Self {
        Self::answering_checkpoints_with(200).await
    }

    /// As [`FakeInngest::start`], with another answer to checkpoints: 409 says
    /// that the dispatch is stale, 500 that Inngest is in trouble.
    pub async fn answering_checkpoints_with(status: u16) -> Self {
        let checkpoints = StatusCode::from_u16(status).expect("an HTTP status");
        let book = Arc::new(Book {
            received: Mutex::default(),
            checkpoints,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let app = Router::new().fallback(take).with_state(Arc::clone(&book));
        let server = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("the fake Inngest serves");
        });
        Self { url, book, server }
    }

    /// What to set `INNGEST_DEV` to.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Everything it got, in order.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.book.received.lock().expect("no poison").clone()
    }

    /// Forgets everything it got: whoever never asks would only fill memory.
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

    fn at(&self, wanted: impl Fn(&str) -> bool) -> Vec<Received> {
        let received = self.received().into_iter();
        received.filter(|received| wanted(&received.path)).collect()
    }
}

impl Drop for FakeInngest {
    fn drop(&mut self) {
        self.server.abort();
    }
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
    let answer = answer(&book, &received);
    book.received.lock().expect("no poison").push(received);
    answer
}

fn answer(book: &Book, received: &Received) -> Response {
    match (received.method.as_str(), received.path.as_str()) {
        ("POST", "/fn/register") => Json(json!({ "ok": true, "modified": true })).into_response(),
        ("GET", "/dev") => Json(json!({ "version": "1.43.0", "functions": [], "startOpts": {} })).into_response(),
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
