import { inngest } from "../lib/client";

/** Never lets go of its thread, but not for ever: nothing is left spinning. */
export const spin = inngest.createFunction(
  { id: "spin", retries: 0, checkpointing: false, triggers: [{ event: "fixture/spin" }] },
  async ({ event }) => {
    while (Date.now() < event.data.until) {}
  },
);
