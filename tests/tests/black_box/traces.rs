//! Spans of calls and reloads, sent to a collector (README, promise 7).

use harness::http::Call;
use harness::{Baton, Cli, Collector, Project, Registry, Run};
use serde_json::json;

use crate::calls::{start, version_of};
use crate::canary;

/// The trace and the parent that the executor's calls name.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A project that traces itself, with OpenTelemetry's own packages, below what the request names.
const TRACED: &str = r#"import { context, propagation, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { BasicTracerProvider } from "@opentelemetry/sdk-trace-base";
propagation.setGlobalPropagator(new W3CTraceContextPropagator());
const tracer = new BasicTracerProvider().getTracer("mine");
export default {
  fetch(request: Request) {
    const parent = propagation.extract(ROOT_CONTEXT, Object.fromEntries(request.headers));
    const span = tracer.startSpan("mine", {}, parent) as any;
    span.end();
    const parentId = span.parentSpanContext?.spanId ?? span.parentSpanId ?? null;
    return Response.json({ trace: span.spanContext().traceId, parent: parentId, state: request.headers.get("tracestate") });
  },
};
"#;

#[tokio::test]
async fn a_call_is_a_span_below_the_one_that_inngest_names_and_a_reload_is_one_too() {
    let collector = Collector::start().await;
    let project = Project::new();
    let launch = Baton::dev(&project).env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let mut baton = launch.env("OTEL_BSP_SCHEDULE_DELAY", "100").ready().await;
    let run = Run::of("fixture-version");
    assert_eq!(start(&baton, &run).version(&baton).await, "1");
    let span = collector.span("fixture-version", |_| true).await;
    assert_eq!(
        (span.trace.as_str(), span.parent.as_str()),
        (TRACE, PARENT),
        "{span:#?}"
    );
    assert_eq!(span.service, "baton");
    let wanted = [
        ("baton.function", "fixture-version"),
        ("baton.run", run.id.as_str()),
        ("baton.step", "step"),
        ("baton.attempt", "0"),
        ("baton.generation", "1"),
        ("baton.isolate", "0"),
        ("http.response.status_code", "200"),
    ];
    for (name, value) in wanted {
        assert_eq!(
            span.attributes.get(name).map(String::as_str),
            Some(value),
            "{name}: {span:#?}"
        );
    }
    assert!(!span.failed && span.nanos > 0, "{span:#?}");

    let failed = start(&baton, &Run::of("fixture-failing-function")).answer(&baton).await;
    assert_eq!(failed.status, 500, "{failed}");
    assert!(collector.span("fixture-failing-function", |_| true).await.failed);

    let first = collector
        .span("reload", |span| span.attributes["baton.outcome"] == "activated")
        .await;
    assert!(first.parent.is_empty() && first.nanos > 1_000_000, "{first:#?}");
    project.write("functions/broken.ts", "export const = 1;");
    assert_eq!(baton.reload().await.http, 422);
    let rejected = collector
        .span("reload", |span| span.attributes["baton.outcome"] == "rejected")
        .await;
    assert!(rejected.failed, "{rejected:#?}");
    project.remove("functions/broken.ts");

    // The spans that are left are sent at the end, however long a batch may wait.
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_canary_is_a_span_once_it_ended_and_an_error_where_it_failed() {
    let collector = Collector::start().await;
    let project = canary::project(canary::GOOD);
    let launch = Baton::start(&project).env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let baton = launch.env("OTEL_BSP_SCHEDULE_DELAY", "100").ready().await;
    canary::write(&project, canary::GOOD, "2");
    canary::begin(&baton, 10).await;
    assert_eq!(canary::tell(&baton, "abort").await, 200);
    let of = |outcome: &'static str| collector.span("canary", move |span| span.attributes["baton.outcome"] == outcome);
    let aborted = of("taken_back").await;
    assert!(!aborted.failed, "{aborted:#?}");
    assert_eq!(aborted.attributes["baton.canary.because"], "a person aborted it");

    canary::write(&project, canary::THROWS, "3");
    let generation = canary::begin(&baton, 20).await;
    canary::end_runs(&baton, 1).await;
    let failed = collector.span("canary", |span| span.failed).await;
    for (name, value) in [
        ("baton.outcome", "taken_back"),
        ("baton.generation", generation.to_string().as_str()),
        ("baton.function", "fixture-tried"),
    ] {
        assert_eq!(failed.attributes[name], value, "{name}: {failed:#?}");
    }
    assert!(failed.nanos > 1_000_000, "{failed:#?}");
}

#[tokio::test]
async fn what_user_code_traces_is_below_the_span_of_its_call_and_the_last_spans_are_sent_at_the_end() {
    let collector = Collector::start().await;
    let project = Project::new();
    project.write("serve.ts", TRACED);
    let launch = Baton::dev_on(&project, "serve.ts").env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let launch = launch.env("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    let mut baton = launch.env("OTEL_SERVICE_NAME", "my-functions").ready().await;
    let call = Call::new("GET", "/anything")
        .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
        .header("tracestate", "vendor=1");
    let mine = call.answer(&baton.door()).await.json();
    assert_eq!(
        (&mine["trace"], &mine["state"]),
        (&json!(TRACE), &json!("vendor=1")),
        "{mine:#}"
    );
    let unsampled = Call::new("GET", "/anything").header("traceparent", &format!("00-{TRACE}-{PARENT}-00"));
    assert_eq!(unsampled.answer(&baton.door()).await.json()["trace"], TRACE);
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
    let span = collector
        .span("request", |span| mine["parent"] == span.id.as_str())
        .await;
    assert_eq!(
        (span.trace.as_str(), span.parent.as_str()),
        (TRACE, PARENT),
        "{span:#?}"
    );
    assert_eq!(span.service, "my-functions");
}

#[tokio::test]
async fn without_a_collector_requests_pass_as_they_came_and_a_dead_one_costs_no_call() {
    let project = Project::new();
    project.write("serve.ts", TRACED);
    let baton = Baton::dev_on(&project, "serve.ts").ready().await;
    let call = || Call::new("GET", "/anything").header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(call().answer(&baton.door()).await.json()["parent"], PARENT);

    let project = Project::new();
    let launch = Baton::dev(&project).env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let mut baton = launch.env("OTEL_BSP_SCHEDULE_DELAY", "50").ready().await;
    for _ in 0..5 {
        assert_eq!(version_of(&baton, "version").await, "1");
    }
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));

    let project = Project::new();
    let wrong = Baton::dev(&project)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "no url")
        .to_the_end()
        .await;
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.stderr.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{wrong:?}");
}

#[tokio::test]
async fn the_spans_of_a_host_of_releases_name_the_release() {
    let collector = Collector::start().await;
    let project = Project::to_push();
    project.write("functions/order.ts", ORDER);
    let Some(registry) = Registry::start(project.scratch()).await else {
        return;
    };
    let reference = registry.reference("acme/jobs:production");
    let push = Cli::within(project.root())
        .env("INNGEST_DEV", "1")
        .env("BATON_CODE_CACHE", project.code_cache());
    let pushed = push.baton(&["push", &reference, "--json"]).await;
    assert_eq!(pushed.code, Some(0), "{pushed}");
    let digest = pushed.json()["digest"].as_str().expect("a digest").to_owned();
    let host = Project::without_packages();
    let launch = Baton::start_release(&host, &reference).env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let launch = launch.env("INNGEST_DEV", "1").env("OTEL_BSP_SCHEDULE_DELAY", "100");
    let baton = launch.ready().await;
    let answer = baton.executor().discover(&Run::of("shop-order")).await;
    assert_eq!(answer.expect("an answer").status, 206);
    for span in [
        collector.span("shop-order", |_| true).await,
        collector.span("reload", |_| true).await,
    ] {
        let of = |name: &str| span.attributes.get(name).map(String::as_str);
        assert_eq!(of("baton.release"), Some(digest.as_str()), "{span:#?}");
        assert_eq!(of("baton.release.reference"), Some(reference.as_str()), "{span:#?}");
    }
}

const ORDER: &str = r#"import { Inngest } from "inngest";
const inngest = new Inngest({ id: "shop" });
export const order = inngest.createFunction(
  { id: "order", triggers: [{ event: "shop/order" }] },
  async ({ step }) => step.run("answer", () => "order"),
);
"#;
