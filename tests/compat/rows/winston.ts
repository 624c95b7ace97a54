// packages: winston
import { readFile } from "node:fs/promises";
import winston from "winston";
import { row } from "../row";

export default row({ lines: [{ level: "info", message: "hello", a: 1 }, { level: "error", message: "lost" }] }, async ({ scratch }) => {
  const filename = `${scratch}/winston.log`;
  const file = new winston.transports.File({ filename });
  const log = winston.createLogger({ format: winston.format.json(), transports: [file, new winston.transports.Console()] });
  log.info("hello", { a: 1 });
  log.error("lost");
  const written = new Promise((resolve) => file.once("finish", resolve));
  log.end();
  await written;
  const lines = (await readFile(filename, "utf8")).trim().split("\n");
  return { lines: lines.map((line) => JSON.parse(line)) };
});
