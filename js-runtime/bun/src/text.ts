// Small functions over texts, values and memory.

import { Buffer } from "node:buffer";
import { isDeepStrictEqual, stripVTControlCharacters } from "node:util";
import { arrayBufferOf, type Bytes, collect, native, toBytes } from "./bytes.ts";

export function escapeHTML(value: unknown): string {
  const entities: Record<string, string> = { '"': "&quot;", "&": "&amp;", "'": "&#x27;", "<": "&lt;", ">": "&gt;" };
  return String(value).replace(/["&'<>]/g, (character) => entities[character]);
}

export function stringWidth(text: string, { countAnsiEscapeCodes = false } = {}): number {
  const visible = countAnsiEscapeCodes ? text : stripVTControlCharacters(text);
  return native.width(visible.replace(/[\x00-\x1f\x7f-\x9f]/g, ""));
}

export function stripANSI(text: string): string {
  return stripVTControlCharacters(text);
}

/** The place of the next line break from an offset on; -1 when there is none. */
export function indexOfLine(bytes: Bytes, offset = 0): number {
  return toBytes(bytes).indexOf("\n", offset);
}

export function concatArrayBuffers(buffers: Bytes[], maxLength = Number.POSITIVE_INFINITY, asUint8Array = false) {
  const all = Buffer.concat(buffers.map(toBytes)).subarray(0, Math.min(maxLength, Number.MAX_SAFE_INTEGER));
  return asUint8Array ? new Uint8Array(all) : arrayBufferOf(all);
}

/** As Jest's `toEqual`, or with `strict` its `toStrictEqual`: only then an absent property is not an undefined one. */
export function deepEquals(left: unknown, right: unknown, strict = false): boolean {
  return isDeepStrictEqual(strict ? left : defined(left), strict ? right : defined(right));
}

function defined(value: unknown, seen = new Map<unknown, unknown>()): unknown {
  if (typeof value !== "object" || value === null) return value;
  const known = seen.get(value);
  if (known) return known;
  if (Array.isArray(value)) {
    const copy: unknown[] = [];
    seen.set(value, copy);
    for (let index = 0; index < value.length; index += 1) copy[index] = defined(value[index], seen);
    return copy;
  }
  const prototype = Object.getPrototypeOf(value);
  // Maps, dates and the like are compared by their values; instances of classes by their fields.
  if (Object.prototype.toString.call(value) !== "[object Object]" && prototype !== Object.prototype) return value;
  const copy: Record<PropertyKey, unknown> = {};
  seen.set(value, copy);
  for (const key of Reflect.ownKeys(value)) {
    const item = (value as any)[key];
    if (item !== undefined) copy[key] = defined(item, seen);
  }
  return copy;
}

/** True when everything of the second is in the first. */
export function deepMatch(subset: unknown, value: unknown): boolean {
  if (typeof subset !== "object" || subset === null || typeof value !== "object" || value === null) {
    return Object.is(subset, value);
  }
  if (Array.isArray(subset) && (!Array.isArray(value) || subset.length !== value.length)) return false;
  return Object.keys(subset).every((key) => key in value && deepMatch((subset as any)[key], (value as any)[key]));
}

const peeked = new WeakMap<Promise<unknown>, { status: "fulfilled" | "rejected"; value: unknown }>();

/** The value or error of a settled promise, without waiting; the promise itself while it is pending. */
export function peek(promise: unknown): unknown {
  const state = stateOf(promise);
  if (state === undefined) return promise;
  return state.value;
}

peek.status = (promise: unknown): "fulfilled" | "pending" | "rejected" => {
  if (!(promise instanceof Promise)) return "fulfilled";
  return stateOf(promise)?.status ?? "pending";
};

function stateOf(promise: unknown) {
  if (!(promise instanceof Promise)) return { status: "fulfilled" as const, value: promise };
  const known = peeked.get(promise);
  if (known) return known;
  const [status, value] = (Deno as any)[(Deno as any).internal].core.getPromiseDetails(promise);
  if (status === 0) return undefined;
  // Whoever looks at an error has seen it.
  if (status === 2) promise.catch(() => {});
  const state = { status: status === 1 ? ("fulfilled" as const) : ("rejected" as const), value };
  peeked.set(promise, state);
  return state;
}

type Stream = ReadableStream<any>;

export const readers = {
  readableStreamToArray: async (stream: Stream): Promise<unknown[]> => await Array.fromAsync(stream as any),
  readableStreamToText: async (stream: Stream): Promise<string> => (await collect(stream as any)).toString(),
  readableStreamToJSON: async (stream: Stream): Promise<any> => JSON.parse((await collect(stream as any)).toString()),
  readableStreamToBytes: async (stream: Stream): Promise<Uint8Array> => new Uint8Array(await collect(stream as any)),
  readableStreamToArrayBuffer: async (stream: Stream): Promise<ArrayBuffer> =>
    arrayBufferOf(await collect(stream as any)),
  readableStreamToBlob: async (stream: Stream): Promise<Blob> => new Blob([await collect(stream as any)]),
  readableStreamToFormData: async (stream: Stream, boundary?: string): Promise<FormData> => {
    const type = boundary ? `multipart/form-data; boundary=${boundary}` : "application/x-www-form-urlencoded";
    return await new Response(stream, { headers: { "content-type": type } }).formData();
  },
};

/** Bytes are written to it and taken out of it, as one buffer or piece by piece. */
export class ArrayBufferSink {
  #chunks: Buffer[] = [];
  #stream = false;
  #asUint8Array = false;

  start({
    stream = false,
    asUint8Array = false,
  }: { stream?: boolean; asUint8Array?: boolean; highWaterMark?: number } = {}): void {
    this.#stream = stream;
    this.#asUint8Array = asUint8Array;
    this.#chunks = [];
  }

  write(data: string | Bytes): number {
    const bytes = Buffer.from(toBytes(data));
    this.#chunks.push(bytes);
    return bytes.length;
  }

  flush(): number | ArrayBuffer | Uint8Array {
    return this.#stream ? this.#take() : 0;
  }

  end(): ArrayBuffer | Uint8Array {
    return this.#take();
  }

  #take(): ArrayBuffer | Uint8Array {
    const all = Buffer.concat(this.#chunks.splice(0));
    return this.#asUint8Array ? new Uint8Array(all) : arrayBufferOf(all);
  }
}
