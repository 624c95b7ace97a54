import { inngest } from "./client";

/** Greets somebody. What a step returns is kept: a retry goes on after it. */
export const hello = inngest.createFunction(
  { id: "hello", retries: 3 },
  { event: "demo/hello" },
  async ({ event, step }) => {
    const greeting = await step.run("greet", () => `Hello, ${event.data.name}!`);
    await step.sleep("take-a-breath", "1s");
    return { greeting };
  },
);
