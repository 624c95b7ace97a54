//! A server that plays the APIs that packages talk to, as far as the rows ask: OpenAI, Anthropic, Stripe, GitHub, S3,
//! and a web page.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post, put};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const SAID: [&str; 2] = ["Hello, ", "Ada!"];

const PAGE: &str = "<!doctype html><title>Stand-in</title>\
    <button onclick=\"this.textContent = 'clicked'\">click me</button>";

/// A running server, stopped on drop.
pub(super) struct StandIn {
    pub(super) url: String,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Memory {
    objects: HashMap<String, Bytes>,
    /// The number of requests, by asker, for the page that succeeds the third time.
    asked: HashMap<String, u32>,
}

type Shared = Arc<Mutex<Memory>>;

impl StandIn {
    /// Listens on a free port of the loopback.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let app = Router::new()
            .route("/json", get(async || json_text(r#"{"hello":"world"}"#)))
            .route("/echo", post(echo))
            .route("/page", get(async || Html(PAGE)))
            .route("/status/{status}", get(status))
            .route("/slow", get(std::future::pending::<Response>))
            .route("/third-time/{who}", get(third_time))
            .route("/v1/chat/completions", post(chat))
            .route(
                "/v1/files",
                post(async || answer(json!({ "id": "file-1", "object": "file" }))),
            )
            .route("/v1/messages", post(messages))
            .route("/v1/customers", post(customers))
            .route("/github/repos/{owner}/{name}", get(repository))
            .route("/github/repos/{owner}/{name}/issues", get(issues))
            .route("/s3/{*key}", put(keep).get(fetch))
            .with_state(Shared::default());
        let server = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("the stand-in serves");
        });
        Self { url, server }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn json_text(text: &str) -> Response {
    ([("content-type", "application/json")], text.to_owned()).into_response()
}

fn answer(body: Value) -> Response {
    json_text(&body.to_string())
}

async fn echo(headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok());
    answer(json!({ "type": kind, "body": String::from_utf8_lossy(&body) }))
}

async fn status(Path(status): Path<u16>) -> StatusCode {
    StatusCode::from_u16(status).expect("an HTTP status")
}

async fn third_time(State(memory): State<Shared>, Path(who): Path<String>) -> StatusCode {
    let mut memory = memory.lock().expect("no poison");
    let asked = memory.asked.entry(who).or_default();
    *asked += 1;
    match *asked {
        ..3 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }
}

fn events(events: impl IntoIterator<Item = (Option<&'static str>, Value)>, end: &str) -> Response {
    let mut text = String::new();
    for (name, data) in events {
        if let Some(name) = name {
            text.push_str(&format!("event: {name}\n"));
        }
        text.push_str(&format!("data: {data}\n\n"));
    }
    text.push_str(end);
    ([("content-type", "text/event-stream")], text).into_response()
}

/// Answers as OpenAI does, whole or streamed.
async fn chat(body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).expect("JSON");
    let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 });
    let of = |kind: &str, choice: Value| {
        json!({
            "id": "chat-1", "object": kind, "created": 0, "model": "gpt-test", "usage": usage, "choices": [choice],
        })
    };
    if asked["stream"] != true {
        let message = json!({ "role": "assistant", "content": SAID.concat() });
        let choice = json!({ "index": 0, "finish_reason": "stop", "message": message });
        return answer(of("chat.completion", choice));
    }
    let part = |delta: Value, reason: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        (None, of("chat.completion.chunk", choice))
    };
    let said = SAID.map(|text| part(json!({ "role": "assistant", "content": text }), Value::Null));
    let last = part(json!({}), json!("stop"));
    events(said.into_iter().chain([last]), "data: [DONE]\n\n")
}

/// Answers as Anthropic does, whole or streamed, if the request has the key.
async fn messages(headers: HeaderMap, body: Bytes) -> Response {
    if headers.get("authorization").is_none_or(|key| key != "Bearer test") {
        let error = json!({ "type": "error", "error": { "type": "authentication_error", "message": "no" } });
        return (StatusCode::UNAUTHORIZED, answer(error)).into_response();
    }
    let asked: Value = serde_json::from_slice(&body).expect("JSON");
    let message = |content: Value| {
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-test", "content": content,
            "stop_reason": "end_turn", "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 },
        })
    };
    if asked["stream"] != true {
        return answer(message(json!([{ "type": "text", "text": SAID.concat() }])));
    }
    let event = |name: &'static str, mut data: Value| {
        data["type"] = name.into();
        (Some(name), data)
    };
    let said = SAID.map(|text| {
        let delta = json!({ "type": "text_delta", "text": text });
        event("content_block_delta", json!({ "index": 0, "delta": delta }))
    });
    let block = json!({ "type": "text", "text": "" });
    let begin = [
        event("message_start", json!({ "message": message(json!([])) })),
        event("content_block_start", json!({ "index": 0, "content_block": block })),
    ];
    let delta = json!({ "stop_reason": "end_turn", "stop_sequence": null });
    let end = [
        event("content_block_stop", json!({ "index": 0 })),
        event(
            "message_delta",
            json!({ "delta": delta, "usage": { "output_tokens": 2 } }),
        ),
        event("message_stop", json!({})),
    ];
    events(begin.into_iter().chain(said).chain(end), "")
}

/// Answers as Stripe does.
async fn customers(body: String) -> Response {
    let email = body.split('&').find_map(|field| field.strip_prefix("email="));
    let email = email.unwrap_or_default().replace("%40", "@");
    answer(json!({ "id": "cus_1", "object": "customer", "email": email }))
}

/// Answers as GitHub does, for one repository.
async fn repository(Path((_, name)): Path<(String, String)>) -> Response {
    match name.as_str() {
        "engine" => answer(json!({ "name": name, "stargazers_count": 7 })),
        _ => (StatusCode::NOT_FOUND, answer(json!({ "message": "Not Found" }))).into_response(),
    }
}

/// Answers as GitHub does, in two pages.
async fn issues(headers: HeaderMap, Query(query): Query<HashMap<String, String>>) -> Response {
    if query.get("page").is_some_and(|page| page == "2") {
        return answer(json!([{ "number": 3 }]));
    }
    let host = headers["host"].to_str().expect("a host");
    let next = format!("<http://{host}/github/repos/ada/engine/issues?per_page=2&page=2>; rel=\"next\"");
    ([("link", next)], answer(json!([{ "number": 1 }, { "number": 2 }]))).into_response()
}

/// Keeps an object as S3 does; it may come whole, or in chunks with trailers.
async fn keep(State(memory): State<Shared>, Path(key): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let chunked = headers
        .get("content-encoding")
        .is_some_and(|encoding| encoding == "aws-chunked");
    let body = if chunked { first_chunk(&body) } else { body };
    memory.lock().expect("no poison").objects.insert(key, body);
    ([("etag", "\"1\"")], "").into_response()
}

fn first_chunk(body: &Bytes) -> Bytes {
    let text = std::str::from_utf8(body).expect("text in chunks");
    let (length, rest) = text.split_once("\r\n").expect("a length");
    let length = usize::from_str_radix(length.split(';').next().unwrap_or_default(), 16).expect("a length");
    Bytes::copy_from_slice(&rest.as_bytes()[..length])
}

async fn fetch(State(memory): State<Shared>, Path(key): Path<String>) -> Response {
    match memory.lock().expect("no poison").objects.get(&key) {
        Some(body) => body.clone().into_response(),
        None => {
            let error = "<Error><Code>NoSuchKey</Code><Message>nothing there</Message></Error>";
            (StatusCode::NOT_FOUND, [("content-type", "application/xml")], error).into_response()
        }
    }
}
