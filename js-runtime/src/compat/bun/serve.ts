// `Bun.serve`: the handler is handed over to Baton, which owns the port.

import { handOver } from "baton:serving";

type Answer = Response | Promise<Response>;
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
  websocket?: unknown;
  development?: unknown;
  idleTimeout?: number;
  id?: string;
  [setting: string]: unknown;
}

/** What `Bun.serve` returns: there is no socket behind it. */
export class Server {
  #options: ServeOptions;
  #routes: [RegExp, string[], Route][] = [];
  pendingRequests = 0;
  readonly pendingWebSockets = 0;

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

  async fetch(given: Request | string | URL): Promise<Response> {
    const request = given instanceof Request ? given : new Request(new URL(given, this.url));
    this.pendingRequests += 1;
    try {
      return await this.#answer(request);
    } catch (error) {
      if (!this.#options.error) throw error;
      return await this.#options.error.call(this, error);
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

  requestIP(): null {
    return null;
  }

  upgrade(): never {
    throw new Error("server.upgrade is not there in Baton: Bun.serve hands over plain requests, no WebSockets");
  }

  publish(): never {
    throw new Error("server.publish is not there in Baton: Bun.serve hands over plain requests, no WebSockets");
  }

  /** Baton has no limit of its own for one request. */
  timeout(): void {}
  /** Baton ends when it is told to. */
  async stop(): Promise<void> {}
  ref(): void {}
  unref(): void {}
  [Symbol.dispose](): void {}

  async #answer(request: Request): Promise<Response> {
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
  if (options.websocket) {
    throw new Error("Bun.serve({ websocket }) is not there in Baton: it hands over plain requests, no WebSockets");
  }
  const server = new Server(options);
  handOver((request) => server.fetch(request), { by: "Bun.serve", port: server.port });
  return server;
}
