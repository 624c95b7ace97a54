// Shared by the parts of the module `bun`: the functions of the host, bytes and streams.

import { Buffer } from "node:buffer";
import { nativesOf } from "baton:host";

/** A password's derivation: see `passwords.rs`. */
export type Work =
  | {
      kind: "argon2";
      algorithm: string;
      password: string;
      salt: number[];
      memoryCost: number;
      timeCost: number;
      parallelism: number;
      length: number;
    }
  | { kind: "bcryptHash"; password: number[]; cost: number }
  | { kind: "bcryptVerify"; password: number[]; hash: string };

/** The functions of the host for these files. */
export interface Natives {
  yaml(text: string): unknown;
  toml(text: string): unknown;
  globMatch(pattern: string, path: string): boolean;
  satisfies(version: string, range: string): boolean;
  order(left: string, right: string): -1 | 0 | 1;
  hash(algorithm: string, bytes: Uint8Array, seed: bigint): bigint;
  width(text: string): number;
  password(work: Work): Promise<any>;
  passwordSync(work: Work): any;
}

export const native = nativesOf("bun") as Natives;

export type Bytes = ArrayBuffer | SharedArrayBuffer | ArrayBufferView;

export function isBytes(value: unknown): value is Bytes {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof SharedArrayBuffer;
}

/** The same memory as bytes; a text as UTF-8. */
export function toBytes(value: string | Bytes): Buffer {
  if (typeof value === "string") return Buffer.from(value);
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return Buffer.from(value);
}

/** All that a stream, or an iterable of chunks, gives. */
export async function collect(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(toBytes(chunk as string | Bytes));
  return Buffer.concat(chunks);
}

/** An `ArrayBuffer` of its own with the same bytes. */
export function arrayBufferOf(bytes: Uint8Array): ArrayBuffer {
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
}

/** A stream with Bun's methods that read all of it. */
export interface ReadableBytes extends ReadableStream<Uint8Array> {
  text(): Promise<string>;
  json(): Promise<any>;
  bytes(): Promise<Uint8Array>;
  arrayBuffer(): Promise<ArrayBuffer>;
  blob(): Promise<Blob>;
}

/** Gives a stream Bun's methods that read all of it. */
export function withReaders(stream: ReadableStream<Uint8Array>): ReadableBytes {
  const methods = {
    text: async () => (await collect(stream as any)).toString(),
    json: async () => JSON.parse((await collect(stream as any)).toString()),
    bytes: async () => new Uint8Array(await collect(stream as any)),
    arrayBuffer: async () => arrayBufferOf(await collect(stream as any)),
    blob: async () => new Blob([await collect(stream as any)]),
  };
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(stream, name, { value, configurable: true, writable: true });
  }
  return stream as ReadableBytes;
}
