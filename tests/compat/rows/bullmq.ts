// packages: bullmq
// needs: redis
import { Queue, QueueEvents, Worker } from "bullmq";
import { row } from "../row";

export default row({ result: { doubled: 42 }, failed: "no", counts: { completed: 1, failed: 1 } }, async ({ redis }) => {
  const { hostname: host, port } = new URL(redis);
  const connection = { host, port: Number(port), maxRetriesPerRequest: null };
  const queue = new Queue<{ n: number }>("numbers", { connection });
  const events = new QueueEvents("numbers", { connection });
  const worker = new Worker<{ n: number }>(
    "numbers",
    async ({ data }) => {
      if (data.n < 0) throw new Error("no");
      return { doubled: data.n * 2 };
    },
    { connection },
  );
  try {
    await Promise.all([queue.obliterate({ force: true }), events.waitUntilReady(), worker.waitUntilReady()]);
    const good = await queue.add("double", { n: 21 });
    const bad = await queue.add("double", { n: -1 });
    const result = await good.waitUntilFinished(events);
    const failed = await bad.waitUntilFinished(events).catch((error) => error.message);
    return { result, failed, counts: await queue.getJobCounts("completed", "failed") };
  } finally {
    await Promise.all([worker.close(), events.close(), queue.close()]);
  }
});
