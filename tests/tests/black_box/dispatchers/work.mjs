// Requests of the global `fetch` by way of dispatchers of the package undici, and what comes of them: of the `fetch` of
// undici under Node, and of Baton's it is to be the same.

import { createServer } from "node:http";
import { connect } from "node:net";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import {
  Agent,
  EnvHttpProxyAgent,
  MockAgent,
  Pool,
  ProxyAgent,
  RetryAgent,
  getGlobalDispatcher,
  interceptors,
  setGlobalDispatcher,
} from "undici";

const COMPRESSED = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync };

const listen = (server) => new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));

async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Answers with what it was asked, and in the ways that the paths name. */
async function originServer() {
  let failures = 0;
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    const [, way, detail] = pathname.split("/");
    if (way === "hangs") return;
    if (way === "breaks") return response.writeHead(200, { "content-length": "100" }).write("begun", () => response.destroy());
    if (way === "fails" && failures++ === 0) return response.writeHead(503).end();
    const body = await bodyOf(request);
    if (way === "redirect") {
      return response.writeHead(Number(detail), { location: searchParams.get("to") ?? "/echo" }).end("moved");
    }
    if (way === "loop") return response.writeHead(302, { location: "/loop" }).end();
    if (COMPRESSED[way]) {
      return response.writeHead(200, { "content-encoding": way }).end(COMPRESSED[way]("compressed ".repeat(20_000)));
    }
    if (way === "twice") {
      return response.writeHead(200, { "content-encoding": "gzip, br" }).end(brotliCompressSync(gzipSync("twice")));
    }
    if (way === "status") return response.writeHead(Number(detail), { "x-detail": detail }).end();
    if (way === "cookies") return response.writeHead(200, ["Set-Cookie", "a=1", "Set-Cookie", "b=2"]).end();
    if (way === "drip") {
      response.write("one ");
      setTimeout(() => response.end("two"), 20);
      return;
    }
    const { authorization, cookie, "content-type": type = null, "content-length": length = null } = request.headers;
    const sized = { length, chunked: request.headers["transfer-encoding"] ?? null };
    const told = { method: request.method, path: request.url, authorization, cookie, ...sized };
    const kind = type?.startsWith("multipart") ? { type: "multipart", names: [...String(body).matchAll(/name="(.*?)"/g)].map(([, name]) => name) } : { type, body: String(body) };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ ...told, ...kind }));
  });
  return { server, port: await listen(server) };
}

function proxyServer() {
  const proxy = createServer((request, response) => response.writeHead(400).end());
  proxy.through = 0;
  proxy.on("connect", (request, socket) => {
    proxy.through += 1;
    const [host, port] = request.url.split(":");
    const upstream = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      upstream.pipe(socket).pipe(upstream);
    });
    for (const end of [socket, upstream]) end.on("error", () => {});
  });
  return proxy;
}

/** An error, but for the words of web APIs. */
const told = ({ name, message, cause }) => ({ name, message: name === "AbortError" ? null : message, cause: cause?.code ?? cause?.name ?? null });

async function seen(response) {
  const { status, redirected, type, url, ok } = response;
  const isResponse = response instanceof Response;
  return { status, ok, redirected, type, isResponse, url: new URL(url).pathname, text: await response.text() };
}

/** The result of each request, by a name. */
export async function work() {
  const { server, port } = await originServer();
  const other = await originServer();
  const proxy = proxyServer();
  const uri = `http://127.0.0.1:${await listen(proxy)}`;
  const origin = `http://127.0.0.1:${port}`;
  const dispatcher = new Agent();
  const results = {};
  const note = async (name, act) => {
    results[name] = await Promise.resolve().then(act).catch(told);
  };
  const by = (path, init) => fetch(`${origin}${path}`, { dispatcher, ...init });

  for (const [name, body] of Object.entries({
    "no body": undefined,
    text: "hello",
    bytes: new Uint8Array([104, 105]),
    parameters: new URLSearchParams({ a: "1" }),
    blob: new Blob(["blob"], { type: "text/x" }),
  })) {
    await note(`a request: ${name}`, async () => (await by("/echo?q=1#h", { method: body === undefined ? "GET" : "POST", body })).json());
  }
  await note("a request: a form", async () => {
    const body = new FormData();
    body.append("name", "Ada");
    body.append("file", new Blob(["text"]), "file.txt");
    const { length, ...rest } = await (await by("/echo", { method: "POST", body })).json();
    return { ...rest, hasLength: length !== null };
  });
  await note("a request: a stream", async () => {
    const body = new ReadableStream({
      async start(controller) {
        for (const text of ["a", "b"]) {
          await new Promise((resolve) => setTimeout(resolve, 5));
          controller.enqueue(new TextEncoder().encode(text));
        }
        controller.close();
      },
    });
    return (await by("/echo", { method: "POST", body, duplex: "half" })).json();
  });
  await note("a request object", async () => {
    const mock = new MockAgent();
    mock.disableNetConnect();
    mock.get("http://mock.test").intercept({ path: "/", method: "POST", body: "text" }).reply(200, "mocked").times(3);
    const request = () => new Request("http://mock.test/", { method: "POST", body: "text", dispatcher: mock });
    const answers = [await fetch(request()), await fetch(request().clone()), await fetch(new Request(request()))];
    return Promise.all(answers.map((answer) => answer.text()));
  });

  for (const status of [301, 302, 303, 307, 308]) {
    await note(`a redirect: ${status}`, async () => {
      const answer = await by(`/redirect/${status}`, { method: "POST", body: "kept", headers: { authorization: "secret" } });
      return seen(answer);
    });
  }
  await note("a redirect to another origin", async () => {
    const to = encodeURIComponent(`http://127.0.0.1:${other.port}/echo`);
    return seen(await by(`/redirect/302?to=${to}`, { headers: { authorization: "secret", cookie: "a=1" } }));
  });
  await note("a redirect, manual", async () => {
    const answer = await by("/redirect/302", { redirect: "manual" });
    return { status: answer.status, location: answer.headers.get("location"), text: await answer.text() };
  });
  await note("a redirect, refused", () => by("/redirect/302", { redirect: "error" }));
  await note("a redirect to another scheme", () => by(`/redirect/302?to=${encodeURIComponent("ftp://host/")}`));
  await note("redirects without end", () => by("/loop"));

  for (const coding of [...Object.keys(COMPRESSED), "twice"]) {
    await note(`compressed: ${coding}`, async () => {
      const answer = await by(`/${coding}`);
      const text = await answer.text();
      return { length: text.length, begin: text.slice(0, 10), coding: answer.headers.get("content-encoding") };
    });
  }
  for (const status of [204, 304, 404, 500]) await note(`an answer: ${status}`, async () => seen(await by(`/status/${status}`)));
  await note("an answer: to HEAD", async () => seen(await by("/gzip", { method: "HEAD" })));
  await note("an answer: cookies", async () => (await by("/cookies")).headers.getSetCookie());
  await note("an answer: a clone", async () => {
    const answer = await by("/drip");
    return [await answer.clone().text(), await answer.text()];
  });
  await note("an answer: in parts", async () => {
    const parts = [];
    for await (const part of (await by("/drip")).body) parts.push(Buffer.from(part).toString());
    return parts.join("");
  });
  await note("an answer: given up", async () => {
    const reader = (await by("/drip")).body.getReader();
    await reader.read();
    await reader.cancel();
    return "cancelled";
  });
  await note("an answer: broken off", async () => {
    const answer = await by("/breaks");
    await answer.text();
  });

  await note("aborted: before", () => by("/echo", { signal: AbortSignal.abort() }));
  await note("aborted: with a reason", () => by("/echo", { signal: AbortSignal.abort(new Error("mine")) }));
  await note("aborted: meanwhile", () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 20);
    return by("/hangs", { signal: controller.signal });
  });
  await note("aborted: by a timeout", () => by("/hangs", { signal: AbortSignal.timeout(20) }));
  await note("aborted: while the answer is read", async () => {
    const controller = new AbortController();
    const answer = await by("/drip", { signal: controller.signal });
    controller.abort();
    await answer.text();
  });
  const closed = await originServer();
  await new Promise((resolve) => closed.server.close(resolve));
  await note("nobody listens", () => fetch(`http://127.0.0.1:${closed.port}/x`, { dispatcher }));
  await note("a malformed URL", () => fetch("nonsense", { dispatcher }).catch((error) => ({ name: error.name })));
  await note("data", async () => (await fetch("data:text/plain,hello", { dispatcher })).text());

  const counted = async (name, act) => {
    const before = proxy.through;
    await note(name, act);
    results[name] = [results[name], proxy.through > before ? "through" : "past"];
  };
  const text = async (answer) => (await answer).text();
  const proxied = new ProxyAgent({ uri, proxyTunnel: true });
  const before = getGlobalDispatcher();
  await counted("a proxy: in the options", () => text(fetch(`${origin}/drip`, { dispatcher: proxied })));
  setGlobalDispatcher(proxied);
  await counted("a proxy: for all", () => text(fetch(`${origin}/drip`)));
  setGlobalDispatcher(before);
  await counted("a proxy: no more", () => text(fetch(`${origin}/drip`)));
  Object.assign(process.env, { http_proxy: uri, no_proxy: "localhost" });
  const ofEnvironment = new EnvHttpProxyAgent({ proxyTunnel: true });
  setGlobalDispatcher(ofEnvironment);
  await counted("a proxy: of the environment", () => text(fetch(`${origin}/drip`)));
  await counted("a proxy: of the environment, not for this host", () => text(fetch(`http://localhost:${port}/drip`)));
  setGlobalDispatcher(before);
  for (const name of ["http_proxy", "no_proxy"]) delete process.env[name];

  const mock = new MockAgent();
  mock.disableNetConnect();
  setGlobalDispatcher(mock);
  const pool = mock.get("http://mock.test");
  pool.intercept({ path: "/json", method: "POST", body: (body) => JSON.parse(body).a === 1 }).reply(201, { b: 2 }, { headers: { "x-m": "1" } });
  pool.intercept({ path: "/moved" }).reply(302, "", { headers: { location: "/there" } });
  pool.intercept({ path: "/there" }).reply(200, "there");
  pool.intercept({ path: "/breaks" }).replyWithError(new Error("broken"));
  await note("a mock", async () => {
    const answer = await fetch("http://mock.test/json", { method: "POST", body: JSON.stringify({ a: 1 }) });
    return [answer.status, answer.headers.get("x-m"), await answer.json()];
  });
  await note("a mock: a redirect", async () => seen(await fetch("http://mock.test/moved")));
  await note("a mock: an error", () => fetch("http://mock.test/breaks"));
  await note("a mock: nothing of the kind", () => fetch("http://mock.test/other").catch((error) => ({ name: error.name, cause: error.cause?.code })));
  setGlobalDispatcher(before);

  await note("a pool", async () => seen(await fetch(`${origin}/drip`, { dispatcher: new Pool(origin, { connections: 1 }) })));
  await note("retries", async () => seen(await fetch(`${origin}/fails`, { dispatcher: new RetryAgent(new Agent(), { minTimeout: 1 }) })));
  await note("interceptors", async () => {
    const paths = [];
    const watched = new Agent().compose((dispatch) => (options, handler) => (paths.push(options.path), dispatch(options, handler)), interceptors.retry());
    await text(fetch(`${origin}/redirect/302`, { dispatcher: watched }));
    return paths;
  });
  for (const server_ of [server, other.server, proxy]) server_.closeAllConnections(), server_.close();
  return results;
}
