// packages: pino
// title: pino
import { readFile } from "node:fs/promises";
import pino from "pino";
import { row } from "../row";

export default row({ lines: [{ level: 30, a: 1, msg: "hello" }, { level: 50, err: "Error: lost", secret: "[Redacted]" }] }, async ({ scratch }) => {
  const file = `${scratch}/pino.log`;
  const destination = pino.destination({ dest: file, sync: true });
  const log = pino({ base: null, timestamp: false, redact: ["secret"] }, destination);
  log.debug("not said");
  log.info({ a: 1 }, "hello");
  log.error({ err: new Error("lost"), secret: "x" });
  destination.flushSync();
  destination.end();
  const lines = (await readFile(file, "utf8")).trim().split("\n").map((line) => JSON.parse(line));
  if (lines[1]?.err) {
    lines[1].err = lines[1].err.stack.split("\n")[0];
    delete lines[1].msg;
  }
  return { lines };
});
