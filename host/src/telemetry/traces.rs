//! Spans for calls, reloads and canaries, to the collector that the environment names (`OTEL_EXPORTER_OTLP_ENDPOINT` and its
//! siblings, as OpenTelemetry specifies them). Without a collector there is no span, and requests pass as they came.
//!
//! A call's span is a child of the span that its `traceparent` names. The same header tells user code of the call's
//! span: spans of user code belong below it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

use crate::generation::{CallInfo, CallResult, CanaryEnd, CanarySummary, GenerationId, IsolateId, Outcome, Report};
use crate::net::http;
use crate::release::{ReleaseName, UnpackedRelease};
use crate::tasks::OwnedTask;

/// The variables, each of which turns the export on.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// The limit for the last spans when the host ends.
const FLUSH: Duration = Duration::from_secs(3);

/// The reason why spans cannot be exported: the collector's address, or another value of the environment.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum TracesError {
    /// A variable holds no URL.
    #[error("{name} is not the URL of a collector: {value:?}")]
    #[diagnostic(help("Set it to a URL such as http://127.0.0.1:4318."))]
    Url {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// The exporter refuses the rest of the environment.
    #[error("cannot export spans: {0}")]
    #[diagnostic(help("Check the variables OTEL_EXPORTER_OTLP_*."))]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// The exporter of spans; see the module's documentation.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// The span of a call that runs.
#[derive(Debug)]
pub struct CallSpan(Context);

impl Traces {
    /// Returns the exporter that the environment asks for, if it asks for one.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn from_environment() -> Result<Option<Arc<Self>>, TracesError> {
        let says = |name: &str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
        let disabled = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
        if disabled || !ENDPOINTS.into_iter().any(says) {
            return Ok(None);
        }
        for name in ENDPOINTS.into_iter().filter(|name| says(name)) {
            let value = std::env::var(name).unwrap_or_default();
            // The exporter would take its default instead.
            if !is_url(&value) {
                return Err(TracesError::Url { name, value });
            }
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(SpanClient(Handle::current()))
            .with_protocol(Protocol::HttpBinary)
            .build()?;
        let mut resource = Resource::builder();
        if !says("OTEL_SERVICE_NAME") {
            resource = resource.with_service_name("baton");
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.with_attribute(version).build())
            .with_batch_exporter(exporter)
            .build();
        let tracer = provider.tracer("baton");
        Ok(Some(Arc::new(Self { provider, tracer })))
    }

    /// Begins the span of a call. The headers of the call name the span from here on.
    #[must_use]
    pub fn call(&self, info: &CallInfo, headers: &mut Vec<(String, String)>) -> CallSpan {
        let propagator = TraceContextPropagator::new();
        let parent = propagator.extract(&Headers(headers));
        let name = info.function.clone().unwrap_or_else(|| "request".to_owned());
        let known = [
            ("baton.function", &info.function),
            ("baton.run", &info.run),
            ("baton.step", &info.step),
        ];
        let mut attributes: Vec<KeyValue> = known
            .into_iter()
            .filter_map(|(key, value)| Some(KeyValue::new(key, value.clone()?)))
            .collect();
        if let Some(attempt) = info.attempt() {
            attributes.push(KeyValue::new("baton.attempt", i64::from(attempt)));
        }
        let builder = self.tracer.span_builder(name).with_kind(SpanKind::Server);
        let span = builder
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &parent);
        let context = parent.with_span(span);
        propagator.inject_context(&context, &mut HeadersMut(headers));
        CallSpan(context)
    }

    /// Notes a reload that was answered just now.
    pub fn reload(&self, report: &Report) {
        let end = SystemTime::now();
        let took = Duration::from_secs_f64(report.took_ms.max(0.0) / 1000.0);
        let builder = self.tracer.span_builder("reload").with_kind(SpanKind::Internal);
        let mut span = builder
            .with_start_time(end.checked_sub(took).unwrap_or(end))
            .start_with_context(&self.tracer, &Context::new());
        span.set_attribute(KeyValue::new("baton.outcome", report.outcome.word()));
        if let Some(id) = report.outcome.serving() {
            span.set_attribute(KeyValue::new("baton.generation", number(id.0)));
        }
        if let Outcome::Activated {
            release: Some(release), ..
        } = &report.outcome
        {
            span.set_attributes(of_release(release));
        }
        if let Outcome::Rejected { error, .. } = &report.outcome {
            span.set_status(Status::error(error.message.clone()));
        }
        span.end_with_timestamp(end);
    }

    /// Notes a canary that ended just now: its span lasts as long as it was on. A failed canary is an error.
    pub fn canary(&self, summary: &CanarySummary) {
        let (Some(end), Some(began)) = (&summary.end, summary.began) else {
            return;
        };
        let builder = self.tracer.span_builder("canary").with_kind(SpanKind::Internal);
        let mut span = builder
            .with_start_time(SystemTime::from(began))
            .start_with_context(&self.tracer, &Context::new());
        let runs = summary.ended_runs;
        span.set_attributes([
            KeyValue::new("baton.outcome", summary.state.as_str()),
            KeyValue::new("baton.generation", number(summary.generation.0)),
            KeyValue::new("baton.canary.current", number(summary.current.0)),
            KeyValue::new("baton.canary.because", end.words()),
            KeyValue::new("baton.canary.runs", i64::from(runs.canary.total)),
            KeyValue::new("baton.canary.current_runs", i64::from(runs.current.total)),
        ]);
        if let CanaryEnd::Failed(grounds) = end {
            span.set_attributes([
                KeyValue::new("baton.function", grounds.function.clone()),
                KeyValue::new("baton.canary.signal", grounds.signal.words()),
                KeyValue::new("baton.canary.e_value", grounds.e_value),
            ]);
            span.set_status(Status::error(end.words()));
        }
        span.end();
    }

    /// Sends the spans that are left.
    pub async fn end(self: Arc<Self>) {
        // The shutdown waits for a thread of its own.
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH));
        if let Ok(Err(error)) = ended.await {
            tracing::warn!(%error, "cannot export the last spans");
        }
    }
}

impl CallSpan {
    /// Ends the span of a call.
    pub fn end(
        self,
        generation: GenerationId,
        release: Option<&UnpackedRelease>,
        isolate: Option<IsolateId>,
        answered: CallResult,
    ) {
        let span = self.0.span();
        span.set_attribute(KeyValue::new("baton.generation", number(generation.0)));
        if let Some(release) = release {
            span.set_attributes(of_release(&ReleaseName::of(release)));
        }
        if let Some(isolate) = isolate {
            span.set_attribute(KeyValue::new("baton.isolate", number(isolate.0)));
        }
        match answered.status {
            Some(status) => {
                span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
                if status >= 500 {
                    span.set_status(Status::error(format!("answered {status}")));
                }
            }
            None => span.set_status(Status::error(answered.error.unwrap_or("not answered"))),
        }
        span.end();
    }
}

/// The attributes that name a release.
fn of_release(release: &ReleaseName) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("baton.release", release.digest.to_string()),
        KeyValue::new("baton.release.reference", release.reference.clone()),
    ];
    attributes.extend(
        release
            .git
            .clone()
            .map(|git| KeyValue::new("baton.release.commit", git)),
    );
    attributes
}

fn is_url(text: &str) -> bool {
    let uri = text.trim().parse::<axum::http::Uri>();
    uri.is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

struct Headers<'a>(&'a [(String, String)]);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let mut named = self.0.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
        named.next().map(|(_, value)| value.as_str())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

struct HeadersMut<'a>(&'a mut Vec<(String, String)>);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        self.0.retain(|(name, _)| !name.eq_ignore_ascii_case(key));
        if !value.is_empty() {
            self.0.push((key.to_ascii_lowercase(), value));
        }
    }
}

/// The client that sends from the host's runtime: the exporter's thread has no runtime.
#[derive(Debug)]
struct SpanClient(Handle);

#[async_trait::async_trait]
impl HttpClient for SpanClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let headers: Vec<(String, String)> = head
            .headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect();
        let url = head.uri.to_string();
        let sent = OwnedTask::spawn_on(&self.0, "export of spans", async move {
            http::fetch(&url, head.method.as_str(), &headers, body).await
        });
        let answer = sent.ended().await.ok_or("the request was given up")??;
        Ok(Response::builder().status(answer.status).body(answer.body.into())?)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::propagation::{Extractor as _, Injector as _};

    use super::{Headers, HeadersMut};

    #[test]
    fn a_header_is_replaced_whatever_its_case() {
        let mut headers = vec![
            ("Traceparent".to_owned(), "old".to_owned()),
            ("a".to_owned(), "b".to_owned()),
        ];
        HeadersMut(&mut headers).set("traceparent", "new".to_owned());
        HeadersMut(&mut headers).set("tracestate", String::new());
        assert_eq!(Headers(&headers).get("TRACEPARENT"), Some("new"));
        assert_eq!(headers.len(), 2, "{headers:?}");
    }
}
