// packages: @opentelemetry/sdk-node, @opentelemetry/api
import { context, SpanStatusCode, trace } from "@opentelemetry/api";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace";
import { row } from "../row";

export default row({ names: ["inner", "outer"], parent: true, failed: SpanStatusCode.ERROR, active: true }, async () => {
  const exporter = new InMemorySpanExporter();
  const processor = new SimpleSpanProcessor({ exporter });
  const sdk = new NodeSDK({
    serviceName: "compat",
    spanProcessors: [processor],
    instrumentations: [],
    metricReaders: [],
    logRecordProcessors: [],
  });
  sdk.start();
  const tracer = trace.getTracer("compat");
  const active = await tracer.startActiveSpan("outer", async (outer) => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    const active = trace.getSpan(context.active()) === outer;
    tracer.startActiveSpan("inner", (inner) => {
      inner.setStatus({ code: SpanStatusCode.ERROR });
      inner.end();
    });
    outer.end();
    return active;
  });
  await processor.forceFlush();
  const [inner, outer] = exporter.getFinishedSpans();
  await sdk.shutdown();
  return {
    names: [inner?.name, outer?.name],
    parent: inner?.parentSpanContext?.spanId === outer?.spanContext().spanId,
    failed: inner?.status.code,
    active,
  };
});
