// WebSockets of `Bun.serve`, over Deno's.

type Message = string | ArrayBufferLike | ArrayBufferView;

export interface WebSocketHandler {
  open?(socket: ServerWebSocket): unknown;
  message?(socket: ServerWebSocket, message: string | Buffer): unknown;
  close?(socket: ServerWebSocket, code: number, reason: string): unknown;
  error?(socket: ServerWebSocket, error: unknown): unknown;
}

/** The subscribers of each topic. */
export type Topics = Map<string, Set<ServerWebSocket>>;

/** Sends a message to all who listen, but one; how much was sent to each. */
export function publish(topics: Topics, topic: string, message: Message, except?: ServerWebSocket): number {
  const listeners = [...(topics.get(topic) ?? [])].filter((socket) => socket !== except);
  for (const socket of listeners) socket.send(message);
  return listeners.length === 0 ? 0 : lengthOf(message);
}

/** One end of a WebSocket, as Bun's handlers are given it. */
export class ServerWebSocket {
  data: unknown;
  readonly remoteAddress: string;
  readonly binaryType = "nodebuffer";
  #socket: WebSocket;
  #topics: Topics;

  constructor(socket: WebSocket, handler: WebSocketHandler, topics: Topics, data: unknown, remoteAddress: string) {
    this.#socket = socket;
    this.#topics = topics;
    this.data = data;
    this.remoteAddress = remoteAddress;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => handler.open?.(this);
    socket.onmessage = ({ data }) => handler.message?.(this, typeof data === "string" ? data : Buffer.from(data));
    socket.onerror = (event) => handler.error?.(this, (event as ErrorEvent).error ?? event);
    socket.onclose = ({ code, reason }) => {
      for (const topic of this.subscriptions) this.unsubscribe(topic);
      handler.close?.(this, code, reason);
    };
  }

  get readyState(): number {
    return this.#socket.readyState;
  }

  get subscriptions(): string[] {
    return [...this.#topics].filter(([, listeners]) => listeners.has(this)).map(([topic]) => topic);
  }

  /** Returns the number of bytes that were sent; 0 when the socket is closed. */
  send(message: Message, _compress?: boolean): number {
    if (this.readyState !== WebSocket.OPEN) return 0;
    this.#socket.send(message as string);
    return lengthOf(message);
  }

  sendText(message: string): number {
    return this.send(message);
  }

  sendBinary(message: Exclude<Message, string>): number {
    return this.send(message);
  }

  close(code?: number, reason?: string): void {
    this.#socket.close(code, reason);
  }

  /** Deno closes with a handshake, or not at all. */
  terminate(): void {
    this.#socket.close();
  }

  subscribe(topic: string): void {
    const listeners = this.#topics.get(topic) ?? new Set();
    this.#topics.set(topic, listeners.add(this));
  }

  unsubscribe(topic: string): void {
    const listeners = this.#topics.get(topic);
    listeners?.delete(this);
    if (listeners?.size === 0) this.#topics.delete(topic);
  }

  isSubscribed(topic: string): boolean {
    return this.#topics.get(topic)?.has(this) ?? false;
  }

  /** To all others who listen. */
  publish(topic: string, message: Message): number {
    return publish(this.#topics, topic, message, this);
  }

  cork<T>(run: (socket: this) => T): T {
    return run(this);
  }

  ping(): never {
    throw new Error("Baton has no ping of a WebSocket: Deno sends and answers pings by itself");
  }

  pong(): never {
    throw new Error("Baton has no pong of a WebSocket: Deno sends and answers pings by itself");
  }
}

function lengthOf(message: Message): number {
  return typeof message === "string" ? Buffer.byteLength(message) : message.byteLength;
}
