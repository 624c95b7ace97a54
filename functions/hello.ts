/** The smallest function: one validated event, one step. */
import { eventType } from "inngest";
import { z } from "zod";
import { inngest } from "./client.ts";

const greetingWanted = eventType("demo/hello", {
  schema: z.object({ name: z.string().min(1) }),
});

export const hello = inngest.createFunction(
  { id: "hello", retries: 3, triggers: [greetingWanted] },
  async ({ event, step }) => {
    const greeting = await step.run("greet", () => `Hello, ${event.data.name}!`);
    return { greeting };
  },
);
