// packages: @inngest/middleware-sentry, @sentry/node
import { sentryMiddleware } from "@inngest/middleware-sentry";
import * as Sentry from "@sentry/node";
import { Inngest } from "inngest";
import { row } from "../row";

const sent: unknown[] = [];
Sentry.init({
  dsn: "https://key@sentry.invalid/1",
  tracesSampleRate: 1,
  transport: () => ({
    send: async ([, items]) => {
      for (const [header] of items) sent.push(header.type);
      return { statusCode: 200 };
    },
    flush: async () => true,
  }),
});
const inngest = new Inngest({ id: "compat", middleware: [sentryMiddleware()] });

export default row(
  { sent: ["event"], active: true },
  async () => {
    const active = Sentry.getActiveSpan() !== undefined;
    Sentry.captureException(new Error("lost"));
    await Sentry.flush(1000);
    return { sent: sent.filter((type) => type === "event"), active };
  },
  inngest,
);
