// Runs first in every isolate: imports the project's modules, collects their Inngest functions,
// builds the handlers with the project's own `inngest` package, and answers calls.
//
// It is evaluated as a file in the project's root, so that `inngest` below is the project's copy. Inngest functions
// are known by the SDK's own tag and not by `instanceof`, since a workspace package may bring a second copy.

import { AsyncLocalStorage } from "node:async_hooks";
import { types as nodeTypes } from "node:util";
import {
  connected,
  connectedForGood,
  drainConnections,
  endConnections,
  endLoad,
  handedOver,
  options as connectOptions,
  takeConnections,
} from "baton:connect";
import "baton:fetch";
import "baton:hooks";
import { type Call, raise, runFor } from "baton:host";
import {
  answer,
  ask,
  type Handler,
  isDirect,
  isServed,
  listenForReal,
  notes,
  served,
  serveFetch,
  takeListeners,
} from "baton:serving";
import { rehearse as rehearseWith } from "baton:rehearsal";
import { handlerOf, type SdkHandler, type SdkRequest } from "baton:sdk";
import "baton:timers";

interface InngestClient {
  id: string;
  /** A word in v4, an object in v3. */
  mode?: string | { isDev: boolean; explicitDevUrl?: URL };
  apiBaseUrl?: string;
  signingKey?: string;
  signingKeyFallback?: string;
  env?: string | null;
  appVersion?: string;
}

interface InngestFunction {
  client: InngestClient;
  opts: { retries?: number };
  id(prefix?: string): string;
  getConfig(options: { baseUrl: URL; appPrefix: string }): FunctionConfig[];
}

interface FunctionConfig {
  id: string;
  name: string;
  triggers: unknown[];
  steps?: { step?: { retries?: { attempts: number } } };
  [setting: string]: unknown;
}

/** A request; its body is a text where that is the same. */
interface IncomingCall extends SdkRequest {
  /** The text that is logged for it. */
  whose: Call;
  /** The Inngest app that is called; null for the app of the entry file. */
  app: string | null;
  /** It came over the host's connection to Inngest. */
  over_connection: boolean;
  /** Its number at the host. */
  id: number;
  /** The address of the caller: `127.0.0.1:4711`. */
  peer: string | null;
  /** The host asks it to register: see `sync`. */
  sync: boolean;
}

// User code may replace globals, and change their prototypes: the code that answers calls takes them before it runs.
const { Request, Response, Uint8Array, Headers, URL, Promise, setTimeout, clearTimeout } = globalThis;
const taken = <This, Values extends unknown[], Result>(method: (this: This, ...values: Values) => Result) =>
  Function.prototype.call.bind(method) as unknown as (self: This, ...values: Values) => Result;
const getter = <Value>(prototype: object, name: string) =>
  taken<unknown, [], Value>(Object.getOwnPropertyDescriptor(prototype, name)!.get!);
const statusOf = getter<number>(Response.prototype, "status");
const headersOf = getter<Headers>(Response.prototype, "headers");
const bodyOf = getter<ReadableStream<Uint8Array> | null>(Response.prototype, "body");
const bytesOf = taken(Response.prototype.arrayBuffer);
const eachHeader = taken(Headers.prototype.forEach);
const readerOf = taken(ReadableStream.prototype.getReader as () => ReadableStreamDefaultReader<Uint8Array>);
const readNext = taken(ReadableStreamDefaultReader.prototype.read);
const isOfHeaders = (value: unknown) => isOf(() => hasHeader(value as Headers, "a"));
const hasHeader = taken(Headers.prototype.has);
const isOfResponse = (value: unknown) => isOf(() => statusOf(value));

/** Tells whether a method of the platform takes the value. */
function isOf(ask: () => unknown): boolean {
  try {
    ask();
    return true;
  } catch {
    return false;
  }
}

const DEV_SERVER = "http://localhost:8288";
const CLOUD = "https://api.inngest.com";
/** The time in which Inngest has to answer a registration. */
const SYNC_LIMIT_MS = 10_000;

const BODYLESS = new Set(["GET", "HEAD"]);
/** By their URLs what the modules export that were evaluated before the load. */
const evaluated = new Map<string, object>();
/** The options with which their functions are registered. */
const configured = new Map<InngestFunction, FunctionConfig[]>();
const collected = new Map<InngestFunction, string>();
const apps = new Map<string, SdkHandler>();
/** The handlers for calls over the host's connection to Inngest, each made for the first of them. */
const connectedApps = new Map<string, () => SdkHandler>();
/** The time for which the SDK lets a run go on within one call over a connection, in milliseconds (`DefaultMaxRuntime`). */
const CONNECTED_RUNTIME = 300_000;
let isEntry = false;
/** The entry file. */
let entry: string | undefined;
/** The exports of the entry file; undefined for a file that goes on until its connection ends. */
let exportsOfEntry: any;
/** Bodies that the SDK streams, by the call's number. */
const streamed = new Map<number, ReadableStreamDefaultReader<Uint8Array>>();
/** The answer of the SDK when it streams (`createStream` in its handler). */
const STREAMS = 201;
/** The time in which an app has to list its functions, in milliseconds: it serves without, too. */
const ASK_TIMEOUT = 5_000;
/** The longest such answer, in bytes. */
const ASK_LENGTH = 4 << 20;
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/** Of a default export: where Bun listens, and what it does there. */
const BUNS = ["port", "hostname", "idleTimeout", "development", "maxRequestBodySize", "tls", "unix", "routes", "error"];
const defaulted = new Set<InngestFunction>();
let superseded = false;
const supersession = Promise.withResolvers<void>();

/** Makes ready for packages that are evaluated before the modules that will import them. */
export async function beginAhead(isEntry: boolean): Promise<void> {
  if (!isEntry) return;
  takeConnections();
  await takeListeners();
}

/** Evaluates a package before the load. */
export async function importPackage(url: string): Promise<void> {
  await import(url);
}

/** Has the SDK answer before the load, where its package was evaluated. */
export async function rehearse(): Promise<void> {
  try {
    await rehearseWith(await import("inngest"));
  } catch {
    // An SDK of another shape compiles its code in its first call.
  }
}

/** Evaluates a module of the project before the load, and has what the load will ask of it. */
export async function evaluate(url: string): Promise<void> {
  const exports = await import(url);
  evaluated.set(url, exports);
  for (const fn of functionsOf(exports)) configured.set(fn, configs(fn, fn.client.id));
}

/** Imports modules and keeps what they export for `serve`. */
export async function importModules(urls: string[]): Promise<void> {
  for (const url of urls) {
    const exports = evaluated.get(url) ?? (await imported(url));
    // A module that has connected may wait for the end of its connection.
    if (!exports) continue;
    exportsOfEntry = exports;
    for (const fn of functionsOf(exports)) {
      if (!collected.has(fn)) collected.set(fn, url);
    }
  }
}

/** Returns the exports of a module; undefined for one that has connected and goes on until its connection ends. */
async function imported(url: string): Promise<any> {
  const module = import(url);
  const exports = await Promise.race([module, isEntry ? connectedForGood() : connected.promise]);
  if (!exports) module.catch((error) => reportError(error));
  return exports;
}

/**
* The depth at which functions may be within the exports of a module, and the number of values that are looked at. In
 * an entry file functions may be in lists only: a file that has an app listen later may well have its functions in an
 * object beside the client.
 */
const DEEPEST = 6;
const DEEPEST_IN_ENTRY = 2;
const MOST = 50_000;

/**
 * The functions that a module exports, in their order: themselves, in lists and plain objects, or as properties of an
 * instance of a class. No getter is called but an export.
 */
function functionsOf(exports: object): InngestFunction[] {
  const found = new Set<InngestFunction>();
  const seen = new Set<unknown>();
  const deepest = isEntry ? DEEPEST_IN_ENTRY : DEEPEST;
  const left = Object.values(exports).map((value): [unknown, number] => [value, 1]).reverse();
  while (left.length > 0 && seen.size < MOST) {
    const [value, depth] = left.pop()!;
    if (value === null || typeof value !== "object" || seen.has(value)) continue;
    seen.add(value);
    if (isInngestFunction(value)) found.add(value);
    else if (depth < deepest && (!isEntry || Array.isArray(value))) {
      for (const inside of valuesOf(value).reverse()) left.push([inside, depth + 1]);
    }
  }
  return [...found];
}

function valuesOf(value: object): unknown[] {
  if (nodeTypes.isProxy(value)) return [];
  if (Array.isArray(value)) return value.slice(0, MOST);
  if (nodeTypes.isMap(value) || nodeTypes.isSet(value)) return [...value.values()].slice(0, MOST);
  if (ArrayBuffer.isView(value)) return [];
  const properties = Object.values(Object.getOwnPropertyDescriptors(value));
  const values = properties.flatMap((property) => ("value" in property ? [property.value] : []));
  const prototype = Object.getPrototypeOf(value);
  const isPlain = prototype === null || prototype === Object.prototype;
  // Other fields of an instance of a class may hold anything, such as all that a client is connected to.
  return isPlain ? values : values.filter(isInngestFunction);
}

/** Imports an entry file: it exports an app, or has one listen, or exports Inngest functions. */
export async function importEntry([url]: [string]): Promise<void> {
  isEntry = true;
  takeConnections();
  await takeListeners();
  entry = url;
  await importModules([url]);
  const app = exportsOfEntry && (await exported(exportsOfEntry));
  if (app && !isServed()) serveFetch(app);
}

/** The handler that an entry file exports, in one of the shapes that others serve. */
async function exported(exports: any): Promise<Handler | undefined> {
  // The default export of a transpiled CommonJS file.
  const app = exports.default?.__esModule ? exports.default.default : exports.default;
  if (typeof app?.fetch === "function") {
    noteWhatIsIgnored(app);
    // Its handler expects Bun's server beside the request.
    if (Object.hasOwn(app, "websocket") && !isServed()) {
      (globalThis as any).Bun.serve(app);
      return undefined;
    }
    return (request, _from, context) => app.fetch(request, process.env, context);
  }
  if (app && !isServed() && (await listens(app))) return undefined;
  const named = exports.default?.__esModule ? exports.default : exports;
  for (const candidate of [named.fetch, named.handler, app, app?.handler]) {
    if (typeof candidate === "function") return (request, _from, context) => candidate(request, process.env, context);
  }
  const methods = METHODS.filter((method) => typeof named[method] === "function");
  if (methods.length === 0) return undefined;
  return (request, _from, context) => {
    const run = named[request.method] ?? (request.method === "HEAD" ? named.GET : undefined);
    if (run) return run(request, context);
    return new Response(null, { status: 405, headers: { allow: methods.join(", ") } });
  };
}

/** Has an app of Node's that is exported listen, as its own main file would. */
async function listens(app: any): Promise<boolean> {
  const port = Number(process.env.PORT) || 3000;
  const isExpress = typeof app === "function" && typeof app.handle === "function" && typeof app.listen === "function";
  const isKoa = typeof app.callback === "function" && typeof app.listen === "function";
  const isServer = typeof app.listen === "function" && typeof app.on === "function" && "headersTimeout" in app;
  const isFastify = typeof app.listen === "function" && typeof app.ready === "function" && "server" in app;
  if (isFastify) await app.listen({ port });
  else if (isExpress || isKoa || isServer) app.listen(port);
  else return false;
  await served.promise;
  return true;
}

function noteWhatIsIgnored(app: any) {
  // Of a router's class, fields of these names are something else.
  if (Object.getPrototypeOf(app) !== Object.prototype) return;
  const ignored = BUNS.filter((name) => Object.hasOwn(app, name) && app[name] !== undefined);
  if (ignored.length === 0) return;
  const names = ignored.map((name) => `\`${name}\``).join(", ");
  notes.push({
    code: "ignored_option",
    message: `${names} of the default export: ignored, because Baton listens itself`,
    help: "Set the port with --port, or in baton.toml.",
  });
}

/**
 * Builds the handlers; returns what the project consists of. `path` is where the app serves Inngest,
 * `retries` what functions have that say nothing.
 */
export async function serve({ path, retries, copies }: { path: string; retries: number | null; copies: SdkCopy[] }) {
  for (const fn of collected.keys()) {
    if (retries === null || fn.opts.retries !== undefined) continue;
    fn.opts.retries = retries;
    defaulted.add(fn);
  }
  // A file that starts its server later, after it has connected to something.
  if (isEntry && collected.size === 0 && !isServed()) {
    await Promise.race([served.promise, connected.promise]);
  }
  endLoad();
  listenForReal();
  for (const { functions } of handedOver) {
    for (const fn of functions) if (isInngestFunction(fn) && !collected.has(fn)) collected.set(fn, entry!);
  }
  if (isServed() && handedOver.length === 0) return { fetch: true, direct: isDirect(), notes, apps: await introspect(path) };

  if (copies.length > 0) shareContexts();
  const byClient = Map.groupBy(collected.keys(), (fn) => fn.client.id);
  const described = [];
  for (const [id, functions] of byClient) {
    const duplicate = findDuplicate(id, functions);
    if (duplicate) return { duplicate };
    const [{ client }] = functions;
    const sdk = await sdkOf(functions, id, copies);
    // One path for all would be one app for Inngest.
    const path = byClient.size > 1 ? process.env.INNGEST_SERVE_PATH : undefined;
    const options = { client, functions, servePath: path && `${path}/${id}` };
    apps.set(id, handlerOf(sdk.InngestCommHandler, options));
    connectedApps.set(id, handlerOverConnection(sdk, client, functions));
    described.push({ id, functions: functions.flatMap((fn) => describe(fn, id)), client: told(client, sdk) });
  }
  evaluated.clear();
  configured.clear();
  const connect = handedOver.length > 0 ? connection() : null;
  return { fetch: isServed(), direct: !isServed() || isDirect(), notes, apps: described, connect };
}

/** Returns the options of the connection that user code asks for. */
function connection() {
  const { instanceId, maxWorkerConcurrency, gatewayUrl, signingKey, signingKeyFallback } = connectOptions ?? {};
  return {
    instance_id: instanceId ?? null,
    max_worker_concurrency: maxWorkerConcurrency ?? null,
    gateway_url: gatewayUrl ?? null,
    signing_key: signingKey ?? null,
    signing_key_fallback: signingKeyFallback ?? null,
  };
}

/** The handler that the SDK's own `connect` would make. */
function handlerOverConnection(sdk: any, client: InngestClient, functions: InngestFunction[]): () => SdkHandler {
  const options = {
    client,
    functions,
    frameworkName: "connect",
    // The connection vouches for its calls.
    skipSignatureValidation: true,
    defaultMaxRuntime: CONNECTED_RUNTIME,
  };
  let handler: SdkHandler | undefined;
  return () => (handler ??= handlerOf(sdk.InngestCommHandler, options));
}

/** A copy of the SDK in the project. */
interface SdkCopy {
  main: string;
  folder: string;
  version: string;
}

/** Finds the copy of the SDK that made the clients of an app's functions, as each knows its own only. */
async function sdkOf(functions: InngestFunction[], app: string, copies: SdkCopy[]) {
  const makers = new Set<SdkCopy>();
  for (const copy of copies) {
    const { Inngest } = await import(copy.main);
    if (functions.some(({ client }) => client instanceof Inngest)) makers.add(copy);
  }
  const [first] = makers;
  const major = ({ version }: SdkCopy) => version.split(".")[0];
  const other = [...makers].find((copy) => major(copy) !== major(first));
  if (other) {
    const [one, two] = [first, other].map(({ version, folder }) => `inngest ${version} (${folder})`);
    throw new Error(
      `the app ${JSON.stringify(app)} has functions of two copies of the SDK, which cannot be served together: ` +
        `${one} and ${two}. Give the client of one of them an id of its own, or install one version for both.`,
    );
  }
  return await import(first?.main ?? "inngest");
}

/**
 * Gives the copies of the SDK one place for the contexts of their runs. Both majors keep it under the same symbol: the
 * third as a promise, the fourth as an object around one, and neither can use the other's.
 */
function shareContexts() {
  const resolved = new AsyncLocalStorage();
  const promise = Promise.resolve(resolved);
  const place = Object.assign(promise, { promise, resolved, isFallback: false });
  (globalThis as any)[Symbol.for("inngest:als")] = place;
}

interface Answer {
  status: number;
  headers: [string, string][];
  /** The body, as a text or as bytes. */
  text?: string;
  bytes?: Uint8Array;
  /** The body is to be pulled. */
  streams?: boolean;
}

/** Answers one HTTP request that came directly. */
export function call(incoming: IncomingCall): Promise<Answer> {
  const run = () => (incoming.app === null ? askApp(incoming) : askSdk(incoming.app, incoming));
  return incoming.sync ? register(run) : runFor(incoming.whose, run);
}

async function askSdk(app: string, request: IncomingCall): Promise<Answer> {
  const handler = request.over_connection ? connectedApps.get(app)?.() : apps.get(app);
  if (!handler) throw new Error(`no handler for ${app}`);
  return await handler(request);
}

async function askApp({ method, url, headers, body, id, peer }: IncomingCall): Promise<Answer> {
  const request = new Request(url, { method, headers, body: BODYLESS.has(method) ? undefined : body });
  // Of a server that listens only what the host itself asks comes this way.
  const answered = partsOf(await (isDirect() ? answer(request, peer, id) : ask(request)));
  const streams = answered.status === STREAMS && answered.body !== null;
  if (streams) streamed.set(id, readerOf(answered.body!));
  const bytes = streams ? new Uint8Array() : new Uint8Array(await answered.bytes());
  return { status: answered.status, headers: pairs(answered.headers), bytes, streams };
}

/** A response may be of a class of the project's own. */
function partsOf(response: Response) {
  if (isOfResponse(response)) {
    const [status, headers, body] = [statusOf(response), headersOf(response), bodyOf(response)];
    return { status, headers, body, bytes: () => bytesOf(response) };
  }
  const { status, headers, body } = response;
  return { status, headers, body, bytes: () => response.arrayBuffer() };
}

/** As `[...headers]`, which in Deno sorts them anew for each. */
function pairs(headers: Headers): [string, string][] {
  const pairs: [string, string][] = [];
  const add = (value: string, name: string) => void pairs.push([name, value]);
  if (isOfHeaders(headers)) eachHeader(headers, add);
  else headers.forEach(add);
  return pairs;
}

/** The next part of a streamed body; null at its end. */
export async function pull(id: number): Promise<Uint8Array | null> {
  const reader = streamed.get(id);
  const { done, value } = reader ? await readNext(reader) : { done: true };
  if (!done) return value!;
  streamed.delete(id);
  return null;
}

/** Answers a request of the host's own, which nothing waits for longer than it has to. */
async function register(run: () => Promise<Answer>): Promise<Answer> {
  const gone = () => refusal(503, "another generation serves");
  if (superseded) return gone();
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<Answer>((resolve) => {
    const message = `Inngest did not answer within ${SYNC_LIMIT_MS / 1000} s`;
    timer = setTimeout(() => resolve(refusal(504, message)), SYNC_LIMIT_MS);
  });
  const call = { function: null, run: null, step: null, quiet: true };
  const answered = runFor(call, run);
  try {
    return await Promise.race([answered, late, supersession.promise.then(gone)]);
  } finally {
    clearTimeout(timer!);
  }
}

function refusal(status: number, message: string): Answer {
  return { status, headers: [["content-type", "application/json"]], text: JSON.stringify({ message }) };
}

/** The event of a generation that drains: it stays until everything is settled that a listener waits for. */
class DrainingEvent extends Event {
  static awaited: Promise<unknown>[] = [];

  constructor() {
    super("baton:draining");
  }

  /** As that of a service worker's events. What it rejects with is reported as any stray rejection is. */
  waitUntil(promise: Promise<unknown>): void {
    DrainingEvent.awaited.push(Promise.resolve(promise));
  }
}

/** Tells user code that another generation gets the new calls; resolves once user code is done with that. */
export async function drain(): Promise<void> {
  superseded = true;
  supersession.resolve();
  drainConnections();
  globalThis.dispatchEvent(new DrainingEvent());
  const { awaited } = DrainingEvent;
  // One may lead to another.
  for (let done = 0; done < awaited.length; ) {
    const now = awaited.slice(done);
    done = awaited.length;
    await settled(now);
  }
}

/**
 * Has user code hear SIGTERM, once no call is left; resolves once it is done with that. A handler that returns no promise
 * tells so itself, by `process.exit`, or by leaving nothing to run.
 */
export async function leave(): Promise<void> {
  endConnections();
  const returned = raise("SIGTERM") ?? raise("SIGINT") ?? [];
  const isPromise = (value: unknown) => typeof (value as PromiseLike<unknown> | undefined)?.then === "function";
  if (!returned.every(isPromise)) returned.push(new Promise(() => {}));
  await settled(returned);
}

/** Waits for promises. What they reject with is reported as any stray rejection is. */
async function settled(promises: unknown[]): Promise<void> {
  const settles = (promise: unknown) => new Promise<void>((resolve) => void Promise.resolve(promise).finally(resolve));
  await Promise.all(promises.map(settles));
}

function isInngestFunction(value: unknown): value is InngestFunction {
  return (value as object | null)?.[Symbol.toStringTag] === "Inngest.Function";
}

function findDuplicate(app: string, functions: InngestFunction[]) {
  const modules = new Map<string, string>();
  for (const fn of functions) {
    const id = fn.id();
    const module = collected.get(fn)!;
    const first = modules.get(id);
    if (first) return { app, id, first, second: module };
    modules.set(id, module);
  }
}

/** The functions that the SDK would register for a function: itself, and its onFailure handler as a second one. */
function describe(fn: InngestFunction, app: string) {
  const known = defaulted.has(fn) ? undefined : configured.get(fn);
  return (known ?? configs(fn, app)).map((config, index) => ({
    ...summary(config),
    module: collected.get(fn),
    defaulted: index === 0 && defaulted.has(fn),
  }));
}

function configs(fn: InngestFunction, app: string) {
  return fn.getConfig({ baseUrl: new URL("http://localhost/api/inngest"), appPrefix: app });
}

/** The place and the manner in which a client registers, and the version of its SDK. */
function told(client: InngestClient, sdk: { version?: string }) {
  const { mode, apiBaseUrl, signingKey } = client;
  const dev = typeof mode === "string" ? mode === "dev" : mode?.isDev;
  const key = Boolean(signingKey ?? process.env.INNGEST_SIGNING_KEY);
  const explicit = typeof mode === "object" ? mode.explicitDevUrl?.href : undefined;
  return {
    dev: dev ?? null,
    api: explicit ?? apiBaseUrl ?? (dev ? DEV_SERVER : CLOUD),
    key,
    signing_key: signingKey ?? null,
    signing_key_fallback: client.signingKeyFallback ?? null,
    env: client.env ?? null,
    app_version: client.appVersion ?? null,
    sdk: sdk.version ?? null,
  };
}

function summary({ id, name, triggers, steps, ...config }: FunctionConfig) {
  return { id, name, triggers, retries: steps?.step?.retries?.attempts ?? null, config: defined(config) };
}

function defined(settings: Record<string, unknown>) {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** Asks the app by Inngest's in-band sync what it serves; it may well not tell. */
async function introspect(path: string) {
  const url = new URL(process.env.INNGEST_SERVE_PATH || path, "http://localhost").href;
  const body = JSON.stringify({ url });
  const headers: Record<string, string> = {
    "content-type": "application/json",
    host: "localhost",
    "x-inngest-sync-kind": "in_band",
  };
  const key = process.env.INNGEST_SIGNING_KEY;
  if (key) headers["x-inngest-signature"] = await sign(body, key);
  const request = new Request(url, { method: "PUT", headers, body });
  const patience = Promise.withResolvers<never>();
  const timer = setTimeout(patience.reject, ASK_TIMEOUT);
  try {
    const answered = ask(request).then((response) => textOf(response, patience.promise));
    const text = await Promise.race([answered, patience.promise]);
    const { app_id: id, functions, inspection, url: own } = JSON.parse(text);
    // The address that its own code gives.
    const client = {
      dev: inspection?.mode ? inspection.mode === "dev" : null,
      api: inspection?.api_origin ?? null,
      url: own && new URL(own).origin !== "http://localhost" ? own : null,
      key: inspection?.has_signing_key ?? null,
    };
    const ownIds = new Set([...defaulted].map((fn) => fn.id(id)));
    const described = functions.map(summary).map((fn: { id: string }) => ({ ...fn, defaulted: ownIds.has(fn.id) }));
    return [{ id, functions: described, client }];
  } catch {
    return [];
  } finally {
    clearTimeout(timer);
  }
}

/** The text of an answer that is to come to an end; one that does not is given up. */
async function textOf(response: Response, patience: Promise<never>): Promise<string> {
  const reader = response.body?.getReader();
  if (!reader) return "";
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (let length = 0; ; ) {
      const { done, value } = await Promise.race([reader.read(), patience]);
      if (done) return text + decoder.decode();
      length += value.length;
      if (length > ASK_LENGTH) throw new RangeError("the answer is too long");
      text += decoder.decode(value, { stream: true });
    }
  } finally {
    // Of one that has come to its end this does nothing.
    reader.cancel().catch(() => {});
  }
}

/** Inngest's request signature (SDK_SPEC §4.1): HMAC over the body and the time, keyed without prefix. */
async function sign(body: string, key: string) {
  const time = Math.floor(Date.now() / 1000);
  const text = new TextEncoder();
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const secret = await crypto.subtle.importKey("raw", text.encode(key.replace(/^signkey-\w+-/, "")), hmac, false, [
    "sign",
  ]);
  const digest = new Uint8Array(await crypto.subtle.sign(hmac, secret, text.encode(body + time)));
  return `t=${time}&s=${[...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
