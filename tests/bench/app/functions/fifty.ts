/** Fifty steps, one after another. */
import { inngest } from "../lib/client.ts";

export const fifty = inngest.createFunction(
  { id: "fifty", retries: 3, checkpointing: false, triggers: [{ event: "bench/fifty" }] },
  async ({ step }) => {
    let sum = 0;
    for (let number = 0; number < 50; number++) sum += await step.run(`add ${number}`, () => number);
    return { sum };
  },
);
