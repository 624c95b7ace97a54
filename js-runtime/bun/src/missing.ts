// What Bun has and Baton has not, and what to use instead. Whoever asks for it is told; `in` says that
// it is not there.

const INSTEAD: Record<string, string> = {
  Archive: "use the npm package tar",
  Cookie: "use the npm package cookie",
  CookieMap: "use the npm package cookie",
  CSRF: "use node:crypto's createHmac",
  FFI: "load native code as a Node addon, or start it as a child process",
  FetchSession: "use fetch",
  FileSystemRouter: "use a router such as Hono's",
  Image: "use the npm package sharp",
  JSON5: "use the npm package json5",
  JSONC: "use the npm package jsonc-parser",
  JSONL: "split the text into lines and use JSON.parse",
  MD4: 'use new Bun.CryptoHasher("md4") where OpenSSL still has it',
  ModuleGraph: "build with a bundler before",
  RedisClient: "use the npm package ioredis",
  S3Client: "use the npm package @aws-sdk/client-s3",
  SQL: "use the npm package postgres or mysql2",
  Terminal: "use the npm package node-pty",
  Transpiler: "use the npm package esbuild",
  WebView: "use the npm package puppeteer-core",
  XML: "use the npm package fast-xml-parser",
  build: "build with a bundler before",
  color: "use the npm package colord",
  connect: "use node:net's connect",
  cron: "use a function with a cron trigger",
  dns: "use node:dns",
  generateHeapSnapshot: "use node:v8's writeHeapSnapshot",
  listen: "Baton owns the ports; use node:net's createServer if it must be",
  markdown: "use the npm package marked",
  mmap: "use node:fs's readFile",
  openInEditor: "Baton has no editor",
  plugin: "build with a bundler before",
  postgres: "use the npm package postgres",
  redis: "use the npm package ioredis",
  s3: "use the npm package @aws-sdk/client-s3",
  secrets: "use environment variables",
  sliceAnsi: "use the npm package slice-ansi",
  sql: "use the npm package postgres or mysql2",
  udpSocket: "use node:dgram",
  wrapAnsi: "use the npm package wrap-ansi",
};

/** The error for a name of Bun's that is not there; nothing for one that Bun has not either. */
export function missing(name: PropertyKey): Error | undefined {
  if (typeof name !== "string" || !Object.hasOwn(INSTEAD, name)) return undefined;
  return new Error(`Bun.${name} is not there in Baton: ${INSTEAD[name]}`);
}

/** Stands for something missing that was imported by its name: using it is told, importing it is not. */
export function stub(name: string): unknown {
  function refuse(): never {
    throw missing(name);
  }
  // Symbols are asked for by whoever looks what an export is.
  const get = (_: unknown, key: PropertyKey) => (typeof key === "symbol" ? undefined : refuse());
  return new Proxy(refuse, { apply: refuse, construct: refuse, get, set: refuse });
}
