// Runs first in every isolate: imports the project's modules, collects their Inngest functions,
// builds the handlers with the project's own `inngest` package, and answers calls.
//
// It is evaluated as a file in the project's root, so that `inngest/edge` below is the project's
// copy. Inngest functions are known by the SDK's own tag and not by `instanceof`, since a workspace
// package may bring a second copy.

import { type Call, runFor } from "baton:host";

type Handler = (request: Request) => Response | Promise<Response>;

interface InngestClient {
  id: string;
  /** A word in v4, an object in v3. */
  mode?: string | { isDev: boolean; explicitDevUrl?: URL };
  apiBaseUrl?: string;
  signingKey?: string;
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

interface IncomingCall {
  method: string;
  url: string;
  headers: [string, string][];
  body: Uint8Array;
  /** The app that is called; null for the project's fetch export. */
  app: string | null;
  /** The host asks it to register: see `sync`. */
  sync: boolean;
}

const DEV_SERVER = "http://localhost:8288";
const CLOUD = "https://api.inngest.com";
/** How long Inngest may take to answer a registration. */
const SYNC_LIMIT_MS = 10_000;

const BODYLESS = new Set(["GET", "HEAD"]);
const collected = new Map<InngestFunction, string>();
const apps = new Map<string, Handler>();
const defaulted = new Set<InngestFunction>();
let fetchExport: Handler | undefined;
let superseded = false;
const supersession = Promise.withResolvers<void>();

/** Imports one module and keeps what it exports for `serve`. */
export async function importModule(url: string): Promise<void> {
  const exports = await import(url);
  for (const value of Object.values(exports)) {
    for (const candidate of Array.isArray(value) ? value : [value]) {
      if (isInngestFunction(candidate) && !collected.has(candidate)) collected.set(candidate, url);
    }
  }
}

/** Takes the fetch handler of an entry file, if it exports one. */
export async function importEntry(url: string): Promise<void> {
  await importModule(url);
  const exports = await import(url);
  const app = exports.default;
  if (typeof app?.fetch === "function") fetchExport = (request) => app.fetch(request);
  else if (typeof exports.fetch === "function") fetchExport = exports.fetch;
  else if (typeof exports.handler === "function") fetchExport = exports.handler;
}

/** Builds the handlers; returns what the project consists of. */
export async function serve({ retries }: { retries: number | null }) {
  for (const fn of collected.keys()) {
    if (retries === null || fn.opts.retries !== undefined) continue;
    fn.opts.retries = retries;
    defaulted.add(fn);
  }
  if (fetchExport) return { fetch: true, apps: await introspect(fetchExport) };
  if (collected.size === 0) return { fetch: false, apps: [] };

  const { serve } = await import("inngest/edge");
  const byClient = Map.groupBy(collected.keys(), (fn) => fn.client.id);
  const described = [];
  for (const [id, functions] of byClient) {
    const duplicate = findDuplicate(id, functions);
    if (duplicate) return { duplicate };
    const [{ client }] = functions;
    // One path for all would be one app for Inngest.
    const path = byClient.size > 1 ? process.env.INNGEST_SERVE_PATH : undefined;
    apps.set(id, serve({ client, functions, servePath: path && `${path}/${id}` }));
    described.push({ id, functions: functions.flatMap((fn) => describe(fn, id)), client: told(client) });
  }
  return { fetch: false, apps: described };
}

/** Answers one HTTP request. */
export async function call({ method, url, headers, body, app, sync }: IncomingCall) {
  const handler = app === null ? fetchExport : apps.get(app);
  if (!handler) throw new Error(`no handler for ${app ?? "fetch"}`);
  const request = new Request(url, { method, headers, body: BODYLESS.has(method) ? undefined : body });
  const response = sync ? await register(handler, request) : await runFor(callOf(request), () => handler(request));
  return {
    status: response.status,
    headers: [...response.headers],
    body: new Uint8Array(await response.arrayBuffer()),
  };
}

/** Answers a request of the host's own, which nothing waits for longer than it has to. */
async function register(handler: Handler, request: Request): Promise<Response> {
  const gone = () => Response.json({ message: "another generation serves" }, { status: 503 });
  if (superseded) return gone();
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<Response>((resolve) => {
    const message = `Inngest has not answered for ${SYNC_LIMIT_MS / 1000} s`;
    timer = setTimeout(() => resolve(Response.json({ message }, { status: 504 })), SYNC_LIMIT_MS);
  });
  const call = { function: null, run: null, step: null, quiet: true };
  const answered = runFor(call, async () => handler(request));
  try {
    return await Promise.race([answered, late, supersession.promise.then(gone)]);
  } finally {
    clearTimeout(timer!);
  }
}

/** Tells user code that another generation gets the new calls. */
export function drain(): void {
  superseded = true;
  supersession.resolve();
  globalThis.dispatchEvent(new Event("baton:draining"));
}

function callOf({ url, headers }: Request): Call {
  const query = new URL(url).searchParams;
  return { function: query.get("fnId"), run: headers.get("x-run-id"), step: query.get("stepId") };
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

/** What the SDK would register for a function: itself, and its onFailure handler as a second one. */
function describe(fn: InngestFunction, app: string) {
  const configs = fn.getConfig({ baseUrl: new URL("http://localhost/api/inngest"), appPrefix: app });
  return configs.map((config, index) => ({
    ...summary(config),
    module: collected.get(fn),
    defaulted: index === 0 && defaulted.has(fn),
  }));
}

/** Where a client registers, and how. */
function told({ mode, apiBaseUrl, signingKey }: InngestClient) {
  const dev = typeof mode === "string" ? mode === "dev" : mode?.isDev;
  const key = Boolean(signingKey ?? process.env.INNGEST_SIGNING_KEY);
  const explicit = typeof mode === "object" ? mode.explicitDevUrl?.href : undefined;
  return { dev: dev ?? null, api: explicit ?? apiBaseUrl ?? (dev ? DEV_SERVER : CLOUD), key };
}

function summary({ id, name, triggers, steps, ...config }: FunctionConfig) {
  return { id, name, triggers, retries: steps?.step?.retries?.attempts ?? null, config: defined(config) };
}

function defined(settings: Record<string, unknown>) {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** Asks a fetch export by Inngest's in-band sync what it serves; it may well not tell. */
async function introspect(handler: Handler) {
  const url = new URL(process.env.INNGEST_SERVE_PATH || "/api/inngest", "http://localhost").href;
  const body = JSON.stringify({ url });
  const headers: Record<string, string> = {
    "content-type": "application/json",
    host: "localhost",
    "x-inngest-sync-kind": "in_band",
  };
  const key = process.env.INNGEST_SIGNING_KEY;
  if (key) headers["x-inngest-signature"] = await sign(body, key);
  try {
    const response = await handler(new Request(url, { method: "PUT", headers, body }));
    const { app_id: id, functions, inspection, url: own } = await response.json();
    // What its own code says of where it is to be reached.
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
