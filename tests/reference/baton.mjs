#!/usr/bin/env node
// Not Baton: the SDK alone, under Node. It takes the arguments of
// `baton dev FOLDER` and serves the folder's functions with the project's own
// `inngest`, and nothing else. `tests/black_box/differential.rs` compares Baton
// with it. The tests in `tests/black_box/protocol.rs` pass against it too, which
// is how we know that they expect what the SDK does:
//
//     npm ci --prefix tests/reference
//     BATON_BIN=$PWD/tests/reference/baton.mjs cargo nextest run -p baton-tests protocol

import { readdirSync } from "node:fs";
import { createServer } from "node:http";
import { basename, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

const folder = resolve(process.argv[3]);
const project = dirname(folder);
const load = (file) => import(pathToFileURL(file).href);

// Built as one builds for Node: the project's own files are put together, packages are left to Node.
const built = join(project, ".node", basename(folder));
const sources = readdirSync(folder).sort();
await build({
  entryPoints: sources.map((file) => join(folder, file)),
  outdir: built,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  splitting: true,
  packages: "external",
  platform: "node",
  format: "esm",
  target: "node20",
  keepNames: true,
  sourcemap: "inline",
});
process.setSourceMapsEnabled(true);

const { serve } = await load(join(project, "node_modules/inngest/edge.js"));
const functions = new Set();
for (const file of sources) {
  for (const value of Object.values(await load(join(built, file.replace(/\.ts$/, ".mjs")))).flat()) {
    if (value?.[Symbol.toStringTag] === "Inngest.Function") functions.add(value);
  }
}
// A client is an app; the only one has the short URL too.
const apps = new Map();
for (const fn of functions) apps.set(fn.client.id, [...(apps.get(fn.client.id) ?? []), fn]);
const handlers = new Map();
for (const [id, functions] of apps) {
  const handler = serve({ client: functions[0].client, functions });
  handlers.set(`/api/inngest/${id}`, handler);
  if (apps.size === 1) handlers.set("/api/inngest", handler);
}

const server = createServer(async (incoming, outgoing) => {
  if (incoming.url === "/-/ready") return outgoing.end(JSON.stringify({ ready: true }));
  const handler = handlers.get(incoming.url.split("?")[0]);
  if (!handler) return outgoing.writeHead(404).end();
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
    outgoing.end(Buffer.from(await answer.arrayBuffer()));
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
