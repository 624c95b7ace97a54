// The module `bun` and the global `Bun`, put together.

import { Buffer } from "node:buffer";
import * as module from "node:module";
import * as url from "node:url";
import { inspect as nodeInspect } from "node:util";
import { isMainThread } from "node:worker_threads";
import * as zlib from "node:zlib";
import { type Bytes, native, toBytes } from "./bytes.ts";
import * as crypto from "./crypto.ts";
import { file, write } from "./file.ts";
import { Glob } from "./glob.ts";
import { missing } from "./missing.ts";
import { serve } from "./serve.ts";
import { createShell } from "./shell/shell.ts";
import { spawn, spawnSync, which } from "./spawn.ts";
import * as text from "./text.ts";
import { textOf, YAML } from "./yaml.ts";

/** The release whose documentation and behaviour this follows. */
const VERSION = "1.4.5";

const began = performance.now();

function sleep(delay: number | Date = 0): Promise<void> {
  return new Promise((done) => setTimeout(done, delay instanceof Date ? delay.getTime() - Date.now() : delay));
}

function sleepSync(milliseconds: number): void {
  if (typeof milliseconds !== "number") throw new TypeError("sleepSync expects a number");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.max(0, milliseconds));
}

function resolveSync(specifier: string, from: string): string {
  const place = from.startsWith("file:") ? url.fileURLToPath(from) : from;
  return module.createRequire(place.endsWith("/") ? place : `${place}/`).resolve(specifier);
}

type Compress = (data: string | Bytes, options?: object) => Uint8Array;

function compressor(run: (data: Buffer, options?: any) => Buffer): Compress {
  return (data, options) => new Uint8Array(run(toBytes(data), options));
}

const zstdOptions = (options: { level?: number } = {}) =>
  options.level === undefined ? {} : { params: { [zlib.constants.ZSTD_c_compressionLevel]: options.level } };

const here = {
  $: createShell(),
  ArrayBufferSink: text.ArrayBufferSink,
  CryptoHasher: crypto.CryptoHasher,
  Glob,
  MD5: crypto.MD5,
  SHA1: crypto.SHA1,
  SHA224: crypto.SHA224,
  SHA256: crypto.SHA256,
  SHA384: crypto.SHA384,
  SHA512: crypto.SHA512,
  SHA512_256: crypto.SHA512_256,
  TOML: { parse: (input: unknown) => native.toml(textOf(input)) },
  YAML,
  allocUnsafe: (size: number) => new Uint8Array(size),
  argv: process.argv,
  concatArrayBuffers: text.concatArrayBuffers,
  deepEquals: text.deepEquals,
  deepMatch: text.deepMatch,
  deflateSync: compressor(zlib.deflateRawSync),
  embeddedFiles: [],
  enableANSIColors: false,
  env: process.env,
  escapeHTML: text.escapeHTML,
  fetch: globalThis.fetch,
  file,
  fileURLToPath: url.fileURLToPath,
  gc: (): number => process.memoryUsage().heapUsed,
  gunzipSync: compressor(zlib.gunzipSync),
  gzipSync: compressor(zlib.gzipSync),
  hash: crypto.hash,
  indexOfLine: text.indexOfLine,
  inflateSync: compressor(zlib.inflateRawSync),
  inspect: nodeInspect,
  isMainThread,
  isStandaloneExecutable: false,
  main: process.argv[1],
  nanoseconds: (): number => Math.trunc((performance.now() - began) * 1e6),
  password: crypto.password,
  pathToFileURL: url.pathToFileURL,
  peek: text.peek,
  randomUUIDv5: crypto.randomUUIDv5,
  randomUUIDv7: crypto.randomUUIDv7,
  ...text.readers,
  resolve: async (specifier: string, from: string) => resolveSync(specifier, from),
  resolveSync,
  revision: "",
  semver: { order: native.order, satisfies: native.satisfies },
  serve,
  sha: crypto.sha,
  shrink: (): void => {},
  sleep,
  sleepSync,
  spawn,
  spawnSync,
  stderr: file(2),
  stdin: file(0),
  stdout: file(1),
  stringWidth: text.stringWidth,
  stripANSI: text.stripANSI,
  unsafe: {
    arrayBufferToString: (bytes: Bytes) => toBytes(bytes).toString(),
    gcAggressionLevel: () => 0,
  },
  version: VERSION,
  which,
  write,
  zstdCompress: async (data: string | Bytes, options?: object) =>
    new Uint8Array(zlib.zstdCompressSync(toBytes(data), zstdOptions(options))),
  zstdCompressSync: (data: string | Bytes, options?: object) =>
    new Uint8Array(zlib.zstdCompressSync(toBytes(data), zstdOptions(options))),
  zstdDecompress: async (data: string | Bytes) => new Uint8Array(zlib.zstdDecompressSync(toBytes(data))),
  zstdDecompressSync: (data: string | Bytes) => new Uint8Array(zlib.zstdDecompressSync(toBytes(data))),
};

/** Asking for something that Bun has and Baton has not says so. */
const Bun = new Proxy(here, {
  get(target, name, receiver) {
    const error = name in target ? undefined : missing(name);
    if (error) throw error;
    return Reflect.get(target, name, receiver);
  },
});

export default Bun;
