//! An OpenTelemetry collector that only listens: it takes spans (OTLP over HTTP, protobuf) and keeps them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::deadline;

/// A running collector, stopped on drop.
#[derive(Debug)]
pub struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
    server: JoinHandle<()>,
}

/// A span as it came; ids in hex, values as text.
#[derive(Clone, Debug)]
pub struct Span {
    pub service: String,
    pub name: String,
    pub trace: String,
    pub id: String,
    /// The parent's id, empty for the first span of a trace.
    pub parent: String,
    pub attributes: BTreeMap<String, String>,
    pub failed: bool,
    pub nanos: u64,
}

impl Collector {
    /// Listens on a free port of the loopback.
    pub async fn start() -> Self {
        let spans = Arc::new(Mutex::new(Vec::new()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let app = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&spans));
        let server = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("the collector serves");
        });
        Self { url, spans, server }
    }

    /// Returns the value for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits for a span with this name for which `wanted` holds.
    pub async fn span(&self, name: &str, wanted: impl Fn(&Span) -> bool) -> Span {
        let what = format!("a span {name}");
        let all = || format!("{:#?}", self.spans.lock().expect("no poison"));
        deadline::until(&what, all, async || {
            let spans = self.spans.lock().expect("no poison");
            spans.iter().find(|span| span.name == name && wanted(span)).cloned()
        })
        .await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(spans): State<Arc<Mutex<Vec<Span>>>>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST;
    };
    let text = |value: Option<opentelemetry_proto::tonic::common::v1::AnyValue>| match value.and_then(|any| any.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.unwrap_or_default();
        let named = resource
            .attributes
            .into_iter()
            .find(|attribute| attribute.key == "service.name");
        let service = named.map(|attribute| text(attribute.value)).unwrap_or_default();
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let attributes = span.attributes.into_iter();
            spans.lock().expect("no poison").push(Span {
                service: service.clone(),
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                attributes: attributes.map(|one| (one.key, text(one.value))).collect(),
                failed: span.status.is_some_and(|status| status.code == 2),
                nanos: span.end_time_unix_nano - span.start_time_unix_nano,
            });
        }
    }
    StatusCode::OK
}
