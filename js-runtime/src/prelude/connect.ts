// Workers of Inngest Connect: `connect()` of inngest/connect hands its apps over to the host, which holds the connection for
// all generations.

/** An app that user code connects. */
interface ConnectedApp {
  client: any;
  functions: any[];
}

/** The options that user code gives to `connect()`. */
interface ConnectOptions {
  apps: { client: any; functions?: any[] }[];
  instanceId?: string;
  maxWorkerConcurrency?: number;
  gatewayUrl?: string;
  // Version 3 takes the keys here.
  signingKey?: string;
  signingKeyFallback?: string;
}

/** Resolves when user code connects while it is loaded; rejects where that is not taken over. */
export const connected = Promise.withResolvers<void>();
connected.promise.catch(() => {});
/** Resolves when user code waits for the end of its connection. */
const waits = Promise.withResolvers<void>();
/** The time for which a module may go on after it has connected, in milliseconds. */
const GOES_ON = 2_000;

const LATE =
  "connect() was called after the file was loaded, when Baton does not take it over any more: call it while the file is " +
  "loaded, or export the functions and start Baton with --connect";

const { setTimeout } = globalThis;
const connections: Connection[] = [];
let isTakenOver = false;
let isLoaded = false;
let refused: Error | undefined;

export const handedOver: ConnectedApp[] = [];
export let options: Omit<ConnectOptions, "apps"> | undefined;

/** Has `connect()` be taken over from now on, until the end of the load: an entry file is loaded. */
export function takeConnections(): void {
  isTakenOver = true;
}

/** Resolves once a module that has connected goes no further, or has gone on for long enough. */
export async function connectedForGood(): Promise<void> {
  await connected.promise;
  await Promise.race([waits.promise, new Promise((resolve) => setTimeout(resolve, GOES_ON))]);
  // The module may be at its end.
  await new Promise((resolve) => setTimeout(resolve, 0));
}

/** The connection that user code sees: that of the host, for this generation. */
class Connection {
  readonly #closed = Promise.withResolvers<void>();
  state = "ACTIVE";
  // The host has one connection for all generations, and another one after each loss.
  readonly connectionId = "baton";

  get closed(): Promise<void> {
    waits.resolve();
    return this.#closed.promise;
  }

  /** Ends what user code sees. The host goes on until another generation serves. */
  async close(): Promise<void> {
    this.end();
  }

  end(): void {
    this.state = "CLOSED";
    this.#closed.resolve();
  }

  getDebugState() {
    return {
      state: this.state,
      activeConnectionId: this.state === "CLOSED" ? undefined : this.connectionId,
      drainingConnectionId: undefined,
      lastHeartbeatSentAt: undefined,
      lastHeartbeatReceivedAt: undefined,
      lastMessageReceivedAt: undefined,
      shutdownRequested: this.state !== "ACTIVE",
      inFlightRequestCount: 0,
      inFlightRequests: [],
    };
  }
}

function take({ apps, ...rest }: ConnectOptions): Connection {
  // The SDK's own words (inngest/inngest-js: `components/connect`).
  if (!Array.isArray(apps) || apps.length === 0 || !apps[0]) throw new Error("No apps provided");
  const [{ client: first }] = handedOver.length > 0 ? handedOver : apps;
  for (const { client, functions } of apps) {
    if (client.env !== first.env) {
      throw new Error(
        `All apps must be configured to the same environment. ${client.id} is configured to ${client.env} but ` +
          `${first.id} is configured to ${first.env}`,
      );
    }
    if (handedOver.some((known) => known.client.id === client.id)) throw new Error(`Duplicate app id: ${client.id}`);
    handedOver.push({ client, functions: functions ?? client.funcs ?? [] });
  }
  options = { ...options, ...rest };
  const connection = new Connection();
  connections.push(connection);
  connected.resolve();
  return connection;
}

// The function that the loader puts around `connect` of inngest/connect.
Object.defineProperty(globalThis, Symbol.for("baton:connect"), {
  value: (real: (...values: unknown[]) => unknown) =>
    function connect(this: unknown, ...values: unknown[]) {
      if (isLoaded && isTakenOver) return Promise.reject(new Error(LATE));
      if (isLoaded) return Reflect.apply(real, this, values);
      // An async function of the SDK rejects, and does not throw.
      if (isTakenOver) return new Promise((resolve) => resolve(take(values[0] as ConnectOptions)));
      // The loader's words are told to users (`refusals.rs`).
      refused ??= new Error("a worker of Inngest Connect");
      Error.captureStackTrace(refused, connect);
      connected.reject(refused);
      return new Promise(() => {});
    },
});

/** Throws if user code has connected where that is not taken over; from now on it may. */
export function endLoad(): void {
  if (refused) throw refused;
  isLoaded = true;
}

/** Tells user code that another generation gets the calls. */
export function drainConnections(): void {
  for (const connection of connections) if (connection.state === "ACTIVE") connection.state = "CLOSING";
}

/** Tells user code that no call is left. */
export function endConnections(): void {
  for (const connection of connections) connection.end();
}
