//! Runs a function to its end, as `baton invoke` does: each step runs on the generation that is current at its time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Json, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{BoxError, Router};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::super::calls::{self, GENERATION_HEADER};
use super::super::listen::Peer;
use super::super::{Server, json_errors};
use crate::net::HttpAnswer;
use crate::runner::catalogue::Catalogue;
use crate::runner::run_report::RunOrigin;
use crate::runner::sdk::{GenerationAnswer, LostAnswer, Sdk};
use crate::runner::sdk_request::SdkRequest as RunRequest;
use crate::runner::session::{Options, Order, Script, Session};
use crate::status::FunctionStatus;
use crate::tasks::OwnedTask;

/// The largest answer of a function that is read, in bytes: Inngest takes none of this size.
const LARGEST_ANSWER: usize = 32 << 20;
/// The most reports of a run that wait for its page.
const MOST_REPORTS: usize = 10_000;

/// The body of `POST /-/invoke`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invocation {
    function: String,
    #[serde(default)]
    data: Option<Value>,
    /// Tells whether sleeps are over at once.
    #[serde(default)]
    skip_sleep: bool,
}

/// `POST /-/invoke`. Ends the run when the page goes; a step that has begun goes on to its end.
pub(super) async fn invoke(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    invocation: Result<Json<Invocation>, axum::extract::rejection::JsonRejection>,
) -> Response {
    let Invocation {
        function,
        data,
        skip_sleep,
    } = match invocation {
        Ok(Json(invocation)) => invocation,
        Err(rejection) => {
            let help = "Send {\"function\": \"hello\", \"data\": {}}.";
            return json_errors::error(StatusCode::BAD_REQUEST, rejection.body_text(), help);
        }
    };
    let catalogue = catalogue(&server);
    let function = match catalogue.named(&function) {
        Ok(function) => function.clone(),
        Err(error) => {
            let help = miette::Diagnostic::help(&error).map(|help| help.to_string());
            return json_errors::error(StatusCode::NOT_FOUND, error.to_string(), help.unwrap_or_default());
        }
    };
    tracing::info!(target: "audit", action = "invoke", %peer, function = function.id, "admin action");
    let event = Session::event(&function.usual_event(), data.unwrap_or_else(|| json!({})));
    let order = Order {
        function,
        event,
        origin: RunOrigin::Asked,
        depth: 0,
        busy: None,
    };
    let options = Options {
        skip_sleep,
        retry_delay: Duration::from_secs(1),
        deliver: false,
        reached: false,
    };
    let (reports, to_page) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let (lines, handing_over) = bounded(to_page, stop.clone());
    let stop_with_page = stop.clone().drop_guard();
    let sdk = Arc::new(OwnSdk::new(server));
    let (session, deliveries) = Session::new(sdk, catalogue, options, Script::default(), reports, stop);
    let running = OwnedTask::spawn("run of a page", async move {
        session.conduct(vec![order], deliveries).await;
    });
    let of_page = (stop_with_page, running, handing_over);
    let lines = ReceiverStream::new(lines).map(move |report| {
        let _ = &of_page;
        let mut line = serde_json::to_vec(&report).unwrap_or_default();
        line.push(b'\n');
        Ok::<_, Infallible>(line)
    });
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response()
}

/// Hands reports on to a page; only so many of them may wait. The run of a page that takes none is stopped.
fn bounded<R: Send + 'static>(
    mut reports: mpsc::UnboundedReceiver<R>,
    stop: CancellationToken,
) -> (mpsc::Receiver<R>, OwnedTask<()>) {
    let (to_page, lines) = mpsc::channel(MOST_REPORTS);
    let handing_over = OwnedTask::spawn("reports to a page", async move {
        while let Some(report) = reports.recv().await {
            if to_page.try_send(report).is_err() {
                stop.cancel();
                return;
            }
        }
    });
    (lines, handing_over)
}

fn catalogue(server: &Server) -> Catalogue {
    let current = server.table.current();
    let functions = current
        .iter()
        .flat_map(|current| FunctionStatus::all(&current.manifest));
    Catalogue::of(functions)
}

/// The project's SDK, behind the routes that Inngest calls.
struct OwnSdk(Router);

impl OwnSdk {
    fn new(server: Server) -> Self {
        let router = Router::new()
            .route("/api/inngest", any(calls::only_app))
            .route("/api/inngest/{app}", any(calls::named_app));
        Self(router.with_state(server))
    }
}

impl Sdk for OwnSdk {
    fn call(&self, request: RunRequest) -> BoxFuture<'static, Result<GenerationAnswer, LostAnswer>> {
        let router = self.0.clone();
        let lost = |error: BoxError| LostAnswer(format!("the host does not answer: {error}"));
        async move { call(router, request).await.map_err(lost) }.boxed()
    }
}

async fn call(router: Router, request: RunRequest) -> Result<GenerationAnswer, BoxError> {
    let mut http = Request::builder().method(Method::POST).uri(&request.path);
    for (name, value) in &request.headers {
        http = http.header(name, value);
    }
    // The request is the control socket's, which may know the generation that answered.
    let http = http
        .extension(ConnectInfo(Peer::Control))
        .body(Body::from(request.body))?;
    let (head, body) = router.oneshot(http).await?.into_parts();
    let generation = head.headers.get(GENERATION_HEADER);
    let body = axum::body::to_bytes(body, LARGEST_ANSWER).await?;
    Ok(GenerationAnswer {
        generation: generation.and_then(|value| value.to_str().ok()?.parse().ok()),
        raw: HttpAnswer::new(head.status.as_u16(), &head.headers, body),
    })
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::{MOST_REPORTS, bounded};

    #[tokio::test]
    async fn a_run_whose_page_takes_no_reports_is_stopped() {
        let (reports, to_page) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let (mut lines, _handing_over) = bounded(to_page, stop.clone());
        for report in 0..=MOST_REPORTS {
            reports.send(report).unwrap();
        }
        stop.cancelled().await;
        assert_eq!(lines.recv().await, Some(0), "what waits is for the page still");
        assert_eq!(lines.len(), MOST_REPORTS - 1);
    }
}
