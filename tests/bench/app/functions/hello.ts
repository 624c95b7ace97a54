/** One validated event, one step. */
import { eventType } from "inngest";
import { z } from "zod";
import { inngest } from "../lib/client.ts";

const greetingWanted = eventType("bench/hello", { schema: z.object({ name: z.string().min(1) }) });

export const hello = inngest.createFunction(
  { id: "hello", retries: 3, checkpointing: false, triggers: [greetingWanted] },
  async ({ event, step }) => {
    const greeting = await step.run("greet", () => `Hello, ${event.data.name}!`);
    return { greeting };
  },
);
