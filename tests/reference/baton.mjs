#!/usr/bin/env node
// Not Baton: the SDK alone, under Node. It takes the arguments of
// `baton dev FOLDER` and serves the folder's functions with the project's own
// `inngest`, and nothing else. The tests in `tests/black_box/protocol.rs` pass
// against it too, which is how we know that they expect what the SDK does:
//
//     npm ci --prefix tests/reference
//     BATON_BIN=$PWD/tests/reference/baton.mjs cargo nextest run -p baton-tests protocol

import { readdirSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { register } from "tsx/esm/api";

register();

const folder = resolve(process.argv[3]);
const packages = join(dirname(folder), "node_modules");
const load = (file) => import(pathToFileURL(file).href);

const { serve } = await load(join(packages, "inngest/edge.js"));
const functions = new Set();
for (const file of readdirSync(folder).sort()) {
  const exported = Object.values(await load(join(folder, file)));
  for (const value of exported) if (value?.createExecution) functions.add(value);
}
const [{ client }] = functions;
const handler = serve({ client, functions: [...functions] });

const server = createServer(async (incoming, outgoing) => {
  if (incoming.url === "/-/ready") return outgoing.end(JSON.stringify({ ready: true }));
  const chunks = await incoming.toArray();
  const body = ["GET", "HEAD"].includes(incoming.method) ? undefined : Buffer.concat(chunks);
  try {
    const answer = await handler(
      new Request(`http://${incoming.headers.host}${incoming.url}`, {
        method: incoming.method,
        headers: Object.entries(incoming.headers).filter(([name]) => name !== "connection"),
        body,
      }),
    );
    outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
    outgoing.end(await answer.text());
  } catch (error) {
    // The SDK rejects when the body is no JSON.
    outgoing.writeHead(500, { "content-type": "application/json" });
    outgoing.end(JSON.stringify({ message: String(error) }));
  }
});
server.listen(0, "127.0.0.1", () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  console.error(JSON.stringify({ timestamp: new Date(), level: "INFO", message: "listening", url }));
});
