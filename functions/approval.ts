/** A run that waits for a person: approved, rejected, or nobody answered in time. */
import { eventType } from "inngest";
import { z } from "zod";
import { inngest } from "./client.ts";

const approvalRequested = eventType("demo/approval.requested", {
  schema: z.object({
    requestId: z.string().min(1),
    title: z.string().min(1),
    /** An hour when absent. */
    waitSeconds: z.number().int().positive().optional(),
  }),
});

const approvalDecided = eventType("demo/approval.decided", {
  schema: z.object({
    requestId: z.string().min(1),
    approved: z.boolean(),
    by: z.string().optional(),
  }),
});

export const approval = inngest.createFunction(
  { id: "approval", retries: 3, triggers: [approvalRequested] },
  async ({ event, step }) => {
    const { requestId, title, waitSeconds = 3600 } = event.data;

    await step.run("ask", () => {
      console.log(`approval: "${title}" waits for a decision on ${requestId}`);
    });

    // `event` is the request that started this run, `async` the event that may end the wait.
    const decision = await step.waitForEvent("decision", {
      event: approvalDecided,
      if: "async.data.requestId == event.data.requestId",
      timeout: waitSeconds * 1000,
    });

    if (!decision) return { requestId, status: "timed-out" as const };

    const { approved, by = "somebody" } = decision.data;
    return { requestId, status: approved ? ("approved" as const) : ("rejected" as const), by };
  },
);
