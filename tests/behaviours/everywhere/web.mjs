// Fetch and its relatives, streams, the network on the loopback, messages.

import http from "node:http";
import net from "node:net";
import dns from "node:dns/promises";
import { PassThrough, pipeline, Readable, Transform, Writable } from "node:stream";
import { finished, pipeline as piped } from "node:stream/promises";
import { text as textOf } from "node:stream/consumers";

/** Calls with the URL of a server that answers what `answer` does. */
async function served(answer, act) {
  const server = http.createServer(answer);
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  try {
    return await act(`http://127.0.0.1:${server.address().port}`);
  } finally {
    server.closeAllConnections?.();
    server.close();
  }
}

const bodyOf = async (request) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  return body;
};

export default {
  Headers: () => {
    const headers = new Headers([
      ["B", "1"],
      ["a", "x"],
      ["b", "2"],
      ["Set-Cookie", "a=1"],
    ]);
    headers.append("set-cookie", "b=2");
    return [[...headers], headers.get("B"), headers.has("A"), headers.getSetCookie()];
  },
  "malformed Headers": () => {
    try {
      new Headers({ "a b": "x" });
    } catch (error) {
      return error.name;
    }
  },
  Request: async () => {
    const request = new Request("http://x/y", { method: "post", body: "text", headers: { "x-a": "1" } });
    const copy = request.clone();
    return [
      request.method,
      request.url,
      request.headers.get("content-type"),
      request.headers.get("x-a"),
      await request.text(),
      await copy.text(),
      request.bodyUsed,
    ];
  },
  Response: async () => {
    const response = Response.json({ a: 1 }, { status: 201, headers: { "x-b": "2" } });
    return [
      response.status,
      response.ok,
      response.headers.get("content-type"),
      await response.json(),
      Response.redirect("http://x/", 302).headers.get("location"),
      Response.error().type,
      new Response(null, { status: 204 }).body,
    ];
  },
  "Response: a body is read once": async () => {
    const response = new Response("x");
    await response.text();
    return response.text().catch((error) => error.name);
  },
  "Response: an invalid status": () => {
    try {
      new Response("", { status: 99 });
    } catch (error) {
      return error.name;
    }
  },
  FormData: async () => {
    const form = new FormData();
    form.append("a", "1");
    form.append("f", new File(["content"], "f.txt", { type: "text/plain" }));
    const read = await new Response(form).formData();
    return [read.get("a"), read.get("f").name, read.get("f").type, await read.get("f").text()];
  },
  "Blob and File": async () => {
    const blob = new Blob(["ab", new Uint8Array([99])], { type: "Text/Plain" });
    const file = new File([blob], "x", { lastModified: 5 });
    return [
      blob.size,
      blob.type,
      await blob.slice(1, 2).text(),
      file.name,
      file.lastModified,
      await file.arrayBuffer(),
      (await blob.bytes?.())?.length,
    ];
  },
  "fetch: a request and its answer": async () =>
    served(
      async (request, response) => {
        const body = await bodyOf(request);
        response.writeHead(201, "Made", { "content-type": "text/x", "x-y": "z" });
        response.end(`${request.method} ${request.url} ${request.headers["x-a"]} ${body}`);
      },
      async (url) => {
        const response = await fetch(`${url}/p?q=1`, { method: "PUT", body: "sent", headers: { "X-A": "b" } });
        return [
          response.status,
          response.statusText,
          response.headers.get("x-y"),
          await response.text(),
          response.redirected,
        ];
      },
    ),
  "fetch: a redirect": async () =>
    served(
      (request, response) =>
        request.url === "/a" ? response.writeHead(302, { location: "/b" }).end() : response.end(request.url),
      async (url) => {
        const followed = await fetch(`${url}/a`);
        const manual = await fetch(`${url}/a`, { redirect: "manual" });
        return [await followed.text(), followed.redirected, manual.status, manual.headers.get("location")];
      },
    ),
  "fetch: aborted": async () =>
    served(
      () => {},
      async (url) => fetch(url, { signal: AbortSignal.timeout(30) }).catch((error) => error.name),
    ),
  "fetch: a closed port": async () =>
    fetch("http://127.0.0.1:1").catch((error) => [error.name, error.cause?.code ?? error.code]),
  "fetch: a stream of chunks": async () =>
    served(
      (_, response) => {
        response.write("one ");
        setTimeout(() => response.end("two"), 10);
      },
      async (url) => {
        const { body } = await fetch(url);
        return (await Array.fromAsync(body, (chunk) => new TextDecoder().decode(chunk))).join("");
      },
    ),
  "fetch: a body that streams": async () =>
    served(
      async (request, response) => response.end(await bodyOf(request)),
      async (url) => {
        const body = new ReadableStream({
          start(controller) {
            controller.enqueue(new TextEncoder().encode("streamed"));
            controller.close();
          },
        });
        return (await fetch(url, { method: "POST", body, duplex: "half" })).text();
      },
    ),
  "fetch: data and blob URLs": async () => [
    await (await fetch("data:text/plain,hi%20there")).text(),
    await (await fetch(URL.createObjectURL(new Blob(["blob"])))).text(),
  ],
  "http.request": async () =>
    served(
      (request, response) => response.setHeader("x-a", ["1", "2"]).end(request.method),
      async (url) =>
        new Promise((done, fail) => {
          http
            .get(url, async (response) =>
              done([response.statusCode, response.headers["x-a"], await textOf(response), response.httpVersion]),
            )
            .on("error", fail);
        }),
    ),
  net: async () => {
    const server = net.createServer((socket) => socket.on("data", (data) => socket.end(`got ${data}`)));
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
    const socket = net.connect(server.address().port, "127.0.0.1");
    socket.write("hi");
    const said = await textOf(socket);
    server.close();
    return [said, net.isIP("::1"), net.isIPv4("1.2.3.4")];
  },
  "dns.lookup of localhost": async () => (await dns.lookup("localhost", { family: 4 })).address,
  "ReadableStream: tee and cancel": async () => {
    const [a, b] = new Response("teed").body.tee();
    let reason;
    const stream = new ReadableStream({ cancel: (why) => (reason = why) });
    await stream.cancel("enough");
    return [await new Response(a).text(), await new Response(b).text(), reason, stream.locked];
  },
  "TransformStream and pipeThrough": async () => {
    const upper = new TransformStream({ transform: (chunk, controller) => controller.enqueue(chunk.toUpperCase()) });
    return Array.fromAsync(new Response("abc").body.pipeThrough(new TextDecoderStream()).pipeThrough(upper));
  },
  CompressionStream: async () =>
    new Response(
      new Response("squeezed").body
        .pipeThrough(new CompressionStream("gzip"))
        .pipeThrough(new DecompressionStream("gzip")),
    ).text(),
  "ReadableStream.from": async () => Array.fromAsync(ReadableStream.from([1, 2, 3])),
  "node streams: a pipeline": async () => {
    const upper = new Transform({ transform: (chunk, _, done) => done(null, String(chunk).toUpperCase()) });
    const chunks = [];
    await piped(
      Readable.from(["a", "b"]),
      upper,
      new Writable({ write: (chunk, _, done) => (chunks.push(String(chunk)), done()) }),
    );
    return chunks;
  },
  "node streams: an error": async () => {
    const broken = new Readable({
      read: function () {
        this.destroy(new Error("broken"));
      },
    });
    return new Promise((done) =>
      pipeline(broken, new PassThrough(), (error) => done([error.message, broken.destroyed])),
    );
  },
  "node streams: helpers": async () => [
    await Readable.from([1, 2, 3, 4])
      .filter((n) => n % 2 === 0)
      .map((n) => n * 10)
      .toArray(),
    await Readable.from([1, 2]).reduce((a, b) => a + b, 0),
  ],
  "node streams: to the web and back": async () => {
    const web = Readable.toWeb(Readable.from([Buffer.from("x"), Buffer.from("y")]));
    return textOf(Readable.fromWeb(web));
  },
  "node streams: backpressure": async () => {
    const slow = new Writable({ highWaterMark: 2, write: (_, __, done) => setTimeout(done, 1) });
    const said = [slow.write("a"), slow.write("b"), slow.writableNeedDrain];
    slow.end();
    await finished(slow);
    return [...said, slow.writableFinished];
  },
  MessageChannel: async () => {
    const { port1, port2 } = new MessageChannel();
    const heard = new Promise((done) => (port2.onmessage = ({ data }) => done(data)));
    port1.postMessage({ a: new Map([[1, 2]]) });
    const said = await heard;
    port1.close();
    return said;
  },
  BroadcastChannel: async () => {
    const [a, b] = [new BroadcastChannel("baton"), new BroadcastChannel("baton")];
    const heard = new Promise((done) => (b.onmessage = ({ data }) => done(data)));
    a.postMessage("said");
    const said = await heard;
    a.close();
    b.close();
    return said;
  },
  "kinds of globals": () =>
    [
      "fetch",
      "WebSocket",
      "EventSource",
      "crypto",
      "performance",
      "navigator",
      "localStorage",
      "Worker",
      "URLPattern",
      "WebAssembly",
      "FinalizationRegistry",
      "SharedArrayBuffer",
      "global",
      "require",
      "window",
      "self",
      "Deno",
      "Bun",
      "process",
      "Buffer",
      "setImmediate",
      "alert",
      "Float16Array",
    ].map((name) => [name, typeof globalThis[name]]),
  WebAssembly: async () => {
    const bytes = new Uint8Array([
      0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0, 10, 9,
      1, 7, 0, 32, 0, 32, 1, 106, 11,
    ]);
    const { instance } = await WebAssembly.instantiate(bytes);
    return instance.exports.add(2, 3);
  },
};
