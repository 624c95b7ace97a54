// The names that the module `bun` exports. A part that Baton does not have throws when it is used.

import Bun from "./bun.ts";
import { stub } from "./missing.ts";

export default Bun;

export const {
  $, ArrayBufferSink, CryptoHasher, Glob, MD5, SHA1, SHA224, SHA256, SHA384, SHA512, SHA512_256, TOML, YAML,
  allocUnsafe, argv, concatArrayBuffers, deepEquals, deepMatch, deflateSync, embeddedFiles, enableANSIColors, env,
  escapeHTML, fetch, file, fileURLToPath, gc, gunzipSync, gzipSync, hash, indexOfLine, inflateSync, inspect,
  isMainThread, isStandaloneExecutable, main, nanoseconds, password, pathToFileURL, peek, randomUUIDv5, randomUUIDv7,
  readableStreamToArray, readableStreamToArrayBuffer, readableStreamToBlob, readableStreamToBytes,
  readableStreamToFormData, readableStreamToJSON, readableStreamToText, resolve, resolveSync, revision, semver, serve,
  sha, shrink, sleep, sleepSync, spawn, spawnSync, stderr, stdin, stdout, stringWidth, stripANSI, unsafe, version,
  which, write, zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync,
} = Bun;

export const Archive = stub("Archive");
export const CSRF = stub("CSRF");
export const Cookie = stub("Cookie");
export const CookieMap = stub("CookieMap");
export const FFI = stub("FFI");
export const FetchSession = stub("FetchSession");
export const FileSystemRouter = stub("FileSystemRouter");
export const Image = stub("Image");
export const JSON5 = stub("JSON5");
export const JSONC = stub("JSONC");
export const JSONL = stub("JSONL");
export const MD4 = stub("MD4");
export const ModuleGraph = stub("ModuleGraph");
export const RedisClient = stub("RedisClient");
export const S3Client = stub("S3Client");
export const SQL = stub("SQL");
export const Terminal = stub("Terminal");
export const Transpiler = stub("Transpiler");
export const WebView = stub("WebView");
export const XML = stub("XML");
export const build = stub("build");
export const color = stub("color");
export const connect = stub("connect");
export const cron = stub("cron");
export const dns = stub("dns");
export const generateHeapSnapshot = stub("generateHeapSnapshot");
export const listen = stub("listen");
export const markdown = stub("markdown");
export const mmap = stub("mmap");
export const openInEditor = stub("openInEditor");
export const plugin = stub("plugin");
export const postgres = stub("postgres");
export const redis = stub("redis");
export const s3 = stub("s3");
export const secrets = stub("secrets");
export const sliceAnsi = stub("sliceAnsi");
export const sql = stub("sql");
export const udpSocket = stub("udpSocket");
export const wrapAnsi = stub("wrapAnsi");
