// packages: ioredis
// needs: redis
import { Redis } from "ioredis";
import { row } from "../row";

export default row(
  { pong: "PONG", ada: "36", both: [[null, 1], [null, 2]], scanned: 20, heard: ["news", "hello"], script: 5 },
  async ({ redis: url }) => {
    const redis = new Redis(url);
    const subscriber = redis.duplicate();
    try {
      await redis.flushdb();
      await redis.hset("people", { ada: 36 });
      const both = await redis.pipeline().incr("n").incr("n").exec();
      await redis.mset(Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`key:${n}`, n])));
      let scanned = 0;
      for await (const keys of redis.scanStream({ match: "key:*", count: 5 })) scanned += keys.length;
      const heard = new Promise((resolve) => subscriber.on("message", (...message) => resolve(message)));
      await subscriber.subscribe("news");
      await redis.publish("news", "hello");
      return {
        pong: await redis.ping(),
        ada: await redis.hget("people", "ada"),
        both,
        scanned,
        heard: await heard,
        script: await redis.eval("return redis.call('INCRBY', KEYS[1], ARGV[1])", 1, "n", 3),
      };
    } finally {
      subscriber.disconnect();
      redis.disconnect();
    }
  },
);
