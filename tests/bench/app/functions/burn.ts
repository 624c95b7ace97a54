/** Holds its thread for as many milliseconds as the event says. */
import { inngest } from "../lib/client.ts";

export const burn = inngest.createFunction(
  { id: "burn", retries: 3, checkpointing: false, triggers: [{ event: "bench/burn" }] },
  async ({ event, step }) =>
    step.run("burn", () => {
      const until = performance.now() + event.data.ms;
      while (performance.now() < until);
      return "burnt";
    }),
);
