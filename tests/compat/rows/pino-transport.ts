// packages: pino
// title: pino with a transport in a worker thread
import { readFile } from "node:fs/promises";
import pino from "pino";
import { row } from "../row";

export default row({ level: 30, msg: "hello" }, async ({ scratch }) => {
  const file = `${scratch}/transport.log`;
  const transport = pino.transport({ target: "pino/file", options: { destination: file } });
  const ready = new Promise((resolve, reject) => transport.on("ready", resolve).on("error", reject));
  const log = pino({ base: null, timestamp: false }, transport);
  log.info("hello");
  await ready;
  await new Promise((resolve) => transport.once("close", resolve).end());
  return JSON.parse(await readFile(file, "utf8"));
});
