// Serves the app of an entry file: the export of the file, or the server that it has listen. Nothing opens a port: the
// app is handed over to Baton, which passes it the requests of its own port.
//
// Requests whose bodies are there reach a fetch handler directly (`answer`). All others come over HTTP on a socket
// that only this isolate has, so that bodies stream, back-pressure and hang-ups arrive, and upgrades
// work, as they do on a port. Servers of `node:http` get everything that way.

import type { IncomingMessage, Server } from "node:http";
import { type Call, host, runFor } from "baton:host";

/** The address of a request, as `Deno.serve` gives it to its handler. */
export interface From {
  remoteAddr: { transport: "tcp"; hostname: string; port: number };
}

/** The object with `waitUntil`, whose promises keep the isolate. */
export interface Context {
  waitUntil(promise: unknown): void;
  passThroughOnException(): void;
  props: Record<string, never>;
}

export type Handler = (request: Request, from: From, context: Context) => unknown;

/** The server that listened, and the address that it asked for. */
export interface Listening {
  by: string;
  port: number;
  hostname?: string;
}

export interface Note {
  code: string;
  message: string;
  help: string;
}

/** Headers between the host and this module, which no app sees. */
const PEER = "baton-peer";
const CALL = "baton-call";
const THREW = "baton-threw";
const BODYLESS = new Set(["GET", "HEAD"]);

export const notes: Note[] = [];
/** Resolves when an app is there. */
export const served = Promise.withResolvers<void>();

let handler: Handler | undefined;
let server: Server | undefined;
let listening: Listening | undefined;
/** True while the project is loaded: a server that listens later opens a port, as anywhere. */
let taking = false;
let others = 0;
/** The request of Deno behind each request that the app was given. */
const originals = new WeakMap<Request, Request>();
const serveOnSocket = Deno.serve;
const upgrade = Deno.upgradeWebSocket;
const status = Object.getOwnPropertyDescriptor(Response.prototype, "status")!.get!;

/** True when the app answers without the socket. */
export function isDirect(): boolean {
  return handler !== undefined;
}

export function isServed(): boolean {
  return handler !== undefined || server !== undefined;
}

/** Makes a handler of fetch requests the app. */
export function serveFetch(run: Handler): void {
  handler = run;
  serveOnSocket(
    { path: `${host.sockets}/app`, onListen() {}, automaticCompression: false } as any,
    (raw: Request) => answerRaw(raw, run),
  ).unref();
  served.resolve();
}

/**
 * Takes over from what would open a port: the handler becomes the app. False when there is one already,
 * which the report of the load says. Throws when no entry file is being loaded.
 */
export function handOver(run: Handler, { by, port, hostname }: Listening): boolean {
  if (!taking) {
    throw new Error(
      `${by} is only possible while an entry file is loaded: Baton owns the port, and serves the handler. ` +
        "Start Baton with that file, for example: baton dev src/serve.ts",
    );
  }
  if (!take({ by, port, hostname })) return false;
  serveFetch(run);
  return true;
}

function take(asked: Listening): boolean {
  const { by, port } = asked;
  if (isServed()) {
    const first = listening ? `${listening.by} on port ${listening.port}` : "the export of the entry file";
    if (listening?.port !== port) {
      notes.push({
        code: "not_served",
        message: `${by} on port ${port} is not served: the app is ${first}`,
        help: "Mount its routes there.",
      });
    }
    return false;
  }
  listening = asked;
  console.info(`${by} was asked to listen on port ${port}: Baton serves it on its own port instead`);
  return true;
}

/** From now on what listens is handed over, until `listenForReal`. */
export async function takeListeners(): Promise<void> {
  if (taking) return;
  taking = true;
  const { Server } = (await import("node:http")).default;
  const listen = Server.prototype.listen;
  Server.prototype.listen = function (this: Server, ...values: any[]) {
    const asked = taking ? addressOf(values) : undefined;
    if (!asked) return Reflect.apply(listen, this, values);
    const callback = values.findLast((value) => typeof value === "function");
    const isApp = take({ by: "an HTTP server", ...asked });
    const socket = isApp ? "app" : `other-${++others}`;
    if (isApp) server = this;
    prepare(this, asked);
    this.once("listening", () => {
      this.unref();
      if (isApp) served.resolve();
    });
    return Reflect.apply(listen, this, [`${host.sockets}/${socket}`, ...(callback ? [callback] : [])]);
  } as any;

  Deno.serve = ((...values: any[]) => {
    const given = values.find((value) => typeof value === "object" && value !== null) ?? {};
    const run = values.find((value) => typeof value === "function") ?? given.handler;
    const { port = 8000, hostname = "0.0.0.0", path, signal, onError, onListen } = given;
    if (!taking || path || port === 0 || typeof run !== "function") return Reflect.apply(serveOnSocket, Deno, values);
    const addr = { transport: "tcp" as const, hostname, port };
    handOver(onError ? async (...call) => Promise.resolve(run(...call)).catch(onError) : run, {
      by: "Deno.serve",
      port,
      hostname,
    });
    queueMicrotask(() => onListen?.(addr));
    const finished = Promise.withResolvers<void>();
    const end = async () => finished.resolve();
    signal?.addEventListener("abort", end);
    return { addr, finished: finished.promise, ref() {}, unref() {}, shutdown: end, [Symbol.asyncDispose]: end };
  }) as any;

  Deno.upgradeWebSocket = (request, options) => upgrade(originals.get(request) ?? request, options);
}

/** The project is loaded. */
export function listenForReal(): void {
  taking = false;
}

/** A port above 0 that is to be listened on. */
function addressOf([first, second]: any[]): { port: number; hostname?: string } | undefined {
  const options = typeof first === "object" && first !== null ? first : { port: first, host: second };
  const port = Number(options.port);
  if (options.path || options.fd !== undefined || !(port > 0)) return undefined;
  return { port, hostname: typeof options.host === "string" ? options.host : undefined };
}

/** Has a server say that it listens where it was asked to, and run its listeners for their calls. */
function prepare(server: Server, { port, hostname = "::" }: { port: number; hostname?: string }) {
  server.address = () => ({ address: hostname, family: hostname.includes(":") ? "IPv6" : "IPv4", port });
  let open = 0;
  let closing = false;
  const ended = () => {
    if (closing && open === 0) queueMicrotask(() => server.emit("close"));
  };
  // It still gets the calls of its generation: `close` calls back when none runs.
  server.close = (callback?: (error?: Error) => void) => {
    if (callback) server.once("close", () => callback());
    closing = true;
    ended();
    return server;
  };
  const emit = server.emit;
  server.emit = function (this: Server, event: string, ...values: any[]): boolean {
    const request = values[0] as IncomingMessage;
    if (event !== "request" && event !== "upgrade" && event !== "checkContinue") {
      return Reflect.apply(emit, this, [event, ...values]);
    }
    const { call } = unwrap(request);
    open++;
    request.socket.once("close", () => {
      open--;
      ended();
    });
    return runFor(call, () => Reflect.apply(emit, this, [event, ...values]));
  } as any;
}

/** Takes out what the host told, and gives the connection its real other end. */
function unwrap(request: IncomingMessage): { id: number; call: Call } {
  // The first two are made of the third when they are asked for first, and not again.
  const { headers, headersDistinct, rawHeaders } = request;
  for (let at = rawHeaders.length - 2; at >= 0; at -= 2) {
    const name = rawHeaders[at]!.toLowerCase();
    if (name !== PEER && name !== CALL) continue;
    const [, value] = rawHeaders.splice(at, 2);
    if (name !== PEER) continue;
    const { hostname, port } = addressFrom(value);
    const own = { configurable: true, enumerable: true, writable: true };
    const family = hostname.includes(":") ? "IPv6" : "IPv4";
    Object.defineProperties(request.socket, {
      remoteAddress: { ...own, value: hostname },
      remotePort: { ...own, value: port },
      remoteFamily: { ...own, value: family },
    });
  }
  const told = callOf(headers[CALL] as string | undefined);
  for (const known of [headers, headersDistinct]) {
    delete known[PEER];
    delete known[CALL];
  }
  return told;
}

function addressFrom(peer: string | null | undefined): { hostname: string; port: number } {
  const at = peer?.lastIndexOf(":") ?? -1;
  if (!peer || at < 0) return { hostname: "127.0.0.1", port: 0 };
  return { hostname: peer.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(peer.slice(at + 1)) };
}

export function fromPeer(peer: string | null): From {
  return { remoteAddr: { transport: "tcp", ...addressFrom(peer) } };
}

/** The number of a call at the host, and its run and step for the log, as the host tells them. */
function callOf(told: string | null | undefined): { id: number; call: Call } {
  const fields = new URLSearchParams(told ?? "");
  const call = { function: fields.get("function"), run: fields.get("run"), step: fields.get("step") };
  return { id: Number(fields.get("id")), call };
}

/** The app's answer to a request that came directly; `call` is its number at the host. */
export async function answer(request: Request, peer: string | null, call: number): Promise<Response> {
  const context = new Background(call);
  const response = await handler!(request, fromPeer(peer), context.forUser());
  return checked(response);
}

async function answerRaw(raw: Request, run: Handler): Promise<Response> {
  const headers = new Headers(raw.headers);
  const peer = headers.get(PEER);
  const { id, call } = callOf(headers.get(CALL));
  const context = new Background(id);
  headers.delete(PEER);
  headers.delete(CALL);
  const { pathname, search } = new URL(raw.url);
  const url = new URL(`http://${headers.get("host") || "localhost"}${pathname}${search}`);
  // A caller who hangs up leaves a handler that still runs: its generation stays until that is done.
  const done = context.begin();
  try {
    const body = BODYLESS.has(raw.method) ? undefined : raw.body;
    const request = new Request(url, { method: raw.method, headers, body, duplex: "half" } as any);
    originals.set(request, raw);
    // Once somebody asks, Deno waits for the hang-up, and with that for ever: what never answers would not
    // be found out. A hang-up that was before, it does not tell.
    const signal = () => (context.isHungUp() ? AbortSignal.abort() : raw.signal);
    Object.defineProperty(request, "signal", { configurable: true, get: signal });
    return checked(await runFor(call, () => run(request, fromPeer(peer), context.forUser())));
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? String(error)) : String(error);
    return new Response(text, { status: 500, headers: { [THREW]: "1" } });
  } finally {
    done();
  }
}

function checked(response: any): Response {
  if (isOfThisRealm(response)) return response;
  // A class of a package's own, such as that of h3 on Node.
  if (typeof response?.status === "number" && typeof response.arrayBuffer === "function" && response.headers) {
    const { status, statusText, headers } = response;
    return new Response(response.body, { status, statusText, headers });
  }
  const what = response === undefined ? "nothing" : Object.prototype.toString.call(response);
  throw new TypeError(`the fetch handler returned ${what}, not a Response`);
}

function isOfThisRealm(value: unknown): value is Response {
  try {
    // It throws for everything else, whatever its prototype.
    Reflect.apply(status, value, []);
    return true;
  } catch {
    return false;
  }
}

/** The work that goes on for a call beside its answer. */
class Background {
  #call: number;

  constructor(call: number) {
    this.#call = call;
  }

  /** Notes that work has begun; the returned function notes its end. */
  begin(): () => void {
    host.hold(this.#call);
    return () => host.release(this.#call);
  }

  isHungUp(): boolean {
    return host.isHungUp(this.#call);
  }

  forUser(): Context {
    return {
      waitUntil: (promise) => {
        const done = this.begin();
        Promise.resolve(promise)
          .catch((error) => console.error("A promise given to waitUntil was rejected:", error))
          .finally(done);
      },
      passThroughOnException() {},
      props: {},
    };
  }
}

/** Asks the app from inside, as a client would. */
export async function ask(asked: Request): Promise<Response> {
  if (handler) return answer(asked, null, 0);
  const { request } = (await import("node:http")).default;
  const { pathname, search } = new URL(asked.url);
  const body = new Uint8Array(await asked.arrayBuffer());
  const headers = { ...Object.fromEntries(asked.headers), "content-length": String(body.length) };
  return new Promise((resolve, reject) => {
    const { method } = asked;
    const options = { socketPath: `${host.sockets}/app`, path: pathname + search, method, headers, agent: false as const };
    const asking = request(options, (response) => {
      const chunks: Uint8Array[] = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const { statusCode: status, headers } = response;
        resolve(new Response(Buffer.concat(chunks), { status, headers: headers as Record<string, string> }));
      });
    });
    asking.on("error", reject);
    asking.end(body);
  });
}
