// `Bun.serve`: the handler is handed over to Baton, which owns the port.

import { type From, handOver } from "baton:serving";
import { publish, ServerWebSocket, type Topics, type WebSocketHandler } from "./websocket.ts";

/** Nothing: the request was upgraded. */
type Answer = Response | undefined | Promise<Response | undefined>;
type Handler = (this: Server, request: Request & { params?: Record<string, string> }, server: Server) => Answer;
type Route = Response | Handler | Record<string, Response | Handler>;

export interface ServeOptions {
  fetch?: Handler;
  routes?: Record<string, Route | false>;
  static?: Record<string, Response>;
  error?(this: Server, error: unknown): Answer;
  port?: number | string;
  hostname?: string;
  unix?: string;
  websocket?: WebSocketHandler;
  development?: unknown;
  idleTimeout?: number;
  id?: string;
  [setting: string]: unknown;
}

/** The server that `Bun.serve` returns: there is no socket behind it. */
export class Server {
  #options: ServeOptions;
  #routes: [RegExp, string[], Route][] = [];
  #topics: Topics = new Map();
  /** The address of each request, and the answer of those that were upgraded. */
  #from = new WeakMap<Request, From>();
  #upgraded = new WeakMap<Request, Response>();
  pendingRequests = 0;
  pendingWebSockets = 0;

  constructor(options: ServeOptions) {
    this.#options = options;
    this.#compile();
  }

  get port(): number {
    return Number(this.#options.port ?? process.env.PORT ?? 3000);
  }

  get hostname(): string {
    return this.#options.hostname ?? "localhost";
  }

  get url(): URL {
    return new URL(`http://${this.hostname}:${this.port}/`);
  }

  get development(): boolean {
    return Boolean(this.#options.development);
  }

  get id(): string {
    return this.#options.id ?? "";
  }

  get protocol(): string {
    return "http";
  }

  async fetch(given: Request | string | URL, from?: From): Promise<Response> {
    const request = given instanceof Request ? given : new Request(new URL(given, this.url));
    if (from) this.#from.set(request, from);
    this.pendingRequests += 1;
    try {
      const answer = await this.#answer(request);
      return this.#upgraded.get(request) ?? answer!;
    } catch (error) {
      if (!this.#options.error) throw error;
      return (await this.#options.error.call(this, error))!;
    } finally {
      this.pendingRequests -= 1;
    }
  }

  /** Other handlers for the next requests. */
  reload(options: ServeOptions): this {
    this.#options = { ...this.#options, ...options };
    this.#compile();
    return this;
  }

  requestIP(request: Request): { address: string; port: number; family: "IPv4" | "IPv6" } | null {
    const from = this.#from.get(request)?.remoteAddr;
    if (!from) return null;
    return { address: from.hostname, port: from.port, family: from.hostname.includes(":") ? "IPv6" : "IPv4" };
  }

  /** Upgrades a request that asks for a WebSocket; false for other requests. */
  upgrade(request: Request, { data }: { data?: unknown } = {}): boolean {
    const { websocket } = this.#options;
    if (!websocket) throw new Error("server.upgrade() needs the handlers: Bun.serve({ websocket: { message() {} } })");
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") return false;
    const { socket, response } = Deno.upgradeWebSocket(request);
    new ServerWebSocket(socket, websocket, this.#topics, data, this.requestIP(request)?.address ?? "");
    this.pendingWebSockets += 1;
    socket.addEventListener("close", () => this.pendingWebSockets--);
    this.#upgraded.set(request, response);
    return true;
  }

  publish(topic: string, message: string | ArrayBufferLike | ArrayBufferView): number {
    return publish(this.#topics, topic, message);
  }

  subscriberCount(topic: string): number {
    return this.#topics.get(topic)?.size ?? 0;
  }

  /** Baton has no limit of its own for one request. */
  timeout(): void {}
  /** Does nothing: Baton ends the server. */
  async stop(): Promise<void> {}
  ref(): void {}
  unref(): void {}
  [Symbol.dispose](): void {}

  async #answer(request: Request): Promise<Response | undefined> {
    const path = new URL(request.url).pathname;
    for (const [pattern, names, route] of this.#routes) {
      const found = pattern.exec(path);
      if (!found) continue;
      const handler = route instanceof Response || typeof route === "function" ? route : route[request.method];
      if (handler === undefined) continue;
      if (handler instanceof Response) return handler.clone();
      const params = Object.fromEntries(names.map((name, index) => [name, decodeURIComponent(found[index + 1])]));
      Object.defineProperty(request, "params", { value: params, configurable: true });
      return await handler.call(this, request as Request & { params: Record<string, string> }, this);
    }
    if (this.#options.fetch) return await this.#options.fetch.call(this, request, this);
    return new Response("Not Found", { status: 404 });
  }

  #compile(): void {
    const all = Object.entries({ ...this.#options.static, ...this.#options.routes });
    const rank = (path: string) => (path.includes("*") ? 2 : path.includes(":") ? 1 : 0);
    this.#routes = all
      .filter((entry): entry is [string, Route] => entry[1] !== false)
      .sort(([left], [right]) => rank(left) - rank(right) || right.length - left.length)
      .map(([path, route]) => {
        const names: string[] = [];
        const pattern = path
          .replace(/[.+?^${}()|[\]\\]/g, "\\$&")
          .replace(/:(\w+)/g, (_, name: string) => {
            names.push(name);
            return "([^/]+)";
          })
          .replaceAll("*", ".*");
        return [new RegExp(`^${pattern}$`), names, route];
      });
  }
}

export function serve(options: ServeOptions): Server {
  if (typeof options?.fetch !== "function" && !options?.routes && !options?.static) {
    throw new TypeError("Bun.serve() needs either a routes object or a fetch handler");
  }
  const server = new Server(options);
  handOver((request, from) => server.fetch(request, from), { by: "Bun.serve", port: server.port });
  return server;
}
