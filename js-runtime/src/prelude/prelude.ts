// Runs first in every isolate: imports the project's modules, collects their Inngest functions,
// builds the handlers with the project's own `inngest` package, and answers calls.
//
// It is evaluated as a file in the project's root, so that `inngest/edge` below is the project's
// copy. Inngest functions are known by the SDK's own tag and not by `instanceof`, since a workspace
// package may bring a second copy.

import { awaitHandOver, type Call, handedOver, runFor } from "baton:host";

type Handler = (request: Request) => Response | Promise<Response>;

interface InngestClient {
  id: string;
}

interface InngestFunction {
  client: InngestClient;
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
}

const BODYLESS = new Set(["GET", "HEAD"]);
const collected = new Map<InngestFunction, string>();
const apps = new Map<string, Handler>();
let fetchExport: Handler | undefined;

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
  awaitHandOver();
  await importModule(url);
  const handed = handedOver();
  const exports = await import(url);
  const app = exports.default;
  if (handed) fetchExport = handed;
  else if (typeof app?.fetch === "function") fetchExport = (request) => app.fetch(request);
  else if (typeof exports.fetch === "function") fetchExport = exports.fetch;
  else if (typeof exports.handler === "function") fetchExport = exports.handler;
}

/** Builds the handlers; returns what the project consists of. */
export async function serve() {
  if (fetchExport) return { fetch: true, apps: await introspect(fetchExport) };
  if (collected.size === 0) return { fetch: false, apps: [] };

  const { serve } = await import("inngest/edge");
  const byClient = Map.groupBy(collected.keys(), (fn) => fn.client.id);
  const described = [];
  for (const [id, functions] of byClient) {
    const duplicate = findDuplicate(id, functions);
    if (duplicate) return { duplicate };
    apps.set(id, serve({ client: functions[0].client, functions }));
    described.push({ id, functions: functions.flatMap((fn) => describe(fn, id)) });
  }
  return { fetch: false, apps: described };
}

/** Answers one HTTP request. */
export async function call({ method, url, headers, body, app }: IncomingCall) {
  const handler = app === null ? fetchExport : apps.get(app);
  if (!handler) throw new Error(`no handler for ${app ?? "fetch"}`);
  const request = new Request(url, { method, headers, body: BODYLESS.has(method) ? undefined : body });
  const response = await runFor(callOf(request), () => handler(request));
  return {
    status: response.status,
    headers: [...response.headers],
    body: new Uint8Array(await response.arrayBuffer()),
  };
}

/** Tells user code that another generation gets the new calls. */
export function drain(): void {
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
  return configs.map((config) => ({ ...summary(config), module: collected.get(fn) }));
}

function summary({ id, name, triggers, steps, ...config }: FunctionConfig) {
  return { id, name, triggers, retries: steps?.step?.retries?.attempts ?? null, config: defined(config) };
}

function defined(settings: Record<string, unknown>) {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** Asks a fetch export by Inngest's in-band sync what it serves; it may well not tell. */
async function introspect(handler: Handler) {
  const url = "http://localhost/api/inngest";
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
    const { app_id: id, functions } = await response.json();
    return [{ id, functions: functions.map(summary) }];
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
