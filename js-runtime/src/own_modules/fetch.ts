// The global `fetch`, where user code says which way its requests take: by a `dispatcher` of the package undici, in the
// options or set for all by `setGlobalDispatcher`, as in Node, whose `fetch` is undici's; or by the proxies that its
// environment names. All other requests are Deno's, and so are the classes of requests and responses.
//
// A dispatcher sends one request and tells its answer. What makes a `fetch` of that is here: redirects, decompression,
// streams, aborts.

import process from "node:process";

/** Sends requests, as the classes of undici do. */
interface Dispatcher {
  dispatch(options: object, handler: Answering): boolean;
}

interface Controller {
  rawHeaders?: Uint8Array[] | string[] | null;
  abort(reason: unknown): void;
  pause(): void;
  resume(): void;
}

/** The answer to one request. */
interface Answer {
  status: number;
  statusText: string;
  headers: [string, string][];
  body: ReadableStream<Uint8Array>;
  decoded: boolean;
}

/** A request on its way: what redirects change. */
interface Hop {
  url: URL;
  method: string;
  headers: [string, string][];
  body: Body | null;
}

/** The insides of Deno's requests and responses. */
interface Body {
  source: unknown;
  length: number | null;
  streamOrStatic: ReadableStream<Uint8Array> | { body: Uint8Array | string };
}

/** Gives what one of Deno's requests or responses has inside. */
function inside(of: Request | Response, name: "request" | "response"): any {
  const symbol = Object.getOwnPropertySymbols(of).find(({ description }) => description === name);
  return (of as any)[symbol!];
}

const MAX_REDIRECTS = 20;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const BODYLESS = new Set([101, 103, 204, 205, 304]);
const OF_A_BODY = new Set(["content-encoding", "content-language", "content-location", "content-type", "content-length"]);
const OF_AN_ORIGIN = new Set(["authorization", "proxy-authorization", "cookie", "host"]);
/** The most encodings of one body that are undone. */
const MAX_ENCODINGS = 5;

const fetchOfDeno = globalThis.fetch;
const RequestOfDeno = globalThis.Request;
const cloneRequest = Request.prototype.clone;

/** The dispatchers of requests that were made with one. */
const dispatchers = new WeakMap<Request, Dispatcher>();

globalThis.fetch = function fetch(input: RequestInfo | URL, init?: RequestInit & { dispatcher?: Dispatcher; client?: unknown }) {
  const dispatcher = init?.dispatcher ?? dispatchers.get(input as Request) ?? globalDispatcher();
  if (dispatcher) return dispatched(dispatcher, input, init);
  const client = init?.client ? undefined : proxyClient(input);
  return client ? fetchOfDeno(input, { ...init, client } as RequestInit) : fetchOfDeno(...(arguments as unknown as [RequestInfo]));
};

globalThis.Request = new Proxy(RequestOfDeno, {
  construct(target, [input, init, ...rest], made) {
    const request = Reflect.construct(target, [input, init, ...rest], made);
    const dispatcher = init?.dispatcher ?? dispatchers.get(input);
    if (dispatcher) dispatchers.set(request, dispatcher);
    return request;
  },
});
Request.prototype.constructor = Request;
Request.prototype.clone = function () {
  const clone = Reflect.apply(cloneRequest, this, []);
  const dispatcher = dispatchers.get(this);
  if (dispatcher) dispatchers.set(clone, dispatcher);
  return clone;
};

// Deno's takes the client of a proxy, as its `fetch` does.
const WebSocketOfDeno = globalThis.WebSocket;
globalThis.WebSocket = new Proxy(WebSocketOfDeno, {
  construct(target, [url, init, ...rest], made) {
    const isList = typeof init === "string" || Array.isArray(init);
    const address = String(url).replace(/^ws/, "http");
    const client = init?.client || init?.dispatcher || !URL.canParse(address) ? undefined : proxyClient(address);
    const withClient = client ? { ...(isList ? { protocols: [init].flat() } : init), client } : init;
    return Reflect.construct(target, [url, withClient, ...rest], made);
  },
});
WebSocket.prototype.constructor = WebSocket;

// Undici and Node have a dispatcher for all under this symbol, whatever the version; from the eighth on undici has one of
// its own beside it. When it is loaded and finds none, it sets an agent that does what Deno does: that one is left aside.
const GLOBAL = Symbol.for("undici.globalDispatcher.1");
const GLOBAL_OF_8 = Symbol.for("undici.globalDispatcher.2");
const initial = new WeakSet<object>();

for (const name of [GLOBAL, GLOBAL_OF_8]) {
  Object.defineProperty(globalThis, name, {
    configurable: true,
    get: () => void noteInitial(),
    set: (value) => Object.defineProperty(globalThis, name, { configurable: true, writable: true, value }),
  });
}

/** Notes the dispatcher that a caller sets at once after it has found none. */
function noteInitial() {
  const { defineProperty } = Object;
  Object.defineProperty = function (target: any, name: PropertyKey, attributes: any) {
    const isGlobal = target === globalThis && (name === GLOBAL || name === GLOBAL_OF_8);
    if (isGlobal && attributes.value) initial.add(attributes.value);
    if (target === globalThis && name === GLOBAL) Object.defineProperty = defineProperty;
    return defineProperty(target, name, attributes);
  } as typeof defineProperty;
  queueMicrotask(() => (Object.defineProperty = defineProperty));
}

function globalDispatcher(): Dispatcher | undefined {
  const property = Object.getOwnPropertyDescriptor(globalThis, GLOBAL);
  const dispatcher = property?.value;
  return dispatcher && !initial.has(dispatcher) ? dispatcher : undefined;
}

/** The clients for proxies of the environment, by the scheme of the URL. */
const clients = new Map<string, { proxy: string; client: unknown }>();

/** Deno's client for the proxy that the environment names for a request. */
function proxyClient(input: RequestInfo | URL): unknown {
  const { env } = process;
  const general = env.ALL_PROXY ?? env.all_proxy;
  if (!(general ?? env.HTTP_PROXY ?? env.http_proxy ?? env.HTTPS_PROXY ?? env.https_proxy)) return undefined;
  const { protocol, hostname, port } = new URL(input instanceof RequestOfDeno ? input.url : String(input));
  const own = protocol === "https:" ? (env.HTTPS_PROXY ?? env.https_proxy) : (env.HTTP_PROXY ?? env.http_proxy);
  const proxy = own || general;
  if (!proxy || !/^https?:$/.test(protocol) || isDirect(hostname, port || (protocol === "https:" ? "443" : "80"))) return undefined;
  const known = clients.get(protocol);
  if (known?.proxy === proxy) return known.client;
  const url = proxy.includes("://") ? proxy : `http://${proxy}`;
  const client = (Deno as any).createHttpClient({ proxy: { url } });
  clients.set(protocol, { proxy, client });
  return client;
}

/** Tells whether NO_PROXY excepts a host. */
function isDirect(hostname: string, port: string): boolean {
  const entries = (process.env.NO_PROXY ?? process.env.no_proxy ?? "").split(/[\s,]+/).filter(Boolean);
  return entries.some((entry) => {
    if (entry === "*") return true;
    const [, name, only] = /^\*?\.?(.*?)(?::(\d+))?$/.exec(entry.toLowerCase())!;
    return (!only || only === port) && (hostname === name || hostname.endsWith(`.${name}`));
  });
}

/** A request by way of a dispatcher. */
async function dispatched(dispatcher: Dispatcher, input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const request = new RequestOfDeno(input, init);
  request.signal.throwIfAborted();
  if (!/^https?:/.test(request.url)) return fetchOfDeno(request);
  const { body } = inside(request, "request");
  const headers = [...request.headers] as [string, string][];
  const defaults = { accept: "*/*", "accept-language": "*", "user-agent": navigator.userAgent };
  for (const [name, value] of Object.entries(defaults)) if (!request.headers.has(name)) headers.push([name, value]);
  let hop: Hop = { url: new URL(request.url), method: request.method, headers, body };
  const urls = [hop.url.href];
  for (;;) {
    const { redirect, signal } = request;
    const answer = await send(dispatcher, hop, redirect, signal);
    const location = answer.headers.find(([name]) => name === "location")?.[1];
    if (!REDIRECTS.has(answer.status) || location === undefined || redirect === "manual") return responseOf(answer, hop, urls);
    if (redirect === "error") throw failed(new Error("unexpected redirect"));
    if (urls.length > MAX_REDIRECTS) throw failed(new Error("redirect count exceeded"));
    hop = redirected(hop, answer.status, location);
    urls.push(hop.url.href);
  }
}

function failed(cause: unknown): TypeError {
  return new TypeError("fetch failed", { cause });
}

/** The request that follows a redirect (Fetch, HTTP-redirect fetch). */
function redirected({ url, method, headers, body }: Hop, status: number, location: string): Hop {
  const next = URL.parse(location, url);
  if (!next || !/^https?:$/.test(next.protocol)) throw failed(new Error("URL scheme must be a HTTP(S) scheme"));
  if (next.hash === "") next.hash = url.hash;
  if (status !== 303 && body && body.source === null) throw failed(new Error("a streaming body cannot be sent again"));
  const becomesGet = status === 303 ? method !== "GET" && method !== "HEAD" : status < 303 && method === "POST";
  const leaves = next.origin !== url.origin;
  return {
    url: next,
    method: becomesGet ? "GET" : method,
    headers: headers.filter(([name]) => !(becomesGet && OF_A_BODY.has(name)) && !(leaves && OF_AN_ORIGIN.has(name))),
    body: becomesGet || !body ? null : inside(new RequestOfDeno(url, { method, body: body.source as BodyInit }), "request").body,
  };
}

function responseOf({ status, statusText, headers, body, decoded }: Answer, { method }: Hop, urls: string[]): Response {
  const isEmpty = BODYLESS.has(status) || method === "HEAD";
  const response = new Response(isEmpty ? null : body, { status, statusText, headers });
  const isElsewhere = new URL(urls[0]!).origin !== new URL(urls.at(-1)!).origin;
  const type = isElsewhere ? "cors" : "basic";
  Object.assign(inside(response, "response"), { type, urlList: urls, bodyDecoded: decoded });
  return response;
}

async function send(dispatcher: Dispatcher, hop: Hop, redirect: RequestRedirect, signal: AbortSignal): Promise<Answer> {
  const parts = { stream: await import("node:stream"), zlib: await import("node:zlib") };
  const { url, method, body } = hop;
  const headers: Record<string, string> = {};
  for (const [name, value] of hop.headers) headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  headers["accept-encoding"] ??= url.protocol === "https:" ? "br, gzip, deflate" : "gzip, deflate";
  const fixed = body && "body" in body.streamOrStatic ? body.streamOrStatic.body : undefined;
  const stream = body && fixed === undefined ? (body.streamOrStatic as ReadableStream<Uint8Array>) : undefined;
  if (stream && body!.length !== null) headers["content-length"] = String(body!.length);
  const path = url.pathname + url.search;
  const sent = typeof fixed === "string" ? fixed : fixed ? Buffer.from(fixed) : stream ? parts.stream.Readable.from(stream) : null;
  return new Promise((resolve, reject) => {
    const answering = new Answering(parts, { method, redirect, signal, resolve, reject });
    try {
      dispatcher.dispatch({ origin: url.origin, path, method, headers, body: sent, maxRedirections: 0 }, answering);
    } catch (error) {
      reject(failed(error));
    }
  });
}

interface Asked {
  method: string;
  redirect: RequestRedirect;
  signal: AbortSignal;
  resolve(answer: Answer): void;
  reject(error: unknown): void;
}

/** Takes the answer to one request from a dispatcher, in the words of undici 7 and later and of earlier versions. */
class Answering {
  #parts: { stream: typeof import("node:stream"); zlib: typeof import("node:zlib") };
  #asked: Asked;
  #abort: ((reason: unknown) => void) | undefined;
  #resume = () => {};
  #body: import("node:stream").Readable | undefined;
  #isOver = false;
  #onAbort = () => this.#end(this.#asked.signal.reason);

  constructor(parts: Answering["#parts"], asked: Asked) {
    this.#parts = parts;
    this.#asked = asked;
    asked.signal.addEventListener("abort", this.#onAbort);
  }

  onRequestStart(controller: Controller) {
    this.onConnect((reason) => controller.abort(reason));
  }

  onConnect(abort: (reason: unknown) => void) {
    this.#abort = abort;
    if (this.#asked.signal.aborted) this.#onAbort();
  }

  onRequestUpgrade(controller: Controller) {
    controller.abort(failed(new Error("the connection was upgraded")));
  }

  onUpgrade() {
    this.#end(failed(new Error("the connection was upgraded")));
  }

  onResponseStart(controller: Controller, status: number, headers: Record<string, string | string[]>, statusText?: string) {
    const raw = controller.rawHeaders ?? Object.entries(headers).flatMap(([name, values]) => [values].flat().flatMap((value) => [name, value]));
    if (!this.onHeaders(status, raw, () => controller.resume(), statusText)) controller.pause();
  }

  onHeaders(status: number, raw: (Uint8Array | string)[], resume: () => void, statusText = ""): boolean {
    if (status < 200) return true;
    const texts = raw.map((part) => (typeof part === "string" ? part : Buffer.from(part).latin1Slice()));
    const headers: [string, string][] = [];
    for (let at = 0; at + 1 < texts.length; at += 2) headers.push([texts[at]!.toLowerCase(), texts[at + 1]!]);
    this.#resume = resume;
    const received = new this.#parts.stream.Readable({ read: () => this.#resume() });
    received.on("error", () => {});
    this.#body = received;
    const { method, redirect, resolve } = this.#asked;
    const isFollowed = REDIRECTS.has(status) && redirect === "follow" && headers.some(([name]) => name === "location");
    const isEmpty = isFollowed || BODYLESS.has(status) || method === "HEAD";
    const decoders = isEmpty ? [] : this.#decoders(headers);
    const body = decoders.length === 0 ? received : this.#parts.stream.pipeline([received, ...decoders], () => {});
    if (isEmpty) received.resume();
    resolve({ status, statusText, headers, body: this.#toWeb(body as typeof received), decoded: decoders.length > 0 });
    return true;
  }

  onResponseData(controller: Controller, chunk: Uint8Array) {
    if (!this.onData(chunk)) controller.pause();
  }

  onData(chunk: Uint8Array): boolean {
    return this.#body?.push(chunk) ?? true;
  }

  onResponseEnd() {
    this.onComplete();
  }

  onComplete() {
    this.#isOver = true;
    this.#asked.signal.removeEventListener("abort", this.#onAbort);
    this.#body?.push(null);
  }

  onResponseError(_: Controller, error: Error) {
    this.onError(error);
  }

  onError(error: Error) {
    this.#isOver = true;
    this.#asked.signal.removeEventListener("abort", this.#onAbort);
    const { signal, reject } = this.#asked;
    reject(signal.aborted ? signal.reason : failed(error));
    this.#body?.destroy(error);
  }

  onBodySent() {}

  /** Ends it from this side. */
  #end(reason: unknown) {
    if (this.#isOver) return;
    this.#asked.reject(reason);
    this.#body?.destroy(reason instanceof Error ? reason : new Error(String(reason)));
    this.#abort?.(reason);
  }

  #decoders(headers: [string, string][]): import("node:stream").Transform[] {
    const { zlib } = this.#parts;
    const encoded = headers.filter(([name]) => name === "content-encoding").map(([, value]) => value);
    const codings = encoded.join(",").toLowerCase().split(",").map((coding) => coding.trim()).filter(Boolean).reverse();
    if (codings.length > MAX_ENCODINGS) {
      this.#end(failed(new Error(`too many content-encodings in response: ${codings.length}`)));
      return [];
    }
    // Servers that break off are read as far as they came.
    const flushed = { flush: zlib.constants.Z_SYNC_FLUSH, finishFlush: zlib.constants.Z_SYNC_FLUSH };
    const known: Record<string, () => import("node:stream").Transform> = {
      gzip: () => zlib.createGunzip(flushed),
      "x-gzip": () => zlib.createGunzip(flushed),
      deflate: () => zlib.createInflate(flushed),
      br: () => zlib.createBrotliDecompress(),
      zstd: () => zlib.createZstdDecompress(),
    };
    return codings.every((coding) => known[coding]) ? codings.map((coding) => known[coding]!()) : [];
  }

  #toWeb(body: import("node:stream").Readable): ReadableStream<Uint8Array> {
    const chunks = body[Symbol.asyncIterator]();
    const { signal } = this.#asked;
    return new ReadableStream({
      type: "bytes",
      pull: async (controller) => {
        try {
          const { done, value } = await chunks.next();
          if (!done) return controller.enqueue(new Uint8Array(value));
          controller.close();
          controller.byobRequest?.respond(0);
        } catch (cause) {
          throw signal.aborted ? signal.reason : new TypeError("terminated", { cause });
        }
      },
      cancel: (reason) => this.#end(reason ?? new DOMException("The operation was aborted.", "AbortError")),
    });
  }
}
