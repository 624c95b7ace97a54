/** A cron with parallel steps: each one is retried alone, the last one sees all results. */
import os from "node:os";
import { cron } from "inngest";
import { inngest } from "./client.ts";

const GIB = 1024 ** 3;

export const dailyDigest = inngest.createFunction(
  {
    id: "daily-digest",
    retries: 2,
    // The event makes the function triable at any hour.
    triggers: [cron("TZ=Europe/Berlin 0 8 * * 1-5"), { event: "demo/digest.requested" }],
  },
  async ({ step }) => {
    const [memory, load, uptime] = await Promise.all([
      step.run("memory", () => ({ free: os.freemem() / GIB, total: os.totalmem() / GIB })),
      step.run("load", () => ({ fiveMinutes: os.loadavg()[1] ?? 0, cores: os.cpus().length })),
      step.run("uptime", () => ({ days: os.uptime() / 86_400 })),
    ]);

    const digest = await step.run("summarise", () =>
      [
        `Memory: ${memory.free.toFixed(1)} of ${memory.total.toFixed(1)} GiB free`,
        `Load:   ${load.fiveMinutes.toFixed(2)} on ${load.cores} cores`,
        `Uptime: ${uptime.days.toFixed(1)} days`,
      ].join("\n"),
    );
    return { digest };
  },
);
